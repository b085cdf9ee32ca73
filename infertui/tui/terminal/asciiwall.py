"""The last wall for terminals that show ASCII alone: whatever else is drawn, by whomever, becomes ASCII."""

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

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
