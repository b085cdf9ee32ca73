"""Since when the latencies of a load are settled, by rule: while it runs, and of all of it afterwards.

Means over time of the TPOT and the TTFT (of E2E where there are no tokens) of requests, at the times at which they
ended. What is odd at the beginning is cut off where the mean of the rest is known best (MSER, White 1997), up to the
half of it; the rest must neither move along a line nor from one level to another by more than noise does, see
`measure.trend`, which allows for values that depend on those before.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from infertui.measure.clock import NS_PER_S
from infertui.measure.load.columns import Columns, columns_of
from infertui.measure.load.figures import Steadiness, Window
from infertui.measure.records import Request
from infertui.measure.trend import SHAPES, Movement, movement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TOLERANCES = {"tpot": 0.02, "ttft": 0.05, "e2e": 0.03}
"""Relative movements up to which a latency counts as settled, as sure as they may be."""
LATENCIES = 3.0
"""So many mean E2E latencies a settled window lasts at least."""
MIXED = 2.0
"""So many of them after the level was reached a window begins: until then requests under way are younger, and of other
lengths, than those of a load that has lasted."""
_BINS = 2048
_FIRST_WIDTH = 1 / 64
_BLOCKS = 64
_FEWEST_BLOCKS = 8
_IN_BLOCK = 2
FEWEST = _FEWEST_BLOCKS * _IN_BLOCK
"""Requests that have to end at a load before anything can be said of it."""
_NEARLY = 2.0
"""The cut is the earliest that knows the mean nearly as well as the best, by its variance. To insist on the best would
often cut off what is only chance."""
_ONWARDS = 1.5
_ODD = 3.0
"""Standard deviations of what is usual."""
_REACHED = 0.97
"""Share of the asked concurrency from which it is reached: what ends is followed by the next only in a moment."""
_NEARLY_ALL, _LOOKED_AT = 0.99, 2000
_WORDS = {"tpot": "TPOT", "ttft": "TTFT", "e2e": "E2E latency"}


class SteadyWatch:
    """Is fed requests as they end, in any order, and tells at any time whether they are settled.

    What it keeps and what a verdict costs do not grow with the number of requests: sums in bins of time, which become
    wider with the time that is watched.
    """

    def __init__(self, origin_ns: int) -> None:
        import numpy as np

        self._origin_ns = origin_ns
        self._width = _FIRST_WIDTH
        self._counts = {name: np.zeros(_BINS) for name in TOLERANCES}
        self._sums = {name: np.zeros(_BINS) for name in TOLERANCES}

    def add(self, requests: Sequence[Request]) -> None:
        """Some that ended; those that failed say nothing."""
        if requests:
            self.add_columns(columns_of(requests, self._origin_ns))

    def add_columns(self, columns: Columns) -> None:
        """The same of arrays with this origin."""
        import numpy as np

        ends = columns.end
        last = float(ends.max(initial=0.0))
        while last >= self._width * _BINS:
            self._widen()
        at = np.clip(ends / self._width, 0, _BINS - 1).astype(int)
        for name in TOLERANCES:
            values = columns.latency(name)
            known = columns.good & np.isfinite(values)
            self._counts[name] += np.bincount(at[known], minlength=_BINS)
            self._sums[name] += np.bincount(at[known], weights=values[known], minlength=_BINS)

    def verdict(self, begin: float, end: float, *, least_s: float = 0.0) -> Steadiness:
        """Whether it is settled before `end`, and since when; `begin` is when the load had reached its level.

        Both are seconds after the origin. A settled window lasts `least_s`, and some latencies, at least.
        """
        whole = Window(begin, end) if end > begin else None
        first, stop = self._bins(begin, end)
        latency = self._mean("e2e", first, stop)
        begin += MIXED * latency
        first, stop = self._bins(begin, end)
        ended = self._counts["e2e"][first:stop].sum()
        if ended < FEWEST:
            few = f"{ended:.0f} answered after the beginning, {FEWEST} are needed"
            return Steadiness(None, f"too few requests to tell: {few}", whole)
        names = [name for name in ("tpot", "ttft") if self._counts[name][first:stop].sum() >= ended / 2] or ["e2e"]
        cut = first + max(self._cut(name, first, stop) for name in names)
        since = max(begin, cut * self._width)
        window = Window(since, end)
        latency = self._mean("e2e", cut, stop)
        for name in names:
            moved = movement(self._means(name, cut, stop))
            if moved is None:
                return Steadiness(None, f"too few requests to tell whether the {_WORDS[name]} is settled", window)
            if moved.real and abs(moved.change) > TOLERANCES[name]:
                return Steadiness(
                    False, _told(name, moved), window, name, moved.change if math.isfinite(moved.change) else None
                )
        needed = max(least_s, LATENCIES * latency)
        if window.seconds < needed:
            short = f"settled for {window.seconds:.3g} s, {needed:.3g} s are needed"
            return Steadiness(None, f"too short to tell: {short}", window)
        return Steadiness(True, "", window)

    def _bins(self, begin: float, end: float) -> tuple[int, int]:
        first, stop = math.ceil(begin / self._width - 1e-9), math.floor(end / self._width + 1e-9)
        stop = max(0, min(stop, _BINS))
        return min(max(first, 0), stop), stop

    def _mean(self, name: str, first: int, stop: int) -> float:
        return float(self._sums[name][first:stop].sum() / max(self._counts[name][first:stop].sum(), 1))

    def _widen(self) -> None:
        import numpy as np

        self._width *= 2
        for held in (self._counts, self._sums):
            for name, values in held.items():
                held[name] = np.concatenate([values.reshape(-1, 2).sum(axis=1), np.zeros(_BINS // 2)])

    def _edges(self, name: str, first: int, stop: int) -> "NDArray[np.int64]":
        """Where blocks of bins begin, each of equally many as nearly as can be."""
        import numpy as np

        count = int(self._counts[name][first:stop].sum()) // _IN_BLOCK
        blocks = min(_BLOCKS, stop - first, max(_FEWEST_BLOCKS, count))
        blocks = 1 << (blocks.bit_length() - 1)  # of few sizes, for each of which hypotheses are made once
        return np.unique(np.linspace(first, stop, blocks + 1).astype(np.int64)[:-1])

    def _means(self, name: str, first: int, stop: int) -> list[float]:
        """Over the blocks in which requests ended."""
        return [value for value in self._in_blocks(name, first, stop).tolist() if not math.isnan(value)]

    def _in_blocks(self, name: str, first: int, stop: int) -> "Floats":
        import numpy as np

        if stop <= first:
            return np.zeros(0)
        edges = self._edges(name, first, stop) - first
        counts = np.add.reduceat(self._counts[name][first:stop], edges)
        sums = np.add.reduceat(self._sums[name][first:stop], edges)
        return np.asarray(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0))

    def _cut(self, name: str, first: int, stop: int) -> int:
        """How many bins to leave out, so that the rest's mean is known best."""
        import numpy as np

        means = self._in_blocks(name, first, stop)
        n = len(means)
        known = np.isfinite(means)
        counts = np.cumsum(known[::-1])[::-1]
        values = np.where(known, means, 0.0)
        values = np.where(known, values - values.sum() / max(known.sum(), 1), 0.0)
        sums, squares = np.cumsum(values[::-1])[::-1], np.cumsum((values**2)[::-1])[::-1]
        most = n // 2 + 1
        left = np.maximum(counts[:most], 1)
        uncertain = np.maximum(squares[:most] - sums[:most] ** 2 / left, 0) / left**2
        within = uncertain <= _NEARLY * uncertain.min() + 1e-24
        block = int(np.argmax(within))
        rest = means[block:][known[block:]]
        before = means[:block][known[:block]]
        odd = before[: max(1, len(before) // 4)]
        # A warm-up is odd from the first moment on: what comes in the midst of usual times may come again.
        if not len(before) or abs(float(odd.mean()) - float(rest.mean())) <= _ODD * float(rest.std()):
            return 0
        # What wears off goes on wearing off for a while where noise begins to hide it.
        return int(_ONWARDS * (int(self._edges(name, first, stop)[block]) - first))


def nearly_longest(requests: Sequence[Request]) -> float:
    """Seconds that nearly all of the last requests took at most; the longest ones may take as long as they like."""
    times = sorted(one.end_ns - one.sent_ns for one in requests[-_LOOKED_AT:])
    return times[int(_NEARLY_ALL * (len(times) - 1))] / NS_PER_S if times else 0.0


def steadiness(columns: Columns, begin: float, end: float, *, least_s: float = 0.0) -> Steadiness:
    """The same of a whole load, of which all requests are known."""
    watch = SteadyWatch(0)
    watch.add_columns(columns)
    return watch.verdict(begin, end, least_s=least_s)


def level_of(columns: Columns, *, concurrency: int | None, ramp_s: float = 0.0, stop: float | None = None) -> Window:
    """From when to when a load was at its level, in seconds after the origin.

    A closed loop is from when so many were in flight, or as many as ever were, until the first one that was not
    followed by another, or `stop`; an open one until the last was sent.
    """
    import numpy as np

    if not len(columns):
        return Window(0.0, stop or 0.0)
    begin, last_sent = float(columns.sent.min()), float(columns.sent.max())
    end = last_sent
    if concurrency:
        times = np.concatenate([columns.sent, columns.end])
        steps = np.concatenate([np.ones(len(columns)), -np.ones(len(columns))])
        order = np.lexsort((steps, times))
        in_flight = np.cumsum(steps[order])
        wanted = math.ceil(_REACHED * min(concurrency, float(in_flight.max())))
        begin = float(times[order][np.argmax(in_flight >= wanted)])
        end = float(columns.end[columns.end > last_sent].min(initial=float(columns.end.max())))
    begin = max(begin, ramp_s)
    end = min(end, stop) if stop is not None else end
    return Window(begin, end)


def _told(name: str, moved: Movement) -> str:
    way = "rose" if moved.change > 0 else "fell"
    much = f"by {abs(moved.change):.0%}" if math.isfinite(moved.change) else "from next to nothing"
    return f"never settled: the {_WORDS[name]} {way} {much} {SHAPES[moved.shape]}"
