"""What one run tells those who watch it, and how long each of its phases took."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Literal

from infertui.measure.clock import NS_PER_S
from infertui.measure.records import Phase
from infertui.runner.events import AnyRunEvent, Noted, PhaseEntered, Progressed
from infertui.worker.protocol import AnyEvent, Heartbeat, PhaseStarted

RATE_WINDOW_NS = 3 * NS_PER_S


class PhaseTimer:
    """One phase at a time; stamps are monotonic nanoseconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.current: Phase | None = None
        self._started_ns = 0

    def enter(self, phase: Phase, t_ns: int) -> None:
        """End the current phase, if there is one, and begin another."""
        self.end(t_ns)
        self.current, self._started_ns = phase, t_ns

    def end(self, t_ns: int) -> None:
        """End the current phase, if there is one."""
        if self.current:
            # An engine may compile and capture by turns.
            self.seconds[self.current] = self.seconds.get(self.current, 0.0) + (t_ns - self._started_ns) / NS_PER_S
            self.current = None


class RunReporter:
    """Of the run of that id. `emit` is called on the event loop alone."""

    def __init__(self, run: str, emit: Callable[[AnyRunEvent], None]) -> None:
        self.run = run
        self.emit = emit
        self._phases = PhaseTimer()
        self._recent: deque[tuple[int, int]] = deque()

    @property
    def seconds(self) -> dict[str, float]:
        """What each phase took that is over."""
        return self._phases.seconds

    @property
    def phase(self) -> Phase | None:
        """The one it is in."""
        return self._phases.current

    def note(self, level: Literal["info", "warning"], text: str) -> None:
        """Say something that is worth a line."""
        self.emit(Noted(self.run, level, text))

    def note_from_any_thread(self) -> Callable[[str], None]:
        """Says from any thread what is waited for."""
        loop = asyncio.get_running_loop()

        def tell(text: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(self.note, "info", text)

        return tell

    def enter(self, phase: Phase, t_ns: int) -> None:
        """A phase begins."""
        self._recent.clear()
        self._phases.enter(phase, t_ns)
        self.emit(PhaseEntered(self.run, t_ns, phase))

    def end(self, t_ns: int) -> None:
        """The phase is over, and no other has begun."""
        self._phases.end(t_ns)

    def take(self, event: AnyEvent) -> None:
        """Tell of what a worker does, whatever it is at."""
        match event:
            case PhaseStarted():
                self.enter(event.phase, event.t_ns)
            case Heartbeat():
                self._beat(event)
            case _:
                pass

    def _beat(self, beat: Heartbeat) -> None:
        if beat.phase == "idle" or beat.phase == "prepare" or self._phases.current is None:
            return
        if beat.tokens < (self._recent[-1][1] if self._recent else 0):
            self._recent.clear()
        self._recent.append((beat.t_ns, beat.tokens))
        while len(self._recent) > 2 and self._recent[1][0] <= beat.t_ns - RATE_WINDOW_NS:
            self._recent.popleft()
        since, before = self._recent[0]
        elapsed = beat.t_ns - since
        rate = (beat.tokens - before) * NS_PER_S / elapsed if elapsed >= NS_PER_S else None
        self.emit(
            Progressed(
                self.run,
                t_ns=beat.t_ns,
                phase=beat.phase,
                batch=beat.batch,
                step=beat.step,
                tokens=beat.tokens,
                tokens_per_s=rate,
                resident=beat.resident,
            )
        )
