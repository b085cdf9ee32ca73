"""Throughput, and memory, over a number that a sweep varied: one panel for each combination of the other settings."""

from typing import TYPE_CHECKING

from msgspec import Struct

from infertui.report.charts.style import MARKERS, MUTED, SERIES, SMALL, multiples, round_ticks, text_of, written_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 2.0
_TITLE = 40
_GIB = 2.0**30
_CHANGES = 1.05
"""Memory that is the same all along is told by tables."""


class CurvePoint(Struct, frozen=True):
    """One run: the value that was varied, tokens per second with their interval, bytes. None is not available."""

    run: str
    x: float
    throughput: float
    low: float | None
    high: float | None
    memory: float | None


class Curve(Struct, frozen=True):
    """One panel, its points by x; `failed` are values at which no run finished."""

    heading: str
    title: str
    points: tuple[CurvePoint, ...]
    failed: tuple[float, ...] = ()


class Curves(Struct, frozen=True, tag="curves"):
    """Panels, each with scales of its own."""

    curves: tuple[Curve, ...]


def draw(data: Curves) -> "Figure":
    """The panels under RC, two side by side."""
    made, cells, across = multiples(len(data.curves), _ROW)
    for axes, curve in zip(cells, data.curves, strict=True):
        _panel(axes, curve, _TITLE * 2 // across)
    return made


def _panel(axes: "Axes", curve: Curve, width: int) -> None:
    xs = [one.x for one in curve.points]
    axes.plot(xs, [one.throughput for one in curve.points], color=SERIES[0], marker=MARKERS[0], markersize=4)
    for one in curve.points:
        if one.low is not None and one.high is not None:
            axes.plot([one.x, one.x], [one.low, one.high], color=SERIES[0], linewidth=1.0)
    for x in curve.failed:
        axes.plot([x], [0.0], color=MUTED, marker="x", linestyle="none")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(text_of(curve.heading, _TITLE))
    axes.set_ylabel("output tok/s", color=SERIES[0])
    axes.xaxis.set_major_locator(round_ticks(6))
    axes.yaxis.set_major_locator(round_ticks(4))
    for axis in (axes.xaxis, axes.yaxis):
        written_out(axis)
    held = [(one.x, one.memory / _GIB) for one in curve.points if one.memory]
    sizes = [size for _, size in held]
    if len(held) > 1 and max(sizes) > _CHANGES * min(sizes):
        second = axes.twinx()
        second.plot(*zip(*held, strict=True), color=SERIES[1], marker=MARKERS[1], markersize=3.5, linestyle="--")
        second.set_ylim(0, 1.15 * max(sizes))
        second.set_ylabel("memory, GiB", color=SERIES[1])
        second.grid(visible=False)
        second.yaxis.set_major_locator(round_ticks(4))
        written_out(second.yaxis)
    axes.set_title(text_of(curve.title, width), fontsize=SMALL, fontweight="normal")
