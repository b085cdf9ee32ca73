"""How a load goes now: of what its clients told in the last seconds, for whoever watches."""

import math
from collections import deque
from collections.abc import Iterable, Mapping

from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import merge_gaps
from infertui.measure.load.figures import Steadiness
from infertui.measure.records import Phase, Request
from infertui.runner.events import LoadProgressed
from infertui.worker.loadgen.protocol import LoadSnapshot

REACH_NS = 5 * NS_PER_S
_LEAST_S = 1.0
"""Rates are told of no less."""
MOST = 4096
"""Requests that are looked at: of more, the last ones."""


class RecentLoad:
    """Of one load, whose level is asked for in `by`. Times are monotonic nanoseconds."""

    def __init__(self, level: float, *, open_loop: bool) -> None:
        self.level = level
        self.origin_ns = 0
        self._open_loop = open_loop
        self._parts: dict[int, LoadSnapshot] = {}
        self._requests: deque[Request] = deque(maxlen=MOST)
        self._tokens: deque[tuple[int, int]] = deque()
        self._before: dict[int, LoadSnapshot] = {}

    def go_on_from(self, snapshots: Mapping[int, LoadSnapshot]) -> None:
        """Count from there on: the clients go on from another load."""
        self._before = dict(snapshots)

    def add(self, requests: Iterable[Request]) -> None:
        """Some that ended."""
        self._requests.extend(requests)

    def snapshot(self, part: int, told: LoadSnapshot) -> None:
        """What a client told of itself."""
        self._parts[part] = told
        self._tokens.append((told.t_ns, sum(one.tokens for one in self._parts.values())))
        while len(self._tokens) > 2 and self._tokens[1][0] <= told.t_ns - REACH_NS:
            self._tokens.popleft()

    def forget_clients(self) -> None:
        """Others follow, which count anew."""
        self._parts.clear()
        self._tokens.clear()

    def progress(self, run: str, phase: Phase, found: Steadiness | None) -> LoadProgressed | None:
        """What is told of it; None before the clients said anything."""
        if not self._parts:
            return None
        parts = list(self._parts.values())
        now = max(one.t_ns for one in parts)
        recent = [request for request in self._requests if request.end_ns > now - REACH_NS]
        good = [request for request in recent if not request.error]
        span = min(REACH_NS, now - self.origin_ns) / NS_PER_S
        ttft = sorted((one.first_ns - one.due_ns) / NS_PER_S for one in good if one.first_ns is not None)
        gaps = merge_gaps(one.itl for one in good if one.itl)
        return LoadProgressed(
            run,
            t_ns=now,
            phase=phase,
            elapsed=max(0.0, (now - self.origin_ns) / NS_PER_S),
            level=self.level,
            by="request_rate" if self._open_loop else "concurrency",
            in_flight=sum(one.in_flight for one in parts),
            sent=sum(one.sent for one in parts) - sum(one.sent for one in self._before.values()),
            done=sum(one.done for one in parts) - sum(one.done for one in self._before.values()),
            failed=sum(one.failed for one in parts) - sum(one.failed for one in self._before.values()),
            requests_per_s=len(good) / span if span >= _LEAST_S and len(self._requests) < MOST else None,
            tokens_per_s=self._tokens_per_s(),
            ttft_p50=_of_rank(ttft, 0.50),
            ttft_p99=_of_rank(ttft, 0.99),
            itl_p50=gaps.p50 if gaps else None,
            itl_p99=gaps.p99 if gaps else None,
            lag=max(one.lag_ns for one in parts) / NS_PER_S,
            late=max(one.late_ns for one in parts) / NS_PER_S,
            cpu=max(one.cpu for one in parts),
            steady=found.steady if found else None,
            verdict=found.reason if found else "",
        )

    def _tokens_per_s(self) -> float | None:
        (first_ns, before), (last_ns, after) = self._tokens[0], self._tokens[-1]
        return (after - before) * NS_PER_S / (last_ns - first_ns) if last_ns - first_ns >= NS_PER_S else None


def _of_rank(ascending: list[float], share: float) -> float | None:
    if not ascending:
        return None
    return ascending[min(len(ascending) - 1, math.ceil(share * len(ascending)))]
