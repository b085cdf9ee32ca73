"""Is one sample larger than another, by how much, and how sure is that."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from infertui.measure.statistics import CONFIDENCE, RESAMPLES, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Better = Literal["higher", "lower"]
FEWEST = 3
"""Observations on each side from which an interval is worth telling."""
_EXACT = 400
_ROUNDING = 1e-9
# Draws held in memory at once.
_DRAWS = 1 << 20


class Totals(Struct, frozen=True):
    """A quantity as a ratio of sums, such as tokens over seconds, an entry for each independent observation.

    A mean is the ratio to ones. Numerators and denominators are one for one; denominators are positive.
    """

    numerators: tuple[float, ...]
    denominators: tuple[float, ...]

    @classmethod
    def mean_of(cls, values: Sequence[float]) -> "Totals":
        """The mean of single values."""
        return cls(tuple(values), (1.0,) * len(values))

    @property
    def value(self) -> float:
        """The ratio of the sums; no finite number where these are too large for one."""
        return _total(self.numerators) / _total(self.denominators)

    @property
    def each(self) -> list[float]:
        """The ratio of each observation."""
        return [top / bottom for top, bottom in zip(self.numerators, self.denominators, strict=True)]


class Ratio(Struct, frozen=True):
    """`value` is the second quantity over the first. `p` is a rank test's, two-sided. None: too few observations."""

    value: float
    interval: Interval | None = None
    p: float | None = None

    @property
    def differs(self) -> bool | None:
        """Whether the interval leaves 1 out, by more than arithmetic rounds; None where there is no interval."""
        if self.interval is None:
            return None
        return not self.interval.low - _ROUNDING <= 1 <= self.interval.high + _ROUNDING


def ratio(first: Totals, second: Totals, *, seed: int = 0) -> Ratio | None:
    """How many times `first` is `second`, with a bootstrap 95 % interval and a rank test; None without observations.

    Each side is resampled by itself, by whole observations, and the percentiles of the ratio's logarithm are widened
    from normal to Student's quantile with the fewer observations' degrees of freedom: with a handful of iterations
    the plain percentile interval is too narrow (Hesterberg 2015, What Teachers Should Know About the Bootstrap, 4.3).
    None, too, for figures so far apart that their ratio is no number: anybody may have written them into a file.
    """
    if not (_usable(first) and _usable(second)):
        return None
    value = second.value / first.value
    if not 0 < value < math.inf:
        return None
    fewest = min(len(first.numerators), len(second.numerators))
    if fewest < FEWEST:
        return Ratio(value)
    import numpy as np

    generator = np.random.default_rng(seed)
    drawn = _resampled(first, generator), _resampled(second, generator)
    if min(drawn[0].min(), drawn[1].min()) <= 0:
        return Ratio(value)
    logs = np.log(drawn[1]) - np.log(drawn[0])
    low, high = (exponential(float(end)) for end in np.percentile(logs, [100 * tail for tail in _tails(fewest)]))
    return Ratio(value, Interval(low, high), rank_test(first.each, second.each)) if high < math.inf else None


def _usable(totals: Totals) -> bool:
    """Whether there is a ratio of sums, and it is positive."""
    return bool(totals.numerators) and min(totals.denominators) > 0 and 0 < totals.value < math.inf


def _total(values: Sequence[float]) -> float:
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf


def exponential(power: float) -> float:
    """e to the power; infinity where that is too large for a number."""
    try:
        return math.exp(power)
    except OverflowError:
        return math.inf


def rank_test(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p of the Wilcoxon-Mann-Whitney test that neither sample tends to be larger.

    Exact for small samples without ties (the distribution of U by its recursion), else by the normal approximation
    with corrections for ties and continuity.
    """
    m, n = len(first), len(second)
    pooled = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks, ties = mid_ranks([value for value, _ in pooled])
    total = math.fsum(rank for rank, (_, side) in zip(ranks, pooled, strict=True) if side == 0)
    u = total - m * (m + 1) / 2
    u = min(u, m * n - u)
    if not ties and m * n <= _EXACT:
        counts = _counts_of_u(m, n)
        return min(1.0, 2 * sum(counts[: int(u) + 1]) / sum(counts))
    size = m + n
    variance = m * n / 12 * (size + 1 - sum(tie**3 - tie for tie in ties) / (size * (size - 1)))
    if variance <= 0:
        return 1.0
    z = max(0.0, m * n / 2 - u - 0.5) / math.sqrt(variance)
    return min(1.0, math.erfc(z / math.sqrt(2)))


def _resampled(totals: Totals, generator: "np.random.Generator") -> "Floats":
    import numpy as np

    top, bottom = np.asarray(totals.numerators, dtype=float), np.asarray(totals.denominators, dtype=float)
    found = np.empty(RESAMPLES)
    rows = max(1, _DRAWS // len(top))
    for start in range(0, RESAMPLES, rows):
        picks = generator.integers(0, len(top), size=(min(rows, RESAMPLES - start), len(top)))
        found[start : start + rows] = top[picks].sum(axis=1) / bottom[picks].sum(axis=1)
    return found


def _tails(n: int) -> tuple[float, float]:
    """The probabilities at which to read the bootstrap distribution for `n` observations.

    Phi(-sqrt(n / (n - 1)) * t), with Student's t quantile of n - 1 degrees of freedom: wider than 2.5 % and 97.5 %.
    """
    stretched = math.sqrt(n / (n - 1)) * student_quantile((1 + CONFIDENCE) / 2, n - 1)
    tail = math.erfc(stretched / math.sqrt(2)) / 2
    return tail, 1 - tail


def student_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t distribution, for probabilities above one half, by bisecting its distribution."""
    low, high = 0.0, 1000.0
    for _ in range(100):
        middle = (low + high) / 2
        if _student_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_cdf(t: float, degrees: int) -> float:
    """P(T <= t) for t >= 0 and whole degrees of freedom, by the finite series of Abramowitz and Stegun 26.7.3-4."""
    angle = math.atan2(t, math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = 0.0 if degrees == 1 else term
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    central = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return (1 + central) / 2


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


def _counts_of_u(m: int, n: int) -> list[int]:
    """In how many of the orders of m and n values U takes each value from 0 to m * n: a Gaussian binomial."""
    counts = [1] + [0] * (m * n)
    for k in range(1, m + 1):
        for u in range(n + k, m * n + 1)[::-1]:
            counts[u] -= counts[u - n - k]
        for u in range(k, m * n + 1):
            counts[u] += counts[u - k]
    return counts
