"""The Config pane: a form of every key of a config, checked as it is typed, from which runs are queued."""

import os
from collections.abc import Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.events import DescendantBlur, Resize

from infertui.config import sources
from infertui.config.fields import field_of
from infertui.config.schema import Config
from infertui.errors import ConfigError, InfertuiError
from infertui.runner.queue_store import Entry
from infertui.tui.actions import Action, bindings
from infertui.tui.config import notes
from infertui.tui.config.base import Base, from_config, from_preset, from_text
from infertui.tui.config.choose import Choosing
from infertui.tui.config.command import command_line
from infertui.tui.config.edit import Typing
from infertui.tui.config.engines import unheeded_because
from infertui.tui.config.files import ConfigFiles
from infertui.tui.config.forecast import Forecaster
from infertui.tui.config.form import Form
from infertui.tui.config.notes import Notes, above, below, forecast_lines
from infertui.tui.config.queueing import put_back, queue
from infertui.tui.config.values import step
from infertui.tui.config.view import Layout, Page, Row, View, build_rows
from infertui.tui.context import Cockpit
from infertui.tui.state import Topic
from infertui.tui.terminal.sanitize import safe
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import Look
from infertui.tui.widgets.pane import Heading, Pane
from infertui.tui.widgets.rowlist import GUTTER, RowList

if TYPE_CHECKING:
    from textual.widgets import Input

    from infertui.tui.config.forecast_screen import ForecastScreen
    from infertui.tui.widgets.prompt import LineInput

_OF_FOLDERS = ("HOME", "XDG_CONFIG_HOME")
FIRST = "demo"
"""The preset that the form starts with: measured anywhere in seconds."""

ACTIONS = (
    Action("config.run", "r", "Run", "queue what the form holds; puts an edited entry back", writes=True),
    Action("config.run-first", "R", "Run first", "queue it before everything that waits", footer=False, writes=True),
    Action("config.next", "l,right", "Change", "the next choice, or the next sensible number", footer=False),
    Action("config.previous", "h,left", "Change", "the previous choice or number", footer=False),
    Action("config.switch", "space", "Switch", "switch on or off; fold or unfold", footer=False),
    Action("config.reset", "0,backspace", "Reset", "back to the value that was loaded"),
    Action("config.undo", "u", "Undo", "take the last change back"),
    Action("config.model", "M", "Model", "choose a model"),
    Action("config.engine", "E", "Engine", "choose an engine", footer=False),
    Action("config.sweep", "A", "Axis", "make this field an axis of the sweep, or end that"),
    Action("config.arrange", "Z", "Grid/zip", "axes as a grid, or advancing together", footer=False),
    Action("config.validate", "v", "Estimate", "validate, and estimate memory and time now"),
    Action("config.open", "O", "Open", "open a preset, a file or an earlier run"),
    Action("config.save", "w", "Save", "save to the file that it came from", footer=False, writes=True),
    Action("config.save-as", "W", "Save as", "save under another name", footer=False, writes=True),
    Action("config.difference", "F", "Diff", "only what differs: from what was loaded, from the defaults"),
    Action("config.find", "slash", "Find", "find a field by name", footer=False),
    Action("config.copy", "c", "Copy", "copy as a command line", footer=False),
)


class ConfigPane(Pane):
    """The form. What it holds lives in `Form`, how its lines read in `Page`; this takes the keys."""

    TITLE = "Config"
    ACTIONS = ACTIONS
    BINDINGS = bindings(ACTIONS)
    DEFAULT_CSS = """
    ConfigPane { layers: default typed; }
    ConfigPane RowList { height: 1fr; }
    ConfigPane #config-edit { layer: typed; position: absolute; width: 10; height: 1; }
    ConfigPane #config-find { height: 1; }
    """

    def __init__(self, cockpit: Cockpit, *, id: str, environ: Mapping[str, str] | None = None) -> None:  # noqa: A002
        super().__init__(cockpit, id=id)
        self._environ = dict(os.environ if environ is None else environ)
        self._trouble = ""
        self.form = Form(self._first())
        self.view = View()
        self._rows: list[Row] = []
        self._places: dict[Hashable, int] = {}
        self._list = RowList(self, id="config-form", empty="no such field")
        self._above = Notes(self._say_above, id="config-above")
        self._below = Notes(self._say_below, id="config-below")
        self._heading = Heading(self)
        self._forecaster = Forecaster(self, cockpit, self._forecast_changed)
        self._choosing = Choosing(
            self, cockpit, self.form, changed=self._changed, learned=self._draw, look=lambda: self._look
        )
        self._files = ConfigFiles(self, cockpit, self.form, self._environ, self._changed)
        self._reading: ForecastScreen | None = None
        self._typing: Typing | None = None
        self._before_find: Hashable = None
        self._before_difference: Hashable = None

    def _first(self) -> Base:
        """The first preset, under the environment's variables unless one of them is wrong."""
        try:
            return from_preset(FIRST, self._environ)
        except ConfigError as error:
            self._trouble = f"{error}\nThe environment is left out of the form."
            self._environ = {name: self._environ[name] for name in _OF_FOLDERS if name in self._environ}
            return from_preset(FIRST, {})

    def compose(self) -> ComposeResult:
        """What is to be said above, the form, and what is to be said below."""
        yield self._above
        yield self._list
        yield self._below

    def on_mount(self) -> None:
        """The first drawing."""
        if self._trouble:
            self.cockpit.say(self._trouble, "warning")
        self._changed()
        self._list.cursor = 1  # the first field, below its heading

    def on_resize(self, _event: Resize) -> None:
        """Messages are wrapped for the width that there is."""
        self.call_after_refresh(self._draw)

    def focus_inside(self) -> None:
        """To the form, or to what is being typed into it."""
        typed = self.query("#config-edit, #config-find")
        (typed.first() if typed else self._list).focus()

    def show(self, touched: AbstractSet[Topic]) -> None:
        """The machine may have become known, or be another."""
        if "runner" not in touched:
            return
        learned = self._choosing.look_again()
        if learned or self._forecaster.question.trouble:  # there may be a connection again
            self._forecaster.repeat()
        if learned:
            self._draw()

    # -- from outside

    def load(self, config: str, label: str) -> None:
        """Load a preset by its name, or TOML. What the form held can be undone; says so where it is not right."""
        if config not in sources.names():
            self.load_toml(config, label)
            return
        self._leave_typing()
        self.form.load(from_preset(config, self._environ))
        self._changed()

    def load_toml(self, text: str, label: str) -> None:
        """Load TOML exactly as it is; `label` says where it is from. Says so where it is not right."""
        self._leave_typing()
        try:
            self.form.load(from_text(text, label))
        except ConfigError as error:
            self.cockpit.say(str(error), "error")
            return
        self._changed()

    def edit(self, entry: Entry) -> None:
        """Load a waiting entry of the queue; `r` puts it back there."""
        self._leave_typing()
        self.form.load(from_config(entry.config, f"queue entry {entry.id}", entry.title), entry)
        self._changed()

    # -- rows, as RowList asks for them

    def row_count(self) -> int:
        """Rows that show."""
        return len(self._rows)

    def row_key(self, index: int) -> Hashable:
        """The row's id."""
        return self._rows[index].id

    def row_index(self, key: Hashable) -> int | None:
        """Where a row went."""
        return self._places.get(key)

    def row_text(self, index: int, width: int) -> Text:
        """The row."""
        return self._page.line(self._rows[index], width)

    @property
    def _look(self) -> Look:
        return Look(palette(self.app), self.cockpit.ascii_only, self.cockpit.settings)

    @property
    def _page(self) -> Page:
        return Page(self.form, self.view, self._choosing.knowledge, self._look)

    @property
    def _row(self) -> Row | None:
        """The row with the cursor."""
        return self._rows[self._list.cursor] if self._list.cursor < len(self._rows) else None

    def _key(self) -> str:
        """The key under the cursor; empty on headings and the like."""
        row = self._row
        return row.path if row is not None and row.kind in ("field", "label") else ""

    def _say_above(self, width: int) -> Sequence[Text]:
        return above(self._page, width, self.size.height)

    def _say_below(self, width: int) -> Sequence[Text]:
        return below(self._page, self._forecaster.question, self._row, width, self.size.height)

    # -- drawing

    def _changed(self) -> None:
        """The form holds something else."""
        config: Config | None = None
        if self.form.problem is None:
            config = self.form.config()
            heaviest = notes.heaviest(self.form.variants() or []) if self.form.axes() else None
            config = heaviest.config if heaviest is not None else config
        self._forecaster.change(config)
        self._draw()

    def _draw(self) -> None:
        if not self.is_attached:
            return
        self._rows = build_rows(self.form, self.view, self._list.row_width)
        self._places = {row.id: index for index, row in enumerate(self._rows)}
        count = sum(self.form.changed(key) for key in self.form.all_keys())
        self._heading.say(self.form.base.label + (f", {count} changed" if count else ""))
        self._above.compose_lines()
        self._list.redraw()
        self._below.compose_lines()
        if self.view.editing:
            self._keep_error_in_view()
            self.call_after_refresh(self._place_editor)

    def _forecast_changed(self) -> None:
        self._below.compose_lines()
        if self._reading is not None:
            self._reading.tell(forecast_lines(self._page, self._forecaster.question))

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._below.compose_lines()

    @on(RowList.Positioned)
    def _positioned(self, event: RowList.Positioned) -> None:
        event.stop()
        self.say_position(event.position)

    # -- changing values

    def _step(self, direction: int) -> None:
        row, key = self._row, self._key()
        if row is not None and row.kind == "heading":
            self._fold(row.group, folded=direction < 0)
        if not key or (field := field_of(key)) is None:
            return
        if self.form.is_swept(key):
            self.cockpit.say(f"This field is an axis: enter edits its values, {self.key('config.sweep', 'A')} ends it.")
            return
        value = self.form.values.get(key, "")
        if isinstance(value, list):
            return
        after = step(field, value, direction, self._choosing.words(key))
        if after is None:
            self.cockpit.say("This field is free text: enter edits it.")
        elif after != value:
            note = self.form.set(key, after)
            self._changed()
            if note:
                self.cockpit.say(note)
            self._choosing.warn(key)

    def _fold(self, group: str, *, folded: bool | None = None) -> None:
        """Fold or unfold a group; what it holds comes into view."""
        if folded is None:
            self.view.toggle(group)
        else:
            self.view.toggled[group] = folded
        self._draw()
        self._bring_into_view(max((index for index, row in enumerate(self._rows) if row.group == group), default=0))

    def action_next(self) -> None:
        """The next choice or number."""
        self._step(1)

    def action_previous(self) -> None:
        """The previous choice or number."""
        self._step(-1)

    def action_switch(self) -> None:
        """Switch a boolean; fold a heading."""
        row, key = self._row, self._key()
        field = field_of(key) if key else None
        if row is not None and row.kind == "heading":
            self._fold(row.group)
        elif field is not None and (field.type in ("boolean", "choice") or key == "device.name"):
            self._step(1)

    def action_reset(self) -> None:
        """Back to what was loaded."""
        key = self._key()
        if key and self.form.reset(key):
            self._changed()
        elif key.startswith("labels."):
            self.form.remove(key)
            self._changed()

    def action_undo(self) -> None:
        """Take the last change back."""
        if self.form.undo():
            self._changed()
        else:
            self.cockpit.say("There is nothing to undo.")

    def action_sweep(self) -> None:
        """Make the field an axis and edit its values, or give it its plain value back."""
        key = self._key()
        if not key or key not in self.form.values:
            return
        if self.form.is_swept(key):
            self.form.unsweep(key)
            self._changed()
            return
        self.form.sweep(key)
        self._changed()
        self._edit(fresh_axis=True)

    def action_arrange(self) -> None:
        """Grid or zip."""
        if self.form.axes():
            self.form.rearrange()
            self._changed()
        else:
            self.cockpit.say(
                f"There is no sweep: {self.key('config.sweep', 'A')} makes the field under the cursor an axis."
            )

    # -- typing

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        row, key = self._row, self._key()
        if row is None:
            return
        if row.kind == "heading":
            self._fold(row.group)
        elif row.kind == "new-label" or (key and self.form.is_swept(key)):
            self._edit()
        elif (field := field_of(key) if key else None) is not None:
            if field.type == "boolean":
                self._step(1)
            elif not self._choosing.choose(key, field):
                self._edit()

    def _edit(self, *, fresh_axis: bool = False) -> None:
        """Put a line to type in over the value of the row with the cursor."""
        row = self._row
        if row is None or self.view.editing:
            return
        self._end_find()
        self.view.editing, self.view.error = row.id, ""
        text = "" if row.kind == "new-label" else safe(self.form.text(row.path))
        self._typing = Typing(self.form, row, text, fresh_axis=fresh_axis)
        from infertui.tui.widgets.prompt import LineInput

        line = LineInput(text, placeholder="key = value" if row.kind == "new-label" else "", id="config-edit")
        line.cursor_position = len(line.value)
        self.mount(line)
        self._place_editor()
        line.focus()

    def _place_editor(self) -> None:
        lines = self.query("#config-edit")
        if not lines or self.view.editing not in self._places:
            return
        layout = Layout(self._list.row_width)
        at = GUTTER + layout.value_at
        row = self._places[self.view.editing] - self._list.top
        area, inside = self._list.region, self.content_region
        line = lines.first()
        line.styles.offset = (area.x - inside.x + at, area.y - inside.y + row)
        line.styles.width = max(4, self._list.row_width - layout.value_at)

    def _keep_error_in_view(self) -> None:
        self._bring_into_view(max((index for index, row in enumerate(self._rows) if row.kind == "error"), default=0))

    def _bring_into_view(self, last: int) -> None:
        """Scroll so far that the rows from the cursor to `last` show, as many as there is room for."""
        at = self._list.cursor
        if last > at:
            self._list.cursor = min(last, at + self._list.size.height - 1)
            self._list.cursor = at

    def on_input_changed(self, event: "Input.Changed") -> None:
        """Something was typed."""
        event.stop()
        if event.input.id == "config-find":
            self._find_changed(event.value)
            return
        problem = self._typing.problem(event.value) if self._typing else ""
        event.input.set_class(bool(problem), "-invalid")
        if problem != self.view.error:
            self.view.error = problem
            self._draw()

    def on_input_submitted(self, event: "Input.Submitted") -> None:
        """Enter."""
        event.stop()
        if event.input.id == "config-find":
            self._end_find()
        elif self._typing is not None and not self._typing.problem(event.value):
            self._end_edit(event.value, refocus=True)

    def on_line_input_cancelled(self, event: "LineInput.Cancelled") -> None:
        """Esc."""
        event.stop()
        if event.line.id == "config-find":
            self._end_find(back=True)
        else:
            self._end_edit(None, refocus=True)

    def on_descendant_blur(self, event: DescendantBlur) -> None:
        """The focus went elsewhere: what was typed counts if it can."""
        widget = event.widget
        if not widget.is_attached or self.app.screen is not self.screen:
            return
        if widget.id == "config-edit":
            self._end_edit(str(getattr(widget, "value", "")), refocus=False)
        elif widget.id == "config-find":
            self._end_find(refocus=False)

    def _end_edit(self, text: str | None, *, refocus: bool) -> None:
        """Take over what was typed if it can be, and be done; None leaves everything as it was."""
        typing, self._typing = self._typing, None
        if typing is None:
            return
        self.view.editing, self.view.error = "", ""
        self.query("#config-edit").remove()
        if refocus:
            self._list.focus()
        taken = text is not None and typing.take(text)
        if text is None or typing.problem(text):
            typing.leave()
        self._changed()
        if taken:
            self._choosing.warn(typing.row.path)

    def _leave_typing(self) -> None:
        self._end_edit(None, refocus=True)
        self._end_find()

    # -- finding

    def action_find(self) -> None:
        """Type the name of a field."""
        if self.query("#config-find"):
            return
        self._before_find = self._list.current_key
        self.view.wanted = ""
        from infertui.tui.config.find import FindInput

        line = FindInput(placeholder="find a field: name, or what other tools call it", id="config-find")
        self.mount(line, before=self._list)
        line.focus()
        self._draw()

    def _find_changed(self, typed: str) -> None:
        if self.view.wanted is None:
            return
        self.view.wanted = typed
        self._draw()
        first = next((index for index, row in enumerate(self._rows) if row.path), None)
        if first is not None and typed:
            self._list.cursor = first

    def _end_find(self, *, back: bool = False, refocus: bool = True) -> None:
        if self.view.wanted is None:
            return
        key = self._key()
        self.view.wanted = None
        self.query("#config-find").remove()
        self._rows = build_rows(self.form, self.view, self._list.row_width)
        if not back and key:
            self.view.reveal(key)
        self._draw()
        if not back and key and key not in self._places:
            self.cockpit.say(f"{key}: {unheeded_because(self.form.values, key)}.")
            back = True
        wanted = self._places.get(self._before_find if back else key)
        if wanted is not None:
            self._list.cursor = wanted
        if refocus:
            self._list.focus()

    def action_difference(self) -> None:
        """Everything, or what differs."""
        if self.view.difference == "off":
            self._before_difference = self._list.current_key
        self.view.next_difference()
        self._draw()
        if self.view.difference == "off":
            self._return_to(self._before_difference)

    def step_back(self) -> bool:
        """Every field again."""
        if self.view.difference == "off":
            return False
        self.view.difference = "off"
        self._draw()
        self._return_to(self._before_difference)
        return True

    def _return_to(self, row: Hashable) -> None:
        """The cursor where it was, unless it was put on another row meanwhile."""
        if self._list.cursor == 0:
            self._list.cursor = self._places.get(row, 0)

    # -- choosing

    def action_model(self) -> None:
        """Choose a model."""
        self._leave_typing()
        self._choosing.model()

    def action_engine(self) -> None:
        """Choose an engine."""
        self._leave_typing()
        self._choosing.engine()

    # -- the whole

    def action_run(self) -> None:
        """Queue it, or put the entry back."""
        self._submit(front=False)

    def action_run_first(self) -> None:
        """Queue it before everything that waits."""
        self._submit(front=True)

    def _submit(self, *, front: bool) -> None:
        if (problem := self.form.problem) is not None:
            self.cockpit.say(f"Not queued: {problem}", "error")
            self._go_to(problem.path)
            return
        if self.form.entry is not None and not front:
            put_back(self.cockpit, self.form, self.form.entry, self._changed)
        else:
            queue(self.cockpit, self.form, self._forecaster.question.answer, front=front)

    def _go_to(self, path: str) -> None:
        key = next((key for key in self.form.all_keys() if path == key or path.endswith(f'"{key}"')), "")
        if key:
            self.view.difference = "off"
            self.view.reveal(key)
            self._draw()
            self._list.cursor = self._places.get(key, self._list.cursor)

    def action_validate(self) -> None:
        """Show what is known of the config, and ask anew."""
        from infertui.tui.config.forecast_screen import ForecastScreen

        self._forecaster.repeat(at_once=True)
        self._reading = ForecastScreen("Estimate", forecast_lines(self._page, self._forecaster.question))

        def closed(_: None) -> None:
            self._reading = None

        self.app.push_screen(self._reading, closed)

    def action_open(self) -> None:
        """Open a config."""
        self._leave_typing()
        self._files.open(self._look)

    def action_save(self) -> None:
        """Save."""
        self._files.save()

    def action_save_as(self) -> None:
        """Save under another name."""
        self._files.save_as()

    def action_copy(self) -> None:
        """Copy as a command line."""
        try:
            self.cockpit.copy(command_line(self.form), "the command line")
        except InfertuiError as error:
            self.cockpit.say(str(error), "error")
