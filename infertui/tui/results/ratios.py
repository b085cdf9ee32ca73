"""A row's figures as multiples of the baseline's: how large, how sure, and whether like is compared with like. Pure."""

from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from infertui.analysis.outcome import EQUAL_WITHIN, Outcome, outcome_of
from infertui.measure.comparison import independent_ratio
from infertui.metrics.metric import Metric
from infertui.metrics.registry import metrics
from infertui.results.table import ResultRow

OF: dict[str, Metric] = {metric.ratio: metric for metric in metrics("screen") if metric.ratio}
"""The metric of each."""
MAIN = "ratio"
"""The throughput's, which is always among them while a baseline is pinned."""
GAIN = "gain"
"""The same as a change in percent."""
if TYPE_CHECKING:
    RatioColumn: TypeAlias = str
else:
    RatioColumn = Literal[(*OF, GAIN)]
"""Columns that are there while a baseline is pinned."""
_MARKS: dict[Outcome, str] = {"equal": "=", "unclear": "~"}
_ALIKE = (
    "model", "device", "dtype", "quantization", "form", "batch_size", "concurrency", "request_rate", "input_len",
    "output_len",
)  # fmt: skip


def times(value: float) -> str:
    """A ratio in six cells, as a rule: `432x`, `1.15x`, `0.12x`, `0.002x`; what is above 0 is never shown as 0."""
    if value < 0.0005:
        return "<.001x"
    digits = 3 if value < 0.0095 else 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}x"


def heading_of(column: RatioColumn) -> str:
    """`x TTFT`: without the statistic, which is that of the column beside it."""
    metric = OF[column]
    return MAIN if column == MAIN else f"x {metric.label.removesuffix(f' {metric.statistic}')}"


class RowRatio(Struct, frozen=True):
    """`outcome` is empty where nothing bounds the ratio. `better` is meant by direction alone."""

    value: float
    better: bool
    outcome: Outcome
    unlike: bool
    change: bool = False
    """Shown as a change in percent."""

    @property
    def text(self) -> str:
        """`1.15x`; `=1.00x` where they are equal, `~1.04x` where it is unclear; in brackets where they are unlike."""
        shown = f"{self.value - 1:+.1%}" if self.change and self.value < 100 else times(self.value)
        return f"({shown})" if self.unlike else _MARKS.get(self.outcome, "") + shown


def row_ratio(
    column: RatioColumn, row: ResultRow, baseline: ResultRow | None, equal_within: float = EQUAL_WITHIN
) -> RowRatio | None:
    """The row's figure over the baseline's; None where either is not available.

    Of the throughput both have an interval, of which that of the ratio follows; they are equal where it lies within the
    band. Comparing the runs is more exact.
    """
    if baseline is None:
        return None
    metric = OF[MAIN if column == GAIN else column]
    value, base = getattr(row, metric.key), getattr(baseline, metric.key)
    if not value or not base or value < 0 or base < 0:
        return None
    mine, its = ((row.low, row.high), (baseline.low, baseline.high)) if column in (MAIN, GAIN) else (_NOWHERE, _NOWHERE)
    found = independent_ratio(value, base, mine, its)
    if found is None:
        return None
    ratio = found.value
    outcome = "" if found.interval is None else outcome_of(found, "higher", equal_within)
    unlike = any(getattr(row, name) != getattr(baseline, name) for name in _ALIKE)
    return RowRatio(ratio, (ratio > 1) == (metric.better == "higher"), outcome, unlike, column == GAIN)


_NOWHERE = (None, None)
