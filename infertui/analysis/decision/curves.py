"""Curves over what a sweep varied, as lines of text: throughput, and memory where it changes. Pure."""

from collections.abc import Iterable, Iterator

from infertui.analysis.curve import curve
from infertui.analysis.decision.axes import AxisSeries, axis_series, swept_numbers
from infertui.metrics.registry import metric_of
from infertui.results.result import Result
from infertui.units import format_bytes

MOST_CURVES = 4
_FEWEST = 3
_CHANGES = 1.05
"""Memory that grows by less than this is told by a table."""


def sweep_curves(results: Iterable[Result], *, ascii_only: bool = False) -> Iterator[str]:
    """The lines, empty ones between curves; nothing where no number was swept over three values."""
    held = list(results)
    series = [one for key in swept_numbers(held, _FEWEST) for one in axis_series(held, key, _FEWEST)]
    for one in series[:MOST_CURVES]:
        yield ""
        yield from _lines(one, ascii_only)
    if len(series) > MOST_CURVES:
        yield f"({len(series) - MOST_CURVES} more curves: infertui report draws all of them)"


def _lines(one: AxisSeries, ascii_only: bool) -> Iterator[str]:
    of = f", {one.fixed}" if one.fixed else ""
    against = sum(not result.verdict.valid for _, result in one.points)
    doubt = f" ({against} of {len(one.points)} runs are invalid)" if against else ""
    speeds = [(x, value) for x, result in one.points if (value := metric_of("throughput").number(result))]
    yield from curve(
        speeds, title=f"output tok/s over {one.heading}{of}{doubt}", axis=one.heading, crosses=one.failed,
        ascii_only=ascii_only,
    )  # fmt: skip
    memory = [(x, value) for x, result in one.points if (value := metric_of("vram").number(result))]
    if len(memory) > 2 and max(y for _, y in memory) > _CHANGES * min(y for _, y in memory):
        yield ""
        yield from curve(
            memory, title=f"memory over {one.heading}{of}", axis=one.heading, text=format_bytes, crosses=one.failed,
            ascii_only=ascii_only,
        )  # fmt: skip
