"""A chart by plotext, for what is drawn once: four of these cost some 40 ms and 30 kB each time they are redrawn."""

from collections.abc import Callable
from typing import Any

from textual.app import RenderResult
from textual_plotext import PlotextPlot

from infertui.tui.terminal.capabilities import ASCII, glyphs
from infertui.tui.terminal.sanitize import plain
from infertui.tui.themes import palette

Draw = Callable[[Any, str], None]
"""Puts a chart onto a plotext figure, with a marker that this terminal can show."""


class StaticPlot(PlotextPlot):
    """Shows what `draw` puts on it. Data that plotext cannot take gives a line of text: an error while a widget renders
    would end the application.
    """

    DEFAULT_CSS = "StaticPlot { width: 1fr; height: 1fr; }"

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self._draw = draw

    def render(self) -> RenderResult:
        """The chart at the present size. Colours that the theme has not are taken out where lines are written."""
        ascii_only = glyphs(self.app) is ASCII
        try:
            self.plt.clear_data()
            self.plt.frame(not ascii_only)
            self._draw(self.plt, "*" if ascii_only else "braille")
            return super().render()
        except Exception as error:  # noqa: BLE001 (whatever plotext stumbles over is no reason to end the application)
            return plain(f"This chart cannot be drawn: {type(error).__name__}: {error}", palette(self.app).error)
