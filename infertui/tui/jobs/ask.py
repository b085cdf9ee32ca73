"""The one line that a command may need: where to, or what to read."""

import shlex
from collections.abc import Callable

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from infertui import regular_files
from infertui.errors import UsageError
from infertui.paths import expand
from infertui.text import one_line
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.dialogs import DIALOG_CSS, LineDialog
from infertui.tui.widgets.prompt import LineInput

Understand = Callable[[str], tuple[list[str], str]]
"""The arguments that a line stands for, and what to say of them. Raises UsageError for a line that is none."""


class AskScreen(LineDialog[list[str]]):
    """Returns the arguments that the line stands for, or None."""

    CSS_PATH = DIALOG_CSS

    def __init__(self, title: str, proposed: str, placeholder: str, understand: Understand) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._proposed = proposed
        self._placeholder = placeholder
        self._understand = understand

    def compose(self) -> ComposeResult:
        """The line above what it means."""
        with Vertical(classes="box") as box:
            box.border_title = safe(self._title).replace("[", "\\[")
            yield LineInput(self._proposed, placeholder=self._placeholder)
            yield Static(classes="note", markup=False)
            yield Static(plain("enter do it   esc back"), classes="keys", markup=False)

    def on_mount(self) -> None:
        """Type at once, behind what is proposed."""
        line = self.query_one(LineInput)
        line.focus()
        line.cursor_position = len(line.value)
        self.tell(line.value)

    def understood(self, typed: str) -> tuple[list[str] | None, Text]:
        """The arguments, and what they mean."""
        colours = palette(self.app)
        try:
            arguments, said = self._understand(typed.strip())
        except UsageError as error:
            return None, plain(error.message, colours.error)
        return arguments, plain(said, colours.warning if "exists already" in said else colours.muted)


_FORMS = {".csv": "csv", ".jsonl": "six-field", ".json": "vllm"}


def export_to(typed: str) -> tuple[list[str], str]:
    """A file, whose ending says the form."""
    path = expand(typed)
    form = _FORMS.get(path.suffix.lower())
    if not typed or form is None:
        raise UsageError("a file name is wanted; allowed: .csv, .jsonl (six fields a request), .json (as vllm has it)")
    exists = ": exists already, and is replaced" if regular_files.exists(path) else ""
    return ["--format", form, "--output", str(path)], f"{form} to {path}{exists}"


def report_to(typed: str) -> tuple[list[str], str]:
    """A folder."""
    if not typed:
        raise UsageError("a folder is wanted")
    path = expand(typed)
    exists = ": exists already, its report is replaced" if regular_files.exists(path / "report.html") else ""
    return ["--out", str(path)], f"report.html, report.md and charts to {path}{exists}"


def import_from(typed: str) -> tuple[list[str], str]:
    """Files, with blanks between."""
    try:
        names = shlex.split(typed)
    except ValueError as error:
        raise UsageError(f"{one_line(typed, 40)}: {error}") from None
    if not names:
        raise UsageError("files are wanted: of vllm bench, llama-bench, trtllm-bench, aiperf, guidellm, sglang, ...")
    paths = [expand(name) for name in names]
    missing = [path for path in paths if not regular_files.is_file(path)]
    if missing:
        raise UsageError(f"{one_line(missing[0], 60)} is no file")
    return ["--", *map(str, paths)], f"{len(paths)} file{'s' * (len(paths) > 1)}, marked as imported"
