"""E2E latency of each run over its iterations: drift, steps and outliers."""

from typing import TYPE_CHECKING

from msgspec import Struct

from infertui.axes import duration_unit
from infertui.report.charts.style import (
    GRID,
    MUTED,
    SERIES,
    SMALL,
    multiples,
    round_ticks,
    text_of,
    written_out,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 1.6
_TITLE = 32
_LEAST_REACH = 0.03
"""An axis reaches at least so far from the median, as a share of it: noise is not blown up to look like drift."""


class Course(Struct, frozen=True):
    """One run: when each iteration began, seconds since measuring began, and its latency in seconds."""

    run: str
    number: int
    label: str
    where: str
    """Its workload, in short."""
    starts: tuple[float, ...]
    latencies: tuple[float, ...]
    median: float
    n: int
    """Iterations in all; with more than there are points, of each stretch the least and the largest are kept."""


class Courses(Struct, frozen=True, tag="courses"):
    """Small multiples, each with scales of its own."""

    courses: tuple[Course, ...]


def draw(data: Courses) -> "Figure":
    """The courses under RC, two side by side."""
    made, cells, across = multiples(len(data.courses), _ROW)
    for axes, course in zip(cells, data.courses, strict=True):
        _course(axes, course, _TITLE * 2 // across)
    made.supxlabel("time since measuring began, s", fontsize=SMALL, color=MUTED)
    return made


def _course(axes: "Axes", course: Course, width: int) -> None:
    unit, factor = duration_unit(course.median)
    reach = max(abs(value - course.median) for value in course.latencies)
    reach = factor * max(1.15 * reach, _LEAST_REACH * course.median)
    axes.axhline(factor * course.median, color=GRID, linewidth=1.2)
    few = len(course.starts) <= 60
    axes.plot(
        course.starts, [factor * value for value in course.latencies], "o-" if few else ".", color=SERIES[0],
        linewidth=0.9, markersize=3.2 if few else 2.0, markeredgewidth=0,
    )  # fmt: skip
    axes.set_ylim(max(0.0, factor * course.median - reach), factor * course.median + reach)
    axes.yaxis.set_major_locator(round_ticks(4))
    axes.xaxis.set_major_locator(round_ticks(5))
    for axis in (axes.xaxis, axes.yaxis):
        written_out(axis)
    axes.set_ylabel(f"E2E, {unit}")
    axes.set_title(
        "\n".join((text_of(f"{course.number}  {course.where}", width), text_of(course.label, width))),
        fontsize=SMALL, fontweight="normal", linespacing=1.25,
    )  # fmt: skip
