"""Long series made short enough to show, with their peaks, in memory that does not grow with them."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


def thin(points: Iterable[T], limit: int, figure: Callable[[T], float | None]) -> list[T]:
    """At most `limit` (2 or more) of the points: of each stretch of time that of the lowest and the highest figure.

    So a peak is still seen where a mean, or every n-th point, would hide it. However many points come, no more than
    `limit` of them are held: stretches are joined two by two whenever there are too many. Of a stretch without any
    figure the first point stays.
    """
    source = iter(points)
    first = list(islice(source, limit + 1))
    if len(first) <= limit:
        return first
    most = max(1, limit // 2)
    stretches: list[_Stretch[T]] = []
    length, room = 1, 0
    for part in (first, source):
        for point in part:
            if not room:
                if len(stretches) == most:
                    # Of an odd number the last has no partner, and takes as many points again.
                    alone = len(stretches) % 2
                    pairs = zip(stretches[::2], stretches[1::2], strict=False)
                    stretches = [one.with_next(other) for one, other in pairs] + (stretches[-1:] if alone else [])
                    room = length if alone else 0
                    length *= 2
                if not room:
                    stretches.append(_Stretch(point))
                    room = length
            stretches[-1].add(point, figure(point))
            room -= 1
    return [point for stretch in stretches for point in stretch.ends()]


class _Stretch(Generic[T]):
    """The ends of some consecutive points; `low_at` and `high_at` tell which of both came first."""

    __slots__ = ("count", "first", "high", "high_at", "high_point", "low", "low_at", "low_point")

    def __init__(self, first: T) -> None:
        self.count = 0
        self.first = self.low_point = self.high_point = first
        self.low: float | None = None
        self.high: float | None = None
        self.low_at = self.high_at = 0

    def add(self, point: T, value: float | None) -> None:
        if value is not None:
            if self.low is None or value < self.low:
                self.low, self.low_at, self.low_point = value, self.count, point
            if self.high is None or value > self.high:
                self.high, self.high_at, self.high_point = value, self.count, point
        self.count += 1

    def with_next(self, other: "_Stretch[T]") -> "_Stretch[T]":
        """This stretch, continued by the next."""
        if other.low is not None and (self.low is None or other.low < self.low):
            self.low, self.low_at, self.low_point = other.low, self.count + other.low_at, other.low_point
        if other.high is not None and (self.high is None or other.high > self.high):
            self.high, self.high_at, self.high_point = other.high, self.count + other.high_at, other.high_point
        self.count += other.count
        return self

    def ends(self) -> list[T]:
        if self.low is None:
            return [self.first]
        if self.low_at == self.high_at:
            return [self.low_point]
        both = [self.low_point, self.high_point]
        return both if self.low_at < self.high_at else both[::-1]
