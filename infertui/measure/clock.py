"""The one clock of a run: monotonic nanoseconds of this host.

All stamps of a run come from `time.monotonic_ns`, in the worker as in the runner, so phases and telemetry line up.
"""

import time
from typing import Protocol

NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """A source of time and a way to let it pass."""

    def now_ns(self) -> int:
        """Nanoseconds on the monotonic scale of this host."""
        ...

    def sleep_until(self, deadline_ns: int) -> None:
        """Return once `now_ns()` has reached the deadline, as soon after it as can be."""
        ...


class MonotonicClock:
    """The real clock. It sleeps to just before a deadline and spins the rest, for sub-0.1 ms precision."""

    SPIN_NS = 500_000

    # Itself, and no call around it: it is read twice a token step.
    now_ns = staticmethod(time.monotonic_ns)

    def sleep_until(self, deadline_ns: int) -> None:
        while (left := deadline_ns - time.monotonic_ns()) > self.SPIN_NS:
            time.sleep((left - self.SPIN_NS) / NS_PER_S)
        while time.monotonic_ns() < deadline_ns:
            pass


class VirtualClock:
    """A clock that moves only when slept on: what is measured with it is exact."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        return self._now_ns

    def sleep_until(self, deadline_ns: int) -> None:
        self._now_ns = max(self._now_ns, deadline_ns)
