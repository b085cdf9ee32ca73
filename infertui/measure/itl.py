"""Inter-token latencies (ITL) kept as a compact histogram with an exact summary, not as endless lists."""

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from infertui.measure.clock import NS_PER_S
from infertui.measure.statistics import samples_needed

# Neighbouring bucket bounds differ by 2 %: a value read back from its bucket's middle is within 1 %.
_LOG_RATIO = math.log(1.02)
MOST_BUCKET = 2500
"""That of 1e5 years: a higher one was never measured."""


# What can be: whoever reads these of a file need not look at them again.
Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Bucket = Annotated[int, Meta(ge=0, le=4096)]


class Gaps(Struct, frozen=True):
    """The gaps between consecutive token steps. Seconds; `histogram` maps a bucket to its count.

    A step may bring a sequence several tokens at once, where they are drafted ahead: a gap is then still that between
    two steps, as who reads the text sees it. `tokens` counts what one sequence gained in the steps that end the gaps,
    so that the time per token is known too; 0 in files of earlier versions, which had one token in each step.

    `steps` counts the gaps that are observations of their own, where sequences with times of their own share steps; 0
    in files of earlier versions.

    Of another program's file there may be the summary alone: then the histogram is empty, `count` is 0, `steps` is the
    most that there can have been, and None is what the file does not tell. `std`, the sample's, comes from such files
    alone.
    """

    count: Count
    mean: float | None
    minimum: float | None
    maximum: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    histogram: dict[Bucket, Count]
    tokens: Count = 0
    std: float | None = None
    steps: Count = 0

    @property
    def supported(self) -> tuple[str, ...]:
        """The percentiles that so many gaps can bound, as those of a `Distribution`; all that a file told alone."""
        known = self.steps or self.count
        return tuple(f"p{p}" for p in (50, 90, 99) if not known or known >= samples_needed(p))

    @property
    def known_p99(self) -> float | None:
        """None where there are too few gaps for it."""
        return self.p99 if "p99" in self.supported else None

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a sequence gained in a step, on average over the steps after the first."""
        return self.tokens / self.count if self.tokens else 1.0

    def known(self, percentile: Literal[50, 90, 99]) -> float | None:
        """That percentile; None where so few gaps cannot bound it from both sides.

        The median is told of any number, and so is what another program's summary says of gaps that it does not count.
        """
        if percentile != 50 and f"p{percentile}" not in self.supported:
            return None
        return {50: self.p50, 90: self.p90, 99: self.p99}[percentile]

    @property
    def per_token(self) -> float | None:
        """TPOT: seconds per token after the first step's, (last - first) / (tokens - those of the first step)."""
        if self.mean is None or self.tokens in (0, self.count):
            return self.mean
        return self.mean * self.count / self.tokens


def bucket_of(nanoseconds: int) -> int:
    """The histogram bucket of a duration; everything below 1 ns is bucket 0."""
    return max(0, math.floor(math.log(nanoseconds) / _LOG_RATIO)) if nanoseconds > 1 else 0


def bucket_seconds(bucket: int) -> float:
    """The middle of a bucket, in seconds."""
    return math.exp((bucket + 0.5) * _LOG_RATIO) / NS_PER_S


def bucket_bounds(bucket: int) -> tuple[float, float]:
    """The shortest and the longest duration in a bucket, in seconds."""
    return (
        math.exp(bucket * _LOG_RATIO) / NS_PER_S if bucket else 0.0,
        math.exp((bucket + 1) * _LOG_RATIO) / NS_PER_S,
    )


def drawn_from(histogram: Mapping[int, int], most: int) -> list[float]:
    """At most about so many durations in seconds, ascending, that are distributed as a histogram is.

    They are made from shares of it: its counts may be those of a year, or what somebody wrote into a file.
    """
    total = sum(histogram.values())
    if not total:
        return []
    return [
        bucket_seconds(bucket)
        for bucket, count in sorted(histogram.items())
        if count
        for _ in range(count if total <= most else max(1, round(most * count / total)))
    ]


def summarise_gaps(stamps_ns: Sequence[int], tokens: Sequence[int] = ()) -> Gaps | None:
    """Gaps between the stamps of successive token steps; None when there are fewer than two steps.

    `tokens` says how many tokens each step brought a sequence, one for one with the stamps; without it one each.
    """
    gaps = sorted(after - before for before, after in itertools.pairwise(stamps_ns))
    if not gaps:
        return None
    return Gaps(
        count=len(gaps),
        mean=(stamps_ns[-1] - stamps_ns[0]) / len(gaps) / NS_PER_S,
        minimum=gaps[0] / NS_PER_S,
        maximum=gaps[-1] / NS_PER_S,
        p50=_percentile(0.50, len(gaps), gaps.__getitem__) / NS_PER_S,
        p90=_percentile(0.90, len(gaps), gaps.__getitem__) / NS_PER_S,
        p99=_percentile(0.99, len(gaps), gaps.__getitem__) / NS_PER_S,
        histogram=dict(sorted(Counter(map(bucket_of, gaps)).items())),
        tokens=sum(tokens[1:]) if tokens else len(gaps),
    )


def merge_gaps(parts: Iterable[Gaps]) -> Gaps | None:
    """All gaps together, whatever the order of the parts; None when there are none.

    Count, mean and extremes stay exact; percentiles come from the histogram (within 1 %).
    """
    parts = [part for part in parts if part.count]
    count = sum(part.count for part in parts)
    if not count:
        return None
    histogram: Counter[int] = Counter()
    for part in parts:
        histogram.update(part.histogram)
    merged = dict(sorted(histogram.items()))
    low = min((part.minimum for part in parts if part.minimum is not None), default=0.0)
    high = max((part.maximum for part in parts if part.maximum is not None), default=math.inf)

    ends = list(itertools.accumulate(merged.values()))
    buckets = list(merged)

    def of_rank(rank: int) -> float:
        if rank in (0, count - 1):
            return high if rank else low
        at = bisect.bisect_right(ends, rank)
        return min(max(bucket_seconds(buckets[at]), low), high) if at < len(buckets) else high

    return Gaps(
        count=count,
        mean=math.fsum((part.mean or 0.0) * part.count for part in parts) / count,
        minimum=low,
        maximum=high,
        p50=_percentile(0.50, count, of_rank),
        p90=_percentile(0.90, count, of_rank),
        p99=_percentile(0.99, count, of_rank),
        histogram=merged,
        tokens=sum(part.tokens or part.count for part in parts),
        steps=sum(part.steps or part.count for part in parts),
    )


def merge_sequences(parts: Iterable[Gaps]) -> Gaps | None:
    """All gaps of sequences that ran beside each other: those of the longest are as many observations as there are."""
    parts = [part for part in parts if part.count]
    merged = merge_gaps(parts)
    return merged and structs.replace(merged, steps=max(part.steps or part.count for part in parts))


def _percentile(q: float, count: int, of_rank: Callable[[int], float]) -> float:
    """Linear between the two nearest of `count` ordered values, as all percentiles here are (Hyndman and Fan's 7th)."""
    below, share = divmod(q * (count - 1), 1)
    low = of_rank(int(below))
    return low + share * (of_rank(int(below) + 1) - low) if share else low
