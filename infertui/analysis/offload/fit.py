"""A straight line through measured points, by ordinary least squares."""

import math
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct


class FittedLine(Struct, frozen=True):
    """y = intercept + slope x. `error` is the slope's standard error, None with fewer than three points."""

    slope: float
    intercept: float
    error: float | None
    points: int

    def at(self, x: float) -> float:
        """The line's y at x."""
        return self.intercept + self.slope * x


def line_through(points: Sequence[tuple[float, float]]) -> FittedLine | None:
    """The line nearest to the points in squares of y; None with fewer than two different x.

    The standard error is that of simple regression, with n - 2 degrees of freedom.
    """
    count = len(points)
    if len({x for x, _ in points}) < 2:
        return None
    mean_x, mean_y = (math.fsum(values) / count for values in zip(*points, strict=True))
    spread = math.fsum((x - mean_x) ** 2 for x, _ in points)
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    intercept = mean_y - slope * mean_x
    if count < 3:
        return FittedLine(slope, intercept, None, count)
    left = math.fsum((y - intercept - slope * x) ** 2 for x, y in points)
    return FittedLine(slope, intercept, math.sqrt(left / (count - 2) / spread), count)


def between(points: Sequence[tuple[float, float]], x: float) -> float | None:
    """y at x on the polyline through the points, which rise in x; None outside of them."""
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0) if x1 > x0 else y0
    return None
