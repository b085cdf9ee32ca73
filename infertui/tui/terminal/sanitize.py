"""Foreign text on the screen: three walls, of which the last is a filter over everything that is drawn.

`safe` and `plain` are for whoever shows foreign text. They go further than `text.clean`: a character whose
width terminals disagree about would shift the frame to its right, so only such characters pass as Textual and every
terminal measure alike. `ControlFilter` is installed in the application for whatever was forgotten.

The last wall for terminals that show ASCII alone: whatever else is drawn, by whomever, becomes ASCII.
"""

import unicodedata

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.text import Text
from textual.color import Color
from textual.filter import LineFilter

from infertui.text import clean

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MARKS_PER_LETTER = 2
"""More combining marks than any living script needs are a flood over the lines above and below."""

_REGIONAL_A, _REGIONAL_Z = 0x1F1E6, 0x1F1FF
_SKIN_TONES = range(0x1F3FB, 0x1F400)
# Letters without a shape of their own: measured 0, 1 or 2 cells, depending on whom you ask.
_FILLERS_AND_JAMO = (range(0x115F, 0x1200), range(0xD7B0, 0xD800), range(0x3164, 0x3165), range(0xFFA0, 0xFFA1))
ONE_CELL = frozenset(
    map(
        chr,
        (*range(0x20, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x300), *range(0x370, 0x378), *range(0x391, 0x3A2),
         *range(0x3A3, 0x483), *range(0x2010, 0x2028), *range(0x2190, 0x2200), *range(0x2200, 0x231A),
         *range(0x2500, 0x25FD), *range(0x2800, 0x2900)),
    )
)  # fmt: skip
"""What nearly all text consists of, our own frames and charts included."""


class _Shown(dict[str, str]):
    """What stands on the screen for a character, worked out the first time that it is seen."""

    def __missing__(self, character: str) -> str:
        shown = self[character] = _shown(character)
        return shown


def _shown(character: str) -> str:
    code, category = ord(character), unicodedata.category(character)
    if _REGIONAL_A <= code <= _REGIONAL_Z:
        return chr(ord("A") + code - _REGIONAL_A)
    if code in _SKIN_TONES or category in ("Cf", "Me") or _is_variation_selector(code):
        return ""
    if category == "Zs":
        return " " * max(1, cell_len(character))
    if category[0] == "C" or category in ("Zl", "Zp") or any(code in span for span in _FILLERS_AND_JAMO):
        return REPLACEMENT
    if category[0] == "M":
        return character if cell_len(character) == 0 else REPLACEMENT
    width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return character if cell_len(character) == width else REPLACEMENT


def _is_variation_selector(code: int) -> bool:
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or 0x180B <= code <= 0x180F


_SHOWN = _Shown()


def steady(text: str) -> str:
    """`text` with only such characters as every terminal gives the same width.

    Joined emoji come apart, flags become their two letters, invisible characters go, floods of combining marks end
    after two, and what is left over is shown as the replacement character.
    """
    if text.isascii() and text.isprintable():
        return text
    if ONE_CELL.issuperset(text):
        return text
    shown = _SHOWN
    kept: list[str] = []
    marks = MARKS_PER_LETTER
    for character in unicodedata.normalize("NFC", text):
        if unicodedata.category(character)[0] == "M":
            # A mark without a letter of its own would stand on whatever is left of it: the frame, for one.
            if marks < MARKS_PER_LETTER:
                kept.append(shown[character])
            marks += 1
            continue
        after = shown[character]
        if after:
            marks = 0
        kept.append(after)
    # Once more: letter and mark may have come together.
    return unicodedata.normalize("NFC", "".join(kept))


def safe(text: str) -> str:
    """Foreign text as one line that can stand anywhere on the screen. It may still hold markup: never parse it."""
    return steady(clean(text))


def plain(text: str, style: str = "") -> Text:
    """Foreign text as rich Text: one line, no markup, `style` on all of it."""
    return Text(safe(text), style=style, no_wrap=True, end="")


class ControlFilter(LineFilter):
    """The last wall: nothing that is drawn holds a control character, or a character of doubtful width.

    The width that was measured before stays, so that a line with a hostile widget on it keeps its frame.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments, their text made harmless."""
        known = ONE_CELL
        return [
            segment if known.issuperset(segment.text) else Segment(_fitted(segment.text), segment.style, None)
            for segment in segments
        ]


def _fitted(text: str) -> str:
    # Whole sequences go first: what is left of one without its ESC would be noise.
    harmless = safe(text)
    return harmless if harmless == text else set_cell_size(harmless, cell_len(text))


_GROUPS = {
    "~": "…", "x": "×✗", "o": "○", "-": "·─━", "*": "●", ">": "▸▶→", "v": "▾▼↓", "^": "▴▲↑", "<": "◀←",
    "#": "█▌▐▓▒", ".": "░", "|": "│┃", ":": "┆┊", "+": "±✓╭╮╰╯┌┐└┘├┤┬┴┼┏┓┗┛",
}  # fmt: skip
_LIKE = {letter: sign for sign, letters in _GROUPS.items() for letter in letters}


class AsciiWall(LineFilter):
    """Replaces every other character by one that resembles it, or by `?`, cell for cell."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same cells in ASCII."""
        return [
            segment if segment.text.isascii() else Segment(in_ascii(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def in_ascii(text: str) -> str:
    """`text` in as many cells."""
    return "".join(letter if letter.isascii() else _LIKE.get(letter) or "?" * cell_len(letter) for letter in text)
