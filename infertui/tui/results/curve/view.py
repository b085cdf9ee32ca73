"""A curve as lines of a dialog: throughput, memory where it changes, and the points in figures."""

from rich.cells import cell_len
from rich.text import Text

from infertui.analysis.decision.sweep_curve import ChartSize, SweepCurve, SweepPoint, memory_lines, throughput_lines
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.widgets.cells import RenderContext, fit
from infertui.units import format_bytes, format_number

GUTTER = 8
"""Cells for the labels of an axis: `1.68 GiB` is the longest."""
_LOWEST, _HIGHEST = 4, 12
_AROUND = 3
"""Rows of a chart beside the drawing: its title and its axis."""
_CELLS = (12, 20, 12)
_WIDEST = 30


def curve_page(one: SweepCurve, width: int, height: int, look: RenderContext) -> list[Text]:
    """The whole page; charts as high as there is room for them, and for the figures below if that can be."""
    charts = 2 if one.memory_changes else 1
    table = _figures(one, width, look)
    best = _best(one, look)
    room = height - len(best)
    rows = (room - len(table) - charts) // charts - _AROUND
    if rows < _LOWEST:  # figures are scrolled to
        rows = (room + 1 - charts) // charts - _AROUND
    size = ChartSize(max(10, width - GUTTER - 3), max(_LOWEST, min(_HIGHEST, rows)), GUTTER)
    peak = [one.fastest.x]
    lines = [*best, *_chart(throughput_lines(one, ascii_only=look.ascii, size=size, marks=peak), 0, look)]
    if memory := memory_lines(one, ascii_only=look.ascii, size=size):
        lines += [Text(), *_chart(memory, 1, look)]
    return [*lines, Text(), *table]


def tab_separated(one: SweepCurve) -> str:
    """The points for a spreadsheet, in base units."""
    rows = [[safe(one.heading), "tok/s", "low", "high", "memory", "run"]]
    rows += [
        [f"{p.x:g}", *("" if v is None else f"{v:g}" for v in (p.throughput, p.low, p.high)), _bytes(p), safe(p.run)]
        for p in one.points
    ]
    return "".join("\t".join(row) + "\n" for row in rows)


def _bytes(point: SweepPoint) -> str:
    return "" if point.memory is None else f"{point.memory:.0f}"


def _best(one: SweepCurve, look: RenderContext) -> list[Text]:
    best = one.fastest
    line = plain("most ", look.palette.muted)
    line.append(f"{format_number(best.throughput)} tok/s", style=look.palette.figure)
    line.append(f" at {safe(one.heading)}={best.x:g}")
    if not best.valid:
        line.append(", of an invalid run", style=look.palette.error)
    failed = ", ".join(f"{x:g}" for x in one.failed)
    lines = [line]
    if failed:
        lines.append(plain(f"no run finished at {failed}", look.palette.error))
    return lines


def _chart(drawn: list[str], series: int, look: RenderContext) -> list[Text]:
    """Title, drawing and axis, each in its style."""
    if not drawn:
        return []
    colours = look.palette
    colour = colours.series[series % len(colours.series)] if colours.series else ""
    title, *body, axis, ends = (safe(line) for line in drawn)
    lines = [plain(title, colours.title)]
    edge = GUTTER + 2
    for line in body:
        lines.append(plain(line[:edge], colours.muted).append(line[edge:], style=colour))
    signs = plain("")
    for sign in axis:
        signs.append(
            sign, style={"x": colours.error, "▲": colours.accent, "^": colours.accent}.get(sign, colours.muted)
        )
    return [*lines, signs, plain(ends, colours.muted)]


def _figures(one: SweepCurve, width: int, look: RenderContext) -> list[Text]:
    widths = (min(_WIDEST, max(cell_len(safe(one.heading)), 8) + 2), *_CELLS)

    def row(cells: tuple[str, ...], style: str = "") -> Text:
        line = Text(no_wrap=True, end="")
        for text, cell in zip(cells, widths, strict=True):
            line.append_text(fit(text, cell, look, align="right", style=style))
        return line

    lines = [row((one.heading, "tok/s", "95 %", "memory"), look.palette.muted)]
    for point in one.points:
        between = NOT_AVAILABLE
        if point.low is not None and point.high is not None:
            between = f"{format_number(point.low)} to {format_number(point.high)}"
        memory = NOT_AVAILABLE if point.memory is None else format_bytes(point.memory)
        line = row((f"{point.x:g}", format_number(point.throughput), between, memory))
        room = width - line.cell_len - 2
        if not point.valid:
            line.append("  invalid", style=look.palette.error)
        elif room >= cell_len(run := safe(point.run)):
            line.append("  ").append_text(fit(run, room, look, style=look.palette.muted))
        lines.append(line)
    return lines
