"""Asks for the name of a file to save to; what is wrong with it shows while it is typed."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.markup import escape
from textual.widgets import Input, Static

from infertui.errors import UsageError
from infertui.tui.actions import Action, bindings
from infertui.tui.safety import plain, safe
from infertui.tui.screens.dialog import Dialog
from infertui.tui.themes import palette
from infertui.tui.widgets.prompt import LineInput


class FilenameScreen(Dialog[Path | None]):
    """Returns the path that was typed, or None. `path_of` makes a path of a name, or raises UsageError."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (Action("filename.back", "escape", "Back", "leave without saving"),)
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = "../dialogs.tcss"
    DEFAULT_CSS = "FilenameScreen #filename-note { height: auto; min-height: 1; max-height: 4; }"

    def __init__(self, title: str, name: str, path_of: Callable[[str], Path]) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._proposed = name
        self._path_of = path_of

    def compose(self) -> ComposeResult:
        """The line to type in, and where that would be."""
        with Vertical(classes="box") as box:
            box.border_title = escape(safe(self._title))
            yield LineInput(self._proposed, placeholder="a name, or a path")
            yield Static(id="filename-note", markup=False)
            yield Static(plain("enter save   esc back"), classes="keys", markup=False)

    def on_mount(self) -> None:
        """Type at once, behind the name that is proposed."""
        line = self.query_one(LineInput)
        line.focus()
        line.cursor_position = len(line.value)
        self._tell(line.value)

    def _tell(self, typed: str) -> Path | None:
        colours = palette(self.app)
        path = None
        try:
            path = self._path_of(typed)
        except UsageError as error:
            text = plain(error.message, colours.error)
        else:
            exists = path.exists()
            text = plain(f"{path}{': exists already' if exists else ''}", colours.warning if exists else colours.muted)
        text.no_wrap = False
        self.query_one("#filename-note", Static).update(text)
        return path

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._tell(event.value)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if path := self._tell(event.value):
            self.dismiss(path)

    @on(LineInput.Cancelled)
    def _cancelled(self, event: LineInput.Cancelled) -> None:
        event.stop()
        self.dismiss(None)

    def action_back(self) -> None:
        """Leave without saving."""
        self.dismiss(None)
