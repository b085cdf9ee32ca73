"""Charts of results: curves with intervals over what was varied, one quantity a panel, all panels over the same axis.

Pure: points in, lines of text out. Plotext puts dots onto cells, and is imported when the first chart is drawn; axes,
ticks and styles are those of all charts.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from infertui.axes import Axis, level_axis, level_ticks, tick_rows
from infertui.chart import (
    ChartCurve,
    ChartMark,
    ChartPanel,
    ResultChart,
    axis_of,
    known_points,
)
from infertui.tui.terminal.sanitize import safe
from infertui.tui.widgets.lines import Lines
from infertui.tui.widgets.plot import PlotStyle, axis_line, framed, label_cells, plot_style, sized

LEAST_ROWS, LEAST_CELLS = 5, 24
"""A panel that is smaller is left out."""
_ROOMY_ROWS, _ROOMY_CELLS = 8, 34
"""More panels than one are shown where each of them has so much."""
_GAP = 2
_TICK_CELLS = 4
_POINTS, _ASCII_POINTS = "●○◆◇▲△", "o*x+%@"
_OUTSIDE = 0.5
_FIRST_CODE = 16
"""Plotext's number of the first style; those below are the terminal's own."""


class ResultPlot(Lines):
    """A chart of results as a widget. It is laid out anew when size, theme or chart change, and painted where that
    changed something."""

    DEFAULT_CSS = "ResultPlot { width: 1fr; height: 1fr; }"

    def __init__(self, chart: ResultChart | None = None, *, id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._chart = chart

    @property
    def chart(self) -> ResultChart | None:
        """What it shows."""
        return self._chart

    def show(self, chart: ResultChart) -> None:
        """Show this one."""
        if chart != self._chart:
            self._chart = chart
            self.compose_lines()

    def compose_lines(self) -> None:
        """The chart for this size and theme."""
        width, height = self.size
        if self._chart is not None and width and height:
            self.paint_lines(chart_lines(self._chart, width, height, plot_style(self.app)))


def chart_lines(chart: ResultChart, width: int, height: int, look: PlotStyle) -> list[Text]:
    """The panels on `height` lines of `width` cells: below each other where they stay high enough, else side by side;
    the last ones are left out where there is room for neither. No line at all without room for one."""
    across, down = arrangement(len(chart.panels), width, height)
    if not across:
        return []
    cells = (width - _GAP * (across - 1)) // across
    rows = height // down
    shown = chart.panels[: across * down]
    labels = [axis_of(panel) for panel in shown]
    inside = _inside(rows)
    gutter = 0 if across > 1 else max(label_cells(tick_rows(axis, inside), cells) for axis in labels)
    lines: list[Text] = []
    for first in range(0, len(shown), across):
        drawn = [
            panel_lines(panel, chart, cells, rows, look, gutter=gutter) for panel in shown[first : first + across]
        ]  # fmt: skip
        for parts in zip(*drawn, strict=True):
            line = Text(no_wrap=True, end="")
            for number, part in enumerate(parts):
                line.append(" " * _GAP if number else "").append_text(part)
            line.pad_right(across * (cells + _GAP) - _GAP - line.cell_len)
            lines.append(line)
    return lines


def arrangement(panels: int, width: int, height: int) -> tuple[int, int]:
    """How many panels stand beside and below each other: as many as stay large enough, below each other if they can,
    and one where none would. No panel where there is no room for that one.
    """
    if not panels or width < LEAST_CELLS or height < LEAST_ROWS:
        return 0, 0
    for count in range(panels, 1, -1):
        for across in range(1, count + 1):
            down = -(-count // across)
            if (width - _GAP * (across - 1)) // across >= _ROOMY_CELLS and height // down >= _ROOMY_ROWS:
                return across, down
    return 1, 1


def _inside(rows: int) -> int:
    """Rows for the drawing itself: a title is above, an axis below."""
    return rows - 2


def panel_lines(
    panel: ChartPanel, chart: ResultChart, width: int, rows: int, look: PlotStyle, *, gutter: int = 0
) -> list[Text]:
    """One panel: title with what marks mean, drawing behind its y axis, x axis."""
    x_axis, y_axis = level_axis(chart.levels), axis_of(panel)
    inside = _inside(rows)
    labels = tick_rows(y_axis, inside)
    left = label_cells(labels, width, gutter)
    columns = width - left - 1
    title = _title(panel, chart.heading, width, look)
    drawn = _drawing(panel, x_axis, y_axis, columns, inside, look)
    below = level_ticks(x_axis, chart.levels, max(2, columns // _TICK_CELLS))
    return [title, *framed(drawn, labels, left, look), axis_line(below, x_axis, left, columns, look)]


def _title(panel: ChartPanel, heading: str, width: int, look: PlotStyle) -> Text:
    """`output tok/s over batch_size  ┊ knee 16`: without what it is over where that would push a sign out."""
    signs = Text(no_wrap=True, end="")
    for index, curve in enumerate(panel.curves):
        if curve.label and curve.points:
            signs.append("  ").append(_sign(index, look), style=_style(curve, index, look))
            signs.append(f" {safe(curve.label)}")
    for mark in panel.marks:
        signs.append("  ").append(_stroke(mark, look), style=_mark_style(mark, look)).append(f" {safe(mark.label)}")
    if any(point.doubt for curve in panel.curves for point in curve.points):
        signs.append("  ").append(_doubt(look), style=look.error).append(" invalid")
    if panel.failed:
        signs.append("  ").append("x", style=look.error).append(" failed")
    line = Text(no_wrap=True, end="").append(safe(panel.name), style=look.title)
    line.append(f" {safe(panel.unit)}" if panel.unit else "", style=look.muted)
    over = f" over {safe(heading)}" if heading else ""
    if line.cell_len + cell_len(over) + signs.cell_len <= width:
        line.append(over, style=look.muted)
    return sized(line.append_text(signs), width, look.signs.ellipsis)


def _doubt(look: PlotStyle) -> str:
    return look.signs.warning if look.ascii else look.signs.failed


def _sign(index: int, look: PlotStyle) -> str:
    signs = _ASCII_POINTS if look.ascii else _POINTS
    return signs[index % len(signs)]


def curve_sign(index: int, look: PlotStyle) -> tuple[str, str]:
    """The sign of the points of a curve that has no style of its own, and its style."""
    return _sign(index, look), look.series[index % len(look.series)]


def _style(curve: ChartCurve, index: int, look: PlotStyle) -> str:
    return curve.style or look.series[index % len(look.series)]


def _stroke(mark: ChartMark, look: PlotStyle) -> str:
    return look.signs.dashed if mark.across else look.signs.vertical


def _mark_style(mark: ChartMark, look: PlotStyle) -> str:
    return look.limit if mark.kind == "limit" else look.mark


def _drawing(
    panel: ChartPanel, x_axis: Axis, y_axis: Axis, columns: int, rows: int, look: PlotStyle
) -> list[Text]:  # fmt: skip
    """The area inside the axes: marks behind curves, intervals, points on top."""
    canvas = _Canvas(columns, rows, fine=not look.ascii)
    for mark in panel.marks:
        place = (y_axis if mark.across else x_axis).place(mark.at)
        if -1e-9 <= place <= 1 + 1e-9:
            cells = columns if mark.across else rows
            along = [step / max(1, cells - 1) for step in range(cells)]
            line = [(step, place) if mark.across else (place, step) for step in along]
            canvas.signs(line, _stroke(mark, look), _mark_style(mark, look))
    dots = "." if look.ascii else "braille"
    for index, curve in reversed(list(enumerate(panel.curves))):
        style, known = _style(curve, index, look), known_points(curve)
        at = [(x_axis.place(one.x), y_axis.place(one.y)) for one in known if one.y is not None]
        if curve.joined and len(at) > 1:
            canvas.line(at, dots, style)
        for one, (x, _) in zip(known, at, strict=True):
            if one.low is not None and one.high is not None and math.isfinite(one.low) and math.isfinite(one.high):
                ends = [min(1.0, max(0.0, y_axis.place(end))) for end in (one.low, one.high)]
                canvas.line([(x, ends[0]), (x, ends[1])], "|" if look.ascii else "braille", style)
        canvas.signs(at, _sign(index, look), style)
        doubted = [place for one, place in zip(known, at, strict=True) if one.doubt]
        canvas.signs(doubted, _doubt(look), look.error)
    canvas.signs([(x_axis.place(x), 0.0) for x in panel.failed if math.isfinite(x)], "x", look.error)
    return canvas.lines()


def _near(place: float) -> float:
    """A place on the axis, or a little beyond it: plotext makes every dot of a line, those that nobody sees as well."""
    inside = -1e-9 <= place <= 1 + 1e-9
    return min(max(place, 0.0), 1.0) if inside else min(max(place, -_OUTSIDE), 1 + _OUTSIDE)


def _cell(place: float, cells: int, dots: int) -> float:
    """The middle of the cell that has the dot at `place`."""
    return round(place * (cells * dots - 1)) // dots / max(1, cells - 1)


class _Canvas:
    """So many cells, onto which plotext puts lines and signs; places are shares of width and height, from the lower
    left corner. Numbers stand in for our styles, which it has no words for."""

    def __init__(self, columns: int, rows: int, *, fine: bool) -> None:
        from textual_plotext.plot import Plot

        self._columns, self._rows = columns, rows
        self._dots = (2, 4) if fine else (1, 1)
        self._styles: list[str] = []
        self._figure: Any = Plot()
        self._figure.frame(False)
        self._figure.xticks([])
        self._figure.yticks([])
        for paint in (self._figure.canvas_color, self._figure.axes_color, self._figure.ticks_color):
            paint("default")
        self._figure.xlim(0, 1)
        self._figure.ylim(0, 1)
        self._empty = True

    def line(self, places: Sequence[tuple[float, float]], marker: str, style: str) -> None:
        """Straight lines from place to place."""
        self._put(self._figure.plot, places, marker, style)

    def signs(self, places: Iterable[tuple[float, float]], sign: str, style: str) -> None:
        """A sign at each place, in the cell that has the dot of a line there."""
        across, down = self._dots
        cells = [(_cell(_near(x), self._columns, across), _cell(_near(y), self._rows, down)) for x, y in places]
        self._put(self._figure.scatter, cells, sign, style)

    def _put(self, put: Any, places: Sequence[tuple[float, float]], marker: str, style: str) -> None:
        if places:
            if style not in self._styles:
                self._styles.append(style)
            code = _FIRST_CODE + self._styles.index(style)
            put([_near(x) for x, _ in places], [_near(y) for _, y in places], marker=marker, color=code)
            self._empty = False

    def lines(self) -> list[Text]:
        """What is on it, a line of `columns` cells for each row."""
        if self._empty:
            return [Text(" " * self._columns, end="", no_wrap=True) for _ in range(self._rows)]
        # Its public call for this keeps within the size of the terminal; textual-plotext does the same.
        self._figure._set_size(self._columns, self._rows)
        drawn = Text.from_ansi(self._figure.build(), end="", no_wrap=True)
        return [self._styled(line) for line in drawn.split("\n", allow_blank=True)[: self._rows]]

    def _styled(self, drawn: Text) -> Text:
        line = Text(drawn.plain, end="", no_wrap=True)
        for span in drawn.spans:
            number = getattr(getattr(span.style, "color", None), "number", None)
            if number is not None and 0 <= number - _FIRST_CODE < len(self._styles):
                line.stylize(self._styles[number - _FIRST_CODE], span.start, span.end)
        line.pad_right(self._columns - cell_len(drawn.plain))
        return line
