"""Inter-token latencies (ITL) kept as a compact histogram with an exact summary, not as endless lists."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from infertui.measure.clock import NS_PER_S

# Neighbouring bucket bounds differ by 2 %: a value read back from its bucket's middle is within 1 %.
_LOG_RATIO = math.log(1.02)


class Gaps(Struct, frozen=True):
    """The gaps between consecutive token steps. Seconds; `histogram` maps a bucket to its count.

    A step may bring a sequence several tokens at once, where they are drafted ahead: a gap is then still that between
    two steps, as who reads the text sees it. `tokens` counts what one sequence gained in the steps that end the gaps,
    so that the time per token is known too; 0 in files of earlier versions, which had one token in each step.

    Of another program's file there may be the summary alone: then the histogram is empty, `count` is 0 and None is what
    the file does not tell. `std`, the sample's, comes from such files alone.
    """

    count: int
    mean: float
    minimum: float | None
    maximum: float | None
    p50: float
    p90: float | None
    p99: float | None
    histogram: dict[int, int]
    tokens: int = 0
    std: float | None = None

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a sequence gained in a step, on average over the steps after the first."""
        return self.tokens / self.count if self.tokens else 1.0

    @property
    def per_token(self) -> float:
        """TPOT: seconds per token after the first step's, (last - first) / (tokens - those of the first step)."""
        return self.mean if self.tokens in (0, self.count) else self.mean * self.count / self.tokens


def bucket_of(nanoseconds: int) -> int:
    """The histogram bucket of a duration; everything below 1 ns is bucket 0."""
    return max(0, math.floor(math.log(nanoseconds) / _LOG_RATIO)) if nanoseconds > 1 else 0


def bucket_seconds(bucket: int) -> float:
    """The middle of a bucket, in seconds."""
    return math.exp((bucket + 0.5) * _LOG_RATIO) / NS_PER_S


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
        p50=_nearest_rank(gaps, 0.50) / NS_PER_S,
        p90=_nearest_rank(gaps, 0.90) / NS_PER_S,
        p99=_nearest_rank(gaps, 0.99) / NS_PER_S,
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
    low = min(part.minimum for part in parts if part.minimum is not None)
    high = max(part.maximum for part in parts if part.maximum is not None)

    def percentile(q: float) -> float:
        rank, seen = math.ceil(q * count), 0
        for bucket, number in merged.items():
            seen += number
            if seen >= rank:
                return min(max(bucket_seconds(bucket), low), high)
        return high

    return Gaps(
        count=count,
        mean=math.fsum(part.mean * part.count for part in parts) / count,
        minimum=low,
        maximum=high,
        p50=percentile(0.50),
        p90=percentile(0.90),
        p99=percentile(0.99),
        histogram=merged,
        tokens=sum(part.tokens or part.count for part in parts),
    )


def _nearest_rank(ordered: Sequence[int], q: float) -> int:
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]
