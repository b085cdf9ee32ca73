"""Gauges: cells of text in columns, repainted only where they changed."""

import math
from collections.abc import Sequence
from itertools import zip_longest

from rich.text import Text
from textual.geometry import Size
from textual.strip import Strip

from infertui.tui.terminal.capabilities import ASCII, UNICODE, glyphs
from infertui.tui.widgets.lines import Lines, cut


class GaugeColumn(Lines):
    """One column of one-line cells, as wide as it needs."""

    DEFAULT_CSS = "GaugeColumn { width: auto; height: auto; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id, classes=classes)
        self._cells: list[Text] = []

    def set_cells(self, cells: Sequence[Text]) -> None:
        """Show these, one a line; cells as they were are not painted again."""
        before = self._natural_size()
        self._cells = list(cells)
        if not self.is_mounted:
            return
        auto = self.styles.auto_dimensions and self._natural_size() != before
        self.compose_lines()
        if auto:
            self.refresh(layout=True)

    def compose_lines(self) -> None:
        """The cells, cut with a mark where the column is too narrow."""
        width, ellipsis = self.size.width, glyphs(self.app).ellipsis
        self.paint_lines([cut(cell, width, ellipsis) for cell in self._cells])

    def _natural_size(self) -> tuple[int, int]:
        return max((cell.cell_len for cell in self._cells), default=0), len(self._cells)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """The widest cell."""
        return self._natural_size()[0]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """A line a cell."""
        return self._natural_size()[1]


class GaugeGrid(Lines):
    """Columns of one-line cells side by side, in one widget: a widget for each column takes twice the time to draw.

    What is written to the terminal is the same, as the application writes only what differs.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._widths: tuple[int, ...] = ()
        self._columns: list[list[Text]] = []
        self._above: list[Text] = []

    def show_cells(self, widths: Sequence[int], columns: Sequence[list[Text]], *, above: Sequence[Text] = ()) -> None:
        """Show these columns, so many cells wide each, and `above` them lines over the whole width."""
        before = self.lines
        self._widths, self._columns, self._above = tuple(widths), list(columns), list(above)
        if not self.is_mounted:
            return
        self.compose_lines()
        if self.lines != before and self.styles.auto_dimensions:
            self.refresh(layout=True)

    @property
    def lines(self) -> int:
        """How many there are."""
        return len(self._above) + max(map(len, self._columns), default=0)

    def compose_lines(self) -> None:
        """The rows, cells cut with a mark where a column is too narrow."""
        if not self.is_mounted:
            return
        ellipsis, width, empty = glyphs(self.app).ellipsis, self.size.width, Text()
        rows = zip_longest(*self._columns, fillvalue=empty)
        self.paint_strips([
            *(self.to_strip(cut(line, width, ellipsis), width) for line in self._above),
            *(
                Strip.join(
                    self.to_strip(cut(cell, wide, ellipsis), wide) for cell, wide in zip(row, self._widths, strict=True)
                ).adjust_cell_length(width, self.visual_style.rich_style)
                for row in rows
            ),
        ])  # fmt: skip

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """A line a row."""
        return self.lines


def bar(share: float, width: int, *, style: str = "", empty_style: str = "dim", ascii: bool = False) -> Text:  # noqa: A002
    """A bar of `width` cells, filled to `share` (0..1; more is full, NaN is empty).

    Half cells count where there is a sign for them, and anything above nothing shows at least the smallest step.
    """
    signs = ASCII if ascii else UNICODE
    steps_per_cell = 2 if signs.half_bar else 1
    share = 0.0 if math.isnan(share) else min(1.0, max(0.0, share))
    steps = round(share * width * steps_per_cell)
    if share > 0 and width > 0:
        steps = max(1, steps)
    full, half = divmod(steps, steps_per_cell)
    text = Text(no_wrap=True, end="")
    text.append(signs.bar * full + signs.half_bar * half, style=style)
    text.append(signs.no_bar * (width - full - half), style=empty_style)
    return text
