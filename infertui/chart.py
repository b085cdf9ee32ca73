"""A chart of results before it is drawn, on a screen or in a file: curves with intervals over what was varied. Pure."""

import math
from itertools import chain
from typing import Literal

from msgspec import Struct

from infertui.axes import Axis, value_axis

_MOST_BEYOND = 2.0
"""Intervals lengthen an axis up to this multiple of what the points themselves need."""


class ChartPoint(Struct, frozen=True):
    """A value at `x`, with its interval where there is one; None is not available and not drawn. `doubt` marks what is
    not to be believed, such as an invalid run."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None
    doubt: bool = False


class ChartCurve(Struct, frozen=True):
    """Points in any order, joined by straight lines unless `joined` is False."""

    points: tuple[ChartPoint, ...]
    label: str = ""
    style: str = ""
    """A rich style; empty: the theme's next series style."""
    joined: bool = True


class ChartMark(Struct, frozen=True):
    """A vertical line at `at`, or a horizontal one, with what it is: `knee 16`, `limit 200 ms`."""

    at: float
    label: str
    across: bool = False
    kind: Literal["mark", "limit"] = "mark"


class ChartPanel(Struct, frozen=True):
    """One quantity. `failed` are the x at which there is no value because something failed. Its axis starts at zero
    unless `zero` is False, or `y_range` says otherwise."""

    name: str
    unit: str
    curves: tuple[ChartCurve, ...]
    marks: tuple[ChartMark, ...] = ()
    failed: tuple[float, ...] = ()
    zero: bool = True
    y_range: tuple[float, float] | None = None


class ResultChart(Struct, frozen=True):
    """Panels over one x axis of levels, which `heading` names. Texts may be foreign."""

    panels: tuple[ChartPanel, ...]
    heading: str = ""

    @property
    def levels(self) -> list[float]:
        """Every x that something was measured, or failed, at."""
        found = chain.from_iterable(
            chain((point.x for curve in panel.curves for point in curve.points), panel.failed) for panel in self.panels
        )
        return sorted({x for x in found if math.isfinite(x)})


def axis_of(panel: ChartPanel) -> Axis:
    """How far the value axis of a panel reaches."""
    if panel.y_range is not None and panel.y_range[0] < panel.y_range[1]:
        return Axis(*panel.y_range)
    points = [point for curve in panel.curves for point in known_points(curve)]
    values = [point.y for point in points if point.y is not None]
    values += [mark.at for mark in panel.marks if mark.across and math.isfinite(mark.at)]
    low, high = min(values, default=math.inf), max(values, default=-math.inf)
    beyond = (_MOST_BEYOND - 1) * max(abs(low), abs(high)) if values else 0.0
    ends = [end for point in points for end in (point.low, point.high) if end is not None and math.isfinite(end)]
    low = min([low, *(max(end, low - beyond) for end in ends)])
    high = max([high, *(min(end, high + beyond) for end in ends)])
    return value_axis(low, high, zero=panel.zero)


def known_points(curve: ChartCurve) -> list[ChartPoint]:
    """The points that can be drawn, in order."""
    found = [one for one in curve.points if one.y is not None and math.isfinite(one.y) and math.isfinite(one.x)]
    return sorted(found, key=lambda point: point.x)
