"""How long each phase of a run took."""

from infertui.measure.clock import NS_PER_S
from infertui.measure.records import Phase


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
