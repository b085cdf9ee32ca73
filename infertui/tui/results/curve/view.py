"""Curves over one setting as a page: what they come to, the chart, and the points in figures. Pure."""

from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from infertui.analysis.curve import LITTLE
from infertui.analysis.decision.sweep_curve import GIB, SweepCurve, SweepPoint
from infertui.axes import duration_unit, level_text
from infertui.chart import ChartCurve, ChartMark, ChartPanel, ChartPoint, ResultChart
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.widgets.cells import RenderContext, fit
from infertui.tui.widgets.plot import style_of
from infertui.tui.widgets.result_chart import chart_lines, curve_sign
from infertui.units import format_bytes, format_number, format_seconds

MOST_TOGETHER = 4
"""Curves on one page: more than these cannot be told apart."""
_LOWEST, _HIGHEST = 10, 40
_FEWEST = 2
_CELLS = (10, 18, 10, 11)
_WIDEST = 24
_LAYERS = "n_gpu_layers"


def families(curves: Iterable[SweepCurve]) -> list[tuple[SweepCurve, ...]]:
    """The curves of each setting together, not more than a chart can tell apart."""
    by_key: dict[str, list[SweepCurve]] = {}
    for one in curves:
        by_key.setdefault(one.key, []).append(one)
    return [
        tuple(found[first : first + MOST_TOGETHER])
        for found in by_key.values()
        for first in range(0, len(found), MOST_TOGETHER)
    ]


def none_yet(ended: int, *, whole: bool, read: bool) -> str:
    """Why there is no curve of so many runs that have ended; `whole` when no more will come."""
    if not read:
        return "reading the runs; esc gives up"
    if not whole:
        runs = "no run has ended" if ended == 0 else f"{ended} run{'' if ended == 1 else 's'} ended"
        return f"The curve begins with two runs that differ in a number: {runs} so far. It is drawn as they come."
    if ended < _FEWEST:
        return "A curve takes two runs that ended."
    return f"No curve: among these {ended:,} runs no number varies while all else is the same."


def curve_page(curves: Sequence[SweepCurve], width: int, height: int, look: RenderContext) -> list[Text]:
    """The whole page of curves over the same setting: the chart takes what the figures leave, and most of the page."""
    told, table = _told(curves, width, look), _tables(curves, width, look)
    room = height - len(told)
    rows = max(min(room, _LOWEST), min(room - len(table) - 1, _HIGHEST))
    if rows < room // 2:  # the figures are scrolled to
        rows = room
    drawn = chart_lines(result_chart(curves), width, rows, style_of(look.palette, ascii_only=look.ascii))
    return [*told, *drawn, Text(), *table]


def result_chart(curves: Sequence[SweepCurve]) -> ResultChart:
    """Throughput, TTFT and memory, as far as they are known and change; of layers on the GPU memory comes first."""
    alone = len(curves) == 1
    knee = curves[0].knee if alone else None
    marks = () if knee is None else (ChartMark(knee, f"knee {level_text(knee)}"),)
    failed = tuple(sorted({x for one in curves for x in one.failed}))
    speed = ChartPanel(
        "output", "tok/s", tuple(_curve(one, lambda p: (p.throughput, p.low, p.high), alone) for one in curves), marks,
        failed,
    )  # fmt: skip
    times = [time for one in curves for point in one.points for time in (point.ttft, point.ttft_p99) if time]
    unit, factor = duration_unit(max(times, default=1.0))
    known_p99 = alone and any(point.ttft_p99 is not None for point in curves[0].points)
    lines = [_curve(one, lambda p: (_times(p.ttft, factor), None, None), alone, "p50" * known_p99) for one in curves]
    if known_p99:
        lines.append(_curve(curves[0], lambda p: (_times(p.ttft_p99, factor), None, None), alone, "p99"))
    first = ChartPanel("TTFT" if known_p99 else "TTFT p50", unit, tuple(lines), marks, failed)
    memory = ChartPanel(
        "memory", "GiB", tuple(_curve(one, lambda p: (_times(p.memory, 1 / GIB), None, None), alone) for one in curves),
        marks, failed,
    )  # fmt: skip
    others = [(first, bool(times)), (memory, any(one.memory_changes for one in curves))]
    if curves[0].heading == _LAYERS:
        others.reverse()
    return ResultChart((speed, *(panel for panel, shown in others if shown)), curves[0].heading)


Read = Callable[[SweepPoint], tuple[float | None, float | None, float | None]]


def _curve(one: SweepCurve, read: Read, alone: bool, label: str = "") -> ChartCurve:
    points = []
    for point in one.points:
        y, low, high = read(point)
        points.append(ChartPoint(point.x, y, low, high, not point.valid))
    return ChartCurve(tuple(points), label if alone else one.fixed or one.heading)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def tab_separated(curves: Sequence[SweepCurve]) -> str:
    """The points for a spreadsheet, in base units."""
    rows = [[safe(curves[0].heading), "tok/s", "low", "high", "ttft_p50_s", "memory", "run"]]
    for one in curves:
        for point in one.points:
            figures = (point.throughput, point.low, point.high, point.ttft)
            told = ["" if value is None else f"{value:g}" for value in figures]
            memory = "" if point.memory is None else f"{point.memory:.0f}"
            rows.append([f"{point.x:g}", *told, memory, safe(point.run)])
    return "".join("\t".join(row) + "\n" for row in rows)


def _told(curves: Sequence[SweepCurve], width: int, look: RenderContext) -> list[Text]:
    """What each curve comes to: its most, its knee, where nothing finished."""
    lines = []
    style = style_of(look.palette, ascii_only=look.ascii)
    for index, one in enumerate(curves):
        line = plain("")
        if len(curves) > 1:
            line.append(*curve_sign(index, style)).append_text(
                fit(f" {one.fixed or one.heading}  ", min(width // 2, cell_len(one.fixed) + 3), look)
            )
        best, knee = one.fastest, one.knee
        line.append("most ", style=look.palette.muted)
        line.append(f"{format_number(best.throughput)} tok/s", style=look.palette.figure)
        line.append(f" at {safe(one.heading)}={best.x:g}")
        if not best.valid:
            line.append(", of an invalid run", style=look.palette.error)
        if knee is not None:
            line.append("  knee ", style=look.palette.muted).append(f"{knee:g}", style=look.palette.accent)
            words = f": all beyond it add less than {LITTLE:.0%}" if len(curves) == 1 else ""
            line.append(words, style=look.palette.muted)
        lines.append(line)
        if one.failed:
            failed = ", ".join(f"{x:g}" for x in one.failed)
            lines.append(plain(f"no run finished at {failed}", look.palette.error))
    return lines


def _tables(curves: Sequence[SweepCurve], width: int, look: RenderContext) -> list[Text]:
    lines: list[Text] = []
    for one in curves:
        if len(curves) > 1:
            lines += [*([Text()] if lines else []), fit(one.title, width, look, style=look.palette.title)]
        lines += _figures(one, width, look)
    return lines


def _figures(one: SweepCurve, width: int, look: RenderContext) -> list[Text]:
    widths = (min(_WIDEST, max(cell_len(safe(one.heading)), 8) + 2), *_CELLS)

    def row(cells: tuple[str, ...], style: str = "") -> Text:
        line = Text(no_wrap=True, end="")
        for text, cell in zip(cells, widths, strict=True):
            line.append_text(fit(text, cell, look, align="right", style=style))
        return line

    lines = [row((one.heading, "tok/s", "95 %", "TTFT p50", "memory"), look.palette.muted)]
    for point in one.points:
        between = NOT_AVAILABLE
        if point.low is not None and point.high is not None:
            between = f"{format_number(point.low)} to {format_number(point.high)}"
        ttft = NOT_AVAILABLE if point.ttft is None else format_seconds(point.ttft)
        memory = NOT_AVAILABLE if point.memory is None else format_bytes(point.memory)
        line = row((f"{point.x:g}", format_number(point.throughput), between, ttft, memory))
        room = width - line.cell_len - 2
        if not point.valid:
            line.append("  invalid", style=look.palette.error)
        elif room >= cell_len(run := safe(point.run)):
            line.append("  ").append_text(fit(run, room, look, style=look.palette.muted))
        lines.append(line)
    return lines
