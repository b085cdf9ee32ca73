"""A figure of each run as a bar from zero, with its 95 % interval where there is one."""

from typing import TYPE_CHECKING

from msgspec import Struct

from infertui.report.charts.style import (
    IDLE,
    INK,
    MUTED,
    PAPER,
    SERIES,
    SMALL,
    figure,
    round_ticks,
    rows_only,
    text_of,
    written_out,
)
from infertui.units import format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW, _HEAD = 0.37, 0.62
_LABEL = 74


class Bar(Struct, frozen=True):
    """One run. `part` is what of the value is drawn lighter, such as what an idle device draws anyway."""

    run: str
    number: int
    label: str
    value: float
    low: float | None = None
    high: float | None = None
    part: float | None = None
    mark: str = ""
    """What speaks against it; empty where nothing does."""
    baseline: bool = False


class Panel(Struct, frozen=True):
    """Runs that may be compared with each other."""

    title: str
    bars: tuple[Bar, ...]


class Bars(Struct, frozen=True, tag="bars"):
    """All panels share the unit; each has its own scale, unless `top` ends all of them."""

    unit: str
    panels: tuple[Panel, ...]
    top: float | None = None
    whole: str = ""
    """What a whole bar is, and `part` the lighter part of it, where bars have one."""
    part: str = ""


def draw(data: Bars) -> "Figure":
    """The bars under RC."""
    counts = [len(panel.bars) for panel in data.panels]
    parted = any(bar.part is not None for panel in data.panels for bar in panel.bars)
    made = figure(sum(_ROW * count + _HEAD for count in counts) + (0.3 if parted else 0.05))
    grid = made.subplots(len(counts), 1, squeeze=False, gridspec_kw={"height_ratios": [c + 0.4 for c in counts]})
    for axes, panel in zip(grid[:, 0], data.panels, strict=True):
        _panel(axes, panel, data)
    if parted:
        from matplotlib.patches import Patch

        made.legend(
            handles=[Patch(color=SERIES[0], label=data.whole), Patch(color=IDLE, label=data.part)],
            loc="outside lower left", ncols=2,
        )  # fmt: skip
    return made


def _panel(axes: "Axes", panel: Panel, data: Bars) -> None:
    ends = [max(bar.value, bar.high or 0.0) for bar in panel.bars]
    widest = max(ends) or 1.0
    for row, (bar, end) in enumerate(zip(panel.bars, ends, strict=True)):
        if bar.mark:
            axes.barh(row + 0.18, bar.value, height=0.36, facecolor=PAPER, edgecolor=MUTED, hatch="////", linewidth=0.8)
        else:
            axes.barh(row + 0.18, bar.value, height=0.36, color=SERIES[5] if bar.baseline else SERIES[0], linewidth=0)
        if bar.part is not None and not bar.mark:
            axes.barh(row + 0.18, bar.part, height=0.36, color=IDLE, linewidth=0.0)
        if bar.low is not None and bar.high is not None:
            reach = [[bar.value - bar.low], [bar.high - bar.value]]
            axes.errorbar(bar.value, row + 0.18, xerr=reach, ecolor=INK, elinewidth=1.1, capsize=2.5, fmt="none")
        label_row(axes, row, bar.number, bar.label, bar.mark or ("baseline" if bar.baseline else ""))
        axes.annotate(
            format_number(bar.value), (end, row + 0.18), xytext=(5, 0), textcoords="offset points", va="center",
            fontsize=SMALL, color=INK, annotation_clip=False,
        )  # fmt: skip
    axes.set_xlim(0, data.top or widest * 1.16)
    rows_only(axes, len(panel.bars))
    axes.xaxis.set_major_locator(round_ticks(6))
    written_out(axes.xaxis)
    axes.set_xlabel(data.unit)
    axes.set_title(text_of(panel.title, 68))


def label_row(axes: "Axes", row: int, number: int, label: str, mark: str, width: int = _LABEL) -> None:
    """The run's number and label, above its row."""
    marked = f"  ({mark})" if mark else ""
    said = text_of(f"{number}  {label}", width - len(marked)) + marked
    axes.annotate(
        said, (0, row - 0.22), xycoords=("axes fraction", "data"), va="center", ha="left",
        fontsize=SMALL, color=INK, annotation_clip=False,
    )  # fmt: skip
