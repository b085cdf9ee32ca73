"""Line charts as rows of text, in braille or ASCII. Pure: points in, lines out."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from infertui.axes import Axis, Tick, label_start, seconds_ticks, thinned, tick_rows
from infertui.tui.terminal.capabilities import ASCII, UNICODE, Glyphs, glyphs
from infertui.tui.themes import palette

if TYPE_CHECKING:
    from textual.app import App

    from infertui.tui.themes import Palette

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Braille bits by column and row of a cell (Unicode chapter 21.1)."""
_ASCII_SIGNS = {1: "'", 2: "-", 3: "'", 4: ".", 6: "."}
_ASCII_SERIES = ("*", "o", "x", "+", "%", "@")
# On and off along the time axis, in dots, so that series differ without colour.
_DASHES = ((1, 0), (1, 1), (3, 2), (1, 3), (4, 1), (2, 4))
_SAMPLES = ("⠒⠒", "⠂⠂", "⠒⠂", "⠂⠐", "⠒⠐", "⠐ ")
TICK_CELLS = 10
"""Cells from one x tick to the next, at least."""
LEGEND_FROM, AXIS_FROM = 5, 4
"""A chart lower than this many rows does without its legend, or its time axis."""


class Series(Struct, frozen=True):
    """One line. `points` are (x in seconds, y), x rising; a NaN as y breaks the line, and so does a step in x that is
    longer than `gap` seconds. `style` is a rich style; empty: the theme's next series style.
    """

    points: Sequence[tuple[float, float]]
    style: str = ""
    label: str = ""
    gap: float = math.inf


class Mark(Struct, frozen=True):
    """A vertical line at `x` seconds: a change of phase, say."""

    x: float
    label: str = ""


class Chart(Struct, frozen=True):
    """All that a chart shows. Ranges are (from, to); labels and units hold no control characters
    and nothing that is joined to what stands before it: `sanitize.safe` sees to that."""

    series: Sequence[Series]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    y_label: str = ""
    unit: str = ""
    marks: Sequence[Mark] = ()
    gutter: int = 0
    """Cells left of the y axis, at least: charts with equal ones stand exactly below each other."""


class PlotStyle(Struct, frozen=True):
    """Styles and signs of a chart."""

    series: tuple[str, ...]
    muted: str = "dim"
    title: str = "bold"
    mark: str = "cyan"
    limit: str = "yellow"
    error: str = "red"
    ascii: bool = False

    @property
    def signs(self) -> Glyphs:
        """Signs of the terminal."""
        return ASCII if self.ascii else UNICODE


def plot_style(app: "App[Any]") -> PlotStyle:
    """Styles of the theme and signs of the terminal that `app` has now."""
    return style_of(palette(app), ascii_only=glyphs(app) is ASCII)


def style_of(colours: "Palette", *, ascii_only: bool) -> PlotStyle:
    """The styles of charts in a theme."""
    return PlotStyle(
        colours.series, colours.muted, colours.title, colours.accent, colours.warning, colours.error, ascii=ascii_only
    )  # fmt: skip


def values_range(series: Sequence[Series], x_range: tuple[float, float]) -> tuple[float, float]:
    """Least and greatest y within `x_range`; infinities when there is none."""
    low, high = math.inf, -math.inf
    for one in series:
        for _x, y in _within(one.points, x_range):
            if y < low:
                low = y
            if y > high:
                high = y
    return low, high


def window(now: float, span: float, *, step: float = 0.2, start: float = 0.0) -> tuple[float, float]:
    """The x range of the last `span` seconds before `now`, moving on in steps of `step` of it.

    A range that moves at every point makes every cell change; this one lets the line grow into free space.
    """
    stride = span * step
    end = max(start + span, start + math.ceil((now - start) / stride - 1e-9) * stride)
    return end - span, end


def draw(chart: Chart, width: int, height: int, look: PlotStyle) -> list[Text]:
    """The chart as exactly `height` lines of `width` cells: legend, plot with y ticks, time axis."""
    bottom = height >= AXIS_FROM
    rows = height - (height >= LEGEND_FROM) - bottom
    if rows < 1 or width < 4:
        return [Text(" " * max(0, width), end="") for _ in range(height)]
    labels = tick_rows(Axis(*chart.y_range), rows)
    left = label_cells(labels, width, chart.gutter)
    columns = width - left - 1
    legend = [_legend(chart, width, left, look)] if height >= LEGEND_FROM else []
    plot = _plot(chart, columns, rows, look)
    axis = Axis(*chart.x_range)
    below = seconds_ticks(axis, max(2, columns // TICK_CELLS)) if axis.high > axis.low else ()
    return [
        *legend,
        *framed(plot, labels, left, look),
        *([axis_line(below, axis, left, columns, look)] if bottom else []),
    ]


def label_cells(labels: dict[int, str], width: int, gutter: int = 0) -> int:
    """Cells left of the y axis: what the labels take, `gutter` at least, a third of the width at most."""
    return min(max([gutter, *(len(label) for label in labels.values())]), max(0, width // 3))


def framed(plot: Sequence[Text], labels: dict[int, str], left: int, look: PlotStyle) -> list[Text]:
    """The rows of a drawing behind a y axis with its labels."""
    lines = []
    for row, drawn in enumerate(plot):
        line = Text(labels.get(row, "")[:left].rjust(left), style=look.muted, end="", no_wrap=True)
        line.append(look.signs.axis if row in labels else look.signs.separator)
        lines.append(Text("", end="", no_wrap=True).append_text(line).append_text(drawn))
    return lines


def axis_line(found: Sequence[Tick], axis: Axis, left: int, columns: int, look: PlotStyle) -> Text:
    """The x axis below a drawing: as many of the ticks as there is room for."""
    line = " " * columns
    for one in thinned(found, axis, columns):
        start = label_start(one, axis, columns)
        line = line[:start] + one.label + line[start + len(one.label) :]
    return Text(" " * left + look.signs.corner + line[:columns], style=look.muted, end="", no_wrap=True)


def _legend(chart: Chart, width: int, left: int, look: PlotStyle) -> Text:
    line = Text(" " * min(left + 1, max(0, width - cell_len(chart.y_label))), end="", no_wrap=True)
    line.append(chart.y_label, style=look.title)
    if chart.unit:
        line.append(f" {chart.unit}" if chart.y_label else chart.unit, style=look.muted)
    for index, one in enumerate(chart.series):
        if one.label:
            sign = (_ASCII_SERIES[index % 6] * 2 if index else "-.") if look.ascii else _SAMPLES[index % 6]
            line.append("  ").append(sign, style=_style(one, index, look)).append(f" {one.label}")
    return sized(line, width, look.signs.ellipsis)


def sized(line: Text, width: int, ellipsis: str) -> Text:
    """`line` on exactly so many cells."""
    if line.cell_len > width:
        line.truncate(max(0, width - 1), overflow="crop")
        line.append(ellipsis)
    line.pad_right(width - line.cell_len)
    return line


def _style(series: Series, index: int, look: PlotStyle) -> str:
    return series.style or look.series[index % len(look.series)]


def _within(points: Sequence[tuple[float, float]], x_range: tuple[float, float]) -> Sequence[tuple[float, float]]:
    """The points in the range and the one on either side, which its first and last line lead to."""
    first = bisect_left(points, x_range[0], key=_x)
    last = bisect_right(points, x_range[1], key=_x)
    return points[max(0, first - 1) : last + 1]


def _x(point: tuple[float, float]) -> float:
    return point[0]


def _plot(chart: Chart, columns: int, rows: int, look: PlotStyle) -> list[Text]:
    """The area inside the axes."""
    per_column, per_row = (1, 3) if look.ascii else (2, 4)
    cells: list[dict[int, tuple[str, str]]] = [{} for _ in range(rows)]
    for column, _label in _mark_columns(chart, columns):
        for cell_row in cells:
            cell_row[column] = (look.signs.vertical, look.muted)
    # The first series is drawn last: where lines cross it is the one that is seen.
    for index in reversed(range(len(chart.series))):
        series = chart.series[index]
        spans = column_spans(series, chart.x_range, chart.y_range, columns * per_column, rows * per_row)
        dots: dict[tuple[int, int], int] = {}
        on, off = (1, 0) if look.ascii else _DASHES[index % len(_DASHES)]
        for x, (top, bottom) in spans.items():
            # Rises are drawn whole: a dash that falls into one would hide a peak.
            if top == bottom and x % (on + off) >= on:
                continue
            column, bits = (x, (1, 2, 4)) if look.ascii else (x >> 1, _DOTS[x & 1])
            for y in range(top, bottom + 1):
                place = (y // per_row, column)
                dots[place] = dots.get(place, 0) | bits[y % per_row]
        sign = _ascii_sign(index) if look.ascii else _braille_sign
        style = _style(series, index, look)
        for (row, column), bit in dots.items():
            cells[row][column] = (sign(bit), style)
    _label_marks(cells, chart, columns, look)
    return [_joined(row, columns) for row in cells]


def _braille_sign(bits: int) -> str:
    return chr(0x2800 + bits)


def _ascii_sign(index: int) -> Callable[[int], str]:
    def first(bits: int) -> str:
        return _ASCII_SIGNS.get(bits, "|")

    def other(_bits: int) -> str:
        return _ASCII_SERIES[index % len(_ASCII_SERIES)]

    return other if index else first


def _mark_columns(chart: Chart, columns: int) -> list[tuple[int, str]]:
    first, last = chart.x_range
    return [
        (min(columns - 1, int((mark.x - first) / (last - first) * columns)), mark.label)
        for mark in chart.marks
        if first <= mark.x <= last and first < last
    ]


def _label_marks(cells: list[dict[int, tuple[str, str]]], chart: Chart, columns: int, look: PlotStyle) -> None:
    """Each label beside its mark, in the highest row where it hides nothing; nowhere if there is none."""
    for column, label in _mark_columns(chart, columns):
        width = min(cell_len(label), columns - column - 1)
        places = range(column + 1, column + 1 + width)
        row = next((row for row in cells if not any(place in row for place in places)), None)
        if row is not None:
            place = column + 1
            for sign in set_cell_size(label, width):
                row[place] = (sign, look.muted)
                row |= {place + rest: ("", look.muted) for rest in range(1, cell_len(sign))}
                place += cell_len(sign)


def _joined(row: dict[int, tuple[str, str]], columns: int) -> Text:
    line = Text(end="", no_wrap=True)
    run, style = "", ""
    for column in range(columns):
        sign, its = row.get(column, (" ", style))
        if its != style and run:
            line.append(run, style=style or None)
            run = ""
        run, style = run + sign, its
    return line.append(run, style=style or None)


def column_spans(
    series: Series, x_range: tuple[float, float], y_range: tuple[float, float], width: int, height: int
) -> dict[int, tuple[int, int]]:
    """For every dot column that the line crosses its top and bottom dot, counted from the top left.

    Where many points fall into one column that is their least and greatest value: no peak is lost. Between columns
    the line is straight; at a gap it stops.
    """
    first, last = x_range
    low, high = y_range
    x_scale = width / (last - first) if last > first else 0.0
    y_scale = (height - 1) / (high - low) if high > low else 0.0
    beyond = 10 * (high - low)
    spans: dict[int, tuple[int, int]] = {}

    def touch(column: int, a: int, b: int) -> None:
        if 0 <= column < width:
            a, b = (a, b) if a <= b else (b, a)
            a, b = max(0, a), min(height - 1, b)
            if a <= b:
                at = spans.get(column)
                spans[column] = (a, b) if at is None else (min(a, at[0]), max(b, at[1]))

    last_x, last_column, last_row = -math.inf, 0, 0
    broken = True
    for x, y in _within(series.points, x_range):
        place = (x - first) * x_scale
        if not (math.isfinite(y) and math.isfinite(place)):
            broken = True
            continue
        column = math.floor(place)
        # Far outside is as good as further outside, and can be scaled.
        row = height - 1 - round((min(max(y, low - beyond), high + beyond) - low) * y_scale)
        if broken or x - last_x > series.gap or column == last_column:
            touch(column, row if broken or column != last_column else last_row, row)
        else:
            _line(touch, (last_column, last_row), (column, row), width)
        last_x, last_column, last_row, broken = x, column, row, False
    return spans


def _line(touch: Callable[[int, int, int], None], start: tuple[int, int], end: tuple[int, int], width: int) -> None:
    """A straight line, drawn as the vertical stretch that it covers in each column."""
    (x0, y0), (x1, y1) = start, end
    slope = (y1 - y0) / (x1 - x0)
    steep = abs(slope) > 1
    for x in range(max(x0, -1), min(x1, width) + 1):
        if not steep:
            y = round(y0 + slope * (x - x0))
            touch(x, y, y)
            continue
        enters = y0 + slope * max(0.0, x - x0 - 0.5)
        leaves = y0 + slope * min(float(x1 - x0), x - x0 + 0.5)
        touch(x, round(enters), round(leaves))
