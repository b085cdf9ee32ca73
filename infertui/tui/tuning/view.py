"""A tuning session as rows, lines and series for charts. Pure: what is known of it in, text out."""

from collections.abc import Callable, Hashable, Mapping, Sequence

from msgspec import Struct
from rich.text import Text

from infertui.analysis.tuning.knobs import Knob, text_of
from infertui.analysis.tuning.segment import Segment, SegmentRatio
from infertui.analysis.tuning.wording import against_text, change_text, figure_text, finding_text, throughput_text
from infertui.config.fields import Value
from infertui.runner.tuning.state import TuningLive, TuningPoint, TuningView
from infertui.tui.terminal.sanitize import safe
from infertui.tui.widgets.cells import RenderContext, beside, clock, fit
from infertui.tui.widgets.plot import Mark, Series
from infertui.units import format_number

_LABEL, _VALUE, _EFFECT = 15, 14, 8
_NUMBER, _CHANGE, _THROUGHPUT, _TIME, _RATIO = 4, 18, 26, 10, 10
_WORDS = {"live": "live", "prepare": "prepares", "reload": "reloads"}
_GIB = 1 << 30
MOST_MARK = 18
Points = Sequence[TuningPoint]


class KnobRows:
    """The knobs as rows of a list, with the values that are not applied yet."""

    def __init__(self) -> None:
        self.knobs: tuple[Knob, ...] = ()
        self.pending: dict[str, Value] = {}
        self.wanted: Mapping[str, str] = {}
        self.climbing = ""
        self.look: RenderContext | None = None

    def row_count(self) -> int:
        """Knobs there are."""
        return len(self.knobs)

    def row_key(self, index: int) -> Hashable:
        """The key that it turns."""
        return self.knobs[index].key

    def row_text(self, index: int, width: int) -> Text:
        """`bs  4 -> 8  reloads`."""
        assert self.look is not None  # noqa: S101
        return knob_row(
            self.knobs[index],
            self.pending.get(self.knobs[index].key),
            self.wanted.get(self.knobs[index].key, ""),
            width,
            self.look,
            climbing=self.climbing == self.knobs[index].key,
        )


def knob_row(
    knob: Knob, pending: Value | None, wanted: str, width: int, look: RenderContext, *, climbing: bool = False
) -> Text:
    """A knob: its name, its value, the one it will have, and what turning it asks for."""
    colours = look.palette
    arrow = look.glyph("→", ">")
    value, style = text_of(knob.value), colours.figure if knob.value != knob.default else ""
    if pending is not None:
        value, style = f"{value} {arrow} {text_of(pending)}", colours.accent
    elif wanted:
        value, style = f"{value} {arrow} {wanted} ...", colours.active
    elif climbing:
        value, style = f"{value} climbing", colours.active
    effect = _WORDS[knob.effect]
    label = min(_LABEL, max(6, width // 2))
    room = width - label - 1
    cells = [fit(knob.label, label, look), fit(" ", 1, look)]
    if room > _VALUE + _EFFECT:
        cells += [fit(value, room - _EFFECT - 1, look, style=style), fit(" ", 1, look)]
        cells += [fit(effect, _EFFECT, look, style=colours.muted)]
    else:
        cells += [fit(value, max(1, room), look, style=style)]
    return beside(*cells)


def about_knob(knob: Knob, width: int, look: RenderContext) -> Text:
    """What a knob is, what it takes, and its default: one line."""
    asks = {"live": "", "prepare": "; the engine gets ready anew", "reload": "; the model is loaded again"}[knob.effect]
    told = f"{knob.description}; {knob.allowed}; default {text_of(knob.default)}"
    words = f"{knob.key}: {told}{asks}"
    if len(words) > width and asks:  # where the list has no room for what it asks for either
        words = f"{knob.key} ({_WORDS[knob.effect]}): {told}"
    return fit(words, width, look, style=look.palette.muted)


class SegmentRows:
    """The segments that ended as rows of a list, the newest first, below the one under way."""

    def __init__(self) -> None:
        self.segments: tuple[Segment, ...] = ()
        self.marked = 0
        self.look: RenderContext | None = None

    def row_count(self) -> int:
        """Segments there are."""
        return len(self.segments)

    def row_key(self, index: int) -> Hashable:
        """The segment's number."""
        return self.segments[-1 - index].number

    def row_text(self, index: int, width: int) -> Text:
        """A segment."""
        assert self.look is not None  # noqa: S101
        segment = self.segments[-1 - index]
        return segment_row(segment, width, self.look, marked=segment.number == self.marked)


def segment_heading(width: int, look: RenderContext) -> Text:
    """The names of the columns."""
    cells = _columns("#", "change", "tok/s (95 %)", "TTFT p50", "ITL p50", "J/tok", "to before", "to best", width)
    return beside(*(fit(text, room, look, style=look.palette.title) for text, room in cells))


def segment_row(segment: Segment, width: int, look: RenderContext, *, marked: bool = False) -> Text:
    """A segment that ended: figures, and ratios to the one before and to the best, `?` until it is clear."""
    colours = look.palette
    number = f"{segment.number}{look.glyph('◆', '*') if marked else ''}{'P' if segment.pinned else ''}"
    if segment.error is not None:
        words = f"{change_text(segment)}: {segment.error.message}"
        return beside(fit(number, _NUMBER, look), fit(words, max(0, width - _NUMBER), look, style=colours.error))
    if not segment.measured:
        words = f"{change_text(segment)}: ended before it measured"
        return beside(fit(number, _NUMBER, look), fit(words, max(0, width - _NUMBER), look, style=colours.muted))
    cells = _columns(
        number, change_text(segment), throughput_text(segment), figure_text(segment.figures, "ttft"),
        figure_text(segment.figures, "itl"), figure_text(segment.figures, "joules_per_token"),
        against_text(segment.previous, short=True), against_text(segment.best, short=True), width,
    )  # fmt: skip
    styles = ["", "", colours.figure, "", "", "", _style(segment.previous, look), _style(segment.best, look)]
    chosen = styles[: len(cells) - 2] + styles[-2:] if len(cells) < len(styles) else styles
    return beside(*(fit(text, room, look, style=style) for (text, room), style in zip(cells, chosen, strict=True)))


def _columns(
    number: str, change: str, speed: str, ttft: str, itl: str, joules: str, before: str, best: str, width: int
) -> list[tuple[str, int]]:
    """As many columns as there is room for: the ratios stay, latencies and energy go first."""
    head = [(number, _NUMBER), (change, _CHANGE), (speed, _THROUGHPUT)]
    middle = [(ttft, _TIME), (itl, _TIME), (joules, _TIME)]
    tail = [(before, _RATIO), (best, _RATIO)]
    fixed = sum(room for _, room in (*head, *tail))
    middle = middle[: max(0, (width - fixed) // _TIME)]
    spare = max(0, width - fixed - _TIME * len(middle))
    head[1] = (change, _CHANGE + spare)
    if width < fixed:
        head[2] = (speed.partition(" ")[0], max(8, _THROUGHPUT - (fixed - width)))
    return [*head, *middle, *tail]


def _style(found: SegmentRatio | None, look: RenderContext) -> str:
    if found is None or found.finding in ("unclear", "equal"):
        return look.palette.muted
    return look.palette.ok if found.finding == "better" else look.palette.warning


def head_line(view: TuningView, width: int, look: RenderContext) -> Text:
    """What it is at: the segment under way, its figures so far, what it is compared with."""
    colours, live = look.palette, view.live
    if view.status == "ended":
        return fit(f"ended{': ' + view.error if view.error else ''}", width, look, style=colours.warning)
    if live is None:
        return fit("getting ready", width, look, style=colours.muted)
    waits = ", the batch under way ends first" if view.wanted else ""
    if view.phase != "measure":
        words = f"{live.number} {live.name}: {view.phase or 'getting ready'}{waits}"
        return fit(words, width, look, style=colours.active)
    words = f"{live.number} {live.name}: {_live(live, _unit(view))}{waits}"
    if len(words) > width:
        words = f"{live.number} {live.name}: {_live(live, _unit(view), intervals=False)}{waits}"
    return fit(words, width, look, style=colours.active)


def _unit(view: TuningView) -> str:
    return "requests" if view.config.target.kind == "endpoint" else "batches"


def _live(live: TuningLive, unit: str, *, intervals: bool = True) -> str:
    told_of = against_text if intervals else finding_text
    speed = "-" if live.throughput is None else format_number(live.throughput)
    told = f"{speed} tok/s, {live.batches:,} {unit}, {clock(live.seconds)}"
    if live.previous is not None:
        told += f"; to {live.previous.segment} {told_of(live.previous)}"
    if live.best is not None and (live.previous is None or live.best.segment != live.previous.segment):
        told += f"; to the best, {live.best.segment}, {told_of(live.best)}"
    if live.baseline is not None:
        told += f"; to the baseline {against_text(live.baseline, short=True)}"
    return told


class TuningPlot(Struct, frozen=True):
    """What one chart shows."""

    name: str
    unit: str
    series: tuple[Series, ...]


_Reads = Callable[[TuningPoint], float | None]


def plots(points: Points, look: RenderContext) -> list[TuningPlot]:
    """The charts of which there is anything to show; all share the time axis of the points."""
    colours = look.palette
    wanted: list[tuple[str, str, float, list[tuple[str, str, _Reads]]]] = [
        ("tok/s", "", 1.0, [("", colours.active, lambda point: point.throughput)]),
        ("TTFT", "ms", 1e3, [("p50", colours.accent, lambda point: point.ttft),
                             ("p99", colours.warning, lambda point: point.ttft_p99)]),
        ("ITL", "ms", 1e3, [("p50", colours.accent, lambda point: point.itl),
                            ("p99", colours.warning, lambda point: point.itl_p99)]),
        ("power", "W", 1.0, [("", colours.warning, lambda point: point.power)]),
        ("energy", "J/tok", 1.0, [("", colours.warning, lambda point: point.joules_per_token)]),
        ("VRAM", "GiB", 1 / _GIB, [("", colours.accent, lambda point: point.vram)]),
    ]  # fmt: skip
    found = []
    for name, unit, scale, lines in wanted:
        series = tuple(
            Series(values, style, label) for label, style, read in lines if (values := _values(points, read, scale))
        )
        if series:
            found.append(TuningPlot(name, unit, series))
    return found


def _values(points: Points, read: _Reads, scale: float) -> list[tuple[float, float]]:
    """A line is broken where a segment ends: nothing leads over a change."""
    found: list[tuple[float, float]] = []
    last = 0
    for point in points:
        value = read(point)
        if value is None:
            continue
        if found and point.segment != last:
            found.append((point.t, float("nan")))
        found.append((point.t, value * scale))
        last = point.segment
    return found


def marks(view: TuningView) -> tuple[Mark, ...]:
    """Where each segment began, and what was changed there."""
    ended = [(segment.began, f"{segment.number} {change_text(segment)}") for segment in view.segments]
    live = [(view.live.began, f"{view.live.number} {view.live.name}")] if view.live else []
    return tuple(Mark(at, safe(label)[:MOST_MARK]) for at, label in [*ended, *live])
