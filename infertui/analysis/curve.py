"""A curve over a numeric axis: where it stops paying, and as lines of text in braille or ASCII. Pure.

Measured points are joined by straight lines; a point that failed is a cross on the axis.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from infertui.axes import Axis, label_start, level_axis, level_ticks, thinned, tick_rows, value_axis

LITTLE = 0.05
"""The gain in throughput that no longer pays, as a share."""
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Braille bits by column and row of a cell (Unicode chapter 21.1)."""
_BLANK = 0x2800
WIDTH, HEIGHT = 60, 8
_TICK_CELLS = 4
_FEWEST, _FEWEST_OF_KNEE = 2, 3


def knee(points: Sequence[tuple[float, float]], less_than: float = LITTLE) -> float | None:
    """The knee of a curve of throughput, which is its point of diminishing returns: the least x to which all larger
    ones together add less than that share. None with fewer than three different x, and where the largest is needed.
    """
    ordered = sorted(points)
    if len({x for x, _ in ordered}) < _FEWEST_OF_KNEE:
        return None
    beyond = 0.0
    found = ordered[-1][0]
    for x, y in reversed(ordered):
        if beyond < (1 + less_than) * y:
            found = x
        beyond = max(beyond, y)
    return found if found < ordered[-1][0] else None


def curve(
    points: Sequence[tuple[float, float]],
    *,
    title: str,
    crosses: Sequence[float] = (),
    marks: Sequence[float] = (),
    axis: str = "",
    width: int = WIDTH,
    height: int = HEIGHT,
    ascii_only: bool = False,
) -> list[str]:
    """A chart of `points`, in any order, from zero up; nothing with fewer than two different x.

    `crosses` are the x of what failed, `marks` the x that are pointed at below the axis, and `axis` says what x is.
    The chart is `width` cells wide and `height` rows high, beside its labels.
    """
    ordered = sorted(point for point in points if all(math.isfinite(value) for value in point))
    everywhere = [x for x, _ in ordered] + [x for x in crosses if math.isfinite(x)]
    if len({x for x, _ in ordered}) < _FEWEST:
        return []
    across, up = level_axis(everywhere), value_axis(0.0, max(y for _, y in ordered), zero=True)
    columns, rows = (width, height) if ascii_only else (2 * width, 4 * height)

    def place(x: float, y: float) -> tuple[int, int]:
        right, top = (min(max(place, 0.0), 1.0) for place in (across.place(x), up.place(y)))
        return round(right * (columns - 1)), round((1 - top) * (rows - 1))

    dots = {dot for one, other in pairwise(ordered) for dot in _line(place(*one), place(*other))}
    ends = {place(*point) for point in ordered}
    drawn = _ascii(dots, ends, width, height) if ascii_only else _braille(dots, width, height)
    labels = tick_rows(up, height)
    gutter = max(len(label) for label in labels.values())
    bar, floor, corner = ("|", "-", "+") if ascii_only else ("│", "─", "└")
    lines = [title, *(f"{labels.get(row, ''):>{gutter}} {bar}{line}".rstrip() for row, line in enumerate(drawn))]
    base = [floor] * width
    for signs, sign in ((marks, "^" if ascii_only else "▲"), (crosses, "x")):
        for x in signs:
            base[min(width - 1, max(0, round(across.place(x) * (width - 1))))] = sign
    lines.append(f"{'':>{gutter}} {corner}{''.join(base)}")
    return [*lines, f"{'':>{gutter}}  {_levels(across, everywhere, width)}{'  ' if axis else ''}{axis}".rstrip()]


def _levels(axis: Axis, levels: Sequence[float], width: int) -> str:
    line = " " * width
    for one in thinned(level_ticks(axis, levels, max(2, width // _TICK_CELLS)), axis, width):
        start = label_start(one, axis, width)
        line = line[:start] + one.label + line[start + len(one.label) :]
    return line


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
