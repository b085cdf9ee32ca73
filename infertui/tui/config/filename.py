"""Asks for the name of a file to save to; what is wrong with it shows while it is typed."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.markup import escape
from textual.widgets import Static

from infertui import regular_files
from infertui.errors import UsageError
from infertui.tui.actions import Action, bindings
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.dialogs import DIALOG_CSS, LineDialog
from infertui.tui.widgets.prompt import LineInput


class FilenameScreen(LineDialog[Path]):
    """Returns the path that was typed, or None. `path_of` makes a path of a name, or raises UsageError."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (Action("filename.back", "escape", "Back", "leave without saving"),)
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS
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
            yield Static(id="filename-note", classes="note", markup=False)
            yield Static(plain("enter save   esc back"), classes="keys", markup=False)

    def on_mount(self) -> None:
        """Type at once, behind the name that is proposed."""
        line = self.query_one(LineInput)
        line.focus()
        line.cursor_position = len(line.value)
        self.tell(line.value)

    def understood(self, typed: str) -> tuple[Path | None, Text]:
        """A path, and whether something is there already."""
        colours = palette(self.app)
        try:
            path = self._path_of(typed)
        except UsageError as error:
            return None, plain(error.message, colours.error)
        exists = regular_files.exists(path)
        said = f"{path}{': exists already' if exists else ''}"
        return path, plain(said, colours.warning if exists else colours.muted)
