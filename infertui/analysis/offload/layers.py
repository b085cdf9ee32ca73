"""Which numbers of layers a study measures: never above those of the model, never one twice."""

from collections.abc import Iterable

from infertui.config.ranges import points
from infertui.errors import ConfigError, UsageError

_MOST = 0.8
"""What `quick` calls most of the layers, as a share."""
_PARTS = 8
FEWEST = 6
"""A study from coarse to fine may measure so many, however few layers there are."""


def quick(most: int) -> tuple[int, ...]:
    """None, half, most and all of the `most` layers that can be on the GPU."""
    return _distinct((0, round(most / 2), round(_MOST * most), most))


def full(most: int) -> tuple[int, ...]:
    """None, about every eighth, and all."""
    return _distinct(round(part * most / _PARTS) for part in range(_PARTS + 1))


def every(most: int) -> tuple[int, ...]:
    """An exhaustive sweep."""
    return tuple(range(most + 1))


def custom(text: str, most: int, *, where: str = "--layers") -> tuple[int, ...]:
    """A list with ranges, as in `0,10,20-40+5`; -1 stands for all, and so does whatever is above them.

    Raises UsageError for what is no list of layers; `where` is what was typed.
    """
    try:
        found = points(text)
    except ConfigError as error:
        raise UsageError(f"{where}: {error.problem}", remedy=f"Allowed: {error.allowed}; -1 for all.") from None
    if wrong := [value for value in found if value != int(value) or value < -1]:
        raise UsageError(
            f"{where}: {wrong[0]:g} is no number of layers", remedy=f"Allowed: 0 to {most}, -1 for all of them."
        )
    return chosen((int(value) for value in found), most)


def chosen(values: Iterable[int], most: int) -> tuple[int, ...]:
    """These of the `most` layers: a negative one stands for all, and so does whatever is above them."""
    return _distinct(most if value < 0 else min(value, most) for value in values)


def budget(most: int) -> int:
    """How many a study from coarse to fine measures at most: a quarter of an exhaustive sweep, or `FEWEST`."""
    return min(most + 1, max(FEWEST, (most + 1) // 4))


def _distinct(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))
