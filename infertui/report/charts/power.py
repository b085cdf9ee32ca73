"""Power and memory of each run's device over time, with the measured window marked."""

from typing import TYPE_CHECKING

from msgspec import Struct

from infertui.metrics.metric import NOT_AVAILABLE
from infertui.report.charts.style import MUTED, SERIES, SMALL, WINDOW, figure, round_ticks, text_of, written_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 1.55


class Trace(Struct, frozen=True):
    """One run: seconds from the beginning of its measured window, or of the samples where `window` is None.

    Watts and GiB; None is not available. `of` says whose they are, `where` is the workload in short.
    """

    run: str
    number: int
    label: str
    times: tuple[float, ...]
    power: tuple[float | None, ...]
    memory: tuple[float | None, ...]
    of: str
    where: str
    window: float | None = None
    """How long the measured window is, seconds."""


class Traces(Struct, frozen=True, tag="traces"):
    """A row for each run: power on the left, memory on the right."""

    traces: tuple[Trace, ...]


def draw(data: Traces) -> "Figure":
    """The traces under RC."""
    made = figure(_ROW * len(data.traces) + 0.3)
    for (left, right), trace in zip(made.subplots(len(data.traces), 2, squeeze=False), data.traces, strict=True):
        _side(left, trace, trace.power, f"{trace.of} power, W", SERIES[1])
        _side(right, trace, trace.memory, "memory, GiB", SERIES[2])
        left.set_title(
            text_of(f"{trace.number}  {trace.where}: {trace.label}", 76), fontsize=SMALL, fontweight="normal"
        )
    made.supxlabel(
        "time, s; 0 is the beginning of the measured window where one is shaded", fontsize=SMALL, color=MUTED
    )
    return made


def _side(axes: "Axes", trace: Trace, values: tuple[float | None, ...], name: str, colour: str) -> None:
    known = [(at, value) for at, value in zip(trace.times, values, strict=True) if value is not None]
    if trace.window is not None:
        axes.axvspan(0, trace.window, color=WINDOW, linewidth=0, zorder=0.5)
    axes.set_ylabel(name)
    axes.set_xlim(min(0.0, trace.times[0]), max(trace.times[-1], trace.window or 0.0) or 1.0)
    axes.xaxis.set_major_locator(round_ticks(5))
    axes.yaxis.set_major_locator(round_ticks(4))
    for axis in (axes.xaxis, axes.yaxis):
        written_out(axis)
    if not known:
        axes.text(0.5, 0.5, NOT_AVAILABLE, transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_yticks([])
        return
    few = len(known) <= 120
    axes.plot(*zip(*known, strict=True), "o-" if few else "-", color=colour, markersize=1.8, linewidth=1.2)
    axes.set_ylim(0, 1.08 * max(value for _, value in known) or 1.0)
