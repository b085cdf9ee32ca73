"""How a high percentile of the gaps differs between two runs, by whole batches of them."""

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from infertui.measure.comparison import Ratio
from infertui.measure.dependence import SEEN_FROM, Scatter, certainty, scatter
from infertui.measure.itl import MOST_BUCKET, bucket_bounds, bucket_seconds
from infertui.measure.statistics import CONFIDENCE, Interval, exponential, samples_needed, student_quantile


class GapCounts(Struct, frozen=True, gc=False):
    """The gaps of one observation: how many are in which bucket of the histogram, and their extremes in seconds."""

    histogram: dict[int, int]
    minimum: float
    maximum: float

    @property
    def usable(self) -> bool:
        """Whether it can be one that was measured: anybody may have written it into a file."""
        counted = all(0 <= bucket <= MOST_BUCKET and 0 < count < 2**48 for bucket, count in self.histogram.items())
        return counted and bool(self.histogram) and 0 <= self.minimum <= self.maximum < math.inf


def counts_together(parts: Iterable[GapCounts]) -> GapCounts:
    """Of several observations, at least one."""
    parts = list(parts)
    total: Counter[int] = Counter()
    for part in parts:
        total.update(part.histogram)
    return GapCounts(dict(total), min(part.minimum for part in parts), max(part.maximum for part in parts))


def tail_interval(
    first: Sequence[GapCounts], second: Sequence[GapCounts], value: float, percent: float
) -> Interval | None:
    """The 95 % interval of the ratio of the second run's percentile to the first's, around the `value` measured.

    For each run the share of gaps beyond its percentile is a ratio of sums over batches, and so has an interval like
    others, on its logarithm; the gaps beyond which its ends lie bound the percentile (Woodruff 1952, Korn and Graubard
    1999), by the bounds of their buckets. The two are put together by the distances of their ends (Zou and Donner
    2008). None where the gaps of a run are worth fewer independent ones than it takes to bound the percentile, and
    below ten batches, which may by chance be alike.
    """
    sides = [_Side(side, percent) for side in (first, second) if side]
    scatters = [one.scatter for one in sides if one.scatter is not None]
    if len(scatters) < 2 or min(len(first), len(second)) < SEEN_FROM:
        return None
    known = certainty(scatters)
    ends: list[tuple[float, float]] = []
    for side, variance, degrees in zip(sides, known.variances, known.degrees, strict=True):
        at_least = max(variance, side.independent)
        reach = student_quantile((1 + CONFIDENCE) / 2, degrees) * math.sqrt(at_least)
        bounds = side.bounds(reach) if side.worth(at_least) >= samples_needed(percent) else None
        if bounds is None or not known.enough:
            return None
        ends.append(bounds)
    low = math.hypot(ends[1][0], ends[0][1])
    high = math.hypot(ends[1][1], ends[0][0])
    return Interval(value * exponential(-low), value * exponential(high))


def percentile_bounds(
    parts: Sequence[GapCounts], value: float | None, percent: float
) -> tuple[float | None, Interval | None]:
    """A percentile of the gaps of one run, `value` or else as the histogram has it, with its 95 % interval.

    Made as those of `tail_interval`; there is none where that has none.
    """
    if not parts:
        return value, None
    side = _Side(parts, percent)
    value = side.percentile if value is None else value
    if side.scatter is None:
        return value, None
    known = certainty([side.scatter])
    at_least = max(known.variances[0], side.independent)
    if not known.enough or side.worth(at_least) < samples_needed(percent):
        return value, None
    reach = student_quantile((1 + CONFIDENCE) / 2, known.degrees[0]) * math.sqrt(at_least)
    bounds = side.bounds(reach)
    if bounds is None:
        return value, None
    return value, Interval(value * exponential(-bounds[0]), value * exponential(bounds[1]))


class _Side:
    """One run: its pooled gaps, its percentile, and how the share beyond it varies from batch to batch."""

    def __init__(self, parts: Sequence[GapCounts], percent: float) -> None:
        pooled = counts_together(parts)
        self._low, self._high = pooled.minimum, pooled.maximum
        self._buckets = sorted(pooled.histogram)
        self._ends = list(itertools.accumulate(pooled.histogram[bucket] for bucket in self._buckets))
        self._beyond = 1 - percent / 100
        at = self._at(self._beyond)
        bucket = self._buckets[at]
        partly = (self._ends[at] - (1 - self._beyond) * self._ends[-1]) / pooled.histogram[bucket]
        self._bucket = bucket
        self.scatter: Scatter | None = scatter(
            [_beyond(part.histogram, bucket, partly) for part in parts],
            [sum(part.histogram.values()) for part in parts],
        )

    @property
    def percentile(self) -> float:
        """The middle of its bucket, within the extremes, in seconds."""
        return min(max(bucket_seconds(self._bucket), self._low), self._high)

    @property
    def independent(self) -> float:
        """The variance of the share of gaps beyond if all were independent: batches that are alike know no less."""
        return (1 - self._beyond) / self._beyond / self._ends[-1]

    def worth(self, variance: float) -> float:
        """So many independent gaps would vary as much in the share of those beyond."""
        return self._ends[-1] * self.independent / variance

    def bounds(self, reach: float) -> tuple[float, float] | None:
        """How far the percentile may be below and above, as differences of logarithms; None where it has no bound."""
        fewest, most = self._beyond * math.exp(-reach), self._beyond * math.exp(reach)
        if fewest * self._ends[-1] < 1 or most >= 1:
            return None
        least = max(bucket_bounds(self._buckets[self._at(most)])[0], self._low)
        largest = min(bucket_bounds(self._buckets[self._at(fewest)])[1], self._high)
        below, above = (min(max(end, self._low), self._high) for end in bucket_bounds(self._bucket))
        middle = math.sqrt(below * above)
        if not 0 < least <= middle <= largest:
            return None
        return math.log(middle / least), math.log(largest / middle)

    def _at(self, beyond: float) -> int:
        """Which bucket holds the gap that so large a share is beyond."""
        return min(bisect.bisect_left(self._ends, (1 - beyond) * self._ends[-1]), len(self._ends) - 1)


def _beyond(histogram: Mapping[int, int], bucket: int, partly: float) -> float:
    """How many gaps are in higher buckets, and that share of those in the bucket itself."""
    return sum(count for at, count in histogram.items() if at > bucket) + partly * histogram.get(bucket, 0)


def tail_ratio(
    first: Sequence[GapCounts], second: Sequence[GapCounts], values: tuple[float, float], percent: float
) -> Ratio | None:
    """The ratio of two runs' percentiles, which are `values`; None where that is no number."""
    if min(values) <= 0 or not 0 < (value := values[1] / values[0]) < math.inf:
        return None
    return Ratio(value, tail_interval(first, second, value, percent))
