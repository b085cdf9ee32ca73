"""A line that stands in a pane when there is something to say."""

from rich.text import Text

from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.widgets.lines import Lines, cut


class PinnedLine(Lines):
    """Takes no room while it has nothing to show."""

    DEFAULT_CSS = "PinnedLine { height: 1; display: none; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._line: Text | None = None

    def set_line(self, line: Text | None) -> None:
        """Show a line, or nothing at all."""
        self._line = line
        self.display = line is not None
        self.compose_lines()

    def compose_lines(self) -> None:
        """The line."""
        if self._line is not None:
            self.paint_lines([cut(self._line, self.size.width, glyphs(self.app).ellipsis)])
