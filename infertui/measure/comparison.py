"""Is one sample larger than another, by how much, and how sure is that.

Runs that were measured round by round are compared within each round, which whatever drifts between rounds leaves
alone.
"""

import math
import struct
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from infertui.measure.dependence import FEWEST, certainty, scatter
from infertui.measure.statistics import CONFIDENCE, Interval, exponential, student_quantile

Better = Literal["higher", "lower"]
Bounds: TypeAlias = tuple[float | None, float | None]
"""Both ends of an interval; None where there is none."""
_EXACT = 400
_ROUNDING = 1e-9


class Totals(Struct, frozen=True):
    """A quantity as a ratio of sums, such as tokens over seconds, an entry for each independent observation.

    A mean is the ratio to ones. Numerators and denominators are one for one; denominators are positive. `stretches` are
    the parts of each observation's time, one after the other, where they are known and tell how it came about.
    """

    numerators: tuple[float, ...]
    denominators: tuple[float, ...]
    stretches: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def mean_of(cls, values: Sequence[float], stretches: tuple[tuple[float, ...], ...] = ()) -> "Totals":
        """The mean of single values."""
        return cls(tuple(values), (1.0,) * len(values), stretches)

    @property
    def value(self) -> float:
        """The ratio of the sums; no finite number where these are too large for one."""
        return _total(self.numerators) / _total(self.denominators)

    @property
    def each(self) -> list[float]:
        """The ratio of each observation."""
        return [top / bottom for top, bottom in zip(self.numerators, self.denominators, strict=True)]


class Ratio(Struct, frozen=True):
    """`value` is the second quantity over the first. `p` is a rank test's, two-sided. None: too few observations.

    `correlation` is that of observations with those before them, where it can be seen; where it cannot, the interval
    has `assumed` that there is none.
    """

    value: float
    interval: Interval | None = None
    p: float | None = None
    correlation: float | None = None
    assumed: bool = False

    @property
    def differs(self) -> bool | None:
        """Whether the interval leaves 1 out, by more than arithmetic rounds; None where there is no interval."""
        if self.interval is None:
            return None
        return not self.interval.low - _ROUNDING <= 1 <= self.interval.high + _ROUNDING


def independent_ratio(value: float, base: float, bounds: Bounds, base_bounds: Bounds) -> Ratio | None:
    """`value` over `base`, both above 0, with the interval that follows from those of the two.

    That of the ratio's logarithm reaches to each side as far as the root of the sum of the squares of their half-widths
    (of independent figures). Without both there is no interval; None where there is no ratio.
    """
    ratio = value / base if value > 0 and base > 0 else 0.0
    if not 0 < ratio < math.inf:
        return None
    halves = [_half_width(bounds), _half_width(base_bounds)]
    if halves[0] is None or halves[1] is None:
        return Ratio(ratio)
    reach = math.exp(math.hypot(halves[0], halves[1]))
    return Ratio(ratio, Interval(ratio / reach, ratio * reach))


class Throughput(Protocol):
    """A speed and both ends of its interval; None is not known."""

    @property
    def throughput(self) -> float | None: ...

    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...


def rates_ratio(one: Throughput, base: Throughput) -> Ratio | None:
    """The throughput of one over that of the other, as `independent_ratio`; None where one has none."""
    if one.throughput is None or base.throughput is None:
        return None
    return independent_ratio(one.throughput, base.throughput, (one.low, one.high), (base.low, base.high))


def _half_width(bounds: Bounds) -> float | None:
    """Half the width of an interval, as a logarithm."""
    low, high = bounds
    if low is None or high is None or not 0 < low <= high < math.inf:
        return None
    return math.log(high / low) / 2


def ratio(first: Totals, second: Totals, *, confidence: float = CONFIDENCE) -> Ratio | None:
    """How many times `first` is `second`, with an interval (95 %) and a rank test; None without observations.

    The interval is Welch's of the difference of the logarithms: each side has its own scatter, and where there are
    enough observations to see that they depend on one another, it is wider (see `dependence`). Where they are worth
    too few independent ones there is no interval, and no p either: the rank test takes them as independent.
    None, too, for figures so far apart that their ratio is no number: anybody may have written them into a file.
    """
    if not (_usable(first) and _usable(second)):
        return None
    value = second.value / first.value
    if not 0 < value < math.inf:
        return None
    scatters = [scatter(side.numerators, side.denominators, side.stretches) for side in (first, second)]
    found = [one for one in scatters if one is not None]
    if len(found) < len(scatters):
        return Ratio(value)
    known = certainty(found)
    if not known.enough:
        return Ratio(value, correlation=known.correlation)
    reach = student_quantile((1 + confidence) / 2, known.welch) * math.sqrt(sum(known.variances))
    low, high = value * exponential(-reach), value * exponential(reach)
    if not high < math.inf:
        return None
    return Ratio(value, Interval(low, high), rank_test(first.each, second.each), known.correlation, known.assumed)


def _usable(totals: Totals) -> bool:
    """Whether there is a ratio of sums, and it is positive."""
    return bool(totals.numerators) and min(totals.denominators) > 0 and 0 < totals.value < math.inf


def _total(values: Sequence[float]) -> float:
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf


def rank_test(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p of the Wilcoxon-Mann-Whitney test that neither sample tends to be larger.

    Up to 400 pairs of values p is exact given their ranks, also with ties: twice the smaller share of the ways to deal
    the ranks whose sum is as far to one side. Beyond, the normal approximation with corrections for ties and
    continuity.
    """
    if len(first) > len(second):
        first, second = second, first
    m, n = len(first), len(second)
    pooled = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks, ties = mid_ranks([value for value, _ in pooled])
    total = math.fsum(rank for rank, (_, side) in zip(ranks, pooled, strict=True) if side == 0)
    if m * n <= _EXACT:
        counts = _ways([round(2 * rank) for rank in ranks], m)  # doubled, mean ranks are whole
        at, every = round(2 * total), sum(counts)
        return min(1.0, 2 * min(sum(counts[: at + 1]), sum(counts[at:])) / every)
    u = total - m * (m + 1) / 2
    u = min(u, m * n - u)
    size = m + n
    variance = m * n / 12 * (size + 1 - sum(tie**3 - tie for tie in ties) / (size * (size - 1)))
    if variance <= 0:
        return 1.0
    z = max(0.0, m * n / 2 - u - 0.5) / math.sqrt(variance)
    return min(1.0, math.erfc(z / math.sqrt(2)))


def mid_ranks(ordered: Sequence[float]) -> tuple[list[float], list[int]]:
    """Mid-ranks from 1 of sorted values, and the sizes of groups of equal ones."""
    ranks: list[float] = []
    ties: list[int] = []
    start = 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and ordered[end] == ordered[start]:
            end += 1
        ranks += [(start + 1 + end) / 2] * (end - start)
        if end - start > 1:
            ties.append(end - start)
        start = end
    return ranks, ties


def _ways(weights: Sequence[int], chosen: int) -> Sequence[int]:
    """In how many ways so many of the `weights` make each sum, from 0 to that of all.

    A whole number holds a row of them, 64 bits a sum, which is enough: of at most 400 pairs there are no more than the
    1.4e11 ways to deal 20 of 40.
    """
    rows = [1] + [0] * chosen
    for number, weight in enumerate(weights, start=1):
        for taken in range(min(number, chosen), 0, -1):
            rows[taken] += rows[taken - 1] << (64 * weight)
    sums = sum(weights) + 1
    return struct.unpack(f"<{sums}Q", rows[chosen].to_bytes(8 * sums, "little"))


_EXACT_PAIRS = 50
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
    if n <= _EXACT_PAIRS:
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
