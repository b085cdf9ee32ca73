"""How many observations it would probably take to tell on which side of a limit a ratio is."""

import math

from infertui.measure.comparison import Ratio
from infertui.measure.dependence import FEWEST
from infertui.measure.statistics import CONFIDENCE
from infertui.measure.student import student_quantile

MOST = 10_000
"""More than these nobody would wait for."""
_POWER = 0.841621
"""The standard normal distribution's 80 % quantile."""


def observations_needed(found: Ratio, limit: float, observations: int) -> int | None:
    """Observations with which the interval would lie on one side of the ratio `limit`, four times in five.

    If ratio and spread stay what they are: the least m with (t(m - 1) + z(0.8)) s / sqrt(m) <= |ln(ratio / limit)|, the
    standard sample size of a mean; s, of the logarithms, follows from the interval's width and the `observations` that
    it rests on. None where there is no interval, or where it would take more than `MOST`.
    """
    interval = found.interval
    if interval is None or observations < FEWEST or min(interval.low, limit) <= 0:
        return None
    half = math.log(interval.high / interval.low) / 2
    spread = half * math.sqrt(observations) / _quantile(observations)
    away = abs(math.log(found.value / limit))
    low, high = max(FEWEST, observations + 1), MOST
    if not _tells(high, spread, away):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _tells(middle, spread, away) else (middle + 1, high)
    return low


def _tells(observations: int, spread: float, away: float) -> bool:
    return (_quantile(observations) + _POWER) * spread / math.sqrt(observations) <= away


def _quantile(observations: int) -> float:
    return student_quantile((1 + CONFIDENCE) / 2, observations - 1)
