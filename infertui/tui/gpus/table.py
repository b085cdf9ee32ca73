"""The devices' gauges as a widget: the keys, clicks and wheel that choose among them."""

from typing import ClassVar

from textual.binding import BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message

from infertui.tui.frame.actions import Action, bindings
from infertui.tui.widgets.gauges import GaugeGrid

TABLE_ACTIONS = (
    Action("gpus.next", "j,down", "Next", "select the next GPU", footer=False),
    Action("gpus.previous", "k,up", "Previous", "select the previous GPU", footer=False),
)


class GaugeTable(GaugeGrid, can_focus=True):
    """The devices' gauges, and the keys that choose among them."""

    ACTIONS = TABLE_ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(TABLE_ACTIONS)]
    DEFAULT_CSS = "GaugeTable { height: 1fr; }"

    class Stepped(Message):
        """The selection is to move by so many devices."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class Pointed(Message):
        """Someone clicked at a place of the table; `twice` is a double click."""

        def __init__(self, x: int, y: int, *, twice: bool) -> None:
            super().__init__()
            self.x, self.y, self.twice = x, y, twice

    def action_next(self) -> None:
        """The next device."""
        self.post_message(self.Stepped(1))

    def action_previous(self) -> None:
        """The previous device."""
        self.post_message(self.Stepped(-1))

    def on_click(self, event: Click) -> None:
        """Select what was clicked at."""
        offset = event.get_content_offset(self)
        if offset is not None:
            event.stop()
            self.post_message(self.Pointed(offset.x, offset.y, twice=event.chain == 2))

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """The wheel moves the selection."""
        event.stop()
        self.post_message(self.Stepped(1))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """The wheel moves the selection."""
        event.stop()
        self.post_message(self.Stepped(-1))
