"""A line chart that repaints the lines that changed; distributions and sparklines of block characters."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace
from rich.text import Text

from infertui.axes import Axis, number_text, value_axis
from infertui.tui.terminal.sanitize import safe
from infertui.tui.widgets.lines import Lines
from infertui.tui.widgets.plot import Chart, Mark, PlotStyle, Series, draw, plot_style, values_range, window

__all__ = ["Chart", "LineChart", "Mark", "PlotStyle", "Series", "histogram", "window"]

if TYPE_CHECKING:
    from infertui.chart import ResultChart

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ASCII_EIGHTHS = " .:#"
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.:-=+*#"


class LineChart(Lines):
    """Lines over one time axis, in braille or ASCII: legend, y ticks, time axis.

    Far cheaper than a plotting library: about 6 ms and 2 kB for 100x12. `plot.window` gives an x range that does not
    move at every point.
    """

    DEFAULT_CSS = "LineChart { width: 1fr; height: 1fr; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id, classes=classes)
        self._chart: Chart | None = None

    def set_series(
        self,
        series: Sequence[Series],
        x_range: tuple[float, float],
        y_label: str = "",
        unit: str = "",
        *,
        marks: Sequence[Mark] = (),
        y_range: tuple[float, float] | None = None,
        gutter: int = 0,
    ) -> None:
        """Show these. Without `y_range` the scale is chosen, and kept for as long as the values fit it well.

        Labels may be foreign. A thousand points cost about a millisecond: thin out more than 10,000.
        """
        if y_range is None:
            before = Axis(*self._chart.y_range) if self._chart and self._chart.unit == safe(unit) else None
            scale = value_axis(*values_range(series, x_range), before)
            y_range = scale.low, scale.high
        self._chart = Chart(
            tuple(replace(one, label=safe(one.label)) for one in series),
            x_range,
            y_range,
            safe(y_label),
            safe(unit),
            tuple(replace(mark, label=safe(mark.label)) for mark in marks),
            gutter,
        )
        self.compose_lines()

    @property
    def chart(self) -> "ResultChart | None":
        """What it shows, to be drawn anew."""
        from infertui.chart import ChartCurve, ChartMark, ChartPanel, ChartPoint, ResultChart

        shown = self._chart
        if shown is None:
            return None
        first, last = shown.x_range
        curves = tuple(
            ChartCurve(tuple(ChartPoint(x, y) for x, y in one.points if first <= x <= last), one.label)
            for one in shown.series
        )
        marks = tuple(ChartMark(mark.x, mark.label) for mark in shown.marks if first <= mark.x <= last)
        return ResultChart((ChartPanel(shown.y_label, shown.unit, curves, marks, y_range=shown.y_range),), "seconds")

    def compose_lines(self) -> None:
        """The chart for this size and theme."""
        width, height = self.size  # 0 before it is mounted
        if self._chart is None or not (width and height):
            return
        self.paint_lines(draw(self._chart, width, height, plot_style(self.app)))


def histogram(
    values: Sequence[float],
    width: int,
    height: int,
    ascii: bool = False,  # noqa: A002 (says what it is)
    *,
    style: str = "",
    muted: str = "dim",
    unit: str = "",
) -> list[Text]:
    """The distribution of `values` as `height` lines of `width` cells: bars, then an axis with least and greatest.

    One column is one bin of equal width; any value at all shows as the lowest step. Not finite values are left out.
    """
    values = [value for value in values if math.isfinite(value)]
    if not values or width < 1 or height < 2:
        return [Text(" " * max(0, width), end="") for _ in range(height)]
    low, high = min(values), max(values)
    counts = [0] * width
    for value in values:
        counts[min(width - 1, int((value - low) / (high - low) * width)) if high > low else width // 2] += 1
    signs = _ASCII_EIGHTHS if ascii else _EIGHTHS
    steps, rows, most = len(signs) - 1, height - 1, max(counts)
    heights = [max(1, round(count / most * rows * steps)) if count else 0 for count in counts]
    lines = [
        Text("".join(signs[max(0, min(steps, tall - row * steps))] for tall in heights), style=style, end="")
        for row in reversed(range(rows))
    ]
    left, right = number_text(low), f"{number_text(high)}{' ' + unit if unit else ''}"
    axis = left + right.rjust(width - len(left)) if len(left) + len(right) < width else right[:width].rjust(width)
    return [*lines, Text(axis, style=muted, end="")]


def means(points: Iterable[tuple[float, float]], end: float, width: int, step: float) -> list[float | None]:
    """The mean of each of the last `width` stretches of `step` seconds, of which the last holds `end`; None: no point.

    Stretches begin at whole multiples of `step`, so that all but the last stay as they are while time goes on. Points
    are (seconds, value) in any order.
    """
    last = math.floor(end / step)
    sums, counts = [0.0] * width, [0] * width
    for at, value in points:
        place = width - 1 - last + math.floor(at / step)
        if 0 <= place < width:
            sums[place] += value
            counts[place] += 1
    return [total / count if count else None for total, count in zip(sums, counts, strict=True)]


def sparkline(values: Sequence[float | None], low: float, high: float, *, ascii: bool = False) -> str:  # noqa: A002
    """A cell a value, from the lowest block at `low` to the full one at `high`; what is not known is blank."""
    blocks = _ASCII_BLOCKS if ascii else _BLOCKS
    scale = len(blocks) / (high - low) if high > low else 0.0
    top = len(blocks) - 1
    return "".join(
        " " if value is None or math.isnan(value) else blocks[int(min(top, max(0.0, (value - low) * scale)))]
        for value in values
    )
