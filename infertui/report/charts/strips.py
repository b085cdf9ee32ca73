"""How a time of each run is distributed over its iterations: every one of them, or quartiles where they are many."""

from typing import TYPE_CHECKING

from msgspec import Struct

from infertui.axes import duration_unit
from infertui.report.charts.bars import label_row
from infertui.report.charts.style import (
    INK,
    MUTED,
    SERIES,
    SMALL,
    figure,
    logarithmic,
    round_ticks,
    rows_only,
    text_of,
    written_out,
)
from infertui.units import format_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW, _HEAD = 0.4, 0.62
FEW = 72
"""Below so many observations each is drawn by itself: they could not bound a 95th percentile."""
_LABEL = 60
_WIDE = 4
"""Where times differ by more than so many times, their axis is logarithmic: every row shows its own spread then."""
_GOLDEN = 0.6180339887


class Strip(Struct, frozen=True):
    """One run's observations, seconds. `values` holds all where they are few, else nothing but the extremes.

    `quantiles` are those of 5, 25, 50, 75 and 95 %, given where there are many.
    """

    run: str
    number: int
    label: str
    n: int
    values: tuple[float, ...]
    median: float
    quantiles: tuple[float, float, float, float, float] | None = None
    mark: str = ""


class StripPanel(Struct, frozen=True):
    """Runs that may be compared with each other."""

    title: str
    strips: tuple[Strip, ...]


class Strips(Struct, frozen=True, tag="strips"):
    """Of one quantity, such as `E2E latency`."""

    quantity: str
    panels: tuple[StripPanel, ...]


def draw(data: Strips) -> "Figure":
    """The strips under RC."""
    counts = [len(panel.strips) for panel in data.panels]
    made = figure(sum(_ROW * count + _HEAD for count in counts) + 0.05)
    grid = made.subplots(len(counts), 1, squeeze=False, gridspec_kw={"height_ratios": [c + 0.4 for c in counts]})
    for axes, panel in zip(grid[:, 0], data.panels, strict=True):
        _panel(axes, panel, data.quantity)
    return made


def _panel(axes: "Axes", panel: StripPanel, quantity: str) -> None:
    largest = max(max(strip.values) for strip in panel.strips)
    least = min(min(strip.values) for strip in panel.strips)
    unit, factor = duration_unit(largest)
    for row, strip in enumerate(panel.strips):
        at, colour = row + 0.2, MUTED if strip.mark else SERIES[0]
        if strip.quantiles is not None:
            low, first, _, third, high = (factor * value for value in strip.quantiles)
            axes.plot([low, high], [at, at], color=colour, linewidth=1.4, solid_capstyle="butt")
            axes.barh(at, third - first, left=first, height=0.26, color=colour, linewidth=0, alpha=0.55)
            ends = sorted({min(strip.values), max(strip.values)})
            axes.plot([factor * value for value in ends], [at] * len(ends), "o", color=colour, markersize=3)
        else:
            heights = [at + 0.24 * ((index * _GOLDEN) % 1 - 0.5) for index in range(len(strip.values))]
            axes.plot(
                [factor * value for value in strip.values], heights, "o", color=colour, markersize=4.5, alpha=0.65,
                markeredgewidth=0,
            )  # fmt: skip
        axes.plot([factor * strip.median] * 2, [at - 0.2, at + 0.2], color=INK, linewidth=1.6)
        label_row(axes, row, strip.number, strip.label, strip.mark, _LABEL)
        axes.annotate(
            f"{format_seconds(strip.median)}, n={strip.n:,}", (1, row - 0.22), xycoords=("axes fraction", "data"),
            va="center", ha="right", fontsize=SMALL, color=MUTED, annotation_clip=False,
        )  # fmt: skip
    if least > 0 and largest > _WIDE * least:
        room = (largest / least) ** 0.03
        axes.set_xscale("log")
        axes.set_xlim(factor * least / room, factor * largest * room)
        logarithmic(axes.xaxis)
        said = "  (logarithmic)"
    else:
        spread = max(largest - least, 0.01 * largest, 1e-9)
        axes.set_xlim(factor * max(0.0, least - 0.06 * spread), factor * (largest + 0.06 * spread))
        axes.xaxis.set_major_locator(round_ticks(6))
        said = "  (does not begin at 0)" if least > 0.06 * spread else ""
    written_out(axes.xaxis)
    rows_only(axes, len(panel.strips))
    axes.set_xlabel(f"{quantity}, {unit}{said}")
    axes.set_title(text_of(panel.title, 68))
