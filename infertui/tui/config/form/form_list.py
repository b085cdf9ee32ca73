"""The lines of the form on the screen: folded, compared, searched."""

from collections.abc import Hashable
from typing import ClassVar

from msgspec.structs import replace
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message

from infertui.config.fields import FIELDS
from infertui.tui.config.engines import unheeded_because
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.groups import ADVANCED
from infertui.tui.config.form.options import MachineInfo
from infertui.tui.config.form.view import FormRow, Page, View, build_rows
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.context import AppContext
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.pane import PanePart
from infertui.tui.widgets.rowlist import ACTIONS, RowList


class FormRows(RowList):
    """Says in the footer how a value is changed."""

    ACTIONS: ClassVar[tuple[Action, ...]] = tuple(
        replace(action, label="Edit", help="type a value, or choose one; fold a heading", footer=True)
        if action.id == "list.choose"
        else action
        for action in ACTIONS
    )
    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS)


class FormList(PanePart):
    """Shows a form, as `view` says it is looked at; changes nothing of what it holds."""

    DEFAULT_CSS = """
    FormList { height: 1fr; layers: default typed; }
    FormList FormRows { height: 1fr; }
    FormList #config-find { height: 1; }
    """

    class Drawn(Message):
        """The lines were made anew: what stands beside them may have to say something else."""

    class Moved(Message):
        """The cursor is on another row."""

    def __init__(self, app_context: AppContext, form: Form) -> None:
        super().__init__()
        self.app_context = app_context
        self.form = form
        self.view = View()
        self.knowledge = MachineInfo()
        """What is known of the machine."""
        self.rows: list[FormRow] = []
        self.places: dict[Hashable, int] = {}
        """Where which row is, by id."""
        self.list = FormRows(self, id="config-form", empty="no such field")
        self._before_find: Hashable = None
        self._before_difference: Hashable = None

    def compose(self) -> ComposeResult:
        """The lines; inputs come and go."""
        yield self.list

    # What is drawn.

    @property
    def look(self) -> RenderContext:
        """How to draw on this terminal."""
        return RenderContext(palette(self.app), self.app_context.ascii_only, self.app_context.settings)

    @property
    def page(self) -> Page:
        """Everything that a line depends on."""
        return Page(self.form, self.view, self.knowledge, self.look)

    @property
    def row(self) -> FormRow | None:
        """The row with the cursor."""
        return self.rows[self.list.cursor] if self.list.cursor < len(self.rows) else None

    @property
    def key(self) -> str:
        """The key under the cursor; empty on headings and the like."""
        row = self.row
        return row.path if row is not None and row.kind in ("field", "label") else ""

    def draw(self) -> None:
        """The form holds something else, or is looked at in another way."""
        if not self.is_attached:
            return
        self._build()
        self.list.redraw()
        self.post_message(self.Drawn())

    def _build(self) -> None:
        self.rows = build_rows(self.form, self.view, self.list.row_width)
        self.places = {row.id: index for index, row in enumerate(self.rows)}

    def learn(self, knowledge: MachineInfo) -> None:
        """More is known of the machine."""
        self.knowledge = knowledge
        self.draw()

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        """Pass it on, as with the position."""
        event.stop()
        self.post_message(self.Moved())

    # Rows, as RowList asks for them.

    def row_count(self) -> int:
        """Rows that show."""
        return len(self.rows)

    def row_key(self, index: int) -> Hashable:
        """The row's id."""
        return self.rows[index].id

    def row_index(self, key: Hashable) -> int | None:
        """Where a row went."""
        return self.places.get(key)

    def row_text(self, index: int, width: int) -> Text:
        """The row."""
        return self.page.line(self.rows[index], width)

    # Where the cursor is.

    def fold(self, group: str, *, folded: bool | None = None) -> None:
        """Fold or unfold a group; what it holds comes into view."""
        if folded is None:
            self.view.toggle(group)
        else:
            self.view.toggled[group] = folded
        self.draw()
        inside = [index for index, row in enumerate(self.rows) if row.group == group or group == ADVANCED]
        self._bring_into_view(max(inside, default=0))

    def go_to(self, path: str) -> None:
        """Put the cursor on the field that an error names by its path."""
        key = next((key for key in self.form.all_keys() if path == key or path.endswith(f'"{key}"')), "")
        if key:
            self.view.difference = "off"
            self.view.reveal(key, self.form)
            self.draw()
            self.list.cursor = self.places.get(key, self.list.cursor)

    def put_cursor(self, row: str) -> None:
        """The cursor to a row, where there is one of that id."""
        if row in FIELDS:
            self.go_to(row)
        elif row in self.places:
            self.list.cursor = self.places[row]

    def _bring_into_view(self, last: int) -> None:
        """Scroll so far that the rows from the cursor to `last` show, as many as there is room for."""
        at = self.list.cursor
        if last > at:
            self.list.cursor = min(last, at + self.list.size.height - 1)
            self.list.cursor = at

    # What differs.

    def next_difference(self) -> None:
        """Everything, or what differs."""
        if self.view.difference == "off":
            self._before_difference = self.list.current_key
        self.view.next_difference()
        self.draw()
        if self.view.difference == "off":
            self._return_to(self._before_difference)

    def step_back(self) -> bool:
        """Every field again; whether there was something to step back from."""
        if self.view.difference == "off":
            return False
        self.view.difference = "off"
        self.draw()
        self._return_to(self._before_difference)
        return True

    def _return_to(self, row: Hashable) -> None:
        """The cursor where it was, unless it was put on another row meanwhile."""
        if self.list.cursor == 0:
            self.list.cursor = self.places.get(row, 0)

    # Finding.

    def find(self) -> None:
        """Type the name of a field."""
        if self.query("#config-find"):
            return
        self._before_find = self.list.current_key
        self.view.wanted = ""
        from infertui.tui.config.form.find import FindInput

        line = FindInput(placeholder="find a field: name, or what other tools call it", id="config-find")
        self.mount(line, before=self.list)
        line.focus()
        self.draw()

    def _find_typed(self, typed: str) -> None:
        if self.view.wanted is None:
            return
        self.view.wanted = typed
        self.draw()
        first = next((index for index, row in enumerate(self.rows) if row.path), None)
        if first is not None and typed:
            self.list.cursor = first

    def end_find(self, *, back: bool = False, refocus: bool = True) -> None:
        """Stay on the field that was found, or go `back`."""
        if self.view.wanted is None:
            return
        key = self.key
        self.view.wanted = None
        self.query("#config-find").remove()
        self._build()
        folded = dict(self.view.toggled)
        if not back and key:
            self.view.reveal(key, self.form)
        self.draw()
        if not back and key and key not in self.places:
            self.view.toggled = folded  # nothing is to be seen there
            self.draw()
            self.app_context.say(f"{key}: {unheeded_because(self.form.values, key)}.")
            back = True
        wanted = self.places.get(self._before_find if back else key)
        if wanted is not None:
            self.list.cursor = wanted
        if refocus:
            self.list.focus()
