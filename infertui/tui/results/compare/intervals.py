"""A ratio and its interval as a line: where 1 is, and on which side of it the figures are. Pure.

The axis is logarithmic, so that 2x and 0.5x are equally far from 1, and better is always to the right.
"""

import math
from collections.abc import Sequence

from rich.text import Text

from infertui.analysis.compare import ComparedFigure
from infertui.tui.widgets.cells import RenderContext

_SPANS = (1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0)
_BANDS = 2.0
"""The axis reaches at least so many times as far as the band, to either side."""
_BEHIND = "░.┊:"
"""Signs that are no part of an interval."""


def style_of(figure: ComparedFigure, look: RenderContext) -> str:
    """The colour of a verdict: better, worse, or equal; none where it is unclear."""
    colours = look.palette
    return {"+": colours.ok, "-": colours.error, "=": colours.muted}.get(figure.sign, "")


def span_of(figures: Sequence[ComparedFigure]) -> float:
    """The end of an axis, as a ratio above 1, that all of these fit on, and on which what counts as equal is narrow."""
    most = max((abs(math.log(value)) for figure in figures for value in _goodness(figure)), default=0.0)
    most = max([most, *(_BANDS * math.log1p(figure.equal_within) for figure in figures)])
    return next((span for span in _SPANS if math.log(span) >= most), _SPANS[-1])


def picture(figure: ComparedFigure, span: float, width: int, look: RenderContext) -> Text:
    """`├──●──┤` around 1 in the middle of `width` cells, in front of the band of what counts as equal; an arrow at the
    edge for what lies beyond `span`."""
    cells = [" "] * width
    middle = width // 2
    band = _cell(1 / (1 + figure.equal_within), span, width), _cell(1 + figure.equal_within, span, width)
    cells[band[0] : band[1] + 1] = look.glyph("░", ".") * (band[1] + 1 - band[0])
    cells[middle] = look.glyph("┊", ":")
    found = _goodness(figure)
    if found:
        low, point, high = found[0], found[len(found) // 2], found[-1]
        at = _cell(point, span, width)
        if len(found) == 3:
            left, right = _cell(low, span, width), _cell(high, span, width)
            for place in range(left, right + 1):
                cells[place] = look.glyph("─", "-") if place != middle else look.glyph("┼", "+")
            if left < at:
                cells[left] = look.glyph("├", "[") if low >= 1 / span else look.glyph("◄", "<")
            if right > at:
                cells[right] = look.glyph("┤", "]") if high <= span else look.glyph("►", ">")
        beyond = point > span or point < 1 / span
        cells[at] = look.glyph("●", "o") if not beyond else (">" if point > 1 else "<")
    line = Text("".join(cells), style=style_of(figure, look), no_wrap=True, end="")
    for place in range(band[0], band[1] + 1):
        if cells[place] in _BEHIND:
            line.stylize(look.palette.muted, place, place + 1)
    return line


def axis(span: float, width: int, look: RenderContext) -> Text:
    """What stands above pictures: which way is better, and how far the axis goes."""
    ends = f"{span:g}x worse", f"{span:g}x better"
    middle = width // 2
    left = f"{look.glyph('◄', '<')} {ends[0]}"
    right = f"{ends[1]} {look.glyph('►', '>')}"
    line = left + " " * max(1, middle - len(left)) + "1"
    line += right.rjust(max(len(right) + 1, width - len(line)))
    if len(line) > width:
        line = (look.glyph("◄", "<") + "1".center(max(1, width - 2)) + look.glyph("►", ">"))[:width]
    return Text(line, style=look.palette.muted, no_wrap=True, end="")


def _goodness(figure: ComparedFigure) -> list[float]:
    """Low, value and high of the ratio, turned so that more is better; the value alone without an interval."""
    ratio = figure.ratio
    if ratio is None or not 0 < ratio.value < math.inf:
        return []
    found = [ratio.value]
    if ratio.interval is not None and 0 < ratio.interval.low <= ratio.interval.high < math.inf:
        found = [ratio.interval.low, ratio.value, ratio.interval.high]
    return found if figure.better == "higher" else [1 / value for value in reversed(found)]


def _cell(value: float, span: float, width: int) -> int:
    """The cell of a ratio; that of 1 is the middle one."""
    middle = width // 2
    place = middle + round(math.log(value) / math.log(span) * min(middle, width - 1 - middle))
    return max(0, min(width - 1, place))
