"""From coarse to fine: which number of layers to measure next, from what is measured so far.

Three facts lead it. Memory grows by the layer along a line, so that two points tell where a limit is met. What fits is
fastest with the most layers, as a rule and not always. And points are dear: a quarter of an exhaustive sweep has to do.

So it measures, in this order: no layer on the GPU; the most layers under the ceiling, until it is known to be the most;
one point in each band of the profiles, then the most there; then it halves whichever gap between two measured points
leaves most open, those beside the fastest first.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from infertui.analysis.offload.card import Card
from infertui.analysis.offload.fit import FittedLine, line_through
from infertui.analysis.offload.points import OffloadPoint
from infertui.analysis.offload.profiles import BANDS

Estimate = Callable[[int], int | None]
"""Bytes of the GPU that so many layers are estimated to take; None is not known."""


def next_layers(points: Sequence[OffloadPoint], most: int, card: Card, estimate: Estimate, budget: int) -> int | None:
    """The layers to measure next of `most`; None where nothing is left, or the budget of runs is spent."""
    known = {point.layers for point in points}
    if len(known) >= min(budget, most + 1) or _hopeless(points):
        return None
    if 0 not in known:
        return 0
    search = _Search(points, most, card, estimate)
    for wanted in search.wanted():
        if wanted not in known:
            return wanted
    return None


def memory_line(points: Sequence[OffloadPoint]) -> FittedLine | None:
    """Memory over layers. Without any on the GPU a run takes other buffers, so that 0 counts only where it has to."""
    measured = [(float(point.layers), float(point.vram)) for point in points if point.vram is not None]
    return line_through([point for point in measured if point[0] > 0]) or line_through(measured)


def _hopeless(points: Sequence[OffloadPoint]) -> bool:
    """Whether runs fail for another reason than memory, and none was measured."""
    failed = [point for point in points if point.failure and not point.no_room]
    return len(failed) >= 2 and not any(point.measured for point in points)


class _Search:
    def __init__(self, points: Sequence[OffloadPoint], most: int, card: Card, estimate: Estimate) -> None:
        self._points = sorted(points, key=lambda point: point.layers)
        self._most, self._card, self._estimate = most, card, estimate
        self._good = [point for point in self._points if point.measured]
        self._line = memory_line(self._good)
        self._above = [point for point in self._good if point.layers > 0 and point.vram is not None]
        self._by_line = len(self._above) >= 2

    def wanted(self) -> list[int]:
        """What is worth measuring, the most valuable first; some of it may be measured already."""
        top = self._under(self._card.fits)
        empty: list[int] = []
        other: list[int] = []
        for band in reversed(BANDS):
            edge = self._under(lambda size, band=band: self._card.share(size) < band.high)  # type: ignore[misc]
            if edge and edge <= (top or 0) and band.holds(self._share(edge)):
                held = any(point.layers and band.holds(point.vram_share) for point in self._good)
                (other if held else empty).append(edge)
        return [*([top] if top is not None else []), *empty, *other, *self._gaps(top)]

    def _predicted(self, layers: int) -> float | None:
        """Bytes with so many layers: by the line, else by the estimate, moved to what was measured."""
        exact = next((point.vram for point in self._good if point.layers == layers), None)
        if exact is not None:
            return exact
        if self._line is not None and self._by_line:
            return self._line.at(layers)
        guess = self._estimate(layers)
        nearest = (
            self._above[0] if self._above else next((point for point in self._good if point.vram is not None), None)
        )
        if guess is not None and nearest is not None and nearest.vram is not None and nearest.layers > 0:
            return guess + nearest.vram - (self._estimate(nearest.layers) or nearest.vram)
        if guess is not None:
            return guess
        return self._line.at(layers) if self._line is not None else None

    def _share(self, layers: int) -> float | None:
        bytes_ = self._predicted(layers)
        return None if bytes_ is None or self._card.total is None else self._card.share(bytes_)

    def _under(self, fits: Callable[[float], bool]) -> int | None:
        """The most layers whose memory is under a limit, as far as can be told; None where not even one is."""
        low, high = 0, self._most  # what is known to be under it, and may still be
        for point in self._points:
            if point.no_room or (point.vram is not None and not fits(point.vram)):
                high = min(high, point.layers - 1)
            elif point.measured:
                low = max(low, point.layers)
        if high <= low:
            return high if high >= 0 else None
        if self._card.total is None:
            return high
        told = [layers for layers in range(low + 1, high + 1) if self._predicted(layers) is not None]
        if not told:
            return high if high == self._most else (low + high + 1) // 2
        if any(p.no_room and fits(self._predicted(p.layers) or 0.0) for p in self._points if p.layers > low):
            return (low + high + 1) // 2  # something takes more than is known: the line does not tell where it ends
        under = [layers for layers in told if fits(self._predicted(layers) or 0.0)]
        if not under and not self._by_line:
            return (low + high + 1) // 2  # an estimate alone does not rule out all that is left
        return max(under, default=low)

    def _gaps(self, top: int | None) -> list[int]:
        """The middles of the gaps between measured points, those beside the fastest first, then where speed changes
        most."""
        good = [point for point in self._good if top is None or point.layers <= max(top, 0)]
        if not good:
            return []
        best = max(good, key=lambda point: point.throughput or 0.0)
        open_ = [(one, other) for one, other in pairwise(good) if other.layers - one.layers > 1]

        def worth(gap: tuple[OffloadPoint, OffloadPoint]) -> tuple[bool, float]:
            slow, fast = sorted((gap[0].throughput or 0.0, gap[1].throughput or 0.0))
            change = (fast - slow) / fast if fast else 0.0
            return best in gap, change * (gap[1].layers - gap[0].layers)

        return [(one.layers + other.layers) // 2 for one, other in sorted(open_, key=worth, reverse=True)]
