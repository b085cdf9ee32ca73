"""Runs measured round by round: the ratio within each round, which whatever drifts from round to round leaves alone."""

import math
from collections.abc import Sequence

from infertui.measure.comparison import Ratio, mid_ranks
from infertui.measure.dependence import FEWEST
from infertui.measure.statistics import CONFIDENCE, Interval, exponential
from infertui.measure.student import student_quantile

_EXACT = 50
"""Rounds up to which the rank test counts every outcome."""


def paired(first: Sequence[float], second: Sequence[float]) -> Ratio | None:
    """How many times `first` is `second`, a positive value of each for every round; None without rounds.

    The value is the geometric mean of the rounds' ratios. Its 95 % interval is Student's of the mean of their
    logarithms: mean +- t(n - 1) s / sqrt(n); p is the signed-rank test's. Below three rounds there is neither. Each
    round is one observation, however many iterations its runs have: runs of one process are not independent. None, too,
    for figures so far apart that their ratio is no number.
    Raises ValueError for sides of different lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values are no pairs")
    if not first or min(first) <= 0 or min(second) <= 0:
        return None
    logs = [math.log(other) - math.log(one) for one, other in zip(first, second, strict=True)]
    n = len(logs)
    mean = math.fsum(logs) / n
    half = student_quantile((1 + CONFIDENCE) / 2, n - 1) * spread_of(logs) / math.sqrt(n) if n >= FEWEST else 0.0
    low, value, high = (exponential(end) for end in (mean - half, mean, mean + half))
    if not low > 0 or high == math.inf:
        return None
    return Ratio(value, Interval(low, high), signed_rank(logs)) if n >= FEWEST else Ratio(value)


def geometric_mean(values: Sequence[float]) -> float | None:
    """The value whose ratios are those of `paired`; None without values or where one is not positive."""
    if not values or min(values) <= 0:
        return None
    return exponential(math.fsum(map(math.log, values)) / len(values))


def variation(values: Sequence[float]) -> float | None:
    """By what share repeated runs differ: the standard deviation of their logarithms; None below two."""
    return spread_of([math.log(value) for value in values]) if len(values) > 1 and min(values) > 0 else None


def spread_of(values: Sequence[float]) -> float:
    """The sample standard deviation, with n - 1; of at least two values."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def least_p(rounds: int) -> float:
    """The smallest p that the signed-rank test can give for so many rounds: with 5 of them it is 0.0625."""
    return min(1.0, math.ldexp(2.0, -rounds))


def signed_rank(differences: Sequence[float]) -> float:
    """The two-sided p of Wilcoxon's signed-rank test that differences scatter evenly around 0.

    Differences of 0 are left out (Wilcoxon 1945), equal sizes share their mean rank. Up to 50 differences p is exact
    given those ranks: the share of the 2**n ways to sign them whose sum of positive ranks is as far from the middle.
    Beyond, the normal approximation with corrections for ties and continuity.
    """
    sizes = sorted((abs(value), value > 0) for value in differences if value)
    ranks, ties = mid_ranks([size for size, _ in sizes])
    n = len(ranks)
    if not n:
        return 1.0
    positive = math.fsum(rank for rank, (_, above) in zip(ranks, sizes, strict=True) if above)
    total = n * (n + 1) / 2
    smaller = min(positive, total - positive)
    if n <= _EXACT:
        counts = _counts([round(2 * rank) for rank in ranks])  # doubled, mean ranks are whole
        return min(1.0, math.ldexp(sum(counts[: round(2 * smaller) + 1]), 1 - n))
    variance = n * (n + 1) * (2 * n + 1) / 24 - sum(tie**3 - tie for tie in ties) / 48
    z = max(0.0, total / 2 - smaller - 0.5) / math.sqrt(variance)
    return min(1.0, math.erfc(z / math.sqrt(2)))


def _counts(weights: Sequence[int]) -> list[int]:
    """In how many of the subsets of `weights` the sum takes each value from 0."""
    counts = [1] + [0] * sum(weights)
    for weight in weights:
        for value in range(weight, len(counts))[::-1]:
            counts[value] += counts[value - weight]
    return counts
