"""What the mock knows of what it did: the truth, and how late its own writes were."""

from bisect import bisect_left
from collections import deque
from math import sqrt
from time import monotonic_ns

import msgspec

_BUCKET_NS, _LARGE_NS = 4096, 1_000_000
_BUCKETS = 8192
RECORDS = 20_000


class ServedRequest(msgspec.Struct, frozen=True):
    """One request. Stamps are monotonic nanoseconds of this machine; those named `due` are deadlines, 0: never.

    `lateness_ns` is the latest of its writes against its deadline.
    """

    number: int
    name: str
    dialect: str
    streaming: bool
    outcome: str
    status: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    arrived_ns: int
    admitted_ns: int
    first_due_ns: int
    last_due_ns: int
    ended_ns: int
    lateness_ns: int


class Lateness:
    """Writes against their deadlines, in buckets of 4 microseconds up to 33 milliseconds, of a millisecond above."""

    def __init__(self) -> None:
        self.count = self.total_ns = self.most_ns = 0
        self._buckets = [0] * _BUCKETS
        self._large = [0] * _BUCKETS

    def add(self, late_ns: int) -> None:
        """One write."""
        self.count += 1
        self.total_ns += late_ns
        if late_ns > self.most_ns:
            self.most_ns = late_ns
        if (place := late_ns >> 12) < _BUCKETS:
            self._buckets[place] += 1
        else:
            self._large[min(late_ns // _LARGE_NS, _BUCKETS - 1)] += 1

    def share_us(self, share: float) -> float | None:
        """A percentile in microseconds, to the upper bound of its bucket; None without writes."""
        if not self.count:
            return None
        below, wanted = 0, share * self.count
        for width_ns, buckets in ((_BUCKET_NS, self._buckets), (_LARGE_NS, self._large)):
            for place, number in enumerate(buckets):
                below += number
                if below >= wanted:
                    return min((place + 1) * width_ns, self.most_ns) / 1000
        return self.most_ns / 1000

    def told(self) -> dict[str, float | int | None]:
        """For the page of statistics."""
        return {
            "writes": self.count,
            "mean_us": self.total_ns / self.count / 1000 if self.count else None,
            "p50_us": self.share_us(0.5),
            "p99_us": self.share_us(0.99),
            "max_us": self.most_ns / 1000 if self.count else None,
        }


class Histogram:
    """As Prometheus has it: counts at or below each bound, in seconds."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._latest, self._place = -1.0, 0

    def add(self, value: float, times: int = 1) -> None:
        """A value, some times."""
        if value != self._latest:  # gaps between tokens are mostly the same
            self._latest, self._place = value, bisect_left(self.bounds, value)
        self.counts[self._place] += times
        self.total += value * times


_TTFT = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
)  # fmt: skip
_ITL = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_E2E = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)


class Tallies:
    """Counts since the start or the last reset."""

    def __init__(self) -> None:
        self.here = self.open_connections = 0
        self.reset()

    def reset(self) -> None:
        """Count anew. What is under way stays counted as that."""
        self.began_ns = monotonic_ns()
        self.requests = self.peak_running = self.peak_waiting = 0
        self.peak_here, self.peak_connections = self.here, self.open_connections
        self.prompt_tokens = self.output_tokens = self.cached_tokens = 0
        self.bytes = self.connections = 0
        self.outcomes: dict[str, int] = {}
        self.finished: dict[str, int] = {}
        self.faults: dict[str, int] = {}
        self.lateness = Lateness()
        self.first_lateness = Lateness()
        self.records: deque[ServedRequest] = deque(maxlen=RECORDS)
        self._last_ns = 0
        self._gaps, self._gap_mean, self._gap_squares = 0, 0.0, 0.0
        self.ttft, self.itl, self.e2e, self.queue = Histogram(_TTFT), Histogram(_ITL), Histogram(_E2E), Histogram(_E2E)

    def arrived(self, now_ns: int) -> None:
        """A request for tokens is here."""
        self.requests += 1
        self.here += 1
        self.peak_here = max(self.peak_here, self.here)
        if self._last_ns:  # Welford's way
            gap = now_ns - self._last_ns
            self._gaps += 1
            change = gap - self._gap_mean
            self._gap_mean += change / self._gaps
            self._gap_squares += change * (gap - self._gap_mean)
        self._last_ns = now_ns

    def ended(self, record: ServedRequest) -> None:
        """It is gone, one way or another."""
        self.here -= 1
        self.outcomes[record.outcome] = self.outcomes.get(record.outcome, 0) + 1
        self.records.append(record)

    def gaps(self) -> dict[str, float | int | None]:
        """Times between arrivals: mean and coefficient of variation."""
        spread = sqrt(self._gap_squares / (self._gaps - 1)) if self._gaps > 1 else None
        return {
            "gaps": self._gaps,
            "mean_s": self._gap_mean / 1e9 if self._gaps else None,
            "cv": spread / self._gap_mean if spread is not None and self._gap_mean else None,
        }
