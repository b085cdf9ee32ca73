"""Student's t distribution, for any number of degrees of freedom."""

import functools
import math
from statistics import NormalDist

_TINY = 1e-300
_LARGE = 1e6
"""Degrees of freedom from which Student's distribution is the normal one to six digits."""


def two_sided(t: float, degrees: float) -> float:
    """The probability of a value further from 0 than `t`: the regularised incomplete beta I_x(degrees / 2, 1 / 2).

    x is degrees / (degrees + t**2); see the Digital Library of Mathematical Functions, 8.17.
    """
    if degrees >= _LARGE:
        return math.erfc(abs(t) / math.sqrt(2))
    square = t * t
    return _beta(degrees / (degrees + square), square / (degrees + square), degrees / 2, 0.5) if t else 1.0


@functools.lru_cache(maxsize=256)
def student_quantile(probability: float, degrees: float) -> float:
    """The quantile for a probability above one half; `degrees` need not be whole.

    By Newton's method from the normal quantile, which is below: the distribution is concave there, so that no step goes
    too far.
    """
    beyond = 2 * (1 - probability)
    t = NormalDist().inv_cdf(probability)
    scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    for _ in range(100 if degrees < _LARGE else 0):
        density = 2 * math.exp(scale - (degrees + 1) / 2 * math.log1p(t * t / degrees))
        step = (two_sided(t, degrees) - beyond) / density
        t += step
        if abs(step) < 1e-12 * t:
            break
    return t


def _beta(x: float, rest: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction on the side where that converges fast.

    `rest` is 1 - x, of which subtraction would leave no digits where x is nearly 1.
    """
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(rest, x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x or _TINY) + b * math.log(rest or _TINY)
    )
    return front * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d1 / (1 + d2 / (1 + ...))) with the d of DLMF 8.17.22, by Lentz's method."""
    top, bottom, value = 1.0, 0.0, 1.0
    for step in range(1, 20_000):
        m, odd = divmod(step, 2)
        if odd:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        bottom = 1 / ((1 + term * bottom) or _TINY)
        top = (1 + term / top) or _TINY
        value *= top * bottom
        if abs(top * bottom - 1) < 1e-15:
            break
    return 1 / value
