"""The settings as a form: each is checked before it counts, and saved at once."""

from collections.abc import Hashable, Sequence
from typing import ClassVar

import msgspec
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Resize
from textual.widgets import Input, Static

from infertui.errors import UsageError
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.context import AppContext
from infertui.tui.settings.stored import SettingField, Settings, fields
from infertui.tui.terminal.sanitize import plain
from infertui.tui.themes import palette
from infertui.tui.widgets.dialogs import DIALOG_CSS, Dialog
from infertui.tui.widgets.prompt import LineInput
from infertui.tui.widgets.rowlist import RowList

_NAMES = 20
_AROUND = 12
"""Lines of the frame, the explanation and the keys."""


class _Rows:
    """A setting a row."""

    def __init__(self, screen: "SettingsScreen", known: Sequence[SettingField]) -> None:
        self._screen = screen
        self._fields = known

    def row_count(self) -> int:
        return len(self._fields)

    def row_key(self, index: int) -> Hashable:
        return self._fields[index].name

    def row_text(self, index: int, width: int) -> Text:
        field, colours = self._fields[index], palette(self._screen.app)
        line = plain(f"{field.name:<{_NAMES}}")
        changed = field.text(self._screen.settings) != field.text(Settings())
        return line.append_text(plain(field.text(self._screen.settings) or "-", colours.figure if changed else ""))


class SettingsScreen(Dialog[None]):
    """Enter changes a setting: choices and switches step, everything else is typed."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        Action("settings.back", "escape,comma,q", "Back", "close"),
        Action("settings.next", "l,right,space", "Next", "the next choice"),
        Action("settings.previous", "h,left", "Previous", "the choice before"),
        Action("settings.default", "d,0", "Default", "back to the default"),
    )
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS

    def __init__(self, app_context: AppContext, *, themes: Sequence[str], at: str = "") -> None:
        super().__init__(classes="dialog")
        self._at = at
        self._app_context = app_context
        self._fields = {field.name: _in_words(field, themes) for field in fields()}

    @property
    def settings(self) -> Settings:
        """As they are now."""
        return self._app_context.settings

    def compose(self) -> ComposeResult:
        """The list, what the setting is about, and a line to type in when it is needed."""
        with Vertical(classes="box") as box:
            box.border_title = "Settings"
            yield RowList(_Rows(self, list(self._fields.values())))
            yield Static("", id="about", markup=False)
            line = LineInput(id="value")
            line.display = False
            yield line
            yield Static("enter change   h/l step   d default   esc close", classes="keys", markup=False)

    def on_resize(self, event: Resize) -> None:
        """As many rows as there is room for."""
        self.query_one(RowList).styles.height = max(1, min(len(self._fields), event.size.height - _AROUND))

    def on_mount(self) -> None:
        """The setting that is asked for, else the first."""
        rows = self.query_one(RowList)
        rows.focus()
        if self._at in self._fields:
            rows.cursor = list(self._fields).index(self._at)
        self._tell()

    @property
    def _field(self) -> SettingField:
        key = self.query_one(RowList).current_key
        return self._fields[str(key)]

    def _tell(self, problem: str = "") -> None:
        field, colours = self._field, palette(self.app)
        about = plain(problem or f"{field.description}; allowed: {field.allowed}", colours.error if problem else "")
        about.no_wrap = False
        self.query_one("#about", Static).update(about)

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._stop_typing()
        self._tell()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        if self._field.kind in ("choice", "flag"):
            self._step(1)
            return
        line = self.query_one(LineInput)
        line.display = True
        line.value = self._field.text(self.settings)
        line.cursor_position = len(line.value)
        line.focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._take(event.value):
            self._stop_typing()

    @on(LineInput.Cancelled)
    def _cancelled(self, event: LineInput.Cancelled) -> None:
        event.stop()
        self._stop_typing()
        self._tell()

    def _stop_typing(self) -> None:
        line = self.query_one(LineInput)
        if line.display:
            line.display = False
            self.query_one(RowList).focus()

    def _take(self, text: str) -> bool:
        field = self._field
        try:
            value = field.parse(text)
        except UsageError as error:
            self._tell(error.message)
            return False
        self._app_context.change_settings(msgspec.structs.replace(self.settings, **{field.name: value}))
        self.query_one(RowList).redraw()
        self._tell()
        return True

    def _step(self, by: int) -> None:
        field = self._field
        if field.choices and field.kind != "columns":
            now = field.text(self.settings)
            at = field.choices.index(now) if now in field.choices else 0
            self._take(field.choices[(at + by) % len(field.choices)])

    def action_next(self) -> None:
        """The next choice."""
        self._step(1)

    def action_previous(self) -> None:
        """The choice before."""
        self._step(-1)

    def action_default(self) -> None:
        """Back to the default."""
        self._take(self._field.text(Settings()))

    def action_back(self) -> None:
        """Close."""
        self.dismiss(None)


def _in_words(field: SettingField, themes: Sequence[str]) -> SettingField:
    """As it is asked for here: themes are known only now, and keys are typed on one line."""
    if field.kind == "keys":
        allowed = (
            "action=key with semicolons between, as in queue.cancel=X; app.zoom=f5 (? shows what actions are called)"
        )
        return msgspec.structs.replace(field, allowed=allowed)
    if field.name != "theme":
        return field
    return msgspec.structs.replace(field, kind="choice", choices=tuple(themes), allowed=", ".join(themes))
