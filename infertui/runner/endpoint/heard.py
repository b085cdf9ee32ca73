"""What clients told of one load: its own requests, and none of the load before it or after it on the same clients."""

import time
from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from infertui.measure.clock import NS_PER_S
from infertui.measure.load.client import Meter
from infertui.measure.records import Request
from infertui.runner.endpoint.live import client_seen
from infertui.worker.loadgen.protocol import ClientMeter, LoadSnapshot

MOST_SNAPSHOTS = 100_000
"""That are held, of the last hours."""
_NEVER_NS = 1 << 62


class HeardLoad:
    """Of one load. `goes_on`: after it the clients go on with another one."""

    def __init__(self, *, goes_on: bool) -> None:
        self.origin_ns = 0
        """When it began, monotonic; 0: it has not."""
        self.stop_ns: int | None = None
        """From when on nothing new is of it."""
        self.requests: list[Request] = []
        self._goes_on = goes_on
        self._meters: dict[int, ClientMeter] = {}
        self._snapshots: deque[LoadSnapshot] = deque(maxlen=MOST_SNAPSHOTS)
        self._others_until_ns = 0

    def await_adjustment(self) -> None:
        """Nothing is of it until it is known when it began."""
        self.origin_ns = _NEVER_NS

    def own(self, requests: Sequence[Request]) -> tuple[Request, ...]:
        """Those of them that were sent while it was the load."""
        before = [request.end_ns for request in requests if request.sent_ns < self.origin_ns]
        self._others_until_ns = max(self._others_until_ns, *before) if before else self._others_until_ns
        until_ns = self.stop_ns if self._goes_on and self.stop_ns else _NEVER_NS
        return tuple(one for one in requests if self.origin_ns <= one.sent_ns < until_ns)

    def keep(self, requests: Sequence[Request]) -> list[Request]:
        """Hold them for its figures, without their prompts."""
        slim = [replace(request, prompt="") for request in requests]
        self.requests += slim
        return slim

    def snapshot(self, told: LoadSnapshot) -> bool:
        """Whether a client tells it of this load."""
        if told.t_ns < self.origin_ns:
            return False
        self._snapshots.append(told)
        return True

    def meter(self, part: int, told: ClientMeter) -> None:
        """What a client tells of itself at its end."""
        self._meters[part] = told

    @property
    def others_until(self) -> float:
        """Seconds of this load in which requests of the one before were still under way."""
        return max(0.0, (self._others_until_ns - self.origin_ns) / NS_PER_S) if self._others_until_ns else 0.0

    @property
    def meters(self) -> Sequence[Meter]:
        """What clients say of themselves at their end; where they go on, what they told meanwhile."""
        if self._meters:
            return tuple(self._meters.values())
        stop_ns = self.stop_ns or time.monotonic_ns()
        return client_seen(tuple(self._snapshots), max(0.0, (stop_ns - self.origin_ns) / NS_PER_S))

    @property
    def failure(self) -> str:
        """Why it failed, where every request did."""
        good = any(not request.error for request in self.requests)
        failed = next((request.error for request in self.requests if request.error_kind != "aborted"), "")
        return f"every request failed: {failed}" if failed and not good else ""
