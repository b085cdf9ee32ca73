"""The line on top: what this is, where, and how far the run is."""

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from infertui.tui.terminal.capabilities import Glyphs
from infertui.tui.terminal.sanitize import safe
from infertui.tui.themes import Palette
from infertui.tui.widgets.lines import Lines, cut

if TYPE_CHECKING:
    from infertui.runner.scheduling.queue_store import Entry
    from infertui.tui.state import ClientState

_VENDOR_WORDS = ("NVIDIA ", "GeForce ", "Tesla ")


class Condition(Struct, frozen=True):
    """What the application knows besides the mirror. `trouble` says in words why there is no connection."""

    version: str
    clock: str
    trouble: str = ""
    read_only: bool = False
    frozen: bool = False
    """The picture stands still."""
    behind_s: float | None = None
    """How long before now the moment is that it shows; None: not known."""
    at: str = ""
    """The time of day then, where it is an earlier moment that was chosen."""
    missing: str = ""
    """Why not all is known of it."""
    slow_terminal: bool = False


class _Part(Struct, frozen=True):
    text: str
    style: str
    rank: int
    """The lowest is shortened or goes first when there is no room."""
    short: str = ""
    """What may stand instead; empty: the part goes."""


def header_text(
    client_state: "ClientState | None", condition: Condition, width: int, colours: Palette, signs: Glyphs
) -> Text:
    """The line in at most `width` cells. What matters least is shortened or left out first."""
    parts = [part for part in _parts(client_state, condition, colours, signs) if part.text]
    parts.append(_Part(condition.clock, colours.muted, 3))
    while len(parts) > 1 and sum(cell_len(part.text) + 2 for part in parts) > width:
        at = min(range(len(parts)), key=lambda index: parts[index].rank)
        least = parts.pop(at)
        if least.short:
            parts.insert(at, _Part(least.short, least.style, least.rank + 5))
    line = Text(no_wrap=True, end="")
    for part in parts:
        last = part.text == condition.clock and part is parts[-1]
        line.append(" " * max(1, width - line.cell_len - len(part.text) - 1) if last else "  " if line else " ")
        line.append(part.text, style=part.style)
    return cut(line, width, signs.ellipsis)


def _parts(client_state: "ClientState | None", condition: Condition, colours: Palette, signs: Glyphs) -> list[_Part]:
    parts = [_Part(f"infertui {condition.version}", colours.title, 1, "infertui")]
    if condition.trouble:
        parts.append(_Part(safe(condition.trouble), colours.warning, 30))
    if client_state is not None and client_state.runner is not None:
        host = safe(client_state.runner.host.hostname)
        parts.append(_Part(host, colours.figure, 4, shorten(host, 16, signs.ellipsis)))
        parts.append(
            _Part(gpu_summary(client_state, signs), colours.muted, 2, gpu_summary(client_state, signs, short=True))
        )
    if condition.frozen:
        parts.append(_moment(condition, colours))
    if condition.read_only:
        parts.append(_Part("READ-ONLY", colours.accent, 28))
    if client_state is not None and client_state.paused:
        parts.append(_Part("QUEUE PAUSED", colours.warning, 27, "PAUSED"))
    if condition.slow_terminal:
        parts.append(_Part("slow link", colours.muted, 3))
    return parts if client_state is None else [*parts, *_run_parts(client_state, colours, signs)]


_STEP = 5
"""Percent: a title is written again no oftener."""


def title_text(client_state: "ClientState | None", signs: Glyphs) -> str:
    """What a terminal's title says: `60% demo bs=4 - infertui`, and between runs how the last one ended."""
    if client_state is None:
        return "infertui"
    running = [entry for entry in client_state.running if entry.run]
    if running:
        progress = client_state.progress.get(running[0].run)
        share = round(progress.fraction * 100 / _STEP) * _STEP if progress is not None else 0
        more = f" +{len(running) - 1}" if len(running) > 1 else ""
        return f"{share}% {running[0].label}{more} - infertui"
    if (tuning := client_state.tuning) is not None:
        return f"{f'tuning {tuning.title}'.rstrip()} - infertui"
    ended = [entry for entry in client_state.entries.values() if entry.ended and entry.run]
    last = max(ended, key=lambda entry: entry.ended, default=None)
    if last is None:
        return "infertui"
    word = {"finished": signs.ok, "failed": signs.failed}.get(last.state, "!") if last.valid is not False else "!"
    return f"{word} {last.label} - infertui"


def _moment(condition: Condition, colours: Palette) -> _Part:
    """How far back what is shown lies, as nobody can take it for now."""
    ago = "" if condition.behind_s is None else f" -{minutes(condition.behind_s)}"
    words = f"PAST{ago} at {condition.at}" if condition.at else f"FROZEN{ago}"
    more = f" ({safe(condition.missing)})" if condition.missing else ""
    short = f" {words.partition(' at ')[0]} "
    return _Part(f" {words}{more} ", f"{colours.warning} reverse".strip(), 24, short)


def gpu_summary(client_state: "ClientState", signs: Glyphs, *, short: bool = False) -> str:
    """`8x H100 80GB HBM3`, short `8x H100`, or `no GPU`; lost devices are counted."""
    if client_state.runner is None or not client_state.runner.gpus:
        return "no GPU" if client_state.runner is not None else ""
    names = Counter(_short(gpu.name, first=short) for gpu in client_state.runner.gpus)
    summary = " + ".join(f"{count}{signs.times} {name}" if count > 1 else name for name, count in names.items())
    lost = sum(1 for gpu in client_state.sample.gpus if gpu.lost) if client_state.sample else 0
    return f"{summary} ({lost} lost)" if lost else summary


def _short(name: str, *, first: bool) -> str:
    for word in _VENDOR_WORDS:
        name = name.replace(word, "")
    words = safe(name).split() or ["GPU"]
    return words[0] if first else " ".join(words)


def shorten(text: str, width: int, ellipsis: str) -> str:
    """`text`, cut to `width` cells with a mark."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + ellipsis


def _run_parts(client_state: "ClientState", colours: Palette, signs: Glyphs) -> list[_Part]:
    running = client_state.running
    if not running:
        waiting = sum(1 for entry in client_state.entries.values() if entry.state == "queued")
        parts = [_Part(f"{waiting} waiting", colours.muted, 6)] if waiting else []
        if (tuning := client_state.tuning) is not None:
            title = shorten(safe(tuning.title), 16, signs.ellipsis)
            parts = [_Part("tuning", colours.active, 26), _Part(title, colours.figure, 8), *parts]
        return [part for part in parts if part.text]
    entry = running[0]
    group = [other for other in client_state.entries.values() if other.group == entry.group]
    place = f"run {group.index(entry) + 1}/{len(group)}" if len(group) > 1 else "run"
    label = safe(entry.label)
    parts = [
        _Part(f"{len(running)} runs" if len(running) > 1 else place, colours.active, 26),
        _Part(shorten(label, 40, signs.ellipsis), colours.figure, 8, shorten(label, 16, signs.ellipsis)),
    ]
    progress = client_state.progress.get(entry.run)
    if progress is not None and progress.phase is not None:
        share = f" {progress.fraction:.0%}" if progress.phase == "measure" else ""
        parts.append(_Part(f"{progress.phase}{share}", colours.active, 25))
        eta = progress.eta_s
        if eta is not None:
            parts.append(_Part(f"ETA {minutes(eta)}", colours.figure, 14))
            rest = _rest(group)
            if rest:
                parts.append(_Part(f"all in {minutes(eta + rest)}", colours.muted, 5))
    return parts


def minutes(seconds: float) -> str:
    """`0:41`, `12:30` or `2:05:00`."""
    whole, left = divmod(max(0, round(seconds)), 60)
    hours, whole = divmod(whole, 60)
    return f"{hours}:{whole:02}:{left:02}" if hours else f"{whole}:{left:02}"


def _rest(group: "list[Entry]") -> float | None:
    """Seconds that the waiting entries of a group will take; None where that is not known of all."""
    estimates = [entry.estimate_s for entry in group if entry.state == "queued"]
    known = [estimate for estimate in estimates if estimate is not None]
    return sum(known) if known and len(known) == len(estimates) else None


class HeaderLine(Lines):
    """The widget: one line, painted when it changed."""

    DEFAULT_CSS = "HeaderLine { height: 1; width: 1fr; }"

    def __init__(self, *, id: str = "header") -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._line = Text()

    def tell(self, line: Text) -> None:
        """Show `line`."""
        self._line = line
        self.compose_lines()

    def compose_lines(self) -> None:
        """The one line."""
        self.paint_lines([self._line])
