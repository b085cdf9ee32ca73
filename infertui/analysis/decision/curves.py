"""Curves over what a sweep varied: the figures of each, and all of them as lines of text. Pure."""

from collections.abc import Iterable, Iterator

from infertui.analysis.decision.axes import AxisSeries, axis_series, swept_numbers
from infertui.analysis.decision.sweep_curve import SweepCurve, SweepPoint, memory_lines, throughput_lines
from infertui.metrics.registry import metric_of
from infertui.results.result import Result

MOST_CURVES = 4
_FEWEST = 3


def curves_of(results: Iterable[Result], fewest: int = _FEWEST) -> list[SweepCurve]:
    """A curve for each series over a number that was swept over so many values or more."""
    held = list(results)
    return [_curve(one) for key in swept_numbers(held, fewest) for one in axis_series(held, key, fewest)]


def sweep_curves(results: Iterable[Result], *, ascii_only: bool = False) -> Iterator[str]:
    """The lines, empty ones between curves; nothing where no number was swept over three values."""
    found = curves_of(results)
    for one in found[:MOST_CURVES]:
        yield ""
        yield from throughput_lines(one, ascii_only=ascii_only)
        if memory := memory_lines(one, ascii_only=ascii_only):
            yield ""
            yield from memory
    if len(found) > MOST_CURVES:
        yield f"({len(found) - MOST_CURVES} more curves: infertui report draws all of them)"


def _curve(series: AxisSeries) -> SweepCurve:
    points = [(x, result, speed) for x, result in series.points if (speed := metric_of("throughput").number(result))]
    return SweepCurve(
        series.key,
        series.heading,
        tuple(_point(x, result, speed) for x, result, speed in points),
        series.fixed,
        series.failed,
    )


def _point(x: float, result: Result, throughput: float) -> SweepPoint:
    keys = ("low", "high", "vram", "ttft", "ttft_p99")
    low, high, memory, ttft, ttft_p99 = (metric_of(key).number(result) for key in keys)
    return SweepPoint(x, result.id, throughput, low, high, memory, result.verdict.valid, ttft, ttft_p99)
