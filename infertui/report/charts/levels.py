"""A chart of results, as the screen shows it, in a file: its panels below each other over one axis."""

import math
from typing import TYPE_CHECKING

from infertui.axes import Axis, Tick, level_axis, level_ticks, ticks
from infertui.chart import ChartCurve, ChartMark, ChartPanel, ChartPoint, ResultChart, axis_of, known_points
from infertui.report.charts.style import INK, MARKERS, MUTED, SERIES, SMALL, figure, text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis as DrawnAxis
    from matplotlib.figure import Figure

_ROW, _AROUND = 1.9, 0.5
_TITLE, _LABEL = 70, 24
_MOST_X, _MOST_Y = 9, 5
_MOST_MARKED = 60
"""A curve of more points is a line without them."""


def draw(chart: ResultChart) -> "Figure":
    """The panels under RC."""
    made = figure(_ROW * max(1, len(chart.panels)) + _AROUND)
    cells = list(made.subplots(max(1, len(chart.panels)), 1, squeeze=False, sharex=True).flat)
    across = level_axis(chart.levels)
    for axes, panel in zip(cells, chart.panels, strict=False):
        _panel(axes, panel, across)
        axes.set_xlim(*_with_margin(across))
        if across.log:
            axes.set_xscale("log")
        _ticks(axes.xaxis, level_ticks(across, chart.levels, _MOST_X))
    cells[-1].set_xlabel(text_of(chart.heading, _TITLE))
    return made


def _with_margin(axis: Axis) -> tuple[float, float]:
    """A little beyond both ends, so that the points there are whole."""
    if axis.log:
        factor = (axis.high / axis.low) ** 0.02
        return axis.low / factor, axis.high * factor
    margin = 0.02 * (axis.high - axis.low)
    return axis.low - margin, axis.high + margin


def _panel(axes: "Axes", panel: ChartPanel, across: Axis) -> None:
    up = axis_of(panel)
    for index, curve in enumerate(panel.curves):
        _curve(axes, curve, index, up)
    for mark in panel.marks:
        _mark(axes, mark, across, up)
    for x in panel.failed:
        if math.isfinite(x):
            axes.plot([x], [up.low], color=MUTED, marker="x", linestyle="none", clip_on=False)
    axes.set_ylim(up.low, up.high)
    _ticks(axes.yaxis, ticks(up, _MOST_Y))
    name = f"{panel.name}, {panel.unit}" if panel.unit else panel.name
    axes.set_title(text_of(name, _TITLE))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")


def _curve(axes: "Axes", curve: ChartCurve, index: int, up: Axis) -> None:
    colour, known = SERIES[index % len(SERIES)], known_points(curve)
    marker = MARKERS[index % len(MARKERS)] if len(known) <= _MOST_MARKED else ""
    axes.plot(
        [one.x for one in known], [_y(one) for one in known], color=colour, marker=marker, markersize=4,
        linestyle="-" if curve.joined else "none", label=text_of(curve.label, _LABEL) or None,
    )  # fmt: skip
    for one in known:
        if one.low is not None and one.high is not None and math.isfinite(one.low) and math.isfinite(one.high):
            ends = [min(max(end, up.low), up.high) for end in (one.low, one.high)]
            axes.plot([one.x, one.x], ends, color=colour, linewidth=1.0)
    doubted = [one for one in known if one.doubt]
    if doubted:
        axes.plot(
            [one.x for one in doubted], [_y(one) for one in doubted], color=INK, marker="x", linestyle="none",
            label="invalid" if index == 0 else None,
        )  # fmt: skip


def _y(point: ChartPoint) -> float:
    return math.nan if point.y is None else point.y


def _mark(axes: "Axes", mark: ChartMark, across: Axis, up: Axis) -> None:
    place = (up if mark.across else across).place(mark.at)
    if not -1e-9 <= place <= 1 + 1e-9:
        return
    line = axes.axhline if mark.across else axes.axvline
    style = "--" if mark.kind == "limit" else ":"
    line(mark.at, color=MUTED, linestyle=style, linewidth=1.2, label=text_of(mark.label, _LABEL))


def _ticks(axis: "DrawnAxis", found: tuple[Tick, ...]) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(FixedLocator([one.value for one in found]))
    axis.set_major_formatter(FixedFormatter([one.label for one in found]))
    axis.set_tick_params(labelsize=SMALL)
