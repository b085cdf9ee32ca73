"""Lines to read: a page of them at a time, by keys and wheel."""

from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.events import MouseScrollDown, MouseScrollUp
from textual.message import Message

from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.widgets.lines import Lines, cut

WHEEL_ROWS = 3

ACTIONS = (
    Action("pager.down", "j,down", "Down", "a line down", footer=False),
    Action("pager.up", "k,up", "Up", "a line up", footer=False),
    Action("pager.top", "g,home", "Top", "to the beginning", footer=False),
    Action("pager.bottom", "G,end", "Bottom", "to the end", footer=False),
    Action("pager.page-down", "pagedown,space", "Page", "a page down", footer=False),
    Action("pager.page-up", "pageup,b", "Page up", "a page up", footer=False),
    Action("pager.half-down", "ctrl+d", "Half page", "half a page down", footer=False),
    Action("pager.half-up", "ctrl+u", "Half page up", "half a page up", footer=False),
)


class Pager(Lines, can_focus=True):
    """Lines to read, of which those in view are painted."""

    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    DEFAULT_CSS = "Pager { width: 1fr; height: 1fr; }"

    class Laid(Message):
        """The size changed: the lines are to be made anew."""

    class Turned(Message):
        """Other lines are in view: `position` says which."""

        def __init__(self, position: str) -> None:
            super().__init__()
            self.position = position

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._text: list[Text] = []
        self._top = 0
        self._told = ""

    def set_lines(self, lines: list[Text], *, top: int | None = None) -> None:
        """Show these, from line `top`; from where it was without."""
        self._text = lines
        self._go(self._top if top is None else top)

    @property
    def text(self) -> str:
        """All lines as they are read."""
        return "\n".join(line.plain.rstrip() for line in self._text)

    def on_resize(self, event: object) -> None:
        """Charts and paragraphs depend on the width."""
        self._drawn = []
        self.post_message(self.Laid())

    def compose_lines(self) -> None:
        """The lines in view."""
        width, height = self.size
        if width and height:
            shown = [cut(line, width, glyphs(self.app).ellipsis) for line in self._text[self._top : self._top + height]]
            self.paint_lines([*shown, *(Text() for _ in range(height - len(shown)))])

    def _go(self, top: int) -> None:
        height, count = max(1, self.size.height), len(self._text)
        self._top = max(0, min(top, count - height))
        self.compose_lines()
        position = f"{self._top + 1}-{min(count, self._top + height)} of {count}" if count > height else ""
        if position != self._told:
            self._told = position
            self.post_message(self.Turned(position))

    def action_down(self) -> None:
        """A line on."""
        self._go(self._top + 1)

    def action_up(self) -> None:
        """A line back."""
        self._go(self._top - 1)

    def action_top(self) -> None:
        """To the beginning."""
        self._go(0)

    def action_bottom(self) -> None:
        """To the end."""
        self._go(len(self._text))

    def action_page_down(self) -> None:
        """A page on."""
        self._go(self._top + max(1, self.size.height - 1))

    def action_page_up(self) -> None:
        """A page back."""
        self._go(self._top - max(1, self.size.height - 1))

    def action_half_down(self) -> None:
        """Half a page on."""
        self._go(self._top + max(1, self.size.height // 2))

    def action_half_up(self) -> None:
        """Half a page back."""
        self._go(self._top - max(1, self.size.height // 2))

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """On."""
        event.stop()
        self._go(self._top + WHEEL_ROWS)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Back."""
        event.stop()
        self._go(self._top - WHEEL_ROWS)
