"""How many requests may be in flight: the level, how it rises, and rests after refusals."""

import time
from collections.abc import Callable, Iterable, Iterator

from infertui.load.levels import share_of
from infertui.measure.clock import NS_PER_S
from infertui.worker.loadgen.pacer import Pacer

FIRST_REST_NS, LONGEST_REST_NS = NS_PER_S // 20, NS_PER_S
_UNBOUNDED = 1 << 60


class Slots:
    """Of one part of a load. `fill` is called when there is room, with the time since when there is."""

    def __init__(self, pacer: Pacer, fill: Callable[[int], None], *, part: int, parts: int, bounded: bool) -> None:
        self.room = 0
        """How many may be in flight now."""
        self._pacer = pacer
        self._fill = fill
        self._part, self._parts = part, parts
        self._bounded = bounded
        self._allowed = self._target = 0 if bounded else _UNBOUNDED
        self._rising = self._resting = self._refusals = 0
        self._total = 0 if bounded else _UNBOUNDED
        self._levels: Iterator[tuple[float, int]] = iter(())
        self._count()

    def follow(
        self, levels: Iterable[tuple[float, int]], start_ns: int, *, spread_s: float, over: Callable[[], None]
    ) -> None:
        """Levels of all parts, by seconds after the start. `over` is called once the last has come, if that is 0."""
        self._levels = iter(levels)
        self._await_level(start_ns, spread_s, over)

    def change(self, total: int, at_ns: int, spread_s: float) -> None:
        """Instead of whatever level was planned for now and later. 0 of what is unbounded by itself: no bound."""
        self._levels = iter(())
        if total or self._bounded:
            self._set(total, at_ns, spread_s)
        else:
            self._allowed = self._target = _UNBOUNDED
            self._count()
            self._fill(at_ns)

    def close(self) -> None:
        """None from now on."""
        self._levels = iter(())
        self._allowed = self._target = 0
        self._count()

    def rest(self) -> None:
        """One less for a while: a server that refuses at once must not be asked as fast as can be."""
        if self._allowed == _UNBOUNDED:
            return
        rest_ns = FIRST_REST_NS << min(self._refusals // max(1, self._allowed), 10)
        self._refusals += 1
        self._resting += 1
        self._count()
        self._pacer.at(time.monotonic_ns() + min(rest_ns, LONGEST_REST_NS), self._rested)

    def answered(self) -> None:
        """The server does not refuse."""
        self._refusals = 0

    def _set(self, total: int, at_ns: int, spread_s: float) -> None:
        self._total = total
        self._target = share_of(total, self._part, self._parts)
        self._allowed = min(self._allowed, self._target)
        self._count()
        more = self._target - self._allowed - self._rising
        for number in range(more):
            share = (number * self._parts + self._part) / (more * self._parts)
            self._rising += 1
            self._pacer.at(at_ns + int(share * spread_s * NS_PER_S), self._rise)

    def _await_level(self, start_ns: int, spread_s: float, over: Callable[[], None]) -> None:
        levels = self._levels
        seconds, level = next(levels, (0.0, None))
        if level is None:
            if not self._total:
                over()
            return

        def come(at_ns: int) -> None:
            if levels is self._levels:
                self._set(level, at_ns, spread_s)
                self._await_level(start_ns, 0.0, over)

        self._pacer.at(start_ns + int(seconds * NS_PER_S), come)

    def _rise(self, at_ns: int) -> None:
        self._rising -= 1
        if self._allowed < self._target:
            self._allowed += 1
            self._count()
            self._fill(at_ns)

    def _rested(self, at_ns: int) -> None:
        self._resting -= 1
        self._count()
        self._fill(at_ns)

    def _count(self) -> None:
        self.room = self._allowed - self._resting
