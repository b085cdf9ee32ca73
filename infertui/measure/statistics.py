"""Descriptive statistics, what samples support, and bootstrap intervals."""

import math
from collections.abc import Sequence

from msgspec import Struct

PERCENTILES = (50, 90, 95, 99)
CONFIDENCE = 0.95
RESAMPLES = 4000
NORMAL_FROM = 10_000
Z = 1.959964
"""The standard normal distribution's 97.5 % quantile."""
# Draws held in memory at once: the resamples of a long run are taken a few at a time.
_DRAWS = 1 << 21


class Interval(Struct, frozen=True):
    """A two-sided confidence interval."""

    low: float
    high: float


class Distribution(Struct, frozen=True):
    """A sample of independent observations.

    `supported` names the percentiles that `n` observations can bound from both sides with 95 % confidence; the
    others are little more than the sample's extreme and are shown as such. `std` is the sample's (n - 1). None is what
    another program's file did not tell, and so is an `n` of 0; what was measured here has it all, but for the deviation
    of a single value.
    """

    n: int
    mean: float
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


def bootstrap_ratio(numerators: Sequence[float], denominators: Sequence[float], *, seed: int = 0) -> Interval | None:
    """Percentile bootstrap 95 % interval of sum(numerators) / sum(denominators), resampling pairs.

    With tokens and seconds of each iteration this is the interval of throughput. None below three pairs, from
    which nothing can be said, and where a denominator is not positive. Deterministic for a seed.

    From 10,000 pairs on, the resamples would take minutes and tell what is known: a ratio of sums R is normal, with the
    standard error sqrt(sum (numerator - R denominator)^2) / sum of denominators (the delta method).
    """
    n = len(numerators)
    if n < 3 or min(denominators) <= 0:
        return None
    import numpy as np

    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if n >= NORMAL_FROM:
        ratio = float(top.sum() / bottom.sum())
        reach = Z * float(np.sqrt(np.square(top - ratio * bottom).sum()) / bottom.sum())
        return Interval(ratio - reach, ratio + reach)
    generator = np.random.default_rng(seed)
    ratios = np.empty(RESAMPLES)
    rows = max(1, _DRAWS // n)
    for start in range(0, RESAMPLES, rows):
        picks = generator.integers(0, n, size=(min(rows, RESAMPLES - start), n))
        ratios[start : start + rows] = top[picks].sum(axis=1) / bottom[picks].sum(axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(ratios, (tail, 100 - tail))
    return Interval(float(low), float(high))


def drift(values: Sequence[float]) -> float | None:
    """Relative change of the mean from the first half to the second: 0.02 is 2 % more. None below four values.

    An odd middle value belongs to neither half.
    """
    half = len(values) // 2
    if half < 2:
        return None
    first, second = sum(values[:half]) / half, sum(values[-half:]) / half
    return second / first - 1 if first else None
