"""The queue as rows: groups that fold, and entries with what became of them.

What a bench in the queue has shown so far: its whole rounds, paired by throughput. Pure.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from msgspec import Struct
from rich.cells import cell_len
from rich.text import Text

from infertui.analysis.outcome import ComparedFigure
from infertui.measure.comparison import paired
from infertui.metrics.marks import short_words
from infertui.runner.execution.progress import RunProgress
from infertui.runner.scheduling.queue_store import ENDED, Entry
from infertui.runner.scheduling.studies import best, fate, fates
from infertui.text import clean
from infertui.tui.terminal.sanitize import safe
from infertui.tui.themes import Palette
from infertui.tui.widgets.cells import RenderContext, beside, clock, fit
from infertui.tui.widgets.lines import cut
from infertui.units import format_number

Rounds = tuple[tuple[float, ...], ...]
"""Output tokens per second, one tuple for each whole round, in the order of the arms."""


def bench_words(entries: Sequence[Entry]) -> list[ComparedFigure]:
    """The throughput of every arm but the baseline against it, over the rounds that are whole; named by the arm.

    Rounds with an invalid run do not count, as in the bench's own result. Empty for what is no bench.
    """
    arms = arms_of(entries)
    if len(arms) < 2:
        return []
    return list(_figures(tuple(map(clean, arms)), _rounds(entries, arms)))


def arms_of(entries: Iterable[Entry]) -> tuple[str, ...]:
    """The arms, the baseline first; none for what is no bench."""
    places = [entry.place for entry in entries if entry.place]
    if not places:
        return ()
    return places[0].arms or tuple(
        dict.fromkeys(place.arm for place in sorted(places, key=lambda place: not place.baseline))
    )


def _rounds(entries: Iterable[Entry], arms: Sequence[str]) -> Rounds:
    found: dict[int, dict[str, float]] = {}
    for entry in entries:
        if entry.place and entry.throughput and entry.state == "finished" and entry.valid is not False:
            found.setdefault(entry.place.round, {})[entry.place.arm] = entry.throughput
    return tuple(
        tuple(speeds[arm] for arm in arms) for _, speeds in sorted(found.items()) if all(arm in speeds for arm in arms)
    )


@lru_cache(maxsize=64)
def _figures(arms: tuple[str, ...], rounds: Rounds) -> tuple[ComparedFigure, ...]:
    # The queue is drawn again with every step of a run, and its rounds stay as they are meanwhile.
    return tuple(
        ComparedFigure(
            arm, None, None, "higher", paired([one[0] for one in rounds], [one[index] for one in rounds]), "number",
            basis="rounds", observations=len(rounds),
        )
        for index, arm in enumerate(arms[1:], 1)
    )  # fmt: skip


_SHORT_ENGINES = {
    "transformers": "hf", "tensorrt-llm": "trtllm", "llama-cpp": "llama", "openvino": "ov", "onnxruntime-genai": "ort",
    "simulator": "sim",
}  # fmt: skip
# Words that fit where there are nine cells.
_BRIEF = {"interrupted": "cut off", "RUN warmup": "RUN warm", "RUN compile": "RUN comp", "RUN capture": "RUN capt"}
_TINY = 32
_LEAST_NAME, _LEAST_OWN = 7, 11
_COMPACT = 60
_FULL = 100


class QueueGroup(Struct, frozen=True):
    """Neighbouring entries that were submitted together. One that was moved apart stands in several parts. `shared` are
    the words that are in the names of all of them."""

    key: Hashable
    title: str
    entries: tuple[Entry, ...]
    folded: bool
    shared: frozenset[str] = frozenset()


class Line(Struct, frozen=True):
    """A line of the list: a group's own (`entry` None) or an entry, `within` a group or alone."""

    key: Hashable
    group: QueueGroup
    entry: Entry | None = None
    within: bool = False

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What an act on this line acts on."""
        return self.group.entries if self.entry is None else (self.entry,)


def lines_of(entries: Iterable[Entry], folded: Collection[Hashable]) -> list[Line]:
    """The lines of the list, in order. Groups of one stand as a plain line; `folded` holds keys of folded groups."""
    parts: list[list[Entry]] = []
    for entry in entries:
        if parts and parts[-1][0].group == entry.group:
            parts[-1].append(entry)
        else:
            parts.append([entry])
    seen: dict[int, int] = {}
    lines = []
    for part in parts:
        number = seen[part[0].group] = seen.get(part[0].group, 0) + 1
        key = ("group", part[0].group, number)
        shared = frozenset.intersection(*(frozenset(safe(entry.name).split()) for entry in part))
        group = QueueGroup(key, part[0].title, tuple(part), key in folded, shared)
        if len(part) > 1:
            lines.append(Line(key, group))
        if len(part) == 1 or not group.folded:
            lines += [Line(entry_key(entry.id), group, entry, within=len(part) > 1) for entry in part]
    return lines


def entry_key(entry: int) -> Hashable:
    """The key of an entry's line."""
    return ("entry", entry)


def entries_of(keys: Iterable[Hashable], lines: Sequence[Line]) -> list[Entry]:
    """The entries that the lines with these keys stand for, in the order of the queue, each once."""
    wanted = set(keys)
    found = {entry.id: entry for line in lines if line.key in wanted for entry in line.entries}
    return list(found.values())


def neighbours(lines: Sequence[Line], line: Line, by: int) -> int:
    """How many places a whole group moves to get past its neighbour in direction `by`."""
    groups = list(dict.fromkeys(other.group.key for other in lines))
    by_key = {other.group.key: other.group for other in lines}
    at = groups.index(line.group.key)
    while 0 <= (at := at + by) < len(groups):
        waiting = sum(entry.state == "queued" for entry in by_key[groups[at]].entries)
        if waiting:
            return waiting
    return 0


def remaining_s(entry: Entry, progress: RunProgress | None, now: datetime) -> float | None:
    """Seconds that an entry still takes; None: not known. Ended ones take none."""
    if entry.state in ENDED:
        return 0.0
    if entry.state == "queued":
        return entry.estimate_s
    if progress and progress.eta_s is not None:
        return progress.eta_s
    if entry.estimate_s is None:
        return None
    try:
        elapsed = (now - datetime.fromisoformat(entry.started)).total_seconds()
    except (ValueError, TypeError):
        return entry.estimate_s
    return max(0.0, entry.estimate_s - elapsed)


def time_left(entries: Iterable[Entry], progress: Mapping[str, RunProgress], now: datetime) -> str:
    """`4:10`, `more than 4:10` where some are not known, or nothing. Devices work side by side."""
    lanes: dict[str, float] = {}
    unknown = False
    for entry in entries:
        if entry.state in ENDED:
            continue
        seconds = remaining_s(entry, progress.get(entry.run), now)
        unknown |= seconds is None
        lanes[entry.lane] = lanes.get(entry.lane, 0.0) + (seconds or 0.0)
    longest = max(lanes.values(), default=0.0)
    if longest < 1:
        return ""
    return f"more than {clock(longest)}" if unknown else clock(longest)


def heading(
    entries: Collection[Entry],
    progress: Mapping[str, RunProgress],
    now: datetime,
    *,
    paused: bool,
    tuning: bool = False,
) -> str:
    """`12 runs, 1 running, 4:10 left`, and PAUSED; of what waits for a tuning session, that and no time."""
    if not entries:
        return "PAUSED" if paused else ""
    parts = [f"{len(entries)} run{'s' * (len(entries) != 1)}"]
    if running := sum(entry.state == "running" for entry in entries):
        parts.append(f"{running} running")
    elif tuning and any(entry.state == "queued" for entry in entries):
        parts.append("waiting for the tuning session")
        return ", ".join(parts) + ("  PAUSED" if paused else "")
    if left := time_left(entries, progress, now):
        parts.append(f"{left} left")
    return ", ".join(parts) + ("  PAUSED" if paused else "")


class QueueContext(Struct, frozen=True):
    """What a line is drawn from besides the entries."""

    progress: Mapping[str, RunProgress]
    now: datetime
    look: RenderContext


def line_text(line: Line, width: int, shown: QueueContext) -> Text:
    """A line in at most `width` cells."""
    if line.entry is None:
        return _group_text(line.group, width, shown)
    return _entry_text(line.entry, width, shown, line.group if line.within else None)


def state_mark(entry: Entry, progress: RunProgress | None, look: RenderContext) -> tuple[str, str, str]:
    """Glyph, word and style of an entry's state."""
    palette = look.palette
    if fate(entry) == "invalid":
        return "!", "invalid", palette.warning
    word = entry.state
    match entry.state:
        case "running":
            return look.glyph("▶", ">"), _running_word(progress), palette.active
        case "finished":
            return look.glyph("✓", "+"), "ok", palette.ok
        case "failed":
            return look.glyph("✗", "x"), "FAILED", palette.error
        case "refused":
            return look.glyph("✗", "x"), word, palette.error
        case "interrupted":
            return "!", word, palette.warning
        case "cancelled":
            return "-", word, palette.muted
        case "skipped":
            return look.glyph("»", "s"), word, palette.muted
        case _:
            return look.glyph("·", "."), word, palette.muted


def _running_word(progress: RunProgress | None) -> str:
    if progress is None or progress.phase is None:
        return "RUN"
    return f"RUN {progress.fraction * 100:.0f}%" if progress.phase == "measure" else f"RUN {progress.phase}"


def outcome(entry: Entry, progress: RunProgress | None, now: datetime, *, brief: bool = False) -> str:
    """The last column: phase and ETA, the estimate, the result, or the reason. In `brief` one thing alone: of a run
    whose figures are wrong that is why."""
    match entry.state:
        case "running":
            left = remaining_s(entry, progress, now)
            eta = f"ETA {clock(left)}" if left is not None else ""
            return eta if brief else f"{_phase(progress)}  {eta}".strip()
        case "queued":
            about = "~" if brief else "about "
            return f"{about}{clock(entry.estimate_s)}" if entry.estimate_s is not None else ""
        case _ if brief:
            why = _why(entry, brief=True)
            return why or ("" if entry.throughput is None else f"{format_number(entry.throughput)} tok/s")
        case _:
            speed = "" if entry.throughput is None else f"{format_number(entry.throughput)} tok/s"
            return "  ".join(filter(None, (speed, _why(entry))))


def _why(entry: Entry, *, brief: bool = False) -> str:
    """Why an entry that has ended has no figures that count: `host busy`, or at length; empty where it has."""
    if brief and entry.marks and (entry.valid is False or entry.state == "failed"):
        return short_words(entry.marks[0])
    return entry.reason


def _phase(progress: RunProgress | None) -> str:
    if progress is None or progress.phase is None:
        return ""
    if progress.phase == "measure" and progress.wanted:
        return f"measure {min(progress.measured + 1, progress.wanted)}/{progress.wanted}"
    return f"warmup {progress.warmed_up + 1}" if progress.phase == "warmup" else progress.phase


def short_model(name: str) -> str:
    """The part of a model's id that tells it apart."""
    return name.rstrip("/").rpartition("/")[2].removeprefix("synthetic:") or name


def short_engine(name: str) -> str:
    """What an engine is called in a narrow column."""
    return _SHORT_ENGINES.get(name, name)


def short_name(name: str, shared: Collection[str], room: int, look: RenderContext) -> str:
    """What tells an entry from the others of its group, in `room` cells: its name, else without the words that all
    have, else the values alone, else the end of these, where the axis stands that varies fastest."""
    shown = safe(name)
    if cell_len(shown) <= room:
        return shown
    own = " ".join(word for word in shown.split() if word not in shared) or shown
    if cell_len(own) <= room:
        return own
    values = " ".join(word.rpartition("=")[2] or word for word in own.split())
    if cell_len(values) <= room:
        return values
    end = values[-room:] if room > 0 else ""
    while cell_len(end) >= room and end:
        end = end[1:]
    return look.glyph("…", "~") + end


def _alone(entry: Entry, room: int) -> str:
    """What an entry without a group is called: the first that has room of its title and name, its name, and that
    without the model's."""
    model = short_model(entry.config.model.id)
    short = " ".join(word for word in entry.name.split() if word != model)
    found = (text for text in (entry.name, short) if text and cell_len(safe(text)) <= room)
    return entry.label if cell_len(safe(entry.label)) <= room else next(found, entry.label)


def _entry_text(entry: Entry, width: int, shown: QueueContext, group: QueueGroup | None) -> Text:
    look = shown.look
    progress = shown.progress.get(entry.run) if entry.state == "running" else None
    glyph, word, style = state_mark(entry, progress, look)
    indent = "  " if group else ""

    def label(room: int) -> Text:
        if group is None or not entry.name:
            return fit(indent + (entry.title if group else _alone(entry, room)), room, look)
        return fit(indent + short_name(entry.name, group.shared, room - len(indent), look), room, look)

    result = outcome(entry, progress, shown.now)
    result_style = style if entry.state in ("failed", "refused", "interrupted") or entry.valid is False else ""
    number = fit(str(entry.id), 4, look, style=look.palette.muted, align="right")
    muted = look.palette.muted
    if width < _COMPACT:
        # The word says as much as its glyph, which has to go first.
        sign = f" {glyph}" if width >= _TINY else ""
        state = fit(f"{sign} {_BRIEF.get(word, word)}", len(sign) + 10, look, style=style)
        left = width - 5 - state.cell_len
        result = outcome(entry, progress, shown.now, brief=True)
        if width < _TINY:
            indent, result = indent[:1], result.replace(" tok/s", "/s")
        own = len(indent) + cell_len(safe(entry.name)) if group and entry.name else left
        most = max(left // 2, left - (_LEAST_OWN if group else _LEAST_NAME), left - own)
        if len(result) >= most:
            result = result.replace("tok/s", "t/s").replace("ETA ", "")
        room = min(most, len(result) + 1) if result else 0
        name = label(max(0, left - room))
        return beside(number, state, Text(" "), name, fit(" " * bool(room) + result, room, look, style=result_style))
    state = fit(f" {glyph} {word}", 15, look, style=style)
    lane = fit(entry.lane, 6, look, style=muted)
    if width < _FULL:
        left = width - 26
        names = max(8, left // 2)
        cells = [label(names), Text(" "), lane]
        return beside(number, state, *cells, fit(result, max(0, left - names), look, style=result_style))
    model = fit(short_model(entry.config.model.id), 17, look)
    engine = fit(short_engine(entry.config.engine.name), 7, look, style=muted)
    batch = fit(f"b{entry.config.workload.batch_size}", 6, look, style=muted)
    left = width - 57
    names = min(30, max(12, left // 2))
    cells = [label(names), Text("  "), model, engine, batch, lane]
    return beside(number, state, *cells, fit(result, max(0, left - names), look, style=result_style))


def _states_in_words(entries: Sequence[Entry], palette: Palette) -> list[tuple[str, str]]:
    """`ok` where nothing is to be said against any of them; else how many there are of each kind, each in its style."""
    found = fates(entries)
    words: list[tuple[str, str]] = []
    if "running" in found:
        words.append(("RUN", palette.active))
    elif "queued" in found:
        words.append(("queued", palette.muted))
    elif good := found.get("ok"):
        words.append(("ok" if good == len(entries) else f"{good} ok", palette.ok))
    styles = {"invalid": palette.warning, "failed": palette.error, "refused": palette.error}
    for one, count in found.items():
        if one not in ("running", "queued", "ok"):
            words.append((f"{count} {'FAILED' if one == 'failed' else one}", styles.get(one, palette.muted)))
    return words


def _group_text(group: QueueGroup, width: int, shown: QueueContext) -> Text:
    """`v demo sweep  3/12  RUN  ETA 4:10`."""
    look, entries = shown.look, group.entries
    palette = look.palette
    fold = look.glyph("▸", "+") if group.folded else look.glyph("▾", "-")
    line = beside(Text(f" {fold} ", style=palette.accent))
    ended = sum(entry.state in ENDED for entry in entries)
    tail = f"  {ended}/{len(entries)}"
    words = _states_in_words(entries, palette)
    rest = ""
    if ended < len(entries):
        left = time_left(entries, shown.progress, shown.now)
        rest = f"  ETA {left}" if left else ""
    if figures := bench_words(entries):
        return _bench_text(line, group, f"{tail}{rest}", words, figures, width, look)
    if ended == len(entries) and (fastest := best(entries)):
        rest = f"  best {format_number(fastest.throughput or 0)} tok/s {fastest.name}".rstrip()
    after = beside(*(Text(f"  {word}", style=style) for word, style in words), fit(rest, len(rest), look))
    room = max(6, width - line.cell_len - len(tail) - after.cell_len)
    title = group.title or "group"
    line.append_text(fit(title, min(len(title), room), look, style=palette.title))
    line.append(tail)
    line.append_text(after)
    return line


def _bench_text(
    line: Text,
    group: QueueGroup,
    tail: str,
    words: list[tuple[str, str]],
    figures: list[ComparedFigure],
    width: int,
    look: RenderContext,
) -> Text:
    """`v bench  3/10  RUN  ETA 4:10  compile 1.42x faster, 1.40 to 1.44`; of several arms each one's ratio."""
    line.append_text(fit(group.title or "bench", min(len(group.title or "bench"), 12), look, style=look.palette.title))
    line.append(tail if width >= _COMPACT else tail.partition("  ETA")[0])
    for word, style in words:
        line.append(f"  {word}", style=style)
    if figures[0].ratio is None and all(entry.state in ENDED for entry in group.entries):
        line.append("  no round counts", style=look.palette.warning)
    for figure in figures:
        if figure.ratio is not None:
            style = {"+": look.palette.ok, "-": look.palette.error}.get(figure.sign, "")
            full = f"  {figure.name} {figure.verdict}"
            brief = f"  {figure.ratio.value:.2f}x {figure.sign} {figure.name}"
            fits = len(figures) == 1 and line.cell_len + len(full) <= width
            line.append_text(fit(full if fits else brief, len(full if fits else brief), look, style=style))
    return cut(line, width, look.glyph("…", "~"))
