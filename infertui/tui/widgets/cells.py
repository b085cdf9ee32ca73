"""Cells: text of an exact width, of which rows are made; names with their values, and words over several lines.

Durations on screen, and the time axis that charts share.
"""

import math
from collections.abc import Iterable
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from infertui.tui.frame.actions import sign
from infertui.tui.settings.stored import Settings
from infertui.tui.terminal.sanitize import plain, safe

if TYPE_CHECKING:
    from infertui.tui.themes import Palette

Align = Literal["left", "right"]


class RenderContext(Struct, frozen=True):
    """How things are shown: the styles by meaning, the glyphs of the terminal, the user's settings."""

    palette: "Palette"
    ascii: bool = False
    settings: Settings = Settings()

    def key(self, action: str, shipped: str) -> str:
        """The key of an action as the user has it, for sentences."""
        return sign(self.settings.keys, action, shipped)

    def glyph(self, symbol: str, plain: str) -> str:
        """`symbol`, or `plain` on a terminal that shows ASCII only."""
        return plain if self.ascii else symbol


def fit(text: str, width: int, look: RenderContext, *, style: str = "", align: Align = "left", after: str = "") -> Text:
    """`text`, cleaned, in exactly `width` terminal cells, and then `after`; what is cut ends in a mark."""
    shown = safe(text)
    if look.ascii:
        shown = shown.encode("ascii", "replace").decode()
    return Text(_sized(shown, width, look, align) + after, style=style, no_wrap=True, end="")


def _sized(text: str, width: int, look: RenderContext, align: Align) -> str:
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + look.glyph("…", "~") if width > 0 else ""
    blank = " " * (width - length)
    return blank + text if align == "right" else text + blank


def beside(*cells: Text) -> Text:
    """Cells next to each other, as one line."""
    line = Text(no_wrap=True, end="")
    for cell in cells:
        line.append_text(cell)
    return line


_SPANS_S = (30.0, 60.0, 120.0, 300.0, 600.0)
_STEPS = 10


def clock(seconds: float) -> str:
    """A duration as `m:ss` or `h:mm:ss`: what changes at most once a second."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def chart_window(first: float, last: float) -> tuple[float, float]:
    """The seconds that a chart shows of data from `first` to `last`: (low, high).

    The window grows and moves in steps, so that new data adds to a chart instead of shifting all of it.
    """
    for span in _SPANS_S:
        step = span / _STEPS
        low = math.floor(first / step) * step
        if last <= low + span:
            return low, low + span
    span = _SPANS_S[-1]
    high = math.ceil(last * _STEPS / span) * span / _STEPS
    return high - span, high


def past_span(length: float) -> float:
    """The seconds back from now that a chart shows of so long a past: the least usual span that holds it."""
    return next((span for span in _SPANS_S if length <= span), _SPANS_S[-1])


class RunnerClock:
    """The runner's monotonic clock as told by the stamps of what it sends: equal to ours on the same host."""

    def __init__(self) -> None:
        self._ahead: int | None = None

    def note(self, stamp_ns: int, now_ns: int) -> None:
        """Something with this stamp has come, at `now_ns` of our clock. The quickest to come says most."""
        ahead = stamp_ns - now_ns
        self._ahead = ahead if self._ahead is None else max(self._ahead, ahead)

    def at(self, now_ns: int) -> int:
        """The runner's time at `now_ns` of our clock."""
        return now_ns + (self._ahead or 0)


NAME_WIDTH = 18
"""Cells for a name in front of its value."""


def entry(
    name: str, value: str, width: int, look: RenderContext, *, style: str = "", room: int = NAME_WIDTH
) -> list[Text]:
    """A name in `room` cells and its value, which goes on below itself where it is too long for a line."""
    parts = wrap(safe(value), max(10, width - room), break_on_hyphens=False) or [""]
    names: Iterable[str] = (name, *("" for _ in parts[1:]))
    return [
        beside(fit(left, room, look, style=look.palette.muted), plain(part, style))
        for left, part in zip(names, parts, strict=True)
    ]


def paragraph(text: str, width: int, style: str) -> list[Text]:
    """Words over as many lines as they need."""
    return [plain(part, style) for part in wrap(safe(text), max(10, width), break_on_hyphens=False) or [""]]


def section(title: str, look: RenderContext) -> list[Text]:
    """A heading."""
    return [plain(title, look.palette.title)]


def foreign(text: str) -> list[Text]:
    """Another program's lines as they are."""
    return [plain(line) for line in text.split("\n")]
