"""Two runs side by side: what differs between them, how their figures differ, and how sure that is."""

import math
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.comparability import Difference, differences, unlike
from infertui.analysis.outcome import Basis, ComparedFigure
from infertui.measure.comparison import Bounds, Ratio, Totals, independent_ratio, ratio
from infertui.measure.dependence import FEWEST, SEEN_FROM
from infertui.measure.energy import NOTED_ERROR
from infertui.measure.statistics import CONFIDENCE, Interval
from infertui.measure.tails import tail_ratio
from infertui.metrics.metric import ComparisonRow, Metric
from infertui.metrics.reads import error_share
from infertui.metrics.registry import compared, metric_of
from infertui.results.observations import Observation
from infertui.results.result import Result
from infertui.text import clean

__all__ = ["Basis", "ComparedFigure", "Comparison", "Difference", "compare", "judged"]

SINGLE_RUNS = (
    "Each side is a single run. The intervals hold what varies within these two processes, not what varies from one"
    " process to the next, which is often several percent: where it is 1 %, two of three such comparisons of equal"
    " things find a difference. `infertui bench` repeats both in turn."
)

TOLD_CORRELATION = 0.4
"""Correlation of neighbouring iterations from which it is told; below, noise looks like it."""


class Comparison(Struct, frozen=True):
    """What a reader needs, in reading order: what differs, what makes the runs unlike, and the figures.

    Energy is the results' own, with what its counter leaves open in the interval; how far batches differ is told by
    their shares by power samples. `notes` say what the intervals are worth.
    """

    first: str
    second: str
    differences: tuple[Difference, ...]
    unlike: tuple[str, ...]
    figures: tuple[ComparedFigure, ...]
    notes: tuple[str, ...] = ()


def compare(first: Result, second: Result, observed: tuple[Sequence[Observation], Sequence[Observation]]) -> Comparison:
    """The second run against the first, from their results and measured batches.

    Where no batches of a side are kept, as of an imported file, its figures are those of its summary, without interval.
    """
    # Requests that were in flight together depend on one another: a load's own intervals allow for that.
    ours, theirs = (() if result.load else side for result, side in zip((first, second), observed, strict=True))
    observed = (ours, theirs)
    figures = tuple(_figures(first, second, observed))
    return Comparison(
        clean(first.id),
        clean(second.id),
        tuple(differences(first, second)),
        tuple(dict.fromkeys(unlike(first, second))),
        figures,
        (*_notes(first, second, observed), *(_worth(figures) if first.id != second.id else ())),
    )


def _figures(
    first: Result, second: Result, observed: tuple[Sequence[Observation], Sequence[Observation]]
) -> Iterator[ComparedFigure]:
    for metric, row in compared():
        if row.observe is not None:
            yield _by_batches(metric, row, row.observe, (first, second), observed)
        elif metric.key == "itl_p99":
            yield _itl_p99(metric, row, (first, second), observed)
        else:
            one, other = metric.number(first), metric.number(second)
            yield _figure(metric, row, (one, other), of_two(one, other), basis="whole")
    name, one, other = memory(first, second)
    yield ComparedFigure(name, one, other, "lower", of_two(one, other), "bytes", "memory", "whole")


def _figure(
    metric: Metric,
    row: ComparisonRow,
    values: tuple[float | None, float | None],
    found: Ratio | None,
    *,
    basis: Basis = "iterations",
    observations: int = 0,
    wanting: str = "",
) -> ComparedFigure:
    return ComparedFigure(
        row.name or metric.label, *values, metric.better or "higher", found, metric.unit.written, row.key, basis,
        observations, wanting,
    )  # fmt: skip


def _by_batches(
    metric: Metric,
    row: ComparisonRow,
    observe: Callable[[Sequence[Observation]], Totals],
    results: tuple[Result, Result],
    observed: tuple[Sequence[Observation], Sequence[Observation]],
) -> ComparedFigure:
    sides = [observe(side) for side in observed]
    wholes = [metric.number(result) for result in results]
    values = [
        (side.value if min(side.denominators) > 0 else None) if side.numerators else whole
        for side, whole in zip(sides, wholes, strict=True)
    ]
    kept = all(side.numerators for side in sides)
    if not any(side.numerators for side in sides):
        found = _by_own_intervals(metric, results) or of_two(*values)
    else:
        found = ratio(*sides) if kept else of_two(*values)
    if row.whole and None not in wholes:
        values = wholes
        error = math.hypot(*(error_share(result) or 0.0 for result in results))
        found = _recentred(found, of_two(*values), error)
    fewest = min(len(side.numerators) for side in sides)
    wanting = "" if fewest < FEWEST else _DEPEND if found is not None and found.correlation is not None else _NO_SPREAD
    if not kept:
        unknown = _OF_LOADS if all(result.load for result in results) else _NOT_BY_ITERATION
        wanting = "" if found is not None and found.interval is not None else unknown
    return _figure(metric, row, (values[0], values[1]), found, observations=fewest, wanting=wanting)


def throughput_ratio(result: Result, baseline: Result) -> Ratio | None:
    """The throughput of a run over a baseline's, by the intervals that both results hold."""
    value, base = (metric_of("throughput").number(one) or 0.0 for one in (result, baseline))
    return independent_ratio(value, base, _bounds(result), _bounds(baseline))


_INTERVALS = {"ttft_mean": "ttft.mean", "tpot_mean": "tpot.mean", "latency_mean": "e2e.mean"}
"""Of the figures that are compared, those of which a load holds an interval, with its name there."""


def _by_own_intervals(metric: Metric, results: tuple[Result, Result]) -> Ratio | None:
    """Second over first, by the intervals that both hold; None of other metrics, and where one holds none."""
    if metric.key == "throughput":
        return throughput_ratio(results[1], results[0])
    name = _INTERVALS.get(metric.key)
    bounds = [result.load.intervals.get(name) if result.load and name else None for result in results]
    values = [metric.number(result) for result in results]
    if None in bounds or None in values:
        return None
    first, second = ((one.low, one.high) for one in bounds if one is not None)
    return independent_ratio(values[1] or 0.0, values[0] or 0.0, second, first)


def _bounds(result: Result) -> Bounds:
    return metric_of("low").number(result), metric_of("high").number(result)


def _itl_p99(
    metric: Metric,
    row: ComparisonRow,
    results: tuple[Result, Result],
    observed: tuple[Sequence[Observation], Sequence[Observation]],
) -> ComparedFigure:
    """That of each run's own summary, over all its gaps; not available where a run has too few for it."""
    one, other = (metric.number(result) for result in results)
    sides = [[seen.gaps for seen in side if seen.gaps is not None] for side in observed]
    found = tail_ratio(sides[0], sides[1], (one, other), 99) if one is not None and other is not None else None
    wanting = _FEW_GAPS if all(sides) else _NOT_BY_ITERATION
    return _figure(metric, row, (one, other), found, observations=min(map(len, sides)), wanting=wanting)


_FEW_GAPS = "too few independent gaps to say how sure"
_NOT_BY_ITERATION = "not kept by iteration, so how sure is not known"
_OF_LOADS = "too little was seen of a load to say how sure"
_NO_SPREAD = "of figures that allow no interval"
_DEPEND = "iterations may depend on one another too much to say how sure: measure more, or longer ones"


def judged(comparison: Comparison, equal_within: float) -> Comparison:
    """The same comparison, in which figures count as equal within another band, a share."""
    return replace(
        comparison, figures=tuple(replace(figure, equal_within=equal_within) for figure in comparison.figures)
    )


def _recentred(found: Ratio | None, whole: Ratio | None, error: float) -> Ratio | None:
    """The ratio `whole` with the interval of `found`, widened by an independent `error` of so large a share.

    Both are half widths on the ratio's logarithm. The rank test knows nothing of that error: it is told where there is
    next to none.
    """
    if found is None or whole is None:
        return whole
    if found.interval is None:
        return replace(whole, correlation=found.correlation)
    center, widened = math.log(found.value), math.log1p(error)
    low = math.hypot(center - math.log(found.interval.low), widened)
    high = math.hypot(math.log(found.interval.high) - center, widened)
    interval = Interval(whole.value * math.exp(-low), whole.value * math.exp(high))
    p = found.p if error < NOTED_ERROR else None
    return Ratio(whole.value, interval, p, found.correlation, found.assumed)


def of_two(first: float | None, second: float | None) -> Ratio | None:
    """The ratio of two single values."""
    value = second / first if first is not None and second is not None and first > 0 and second > 0 else 0.0
    return Ratio(value) if 0 < value < math.inf else None


_PEAKS = ("vram_process", "allocated_peak", "resident_peak")


def memory(first: Result, second: Result) -> tuple[str, float | None, float | None]:
    """The first kind of memory that is known of both: its name, and their peaks in bytes."""
    peaks = [metric_of(key) for key in _PEAKS]
    for peak in peaks:
        one, other = peak.number(first), peak.number(second)
        if one is not None and other is not None:
            return peak.label, one, other
    one, other = (next((v for peak in peaks if (v := peak.number(result)) is not None), None)
                  for result in (first, second))  # fmt: skip
    return ("memory, not of one kind", None, None) if one is not None and other is not None else ("memory", one, other)


def _notes(
    first: Result, second: Result, observed: tuple[Sequence[Observation], Sequence[Observation]]
) -> Iterator[str]:
    together = max((one.batches for side in observed for one in side), default=1)
    if together > 1:
        yield f"Of the longer run, {together} batches in a row count as one observation."
    benches = {result.bench.bench if result.bench else "" for result in (first, second)}
    if benches != {""} and len(benches) == 1:
        yield f"Both belong to one bench: `infertui compare --bench {clean(benches.pop())}` compares all its rounds."
    elif first.id != second.id:
        yield SINGLE_RUNS


def _worth(figures: Sequence[ComparedFigure]) -> Iterator[str]:
    """What the intervals take for granted, and how many of them there are."""
    sure = [figure for figure in figures if figure.ratio is not None and figure.ratio.interval is not None]
    seen = [(figure.ratio.correlation, figure.name) for figure in figures
            if figure.ratio is not None and figure.ratio.correlation is not None]  # fmt: skip
    if seen and max(seen)[0] > TOLD_CORRELATION:
        most, name = max(seen)
        yield (
            f"Iterations depend on those just before them (autocorrelation, {most:.1f} in {name}): intervals are wider"
            " for it, and there is none where they are worth too few independent ones."
        )
    assumed = [figure.name for figure in sure if figure.ratio is not None and figure.ratio.assumed]
    if assumed:
        yield (
            f"Of {', '.join(assumed)} it cannot be seen whether iterations depend on one another (autocorrelation):"
            f" that takes {SEEN_FROM} of them, or the times of their parts. These intervals assume that they do not,"
            " and are too narrow if they do."
        )
    if len(sure) > 1:
        yield (
            f"{len(sure)} figures are compared at once, each with an interval that is 95 % by itself: of runs that are"
            f" equal, up to {1 - CONFIDENCE ** len(sure):.0%} show a difference in at least one."
        )


KEYS = (*(row.key for _, row in compared()), "memory")
"""What figures are called in rules and by programs."""
