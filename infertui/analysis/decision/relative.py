"""A run's throughput against a baseline's, by the intervals that both results hold. Pure.

Comparing the two by their iterations (`analysis.compare`) is more exact; this is what a row of a table can tell.
"""

from infertui.analysis.comparability import unlike
from infertui.analysis.compare import throughput_ratio
from infertui.analysis.outcome import EQUAL_WITHIN, Outcome, outcome_of
from infertui.metrics.metric import NOT_AVAILABLE, Column, Metric
from infertui.metrics.units import CHANGE, NUMBER
from infertui.results.result import Result

RELATIVE = frozenset({"gain", "x base", "times_baseline"})
"""What columns against a baseline are called."""
_MARKS: dict[Outcome, str] = {"equal": "=", "unclear": "~", "": "~"}


def relative_columns(baseline: Result, equal_within: float = EQUAL_WITHIN) -> list[Metric]:
    """How many times the baseline's throughput, and its change in %, as columns of tables.

    In front of a figure: = is equal within the band, ~ unclear or without an interval; in brackets: the two are not the
    same measurement with another setting.
    """

    def ratio(result: Result) -> float | None:
        found = throughput_ratio(result, baseline)
        return None if found is None else found.value

    def gain(result: Result) -> float | None:
        found = ratio(result)
        return None if found is None else found - 1

    def marked(result: Result, text: str) -> str:
        found = throughput_ratio(result, baseline)
        if found is None:
            return NOT_AVAILABLE
        if result.id == baseline.id:
            return "base"
        if any(unlike(baseline, result)):
            return f"({text})"
        return _MARKS.get(outcome_of(found, "higher", equal_within), "") + text

    last = Column(1)
    return [
        Metric(
            key="times_baseline", label="x base", help="its throughput over the baseline's", unit=NUMBER, read=ratio,
            statistic="ratio", better="higher", text=last,
            show=lambda result: marked(result, f"{ratio(result) or 0:.2f}x"),
        ),
        Metric(
            key="gain", label="gain", help="change of the throughput from the baseline's", unit=CHANGE, read=gain,
            statistic="ratio", better="higher", text=last,
            show=lambda result: marked(result, f"{gain(result) or 0:+.1%}"),
        ),
    ]  # fmt: skip
