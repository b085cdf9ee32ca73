"""What all panes have in common: a frame with a number and a title, actions of their own, and a way to be drawn.

The title in a pane's frame: its name, and what is to be said at a glance.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Self

from textual.containers import Vertical
from textual.events import Key
from textual.geometry import Region
from textual.message import Message

from infertui.tui.frame.actions import Action, sign
from infertui.tui.frame.layouts import TITLES, PaneId, number_of
from infertui.tui.terminal.sanitize import safe

if TYPE_CHECKING:
    from infertui.tui.frame.context import AppContext
    from infertui.tui.frame.topics import Topic
    from infertui.tui.palette.command import PaletteCommand
    from infertui.tui.widgets.rowlist import RowList


OwnAct = Callable[[Mapping[str, str]], None]
"""What a command of the user's own does, of the values of a row."""


class Pane(Vertical):
    """A part of the main screen. Subclasses set TITLE, ACTIONS and BINDINGS = bindings(ACTIONS), and compose children.

    The application calls `show(touched)` on its own clock, with the topics of the mirror that changed since the last
    call; a pane that is not displayed is called once with all topics when it comes back. A pane redraws only what
    really differs from what it drew before.
    """

    TITLE: ClassVar[str] = ""
    ACTIONS: ClassVar[tuple[Action, ...]] = ()

    def __init__(self, app_context: "AppContext", *, id: str) -> None:  # noqa: A002 (Textual's name)
        self._frame_row: int | None = None
        self._own: tuple[tuple[Action, OwnAct], ...] = ()
        super().__init__(id=id, classes="pane")
        self.BINDING_GROUP_TITLE = self.TITLE
        self.app_context = app_context
        self.border_title = f"{number_of(id)} {self.TITLE}".strip()

    def show(self, touched: "AbstractSet[Topic]") -> None:
        """Draw what changed."""

    def step_back(self) -> bool:
        """Esc: end the innermost view of the pane's own, such as a filter; whether there was one."""
        return False

    def reason(self, action: Action) -> str:
        """Why one of ACTIONS would do nothing now, in a phrase such as `nothing runs`; empty: it works.

        The footer leaves it out then, help and palette give the reason, and its key says it instead of acting. It is
        asked often: it looks at what is there, and waits for nobody.
        """
        return ""

    def commands(self) -> "Iterable[PaletteCommand]":
        """What the palette offers of this pane beside ACTIONS: its fields, its presets. Asked whenever it opens."""
        return ()

    # Commands of the user's own.

    def take_own(self, commands: "Sequence[tuple[Action, OwnAct]]") -> None:
        """Add these to ACTIONS, each called `own(PLACE)`: help and palette show them, and their keys do them."""
        self._own = tuple(commands)
        self.ACTIONS = (*type(self).ACTIONS, *(action for action, _ in commands))  # type: ignore[misc]

    def row_values(self) -> "Mapping[str, str]":
        """What such a command may be told of the row under the cursor."""
        return {}

    async def on_key(self, event: Key) -> None:
        """A key that nothing inside took may be that of an own command."""
        for action, _ in self._own:
            if action.keys in (event.key, event.character):
                event.stop()
                await self.app.run_action(action.call, self)
                return

    def action_own(self, number: int) -> None:
        """Run one on the row under the cursor."""
        self._own[number][1](self.row_values())

    def say_position(self, position: str) -> None:
        """Where the list stands, in the lower line of the frame."""
        with self.frame_only(self.outer_size.height - 1):
            self.border_subtitle = position

    def on_pane_part_positioned(self, event: "PanePart.Positioned") -> None:
        """The position of the list in a part of this pane."""
        event.stop()
        self.say_position(event.position)

    @contextmanager
    def frame_only(self, row: int) -> Iterator[None]:
        """Within, a new title paints its line of the frame alone: Textual would paint the whole pane again."""
        self._frame_row = row
        try:
            yield
        finally:
            self._frame_row = None

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:  # fmt: skip
        """As Textual has it; where only a line of the frame changed, that alone."""
        if self._frame_row is not None and not regions and not layout:
            line = Region(0, self._frame_row, self.outer_size.width, 1)
            regions = (line.translate(-self.content_offset),)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def key(self, action: str, shipped: str) -> str:
        """The key of an action as the user has it, for sentences."""
        return sign(self.app_context.settings.keys, action, shipped)

    def wanted_lines(self, width: int) -> int:
        """Lines that the content would like to have at this width, frame not counted; 0: whatever there is."""
        return 0

    def focus_inside(self) -> None:
        """Take the focus; a pane gives it to its main list."""
        for widget in self.query("*"):
            if widget.focusable:
                widget.focus()
                return


class PanePart(Vertical):
    """A part of a pane, with a list of its own whose position is to stand in the pane's frame.

    It has to be passed on: a message goes no further than to the parent where it was the parent that brought it about.
    """

    class Positioned(Message):
        """The list stands at `position`."""

        def __init__(self, position: str) -> None:
            super().__init__()
            self.position = position

    def on_row_list_positioned(self, event: "RowList.Positioned") -> None:
        """Tell the pane."""
        event.stop()
        self.post_message(self.Positioned(event.position))


class Unfurnished(Pane):
    """The frame that stands until its pane has been imported: the first paint does not wait for that."""

    def __init__(self, app_context: "AppContext", pane: PaneId) -> None:
        super().__init__(app_context, id=f"{pane}-frame")
        self.border_title = f"{number_of(pane)} {TITLES[pane]}"


class Heading:
    """Adds words to the title that a pane's frame had when this was first used; sets it only when it differs."""

    def __init__(self, pane: Pane) -> None:
        self._pane = pane
        self._name: object | None = None
        self._told: str | None = None

    @property
    def name(self) -> str:
        """The pane's own, with its number."""
        return str((self._pane.border_title if self._name is None else self._name) or "")

    def say(self, words: str) -> None:
        """The frame's title is now the pane's name and `words`. Brackets are shown as they are."""
        if words == self._told:
            return
        if self._name is None:
            self._name = self._pane.border_title
        self._told = words
        shown = safe(words).replace("[", "\\[")
        with self._pane.frame_only(0):
            self._pane.border_title = f"{self._name or ''}  {shown}" if shown else str(self._name or "")
