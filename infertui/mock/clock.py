"""Deadlines to a hundredth of a millisecond inside an event loop whose own timers count milliseconds.

A timerfd wakes the loop shortly before the earliest deadline, and the rest is spun. What is due at about the same time
is done in one wake-up; after a quarter of a millisecond of it the loop looks at its sockets again.
"""

import asyncio
import ctypes
import os
from heapq import heappop, heappush
from time import monotonic_ns
from typing import Protocol

from infertui.errors import InfertuiError

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_TFD_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_SLICE_NS = 250_000
NEVER = 1 << 62


class _ItimerSpec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("s", ctypes.c_long),
        ("ns", ctypes.c_long),
    )


class Due(Protocol):
    """What has deadlines."""

    done_ns: int
    """When the latest step was done."""

    def step(self, now_ns: int) -> int:
        """Do what is due now; returns the next deadline, or NEVER."""
        ...


class Rounds:
    """When the loop last looked at its sockets: what it found there had come by then, whenever its turn is.

    Without it the last of many requests that come at once would count from when those before it were read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._began_ns = 0

    def began_ns(self) -> int:
        """The beginning of this round, as far as it is known: of the first callback that asks."""
        if not self._began_ns:
            self._began_ns = monotonic_ns()
            self._loop.call_soon(self._over)  # runs before the loop looks again
        return self._began_ns

    def _over(self) -> None:
        self._began_ns = 0


class Deadlines:
    """Calls `step` of what was added, never before its deadline.

    `apart_ns`: least time between two wake-ups, which costs lateness and saves as much work; with it nothing is spun.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, spin_ns: int, apart_ns: int = 0) -> None:
        self.rounds = Rounds(loop)
        self._loop, self._spin_ns, self._apart_ns = loop, 0 if apart_ns else spin_ns, apart_ns
        self._heap: list[tuple[int, int, Due]] = []
        self._number = 0
        self._armed_ns = NEVER
        self._not_before_ns = 0
        self._busy = False
        self.longest_slice_ns = 0
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._fd = libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise InfertuiError(f"no timer from the system: {os.strerror(ctypes.get_errno())}")
        self._spec = _ItimerSpec()
        self._spec_address = ctypes.byref(self._spec)
        loop.add_reader(self._fd, self._fire)

    def close(self) -> None:
        """Forget all of it."""
        self._heap.clear()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def add(self, due: Due, at_ns: int) -> None:
        """Call `due.step` at `at_ns`, on the monotonic clock, or as soon as that can be."""
        self._number += 1
        heappush(self._heap, (at_ns, self._number, due))
        if at_ns < self._armed_ns and not self._busy:
            self._arm(at_ns)

    def _arm(self, at_ns: int) -> None:
        self._armed_ns = at_ns
        # 0 would switch the timer off; a time that is past fires at once. Setting it clears what it has told.
        wake_ns = max(at_ns - self._spin_ns, self._not_before_ns, 1) if at_ns != NEVER else 0
        self._spec.s, self._spec.ns = divmod(wake_ns, 1_000_000_000)
        self._settime(self._fd, _TFD_TIMER_ABSTIME, self._spec_address, None)

    def _fire(self) -> None:
        if self._fd < 0:
            return
        heap, spin_ns = self._heap, self._spin_ns
        began_ns = now_ns = self.rounds.began_ns()
        self._busy, done = True, False
        try:
            while heap:
                at_ns = heap[0][0]
                if at_ns > now_ns:
                    now_ns = monotonic_ns()
                    if at_ns - now_ns > spin_ns:
                        break
                    while now_ns < at_ns:
                        now_ns = monotonic_ns()
                elif now_ns - began_ns > _SLICE_NS and done:
                    break
                done = True
                due = heappop(heap)[2]
                next_ns = due.step(now_ns)
                if next_ns != NEVER:
                    self._number += 1
                    heappush(heap, (next_ns, self._number, due))
                now_ns = due.done_ns
        finally:
            self._busy = False
            self.longest_slice_ns = max(self.longest_slice_ns, now_ns - began_ns)
            next_ns = heap[0][0] if heap else NEVER
            # What is overdue because the sockets had their turn does not wait.
            self._not_before_ns = began_ns + self._apart_ns if self._apart_ns and next_ns > now_ns else 0
            self._arm(next_ns)
