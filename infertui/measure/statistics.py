"""Descriptive statistics, what samples support, Student's t distribution, and the interval of a run's ratio."""

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

from msgspec import Struct

from infertui.integers import Whole
from infertui.measure.dependence import certainty, scatter

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


PERCENTILES = (50, 90, 95, 99)
CONFIDENCE = 0.95
Independence = Literal["", "assumed", "examined", "missing"]
"""Of iterations from one another. `missing`: they may depend on one another so much that there is no interval."""


class Interval(Struct, frozen=True):
    """A two-sided confidence interval."""

    low: float
    high: float


class Bounds(Struct, frozen=True):
    """The interval of a ratio, what it or that there is none rests on, and how many observations it was made over.

    These are as many as there were pairs, or fewer where so many are taken together in their order. Without any there
    were too few pairs.
    """

    interval: Interval | None = None
    independence: Independence = ""
    observations: int = 0


class Distribution(Struct, frozen=True):
    """A sample of independent observations.

    `supported` names the percentiles that `n` observations can bound from both sides with 95 % confidence; the
    others are little more than the sample's extreme and are shown as such. `std` is the sample's (n - 1), of static
    batches that of the batches. None is what another program's file did not tell, and so is an `n` of 0; what was
    measured here has it all, but for the deviation of a single value.
    """

    n: Whole
    mean: float | None
    median: float | None
    std: float | None
    minimum: float | None
    maximum: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    supported: tuple[str, ...]


def samples_needed(percentile: float) -> int:
    """Observations from which a two-sided 95 % interval for this percentile (0-100) exists.

    The order statistics bound a quantile q distribution-free; the largest of n observations lies above it with
    probability 1 - q**n, so q**n must not exceed 2.5 % (and likewise at the lower end). That gives 6 for the median,
    36 for p90, 72 for p95 and 368 for p99.
    """
    q = max(percentile, 100 - percentile) / 100
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(q))


def describe(values: Sequence[float], *, independent: int | None = None) -> Distribution | None:
    """Summarise `values`; None when there are none.

    `independent` is the number of independent observations among them where that is fewer: the requests of one
    static batch share their times and count as one.
    """
    if not values:
        return None
    import numpy as np  # here: whoever only shows figures need not pay for it

    sample = np.asarray(values, dtype=float)
    n = len(values) if independent is None else independent
    p50, p90, p95, p99 = (float(p) for p in np.percentile(sample, PERCENTILES))
    return Distribution(
        n=n,
        mean=float(sample.mean()),
        median=p50,
        std=float(sample.std(ddof=1)) if len(values) > 1 else None,
        minimum=float(sample.min()),
        maximum=float(sample.max()),
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        supported=tuple(f"p{p}" for p in PERCENTILES if n >= samples_needed(p)),
    )


def ratio_bounds(
    numerators: Sequence[float], denominators: Sequence[float], stretches: Sequence[Sequence[float]] = ()
) -> Bounds:
    """Student's 95 % interval of sum(numerators) / sum(denominators), on its logarithm.

    With tokens and seconds of each iteration this is the interval of throughput. The standard error is the delta
    method's, wider where iterations depend on one another, which their `stretches` help to see (see `dependence`). None
    below three pairs, where the sums and all denominators are not positive, and where what was measured is worth too
    few independent iterations.
    """
    if not numerators or min(denominators) <= 0:
        return Bounds()
    if not (0 < sum(numerators) < math.inf and sum(denominators) < math.inf):
        return Bounds()
    found = scatter(numerators, denominators, stretches)
    if found is None:
        return Bounds()
    known = certainty([found])
    rests_on: Independence = "assumed" if known.assumed else "examined" if known.enough else "missing"
    interval = None
    if known.enough:
        ratio = sum(numerators) / sum(denominators)
        reach = student_quantile((1 + CONFIDENCE) / 2, known.degrees[0]) * math.sqrt(known.variances[0])
        low, high = ratio * exponential(-reach), ratio * exponential(reach)
        interval = Interval(low, high) if high < math.inf else None
    return Bounds(interval, rests_on, found.count)


def exponential(power: float) -> float:
    """e to the power; infinity where that is too large for a number."""
    try:
        return math.exp(power)
    except OverflowError:
        return math.inf
