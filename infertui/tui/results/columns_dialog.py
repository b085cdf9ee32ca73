"""Chooses the columns of the results table and their order."""

from collections.abc import Hashable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from infertui.tui.frame.actions import Action, bindings
from infertui.tui.results.columns import SPECS
from infertui.tui.settings.stored import Shown
from infertui.tui.terminal.sanitize import plain
from infertui.tui.themes import palette
from infertui.tui.widgets.dialogs import DIALOG_CSS, Dialog
from infertui.tui.widgets.rowlist import RowList

ACTIONS = (
    Action("columns.show", "space,x", "Show/hide", "show or hide the column"),
    Action("columns.later", "J", "Later", "move the column to the right"),
    Action("columns.sooner", "K", "Sooner", "move the column to the left"),
    Action("columns.done", "enter", "Done", "keep these columns"),
    Action("columns.back", "escape,q", "Back", "leave everything as it was"),
)

_HEADING = max(len(spec.heading) for spec in SPECS.values()) + 2


class ColumnsScreen(Dialog[tuple[Shown, ...] | None]):
    """Returns the chosen columns in their order; None when everything stays as it was."""

    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    CSS_PATH = DIALOG_CSS

    def __init__(self, chosen: Sequence[Shown]) -> None:
        super().__init__(classes="dialog")
        self._chosen = set(chosen)
        self._order: list[Shown] = [*dict.fromkeys(chosen), *(key for key in SPECS if key not in self._chosen)]
        self._rows = RowList(self)

    def compose(self) -> ComposeResult:
        """A line a column; those that are shown come first."""
        with Vertical(classes="box tall") as box:
            box.border_title = "Columns of the results"
            box.styles.max_height = len(self._order) + 4  # frame, blank line, keys
            yield self._rows
            keys = "space show or hide   J K move   enter done   esc back"
            yield Static(plain(keys), classes="keys", markup=False)

    def on_mount(self) -> None:
        """Keys go to the list."""
        self._rows.focus()

    def row_count(self) -> int:
        return len(self._order)

    def row_key(self, index: int) -> Hashable:
        return self._order[index]

    def row_index(self, key: Hashable) -> int | None:
        return self._order.index(key) if key in self._order else None

    def row_text(self, index: int, width: int) -> Text:
        spec, colours = SPECS[self._order[index]], palette(self.app)
        shown = spec.key in self._chosen
        text = Text("[x] " if shown else "[ ] ", style=colours.accent if shown else colours.muted, end="")
        text.append(f"{spec.heading:<{_HEADING}}", style=colours.title if shown else "")
        return text.append(spec.help, style=colours.muted)

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Enter keeps; a double click too."""
        event.stop()
        self.action_done()

    def action_show(self) -> None:
        """Show or hide the column under the cursor; one at least stays."""
        key = self._order[self._rows.cursor]
        if self._chosen != {key}:
            self._chosen ^= {key}
        self._rows.redraw()
        self._rows.action_down()

    def action_later(self) -> None:
        """One to the right."""
        self._move(1)

    def action_sooner(self) -> None:
        """One to the left."""
        self._move(-1)

    def _move(self, by: int) -> None:
        at = self._rows.cursor
        if 0 <= at + by < len(self._order):
            self._order[at], self._order[at + by] = self._order[at + by], self._order[at]
            self._rows.redraw()

    def action_done(self) -> None:
        """Keep."""
        self.dismiss(tuple(key for key in self._order if key in self._chosen))

    def action_back(self) -> None:
        """Leave everything as it was."""
        self.dismiss(None)
