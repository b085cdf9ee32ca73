"""Cells: text of an exact width, of which rows are made."""

from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from infertui.tui.actions import sign
from infertui.tui.settings import Settings
from infertui.tui.terminal.sanitize import safe

if TYPE_CHECKING:
    from infertui.tui.themes import Palette

Align = Literal["left", "right"]


class Look(Struct, frozen=True):
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


def fit(text: str, width: int, look: Look, *, style: str = "", align: Align = "left", after: str = "") -> Text:
    """`text`, cleaned, in exactly `width` terminal cells, and then `after`; what is cut ends in a mark."""
    shown = safe(text)
    if look.ascii:
        shown = shown.encode("ascii", "replace").decode()
    return Text(_sized(shown, width, look, align) + after, style=style, no_wrap=True, end="")


def _sized(text: str, width: int, look: Look, align: Align) -> str:
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
