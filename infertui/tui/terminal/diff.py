"""Writes only those cells to the terminal that differ from what stands there.

Textual writes a widget's line whole when one cell of it changed, each piece with all its colours and a reset. This
keeps what was last written, cell by cell, and sends the runs that differ with the colours that change from one run to
the next. An application wraps its updates in `App._display`:

    def _display(self, screen, renderable):
        super()._display(screen, self.saver.wrap(renderable, self.size))

and calls `forget` whenever something else may have written to the terminal: after a suspension, when output was
dropped, on the user's wish. It leans on the compositor's update classes of Textual 8; what it does not know it lets
pass as it is.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Size
from textual.strip import Strip

from infertui.tui.terminal.sanitize import ONE_CELL

BRIDGE = 4
"""Unchanged cells between two runs that are cheaper to write than to jump over."""

Pen = tuple[str, str, str]
"""SGR parameters of attributes, foreground and background; empty: the terminal's own."""
Cell = tuple[str, Pen]
"""What stands in a cell, and how. The second cell of a wide character holds ''."""

_PLAIN: Pen = ("", "", "")
_ATTRIBUTES = (
    ("bold", "1"), ("dim", "2"), ("italic", "3"), ("underline", "4"), ("blink", "5"), ("reverse", "7"),
    ("conceal", "8"), ("strike", "9"),
)  # fmt: skip


@lru_cache(maxsize=4096)
def _pen(style: Style | None, system: str | None) -> Pen:
    """How `style` is asked for. Links are left out: none of ours, and foreign ones are hostile."""
    if style is None or system is None:
        return _PLAIN
    colours = ColorSystem[_SYSTEMS[system]]
    front, back = (
        ";".join(colour.downgrade(colours).get_ansi_codes(foreground)) if colour and not colour.is_default else ""
        for colour, foreground in ((style.color, True), (style.bgcolor, False))
    )
    return ";".join(code for name, code in _ATTRIBUTES if getattr(style, name)), front, back


_SYSTEMS = {"standard": "STANDARD", "256": "EIGHT_BIT", "truecolor": "TRUECOLOR", "windows": "WINDOWS"}


@lru_cache(maxsize=4096)
def _switch(before: Pen, after: Pen) -> str:
    """The shortest code that leads from one pen to the other."""
    if before == after:
        return ""
    if before[0] != after[0]:
        return (
            f"\x1b[{';'.join(part for part in ('0' if any(before) else '', *after) if part)}m"
            if any(after)
            else "\x1b[m"
        )
    parts = [
        now or default for was, now, default in zip(before[1:], after[1:], ("39", "49"), strict=True) if was != now
    ]
    return f"\x1b[{';'.join(parts)}m"


def _cells(strip: Strip, system: str | None) -> list[Cell]:
    cells: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        pen = _pen(style, system)
        if ONE_CELL.issuperset(text):
            cells += [(character, pen) for character in text]
            continue
        for character in text:
            width = cell_len(character)
            if width:
                cells += [(character, pen), *([("", pen)] * (width - 1))]
            elif cells:
                # A combining mark belongs to the letter before it, which may be a wide one.
                at = -1 if cells[-1][0] or len(cells) == 1 else -2
                cells[at] = (cells[at][0] + character, cells[at][1])
    return cells


class ScreenDiff:
    """What stands on the terminal, as far as it is known."""

    def __init__(self) -> None:
        self._size = Size(0, 0)
        self._lines: list[list[Cell | None]] = []

    def forget(self) -> None:
        """Whatever stands on the terminal now is unknown: the next update writes all that it covers."""
        self._size = Size(0, 0)

    def wrap(self, renderable: Any, size: Size) -> Any:
        """An update that writes less and shows the same; anything that is not a known update is returned as it is."""
        if isinstance(renderable, (LayoutUpdate, ChopsUpdate)):
            return _Saved(self, renderable, size)
        if renderable is not None:
            self.forget()
        return renderable

    def difference(self, pieces: Iterable[tuple[int, int, Strip]], size: Size, system: str | None) -> str:
        """The sequence that puts `pieces` (row, column, strip) onto the terminal, which then is known to show them."""
        if size != self._size:
            self._size = size
            self._lines = [[None] * size.width for _ in range(size.height)]
        before: dict[int, list[Cell | None]] = {}
        for row, column, strip in pieces:
            if 0 <= row < size.height and 0 <= column < size.width:
                now = _cells(strip, system)[: size.width - column]
                line = self._lines[row]
                if line[column : column + len(now)] != now:
                    before.setdefault(row, line.copy())
                    line[column : column + len(now)] = now
        # By pen, as changing colours costs more than moving.
        written: dict[Pen, list[str]] = {}
        for row, old in before.items():
            for start, end in _runs(old, self._lines[row]):
                _write(self._lines[row], row, start, end, written)
        parts: list[str] = []
        pen = _PLAIN
        for its, texts in written.items():
            parts += (_switch(pen, its), *texts)
            pen = its
        return "".join((*parts, "" if pen == _PLAIN else "\x1b[m"))


def _write(line: list[Cell | None], row: int, start: int, end: int, written: dict[Pen, list[str]]) -> None:
    """Add the cells of a stretch to the texts of their pens, each text with the place where it begins."""
    sure, before = False, None
    for at in range(start, end):
        cell = line[at]
        if cell is None:  # never written: it stays as it is
            before = None
            continue
        text, pen = cell
        if not text:
            continue
        out = written.setdefault(pen, [])
        # Terminals may disagree with us about a character's width: never let that shift the rest.
        if pen != before or (not sure and text in ONE_CELL):
            out.append(f"\x1b[{row + 1};{at + 1}H")
        sure, before = text in ONE_CELL, pen
        out.append(text)


def _runs(before: list[Cell | None], now: list[Cell | None]) -> Iterator[tuple[int, int]]:
    """Stretches that differ, short bridges between them included, wide characters never cut."""
    start = end = -1
    for at, (old, new) in enumerate(zip(before, now, strict=True)):
        if old == new:
            continue
        if start >= 0 and at - end > BRIDGE:
            yield start, end
            start = -1
        if start < 0:
            start = at
            while start and _is_second_half(now[start]):
                start -= 1
        end = at + 1
        while end < len(now) and _is_second_half(now[end]):
            end += 1
    if start >= 0:
        yield start, end


def _is_second_half(cell: Cell | None) -> bool:
    return cell is not None and not cell[0]


class _Saved(CompositorUpdate):
    """An update of the compositor, written as its difference from what stands there."""

    def __init__(self, saver: ScreenDiff, update: LayoutUpdate | ChopsUpdate, size: Size) -> None:
        self._saver = saver
        self._update = update
        self._size = size

    def render_segments(self, console: Console) -> str:
        """The difference, and from then on the saver counts it as written."""
        update = self._update
        pieces = _of_layout(update) if isinstance(update, LayoutUpdate) else _of_chops(update)
        return self._saver.difference(pieces, self._size, console.color_system)


def _of_layout(update: LayoutUpdate) -> Iterator[tuple[int, int, Strip]]:
    for row, strips in enumerate(update.strips, update.region.y):
        column = update.region.x
        for strip in strips:
            yield row, column, strip
            column += strip.cell_length


def _of_chops(update: ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    for row, first, last in update.spans:
        for end, (column, strip) in zip(update.chop_ends[row], update.chops[row].items(), strict=False):
            if strip is not None and column <= last and end > first:
                yield row, column, strip if end <= last else strip.crop(0, min(end, last) - column)
