"""The ratio of two figures of which each has an interval of its own. Pure, and imports next to nothing."""

import math
from typing import TypeAlias

from infertui.measure.comparison import Ratio
from infertui.measure.statistics import Interval

Bounds: TypeAlias = tuple[float | None, float | None]
"""Both ends of an interval; None where there is none."""


def independent_ratio(value: float, base: float, bounds: Bounds, base_bounds: Bounds) -> Ratio | None:
    """`value` over `base`, both above 0, with the interval that follows from those of the two.

    That of the ratio's logarithm reaches to each side as far as the root of the sum of the squares of their half-widths
    (of independent figures). Without both there is no interval; None where there is no ratio.
    """
    ratio = value / base if value > 0 and base > 0 else 0.0
    if not 0 < ratio < math.inf:
        return None
    halves = [_half(bounds), _half(base_bounds)]
    if halves[0] is None or halves[1] is None:
        return Ratio(ratio)
    reach = math.exp(math.hypot(halves[0], halves[1]))
    return Ratio(ratio, Interval(ratio / reach, ratio * reach))


def _half(bounds: Bounds) -> float | None:
    """Half the width of an interval, as a logarithm."""
    low, high = bounds
    if low is None or high is None or not 0 < low <= high < math.inf:
        return None
    return math.log(high / low) / 2
