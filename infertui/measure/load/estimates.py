"""Intervals for what was seen under load, where requests one after the other depend on one another.

What was seen is taken together in blocks, in its order; how much these depend on one another is found out as for the
iterations of other runs, see `measure.dependence`.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from infertui.measure.dependence import certainty, scatter
from infertui.measure.itl import Gaps, merge_gaps
from infertui.measure.records import Request
from infertui.measure.statistics import (
    CONFIDENCE,
    PERCENTILES,
    Distribution,
    Interval,
    describe,
    ratio_bounds,
    samples_needed,
    student_quantile,
)
from infertui.measure.tails import GapCounts, percentile_bounds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

BLOCKS = 12
"""At most; where there are fewer observations each is one. More blocks are shorter, and so depend on one another more
than can be seen in them; fewer do not show whether they do."""

_ROUNDING = 1e-9


def blocks_of(values: "Floats") -> "tuple[list[float], list[float]]":
    """Sums and counts of values in a row, in blocks of equally many as nearly as can be."""
    import numpy as np

    edges = np.linspace(0, len(values), min(BLOCKS, len(values)) + 1).astype(int)[:-1]
    if not len(edges):
        return [], []
    counts = np.diff(np.append(edges, len(values)))
    return np.add.reduceat(values, edges).tolist(), counts.astype(float).tolist()


def mean_interval(values: "Floats") -> Interval | None:
    """Of the mean of positive values, in the order of time."""
    return ratio_bounds(*blocks_of(values)).interval


def effective(seen: "Flags") -> tuple[float, bool]:
    """As how many independent observations flags in a row count for the share of those that are set.

    And whether enough is known of how they depend on one another.
    """
    n, share = len(seen), float(seen.mean()) if len(seen) else 0.0
    found = scatter(*blocks_of(seen.astype(float))) if 0 < share < 1 else None
    if found is None:
        return float(n), True
    known = certainty([found])
    independent = (1 - share) / share / n
    worth = n * min(1.0, independent / known.variances[0]) if known.variances[0] else float(n)
    return worth, known.enough


def share_of(flags: "Flags") -> float | None:
    """Of those that are set; None of none."""
    return float(flags.mean()) if len(flags) else None


def share_interval(seen: "Flags") -> Interval | None:
    """Wilson's (1927) of the share of flags that are set, for as many independent ones as they are worth."""
    n, _ = effective(seen)
    return wilson(float(seen.mean()), n, len(seen)) if n >= 1 else None


def wilson(share: float, n: float, seen: float | None = None) -> Interval:
    """The interval of a share of `n` independent observations, of which `seen` in blocks say how many they are."""
    blocks = min(BLOCKS, n if seen is None else seen)
    score = student_quantile((1 + CONFIDENCE) / 2, max(blocks - 1, 1)) if seen is not None and n < seen else 1.959964
    within = score * score / n
    middle = (share + within / 2) / (1 + within)
    reach = score / (1 + within) * math.sqrt(share * (1 - share) / n + within / n / 4)
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


def percentile_interval(values: "Floats", percent: float) -> Interval | None:
    """Of a percentile of values in the order of time, by the interval of the share beyond it (Woodruff 1952).

    None where they are worth fewer independent ones than it takes to bound it.
    """
    import numpy as np

    if len(values) < samples_needed(percent):
        return None
    # Times that differ by how they are rounded alone are alike.
    beyond = values > float(np.percentile(values, percent)) * (1 + _ROUNDING)
    n, known = effective(beyond)
    if not known or n < samples_needed(percent):
        return None
    outside = wilson(1 - percent / 100, n, len(values))
    ordered = np.sort(values)
    last = len(ordered) - 1
    low = max(0, math.floor((1 - outside.high) * len(ordered)) - 1)
    high = min(last, math.ceil((1 - outside.low) * len(ordered)))
    return Interval(float(ordered[low]), float(ordered[high]))


def distribution(values: "Floats") -> tuple[Distribution | None, dict[str, Interval]]:
    """Of values in the order of time, with the intervals of its mean and of what percentiles are supported."""
    values = values[~(values != values)]
    whole = describe(values.tolist())
    if whole is None:
        return None, {}
    intervals = {"mean": _around(mean_interval(values), whole.mean)} | {
        f"p{each}": percentile_interval(values, each) for each in PERCENTILES
    }
    known = {name: interval for name, interval in intervals.items() if interval is not None}
    supported = tuple(name for name in known if name != "mean")
    return msgspec.structs.replace(whole, supported=supported), known


def _around(interval: Interval | None, value: float | None) -> Interval | None:
    """With the value inside that it is of, from which it may differ in the last digits."""
    if interval is None or value is None:
        return interval
    return Interval(min(interval.low, value), max(interval.high, value))


def spread_over(starts: "Floats", ends: "Floats", masses: "Floats", edges: "Floats") -> "Floats":
    """How much lies between neighbouring edges, where each mass is spread evenly from its start to its end."""
    import numpy as np

    lengths = ends - starts
    even = lengths > 0
    sums = np.zeros(len(edges))
    rates = masses[even] / lengths[even]
    for at, edge in enumerate(edges):
        sums[at] = float(rates @ np.clip(edge - starts[even], 0, lengths[even])) + float(
            masses[~even] @ (starts[~even] < edge)
        )
    return np.diff(sums)


class GapBlocks:
    """The gaps of requests in the order of their ends, in blocks."""

    def __init__(self, requests: Sequence[Request]) -> None:
        known = [request.itl for request in requests if request.itl is not None and request.itl.count]
        per_block = max(1, math.ceil(len(known) / BLOCKS))
        self._parts = [_together(known[at : at + per_block]) for at in range(0, len(known), per_block)]
        self.pooled: Gaps | None = merge_gaps(self._parts)

    def statistic(self, name: str) -> tuple[float | None, Interval | None]:
        """`mean`, or a percentile such as `p99`, in seconds, with its interval."""
        pooled = self.pooled
        if pooled is None:
            return None, None
        if name == "mean":
            means = [part.mean or 0.0 for part in self._parts]
            counts = [float(part.count) for part in self._parts]
            sums = [mean * count for mean, count in zip(means, counts, strict=True)]
            return pooled.mean, ratio_bounds(sums, counts).interval
        percent = int(name.removeprefix("p"))
        if pooled.count < samples_needed(percent):
            return None, None
        counted = [GapCounts(part.histogram, part.minimum or 0.0, part.maximum or 0.0) for part in self._parts]
        value = {50: pooled.p50, 90: pooled.p90, 99: pooled.p99}.get(percent)
        return percentile_bounds(counted, value, percent)


def _together(parts: Sequence[Gaps]) -> Gaps:
    """Some gaps as one, without percentiles: of many thousand requests quickly."""
    import itertools

    import numpy as np

    buckets = np.fromiter(itertools.chain.from_iterable(part.histogram for part in parts), dtype=np.int64)
    counts = np.fromiter(itertools.chain.from_iterable(part.histogram.values() for part in parts), dtype=np.float64)
    sums = np.bincount(buckets, weights=counts) if len(buckets) else np.zeros(0)
    count = sum(part.count for part in parts)
    return Gaps(
        count=count,
        mean=math.fsum((part.mean or 0.0) * part.count for part in parts) / count,
        minimum=min((part.minimum for part in parts if part.minimum is not None), default=None),
        maximum=max((part.maximum for part in parts if part.maximum is not None), default=None),
        p50=None,
        p90=None,
        p99=None,
        histogram={int(at): int(sums[at]) for at in np.flatnonzero(sums)},
        tokens=sum(part.tokens or part.count for part in parts),
        steps=sum(part.steps or part.count for part in parts),
    )
