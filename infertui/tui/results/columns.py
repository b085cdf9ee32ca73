"""Columns of the results table: what each shows, how wide it is, and which give way when there is little room. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace
from rich.text import Text

from infertui.analysis.outcome import EQUAL_WITHIN
from infertui.metrics.marks import MARKS, short_words
from infertui.metrics.metric import NOT_AVAILABLE, Metric
from infertui.metrics.registry import metrics
from infertui.metrics.units import Unit
from infertui.metrics.varying import IDENTITY, Varied, column_of, setting_text
from infertui.results.table import Column, ResultRow
from infertui.tui.queue.view import short_engine
from infertui.tui.results.ratios import GAIN, MAIN, OF, RatioColumn, heading_of, row_ratio
from infertui.tui.settings.stored import Settings, Shown
from infertui.tui.terminal.sanitize import safe
from infertui.tui.widgets.cells import Align, RenderContext, beside, fit
from infertui.units import format_number

GAP = 2
_DTYPES = {"float16": "f16", "bfloat16": "bf16", "float32": "f32"}
# Flags that say that the figures of the row are wrong, in contrast to those that a reader should merely know.
_AGAINST = frozenset(
    {
        "invalid", "failures", "few", "short-output", "long-output", "thermal", "throttle", "foreign", "gpu-lost",
        "swap", "host-busy", "fallback", "diverged",
    }
)  # fmt: skip


class ColumnSpec(Struct, frozen=True):
    """A column. It is between `narrow` and `wide` cells; of those that do not fit the highest `rank` goes first."""

    key: str
    label: str
    help: str
    rank: int
    narrow: int
    wide: int
    cell: Callable[[ResultRow, int], str]
    unit: str = ""
    align: Align = "right"
    figure: bool = True
    """Whether it was measured: of a run that failed there is nothing to show."""
    number: Callable[[ResultRow, int], str] | None = None
    """The figure in `unit`, for a spreadsheet, where the cell has a unit of its own."""

    @property
    def heading(self) -> str:
        """Label and unit; the unit is left out where each cell has its own."""
        return self.label if self.number else self.copied_heading

    @property
    def copied_heading(self) -> str:
        """Label and unit."""
        return f"{self.label} {self.unit}".strip()


class Placed(Struct, frozen=True):
    """A column in its place: `x` cells from the left."""

    spec: ColumnSpec
    x: int
    width: int


class ColumnLayout(Struct, frozen=True):
    """The columns that fit, from left to right, and how many did not."""

    placed: tuple[Placed, ...]
    left_out: int

    def at(self, x: int) -> ColumnSpec | None:
        """The column under a cell, the gap behind it included."""
        return next((one.spec for one in self.placed if one.x <= x < one.x + one.width + GAP), None)


def figure(name: str, scale: float = 1.0) -> Callable[[ResultRow, int], str]:
    """The cell of a measured figure, divided by `scale`."""

    def cell(row: ResultRow, width: int) -> str:
        value = getattr(row, name)
        return NOT_AVAILABLE if value is None else _number(value / scale, width)

    return cell


def _with_unit(name: str, unit: Unit) -> Callable[[ResultRow, int], str]:
    """The cell of a figure that has a unit of its own."""

    def cell(row: ResultRow, width: int) -> str:
        value = getattr(row, name)
        return NOT_AVAILABLE if value is None else unit.text(value)

    return cell


def _memory(row: ResultRow, width: int) -> str:
    """`3.53 proc`: the value and whose it is."""
    if row.vram is None:
        return NOT_AVAILABLE
    whose = f" {_WHOSE[row.vram_of]}" if row.vram_of else ""
    return _number(row.vram / 2**30, width - len(whose)) + whose


_WHOSE: dict[str, str] = {"": "", "process": "proc", "allocator": "alloc", "resident": "RSS"}


def _number(value: float, width: int) -> str:
    """Three significant digits or more; as few as there is room for, down to one."""
    ways = (format_number(value), *(f"{value:.{digits}g}" for digits in (3, 2, 1)))
    return next((shown for shown in ways if len(shown) <= width), ways[-1])


def _text(name: str) -> Callable[[ResultRow, int], str]:
    def cell(row: ResultRow, width: int) -> str:
        value = getattr(row, name)
        return NOT_AVAILABLE if value is None else str(value) or NOT_AVAILABLE

    return cell


def short_model(model: str, width: int) -> str:
    """A model's name in little room: without its owner, a synthetic one still marked as such."""
    if len(model) <= width:
        return model
    if model.startswith("synthetic:"):
        return "syn:" + model.removeprefix("synthetic:").rpartition("/")[2]
    return model.rstrip("/").rpartition("/")[2]


def _engine(row: ResultRow, width: int) -> str:
    return (row.engine if len(row.engine) <= width else short_engine(row.engine)) or NOT_AVAILABLE


def local_time(started: str, width: int) -> str:
    """When a run began, in this machine's time: `11-20 09:41`, and year and seconds where there is room."""
    try:
        moment = datetime.fromisoformat(started).astimezone()
    except (ValueError, OverflowError, OSError):
        return started or NOT_AVAILABLE
    return f"{moment:%Y-%m-%d %H:%M:%S}" if width >= 19 else f"{moment:%m-%d %H:%M}"


def _speed(row: ResultRow, width: int) -> str:
    if row.throughput is None:
        return NOT_AVAILABLE
    shown = _number(row.throughput, width)
    if row.low is None or row.high is None:
        return shown
    # The interval need not be symmetric: half its width is what fits beside the figure, as exact as that is.
    half, decimals = (row.high - row.low) / 2, len(shown.partition(".")[2])
    spread = f" ±{half:,.{decimals}f}" if round(half, decimals) else f" ±{half:.1g}"
    return shown + spread if len(shown) + len(spread) <= width else shown


def _joules(row: ResultRow, width: int) -> str:
    """Two digits are more than is known of energy whose window was too short."""
    if row.joules_per_token is None or "short-energy" not in row.flags:
        return figure("joules_per_token")(row, width)
    ways = [f"~{row.joules_per_token:.{digits}g}" for digits in (2, 1)]
    return next((shown for shown in ways if len(shown) <= width), ways[-1])


def _model(row: ResultRow, width: int) -> str:
    return short_model(row.model, width) or NOT_AVAILABLE


def _name(row: ResultRow, width: int) -> str:
    """Without the model's, which stands beside it, where it is too long."""
    own = row.name.removeprefix(row.model).strip() if len(row.name) > width else row.name
    return own or row.name or NOT_AVAILABLE


def _started(row: ResultRow, width: int) -> str:
    return local_time(row.started, width)


_CELLS: dict[str, Callable[[ResultRow, int], str]] = {
    "name": _name, "model": _model, "engine": _engine, "started": _started, "throughput": _speed, "vram": _memory,
    "joules_per_token": _joules, "dtype": lambda row, width: _DTYPES.get(row.dtype, row.dtype) or NOT_AVAILABLE,
    "drift": lambda row, width: NOT_AVAILABLE if row.drift is None else f"{row.drift * 100:+.1f}",
}  # fmt: skip
"""Cells that show more, or less, than their metric's unit says."""


def _cell(metric: Metric) -> Callable[[ResultRow, int], str]:
    if metric.unit.kind != "figure":
        return _text(metric.key)
    return _with_unit(metric.key, metric.unit) if metric.unit.own else figure(metric.key, metric.unit.scale)


def _spec(metric: Metric) -> ColumnSpec:
    column, unit, heading = metric.screen, metric.unit, metric.screen_heading
    narrow = column.narrow or max(unit.cells[0], len(heading if unit.own else f"{heading} {unit.heading}".strip()))
    return ColumnSpec(
        metric.key, heading, metric.help, column.rank, narrow, max(narrow, column.wide or unit.cells[1]),
        _CELLS.get(metric.key) or _cell(metric), unit.heading, "right" if unit.right else "left", metric.measured,
        figure(metric.key, unit.scale) if unit.own else None,
    )  # fmt: skip


COLUMNS: dict[Column, ColumnSpec] = {metric.key: _spec(metric) for metric in metrics("screen")}
RATIOS: dict[RatioColumn, ColumnSpec] = {
    key: ColumnSpec(
        key, heading_of(key), f"{metric.label} over the baseline's; = equal within 2 %, ~ unclear, ( ) unlike runs",
        2 if key == MAIN else 7, 8, 8, lambda row, width: NOT_AVAILABLE,
    )
    for key, metric in OF.items()
} | {
    GAIN: ColumnSpec(
        GAIN, "gain", "change of tok/s from the baseline's; = equal within 2 %, ~ unclear, ( ) unlike runs", 7, 8, 9,
        lambda row, width: NOT_AVAILABLE,
    )
}  # fmt: skip
SPECS: dict[Shown, ColumnSpec] = {**COLUMNS, **RATIOS}
"""All that can be chosen."""
_WIDEST_SETTING = 16
_SHIPPED = frozenset(Settings().columns)
_LOW = 12
_ROOM_TO_GROW = 30


def with_varied(columns: Sequence[Shown], varied: Sequence[Varied]) -> list[ColumnSpec]:
    """The columns chosen, and those of what is not the same in all rows, before the throughput."""
    chosen = [SPECS[key] for key in dict.fromkeys(columns)]
    told = {name for metric in metrics("screen") if metric.key in columns for name in (metric.key, *metric.settings)}
    told |= {key for key in IDENTITY if key in _SHIPPED}  # whoever took these away does not want them
    added = {spec.key: spec for one in varied if one.key not in told for spec in [_varied_spec(one)]}
    at = next((at for at, spec in enumerate(chosen) if spec.key == "throughput"), len(chosen))
    return [*chosen[:at], *added.values(), *chosen[at:]]


def _varied_spec(found: Varied) -> ColumnSpec:
    """The column of a key that varies: that of the metric which tells it, else its own. What is swept stays longest."""
    metric = column_of(found)
    if metric.key in COLUMNS:
        usual = COLUMNS[metric.key]
        rank = min(usual.rank, 2) if found.swept else max(usual.rank, _LOW)
        return replace(usual, rank=rank, narrow=max(usual.narrow, min(found.width, usual.wide)))
    narrow = max(len(found.heading), min(found.width, 8))

    def cell(row: ResultRow, width: int) -> str:
        return setting_text(row.asked.get(found.key)) or NOT_AVAILABLE

    return ColumnSpec(
        found.key, found.heading, f"{found.key} as asked for", 1 if found.swept else _LOW, narrow,
        max(narrow, min(found.width, _WIDEST_SETTING)), cell, align="right" if found.number else "left", figure=False,
    )  # fmt: skip


FLAGS = ColumnSpec("flags", "flags", "what to know before believing the row", 3, 12, 200, lambda row, width: "",
                   align="left", figure=False)  # fmt: skip
# What room there is left goes to these, in this order, up to this width (0: as wide as they get).
_GROWTH: tuple[tuple[str, int], ...] = (
    ("mode", 7), ("model", 18), ("flags", 14), ("engine", 0), ("mode", 0), ("throughput", 0), ("name", 20),
    ("model", 0), ("form", 0), ("name", 0), ("device", 0), ("flags", 22), ("started", 0), ("input_len", 0),
)  # fmt: skip
_ALL_OR_NOTHING = frozenset({"throughput", "started"})


def arrange(
    columns: Sequence[Shown], width: int, *, ratio: bool = False, varied: Sequence[Varied] = ()
) -> ColumnLayout:
    """Place `columns` in their order with what is `varied` among the rows, then the flags, in `width` cells.

    Ratios are among them only where `ratio` says that there is a baseline; that of the throughput is then in any case.
    """
    wanted = [spec for spec in with_varied(columns, varied) if ratio or spec.key not in RATIOS]
    if ratio and RATIOS[MAIN] not in wanted:
        at = next((n + 1 for n, spec in enumerate(wanted) if spec.key == "throughput"), len(wanted))
        wanted.insert(at, RATIOS[MAIN])
    wanted.append(FLAGS)
    fitting = list(wanted)
    while len(fitting) > 1 and _least(fitting) + _reserve(fitting, columns) > width:
        fitting.remove(max(fitting, key=lambda spec: spec.rank))
    spare = max(0, width - _least(fitting))
    widths = {spec.key: spec.narrow for spec in fitting}
    for key, wide in _GROWTH:
        spec = next((spec for spec in fitting if spec.key == key), None)
        if spec is None:
            continue
        grown = min(spare, (wide or spec.wide) - widths[key])
        # Half a timestamp or half an interval is of no use: all that it needs, or nothing.
        if grown > 0 and (key not in _ALL_OR_NOTHING or widths[key] + grown == spec.wide):
            widths[key] += grown
            spare -= grown
    if FLAGS in fitting:
        widths["flags"] += spare
    placed, x = [], 0
    for spec in fitting:
        placed.append(Placed(spec, x, min(widths[spec.key], max(0, width - x))))
        x += widths[spec.key] + GAP
    return ColumnLayout(tuple(placed), len(wanted) - len(fitting))


def _reserve(specs: Sequence[ColumnSpec], columns: Sequence[Shown]) -> int:
    """What nobody chose and no sweep varies comes after room for the others to grow."""
    return _ROOM_TO_GROW if any(spec.rank >= _LOW and spec.key not in columns for spec in specs) else 0


def _least(specs: Sequence[ColumnSpec]) -> int:
    return sum(spec.narrow for spec in specs) + GAP * (len(specs) - 1)


def header_text(layout: ColumnLayout, width: int, look: RenderContext, *, sort: Column, descending: bool) -> Text:
    """The line above the rows; an arrow behind the column that sorts, and how many columns are left out."""
    cells = []
    for one in layout.placed:
        here = one.spec.key == sort
        style = look.palette.title if here else look.palette.muted
        arrow = look.glyph("▼", "v") if descending else look.glyph("▲", "^")
        # Behind the heading: of a right-aligned one that is the first cell of the gap.
        inside = here and one.spec.align == "left" and len(one.spec.heading) < one.width
        heading = one.spec.heading + arrow if inside else one.spec.heading
        cells.append(fit(heading, one.width, look, style=style, align=one.spec.align))
        cells.append(Text((arrow if here and not inside else " ") + " " * (GAP - 1), style=look.palette.title))
    line = beside(*cells)
    line.truncate(width)
    if layout.left_out:
        mark = f"+{layout.left_out}"
        line.truncate(max(0, width - len(mark) - 1))
        line.pad_right(max(0, width - len(mark) - line.cell_len))
        line.append(mark, style=look.palette.accent)
    return line


def row_text(
    row: ResultRow, layout: ColumnLayout, width: int, look: RenderContext, *, baseline: ResultRow | None = None
) -> Text:
    """A run as one line. One that measured nothing says why, where its figures would be."""
    colours = look.palette
    excuse = row.throughput is None and row.state != "finished"
    cells: list[Text] = []
    flagged = any(one.spec.key == "flags" for one in layout.placed)
    for one in layout.placed:
        spec = one.spec
        if excuse and (spec.figure or spec.key == "flags"):
            style = colours.error if row.state == "failed" else colours.warning
            cells.append(fit(_excuse(row), width - one.x, look, style=style))
            break
        if spec.key == "flags":
            cells.append(_flags(row, one.width, look))
        elif (ratio := _ratio_key(spec.key)) is not None:
            cells.append(_ratio(ratio, row, baseline, one.width, look))
        else:
            style = _style(row, spec, colours.figure, colours.muted)
            shown = spec.cell(row, one.width - (look.ascii and spec.key == "throughput"))
            shown = shown.replace("±", look.glyph("±", "+-"))
            if spec.key == "throughput" and not row.valid and not flagged:
                shown = f"!{shown}" if len(shown) < one.width else f"!{_number(row.throughput or 0.0, one.width - 1)}"
            cells.append(fit(shown, one.width, look, style=style, align=spec.align))
        cells.append(Text(" " * GAP))
    line = beside(*cells)
    line.truncate(width)
    return line


def _style(row: ResultRow, spec: ColumnSpec, strong: str, weak: str) -> str:
    if spec.key == "throughput":
        return strong if row.valid else weak
    return "" if spec.key in ("model", "batch_size") or spec.figure else weak


def _excuse(row: ResultRow) -> str:
    kind = row.flags[0] if row.flags and row.flags[0] not in ("error", "interrupted") else ""
    words = row.state.upper() if row.state == "failed" else row.state
    return f"{words} {kind}".strip() + (f": {row.error}" if row.error else "")


def _ratio(key: RatioColumn, row: ResultRow, baseline: ResultRow | None, width: int, look: RenderContext) -> Text:
    colours = look.palette
    found = row_ratio(key, row, baseline, look.settings.equal_within)
    if baseline is not None and row.id == baseline.id:
        return fit("base" if key == MAIN else NOT_AVAILABLE, width, look, style=colours.muted, align="right")
    if found is None:
        return fit(NOT_AVAILABLE, width, look, align="right")
    sure = found.outcome not in ("equal", "unclear") and not found.unlike
    style = (colours.ok if found.better else colours.warning) if sure and found.outcome else ""
    return fit(found.text, width, look, style=style if sure else colours.muted, align="right")


def _flags(row: ResultRow, width: int, look: RenderContext) -> Text:
    """As many flags as fit, and the number of the others. The first is in as many words as there is room for."""
    text, pieces = Text(no_wrap=True, end=""), _pieces(row, look)
    for number, (ways, style) in enumerate(pieces):
        more = f" +{len(pieces) - number - 1}" if number + 1 < len(pieces) else ""
        room = width - text.cell_len - (2 if number else 0)
        fitting = [way for way in ways if len(way) + len(more) <= room] or [way for way in ways if len(way) <= room]
        shown = (fitting or ways[-1:])[0]
        if number and len(shown) + len(more) > room:
            rest = f" +{len(pieces) - number}"
            text.append(rest if text.cell_len + len(rest) <= width else "", style=look.palette.muted)
            break
        text.append(", " if number else "", style=look.palette.muted)
        text.append_text(fit(shown, max(0, min(len(shown), room)), look, style=style))
    text.truncate(width)
    text.pad_right(max(0, width - text.cell_len))
    return text


def _pieces(row: ResultRow, look: RenderContext) -> list[tuple[tuple[str, ...], str]]:
    """The flags in words, each in several ways with the longest first, and its style. Why it failed or is invalid comes
    first: `invalid: host busy`, `! host busy`."""
    colours, flags = look.palette, list(map(safe, row.flags))
    first: list[tuple[tuple[str, ...], str]] = []
    if flags and row.state == "failed":
        kind = short_words(flags.pop(0))
        first = [((f"failed: {kind}", kind), colours.error)]
    elif flags[:1] == ["invalid"] and flags[1:2] and flags[1] in MARKS:
        why = short_words(flags[1])
        first = [((f"invalid: {why}", f"! {why}", f"!{why}"), colours.warning)]
        flags = flags[2:]
    return first + [((short_words(one),), colours.warning if one in _AGAINST else colours.muted) for one in flags]


def copied_header(columns: Sequence[Shown], varied: Sequence[Varied] = ()) -> list[str]:
    """What stands above copied rows."""
    return ["id", *(spec.copied_heading for spec in with_varied(columns, varied)), "valid", "flags"]


def copied(
    row: ResultRow,
    columns: Sequence[Shown],
    baseline: ResultRow | None = None,
    *,
    equal_within: float = EQUAL_WITHIN,
    varied: Sequence[Varied] = (),
) -> list[str]:
    """A row for a spreadsheet: every chosen column and what varies in full, in the units of its header."""
    shown = [_copied(row, spec, baseline, equal_within) for spec in with_varied(columns, varied)]
    return [row.id, *shown, "yes" if row.valid else "no", " ".join(row.flags)]


def _ratio_key(key: str) -> RatioColumn | None:
    return next((one for one in RATIOS if one == key), None)


def _copied(row: ResultRow, spec: ColumnSpec, baseline: ResultRow | None, equal_within: float) -> str:
    if spec.key == "model":
        return str(row.model)
    if (of := _ratio_key(spec.key)) is not None:
        found = row_ratio(of, row, baseline, equal_within)
        return NOT_AVAILABLE if found is None else found.text
    return (spec.number or spec.cell)(row, 1000)
