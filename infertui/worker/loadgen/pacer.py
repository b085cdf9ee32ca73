"""Acts at their times, to a tenth of a millisecond: event loops round theirs to whole ones."""

import asyncio
import heapq
import itertools
import os
import time
from collections.abc import Callable

from infertui.measure.clock import NS_PER_S

_MONOTONIC = 1
_NONBLOCK = os.O_NONBLOCK | os.O_CLOEXEC
_ABSOLUTE = 1


class Timer:
    """One alarm of the kernel at an absolute monotonic time, as a descriptor that can be read when it rings."""

    def __init__(self) -> None:
        """Raises OSError or AttributeError where the system has none."""
        if hasattr(os, "timerfd_create"):  # Python 3.13
            self.descriptor: int = os.timerfd_create(_MONOTONIC, flags=_NONBLOCK)
            self._set = self._by_python
            return
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        self._value = (ctypes.c_long * 4)()
        self._settime = library.timerfd_settime
        self._settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._address = ctypes.addressof(self._value)
        self.descriptor = library.timerfd_create(_MONOTONIC, _NONBLOCK)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._set = self._by_library

    def ring_at(self, at_ns: int) -> None:
        """Instead of when it was to ring before."""
        self._set(max(1, at_ns))

    def _by_python(self, at_ns: int) -> None:
        os.timerfd_settime_ns(self.descriptor, flags=os.TFD_TIMER_ABSTIME, initial=at_ns)  # type: ignore[attr-defined]

    def _by_library(self, at_ns: int) -> None:
        self._value[2], self._value[3] = divmod(at_ns, NS_PER_S)
        self._settime(self.descriptor, _ABSOLUTE, self._address, None)


class Pacer:
    """Calls functions when their times have come, in the order of these, on an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._acts: list[tuple[int, int, Callable[[int], object]]] = []
        self._numbers = itertools.count()
        self._rings_ns: int | None = None
        self._timer: Timer | None
        try:
            self._timer = Timer()
        except (OSError, AttributeError):
            self._timer = None
        else:
            loop.add_reader(self._timer.descriptor, self._rang)

    def at(self, at_ns: int, act: Callable[[int], object]) -> None:
        """Call `act` with the time for which it was meant, once that has come."""
        heapq.heappush(self._acts, (at_ns, next(self._numbers), act))
        if self._rings_ns is None or at_ns < self._rings_ns:
            self._set(at_ns)

    def close(self) -> None:
        """Forget all of it."""
        self._acts.clear()
        if self._timer is not None:
            self._loop.remove_reader(self._timer.descriptor)
            os.close(self._timer.descriptor)
            self._timer = None

    def _set(self, at_ns: int) -> None:
        self._rings_ns = at_ns
        if self._timer is not None:
            self._timer.ring_at(at_ns)
        else:
            self._loop.call_later(max(0, at_ns - time.monotonic_ns()) / NS_PER_S, self._due)

    def _rang(self) -> None:
        if self._timer is not None:
            try:
                os.read(self._timer.descriptor, 8)
            except BlockingIOError:
                return  # set anew since
            self._due()

    def _due(self) -> None:
        self._rings_ns = None
        acts = self._acts
        while acts and acts[0][0] <= time.monotonic_ns():
            at_ns, _, act = heapq.heappop(acts)
            act(at_ns)
        if acts:
            self._set(acts[0][0])
