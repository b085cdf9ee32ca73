"""Lines above and below the form that are as many as there is to say."""

from collections.abc import Callable, Sequence

from rich.text import Text

from infertui.tui.widgets.lines import Lines

Say = Callable[[int], Sequence[Text]]
"""From a width in cells to the lines to show."""


class Notes(Lines):
    """Takes the height of its lines, down to none."""

    DEFAULT_CSS = "Notes { width: 1fr; height: 0; }"

    def __init__(self, say: Say, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._say = say
        self._height = 0

    def compose_lines(self) -> None:
        """Ask what there is to say, and make room for it."""
        parent = self.parent
        width = self.size.width or (parent.size.width if parent is not None and hasattr(parent, "size") else 0)
        if not width:
            return
        lines = list(self._say(width))
        if len(lines) != self._height:
            self._height = len(lines)
            self.styles.height = self._height
        self.paint_lines(lines)
