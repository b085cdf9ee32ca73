"""A curve over a numeric axis as lines of text, in braille or ASCII: values in, lines out. Pure.

Measured points are joined by straight lines; a point that failed is a cross on the axis.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from infertui.units import format_number

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Braille bits by column and row of a cell (Unicode chapter 21.1)."""
_BLANK = 0x2800
WIDTH, HEIGHT = 60, 8
_FEWEST = 2


def curve(
    points: Sequence[tuple[float, float]],
    *,
    title: str,
    crosses: Sequence[float] = (),
    marks: Sequence[float] = (),
    text: Callable[[float], str] = format_number,
    axis: str = "",
    width: int = WIDTH,
    height: int = HEIGHT,
    gutter: int = 0,
    ascii_only: bool = False,
) -> list[str]:
    """A chart of `points`, in any order, from zero up; nothing with fewer than two different x.

    `crosses` are the x of what failed, `marks` the x that are pointed at below the axis. `text` writes a value of y,
    `axis` says what x is. The chart is `width` cells wide and `height` rows high, beside its labels,
    which take `gutter` cells at least: charts with equal ones stand exactly below each other.
    """
    ordered = sorted(points)
    everywhere = [x for x, _ in ordered] + list(crosses)
    if len({x for x, _ in ordered}) < _FEWEST:
        return []
    left, right = min(everywhere), max(everywhere)
    top = max(y for _, y in ordered) or 1.0
    columns, rows = (width, height) if ascii_only else (2 * width, 4 * height)

    def place(x: float, y: float) -> tuple[int, int]:
        return round((x - left) / (right - left) * (columns - 1)), round((1 - max(0.0, y) / top) * (rows - 1))

    dots = {dot for one, other in pairwise(ordered) for dot in _line(place(*one), place(*other))}
    ends = {place(*point) for point in ordered}
    drawn = _ascii(dots, ends, width, height) if ascii_only else _braille(dots, width, height)
    labels = {0: text(top), (height - 1) // 2: text(top / 2), height - 1: "0"}
    gutter = max(gutter, *(len(label) for label in labels.values()))
    bar, floor, corner = ("|", "-", "+") if ascii_only else ("│", "─", "└")
    lines = [title, *(f"{labels.get(row, ''):>{gutter}} {bar}{line}".rstrip() for row, line in enumerate(drawn))]
    base = [floor] * width
    for signs, sign in ((marks, "^" if ascii_only else "▲"), (crosses, "x")):
        for x in signs:
            base[_column(x, left, right, width)] = sign
    lines.append(f"{'':>{gutter}} {corner}{''.join(base)}")
    low, high = f"{left:g}", f"{right:g}"
    middle = axis.center(max(0, width - len(low) - len(high)))
    return [*lines, f"{'':>{gutter}}  {low}{middle}{high}".rstrip()]


def _column(x: float, left: float, right: float, width: int) -> int:
    return min(width - 1, max(0, round((x - left) / (right - left) * (width - 1))))


def _line(one: tuple[int, int], other: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots from one to the other, one a step along the longer side."""
    steps = max(abs(other[0] - one[0]), abs(other[1] - one[1]), 1)
    return [
        (one[0] + round((other[0] - one[0]) * step / steps), one[1] + round((other[1] - one[1]) * step / steps))
        for step in range(steps + 1)
    ]


def _braille(dots: set[tuple[int, int]], width: int, height: int) -> list[str]:
    cells = [[_BLANK] * width for _ in range(height)]
    for column, row in dots:
        cells[row // 4][column // 2] |= _DOTS[column % 2][row % 4]
    return ["".join(" " if cell == _BLANK else chr(cell) for cell in row).rstrip() for row in cells]


def _ascii(dots: set[tuple[int, int]], ends: set[tuple[int, int]], width: int, height: int) -> list[str]:
    cells = [[" "] * width for _ in range(height)]
    for column, row in dots:
        cells[row][column] = "."
    for column, row in ends:
        cells[row][column] = "*"
    return ["".join(row).rstrip() for row in cells]
