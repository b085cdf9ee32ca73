"""Words over as many lines as they need, foreign ones cleaned. Pure."""

from collections.abc import Iterable
from textwrap import wrap

from rich.text import Text

from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.widgets.cells import Look, beside, fit

NAME_WIDTH = 18


def entry(name: str, value: str, width: int, look: Look, *, style: str = "", room: int = NAME_WIDTH) -> list[Text]:
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


def section(title: str, look: Look) -> list[Text]:
    """A heading."""
    return [plain(title, look.palette.title)]


def foreign(text: str) -> list[Text]:
    """Another program's lines as they are."""
    return [plain(line) for line in text.split("\n")]
