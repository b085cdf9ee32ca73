"""How much the client stands between the server and the figures: its CPU, its event loop, its sending."""

import time
from collections import Counter

from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import bucket_of, bucket_seconds
from infertui.worker.loadgen.protocol import ClientMeter

BEAT_NS = 10_000_000


class Delays:
    """Durations by their buckets of 2 %, and the longest exactly."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.most_ns = 0
        self.recent_ns = 0

    def add(self, nanoseconds: int) -> None:
        """Negative ones count as none."""
        self._counts[bucket_of(nanoseconds)] += 1
        if nanoseconds > self.recent_ns:
            self.recent_ns = nanoseconds
            self.most_ns = max(self.most_ns, nanoseconds)

    def take_recent_ns(self) -> int:
        """The longest since the last call."""
        longest, self.recent_ns = self.recent_ns, 0
        return longest

    def quantile_s(self, share: float) -> float:
        """In seconds, within 1 %; 0 where there was none."""
        left = share * sum(self._counts.values())
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 0:
                return min(bucket_seconds(bucket) if bucket else 0.0, self.most_ns / NS_PER_S)
        return 0.0


class ClientMetering:
    """Counts of one client's life."""

    def __init__(self) -> None:
        self.lag = Delays()
        self.late = Delays()
        self.retried = 0
        self.skipped = 0
        self.start_ns = time.monotonic_ns()
        self.prepare_ns = 0
        self.first_sent_ns: int | None = None
        self._cpu_s = self._recent_cpu_s = time.process_time()
        self._recent_ns = self.start_ns

    def take_cpu(self) -> float:
        """Share of one core since the last call."""
        cpu_s, now_ns = time.process_time(), time.monotonic_ns()
        used = (cpu_s - self._recent_cpu_s) * NS_PER_S / max(1, now_ns - self._recent_ns)
        self._recent_cpu_s, self._recent_ns = cpu_s, now_ns
        return used

    def begin(self) -> None:
        """Of the load: what came before is not part of `cpu_s` and `wall_s`."""
        self.start_ns = time.monotonic_ns()
        self._cpu_s = time.process_time()

    def result(self, connections: int) -> ClientMeter:
        """All of it."""
        return ClientMeter(
            cpu_s=time.process_time() - self._cpu_s,
            wall_s=(time.monotonic_ns() - self.start_ns) / NS_PER_S,
            lag_p99_s=self.lag.quantile_s(0.99),
            lag_max_s=self.lag.most_ns / NS_PER_S,
            late_p50_s=self.late.quantile_s(0.5),
            late_p99_s=self.late.quantile_s(0.99),
            late_max_s=self.late.most_ns / NS_PER_S,
            start_s=self.prepare_ns / NS_PER_S,
            connections=connections,
            retried=self.retried,
            skipped=self.skipped,
        )
