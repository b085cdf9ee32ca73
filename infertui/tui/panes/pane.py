"""What all panes have in common: a frame with a number and a title, actions of their own, and a way to be drawn."""

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical

from infertui.tui.actions import Action
from infertui.tui.layouts import number_of

if TYPE_CHECKING:
    from infertui.tui.cockpit import Cockpit
    from infertui.tui.topics import Topic


class Pane(Vertical):
    """A part of the main screen. Subclasses set TITLE, ACTIONS and BINDINGS = bindings(ACTIONS), and compose children.

    The application calls `show(touched)` on its own clock, with the topics of the mirror that changed since the last
    call; a pane that is not displayed is called once with all topics when it comes back. A pane redraws only what
    really differs from what it drew before.
    """

    TITLE: ClassVar[str] = ""
    ACTIONS: ClassVar[tuple[Action, ...]] = ()

    def __init__(self, cockpit: "Cockpit", *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id, classes="pane")
        self.BINDING_GROUP_TITLE = self.TITLE
        self.cockpit = cockpit
        self.border_title = f"{number_of(id)} {self.TITLE}".strip()

    def show(self, touched: "AbstractSet[Topic]") -> None:
        """Draw what changed."""

    def wanted_lines(self, width: int) -> int:
        """Lines that the content would like to have at this width, frame not counted; 0: whatever there is."""
        return 0

    def focus_inside(self) -> None:
        """Take the focus; a pane gives it to its main list."""
        for widget in self.query("*"):
            if widget.focusable:
                widget.focus()
                return
