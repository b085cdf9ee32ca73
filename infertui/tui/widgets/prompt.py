"""A line to type in.

A line that stands in a pane when there is something to say.
"""

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.terminal.sanitize import safe
from infertui.tui.widgets.lines import Lines, cut


class LineInput(Input):
    """A compact Input whose cursor does not blink: blinking costs 2.5 kB a second. Pasted text is cleaned.

    Enter posts `Submitted` and Esc `Cancelled`; whoever put the input there gives the focus back.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False, id="input.cancel")]

    class Cancelled(Message):
        """Esc."""

        def __init__(self, line: "LineInput") -> None:
            super().__init__()
            self.line = line

        @property
        def control(self) -> "LineInput":
            """The input."""
            return self.line

    def __init__(
        self,
        value: str = "",
        *,
        placeholder: str = "",
        id: str | None = None,  # noqa: A002 (Textual's name)
    ) -> None:
        super().__init__(safe(value), placeholder=safe(placeholder), compact=True, id=id, select_on_focus=False)
        self.set_reactive(Input.cursor_blink, False)

    def validate_value(self, value: str) -> str:
        """Nothing that does not belong on one line gets in, by whatever way."""
        return safe(value)

    def action_cancel(self) -> None:
        """Esc."""
        self.post_message(self.Cancelled(self))


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
