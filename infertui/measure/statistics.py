"""Descriptive statistics, what samples support, and the interval of a run's ratio."""

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from infertui.integers import Whole
from infertui.measure.dependence import Certainty, certainty, scatter
from infertui.measure.student import student_quantile

PERCENTILES = (50, 90, 95, 99)
CONFIDENCE = 0.95
Independence = Literal["", "assumed", "examined", "missing"]
"""Of iterations from one another. `missing`: they may depend on one another so much that there is no interval."""


class Interval(Struct, frozen=True):
    """A two-sided confidence interval."""

    low: float
    high: float


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


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], stretches: Sequence[Sequence[float]] = ()
) -> Interval | None:
    """Student's 95 % interval of sum(numerators) / sum(denominators), on its logarithm.

    With tokens and seconds of each iteration this is the interval of throughput. The standard error is the delta
    method's, wider where iterations depend on one another, which their `stretches` help to see (see `dependence`). None
    below three pairs, where the sums and all denominators are not positive, and where what was measured is worth too
    few independent iterations.
    """
    known = _certainty(numerators, denominators, stretches)
    if known is None or not known.enough:
        return None
    ratio = sum(numerators) / sum(denominators)
    reach = student_quantile((1 + CONFIDENCE) / 2, known.degrees[0]) * math.sqrt(known.variances[0])
    low, high = ratio * exponential(-reach), ratio * exponential(reach)
    return Interval(low, high) if high < math.inf else None


def independence(
    numerators: Sequence[float], denominators: Sequence[float], stretches: Sequence[Sequence[float]] = ()
) -> Independence:
    """What that interval, or that there is none, rests on; empty where there are too few pairs for one."""
    known = _certainty(numerators, denominators, stretches)
    if known is None:
        return ""
    return "assumed" if known.assumed else "examined" if known.enough else "missing"


def _certainty(
    numerators: Sequence[float], denominators: Sequence[float], stretches: Sequence[Sequence[float]]
) -> Certainty | None:
    if not numerators or min(denominators) <= 0:
        return None
    if not (0 < sum(numerators) < math.inf and sum(denominators) < math.inf):
        return None
    found = scatter(numerators, denominators, stretches)
    return None if found is None else certainty([found])


def exponential(power: float) -> float:
    """e to the power; infinity where that is too large for a number."""
    try:
        return math.exp(power)
    except OverflowError:
        return math.inf
