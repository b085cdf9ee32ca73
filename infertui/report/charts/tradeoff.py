"""Throughput against the time per token: what more sequences at once gain, and what each of them pays."""

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from infertui.axes import duration_unit
from infertui.report.charts.style import (
    INK,
    MARKERS,
    MUTED,
    PAPER,
    SERIES,
    SMALL,
    figure,
    logarithmic,
    round_ticks,
    text_of,
    written_out,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 5
"""Lines with a colour and a marker of their own; the others are grey."""


class Point(Struct, frozen=True):
    """One run: its mean TPOT in seconds, output tokens per second, and sequences at once."""

    run: str
    number: int
    tpot: float
    throughput: float
    low: float | None
    high: float | None
    batch: int | None


class TradeoffLine(Struct, frozen=True):
    """Runs that differ in how many sequences run at once and in nothing else, by that number."""

    label: str
    points: tuple[Point, ...]


class TradeoffPanel(Struct, frozen=True):
    """One model."""

    title: str
    lines: tuple[TradeoffLine, ...]


class Tradeoff(Struct, frozen=True, tag="tradeoff"):
    """A panel for each model."""

    panels: tuple[TradeoffPanel, ...]


def draw(data: Tradeoff) -> "Figure":
    """The panels under RC, one below the other."""
    rows = [min(len(panel.lines), MOST + 1) for panel in data.panels]
    made = figure(sum(3.0 + 0.17 * count for count in rows) + 0.1)
    ratios = [3.0 + 0.17 * count for count in rows]
    parts = made.subfigures(len(rows), 1, squeeze=False, height_ratios=ratios)[:, 0]
    drawn = []
    for part, panel in zip(parts, data.panels, strict=True):
        axes = part.subplots()
        handles = _panel(axes, panel)
        part.legend(handles=handles, loc="outside lower left", ncols=1, labelspacing=0.25)
        drawn.append((axes, panel))
    made.draw_without_rendering()  # where points lie is known once the figure is laid out
    for axes, panel in drawn:
        points = [point for line in panel.lines for point in line.points]
        named = [point for line in panel.lines[:MOST] for point in line.points]
        _name_points(axes, named, points)
    return made


def _panel(axes: "Axes", panel: TradeoffPanel) -> list[object]:
    points = [point for line in panel.lines for point in line.points]
    unit, factor = duration_unit(max(point.tpot for point in points))
    handles: list[object] = []
    for index, line in enumerate(panel.lines):
        own = index < MOST
        colour, marker = (SERIES[index], MARKERS[index]) if own else (SERIES[5], MARKERS[5])
        label = text_of(line.label, 72) if own else _others(len(panel.lines) - MOST)
        (handle,) = axes.plot(
            [factor * point.tpot for point in line.points], [point.throughput for point in line.points],
            marker=marker, color=colour, markersize=5.5, linewidth=1.2 if own else 0.6, label=label,
            alpha=1.0 if own else 0.7,
        )  # fmt: skip
        if index <= MOST:
            handles.append(handle)
    _scale(axes, points, factor)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            logarithmic(axis)
        else:
            axis.set_major_locator(round_ticks(6))
        written_out(axis)
    axes.set_xlabel(f"TPOT, {unit} (left is better)", color=MUTED)
    axes.set_ylabel("output tok/s (up is better)", color=MUTED)
    axes.set_title(text_of(panel.title, 68))
    return handles


def _others(count: int) -> str:
    return "another configuration" if count == 1 else f"{count} other configurations"


def _scale(axes: "Axes", points: list[Point], factor: float) -> None:
    """Logarithmic where values span more than four times, with room around the points."""
    for values, wide, narrow in (
        ([factor * point.tpot for point in points], axes.set_xscale, axes.set_xlim),
        ([point.throughput for point in points], axes.set_yscale, axes.set_ylim),
    ):
        low, high = min(values), max(values)
        if high > 4 * low:
            wide("log")
            room = (high / low) ** 0.1
            narrow(low / room, high * room)
        else:
            narrow(0, high * 1.12)


def _name_points(axes: "Axes", points: list[Point], others: list[Point]) -> None:
    """Numbers of runs and batch sizes beside the points, left out where they would cover another one or its name."""
    factor = duration_unit(max(point.tpot for point in others))[1]
    at = {point.number: axes.transData.transform((factor * point.tpot, point.throughput)) for point in others}
    taken = [(x - 4.0, y - 4.0, x + 4.0, y + 4.0) for x, y in at.values()]
    for point in sorted(points, key=lambda point: -point.throughput):
        text = str(point.number) if point.batch is None else f"{point.number} (b{point.batch})"
        x, y = at[point.number]
        width = 5.2 * len(text)
        for dx, dy, side in _PLACES:
            left = x + dx - (width if side == "right" else 0.0)
            box = (left, y + dy - 2.0, left + width, y + dy + 8.0)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                axes.annotate(
                    text, (factor * point.tpot, point.throughput), xytext=(dx, dy), textcoords="offset points",
                    ha=side, fontsize=SMALL - 1, color=INK,
                    bbox={"facecolor": PAPER, "linewidth": 0, "pad": 0.4, "alpha": 0.75},
                )  # fmt: skip
                break


_PLACES: tuple[tuple[float, float, Literal["left", "right"]], ...] = (
    (7, 3, "left"), (7, -10, "left"), (-7, 3, "right"), (-7, -10, "right"),
)  # fmt: skip


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
