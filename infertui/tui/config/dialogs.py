"""The dialogs of the Config pane: a value chosen from a list, the name of a file, the estimate in full.

A module of their own: stock inputs are costly to import, and the first paint does without.
"""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import ClassVar

from msgspec import Struct
from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.markup import escape
from textual.widgets import Input, Static

from infertui import regular_files
from infertui.errors import UsageError
from infertui.tui.config.form.options import Option
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext, beside, fit
from infertui.tui.widgets.dialogs import DIALOG_CSS, Dialog, LineDialog
from infertui.tui.widgets.prompt import LineInput
from infertui.tui.widgets.rowlist import RowList


class _Line(Struct, frozen=True):
    """A row: an option, or without one the heading of a group."""

    key: Hashable
    option: Option | None
    group: str = ""


def lines_of(options: Sequence[Option], filter_text: str, free: str) -> list[_Line]:
    """The rows for the options in which every word of `filter_text` stands, each group under its heading.

    With `free`, which says what a value of one's own would be, what was typed is the last option itself.
    """
    words = filter_text.lower().split()
    lines: list[_Line] = []
    for option in options:
        text = f"{option.group} {option.text} {option.detail}".lower()
        if not all(word in text for word in words):
            continue
        if option.group and (not lines or lines[-1].group != option.group):
            lines.append(_Line(("group", option.group), None, option.group))
        lines.append(_Line(("option", option.group, option.value), option, option.group))
    own = filter_text.strip()
    if free and own and all(option.value != own for option in options):
        lines.append(_Line("own", Option(own, own, detail=free), "own"))
    return lines


class _Rows:
    def __init__(self, screen: "PickerScreen") -> None:
        self._screen = screen
        self.lines: list[_Line] = []

    def row_count(self) -> int:
        return len(self.lines)

    def row_key(self, index: int) -> Hashable:
        return self.lines[index].key

    def row_text(self, index: int, width: int) -> Text:
        line, look = self.lines[index], self._screen.look
        if line.option is None:
            return fit(line.group, width, look, style=look.palette.title)
        option = line.option
        styles = {"ok": "", "warning": look.palette.warning, "muted": look.palette.muted}
        sign = look.glyph("●", "*") if option.value == self._screen.current and line.key != "own" else " "
        column = min(self._screen.column, max(1, width - 2 if not option.detail else (width - 2) * 3 // 5))
        name = fit(option.text, column, look, style=styles[option.standing])
        beyond = max(0, width - column - 4)
        return beside(
            Text(f"{sign} ", style=look.palette.accent),
            name,
            Text("  "),
            fit(
                option.detail,
                beyond,
                look,
                style=look.palette.muted if option.standing != "warning" else styles["warning"],
            ),
        )


class PickerScreen(Dialog[str | None]):
    """Returns the value of what was chosen, or None. `free`, if given, says what a typed value would be."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        Action("picker.filter", "slash,i", "Filter", "type to filter, or a value of your own"),
        Action("picker.back", "escape,q", "Back", "leave without choosing"),
    )
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS
    DEFAULT_CSS = """
    PickerScreen #picker-note { height: auto; max-height: 3; }
    PickerScreen RowList { height: 6; max-height: 70vh; }
    PickerScreen LineInput { display: none; }
    PickerScreen LineInput.typing { display: block; }
    """

    class Filter(LineInput):
        """The line to type in; up and down still move in the list."""

        ACTIONS: ClassVar[tuple[Action, ...]] = (
            Action("picker-filter.down", "down", "Down", "next line", footer=False),
            Action("picker-filter.up", "up", "Up", "previous line", footer=False),
        )
        BINDINGS: ClassVar = bindings(ACTIONS)

        def action_down(self) -> None:
            """To the next row."""
            self.screen.query_one(RowList).action_down()

        def action_up(self) -> None:
            """To the previous row."""
            self.screen.query_one(RowList).action_up()

    def __init__(
        self,
        title: str,
        options: Sequence[Option],
        *,
        look: RenderContext,
        current: str = "",
        free: str = "",
        waiting: str = "",
    ) -> None:
        super().__init__(classes="dialog")
        self.current = current
        self._title = title
        self._options = tuple(options)
        self._free = free
        self._waiting = waiting
        self._look = look
        self._at = 0
        self._tallest = 3
        self._rows = _Rows(self)
        self._measure()

    @property
    def look(self) -> RenderContext:
        """Styles and glyphs, those of the theme that shows now."""
        return RenderContext(palette(self.app), self._look.ascii, self._look.settings)

    def compose(self) -> ComposeResult:
        """Filter, list, and what is known of the option with the cursor."""
        with Vertical(classes="box") as box:
            box.border_title = escape(safe(self._title))
            box.styles.width = 100
            yield self.Filter(placeholder=f"filter{', or ' + self._free if self._free else ''}")
            yield RowList(self._rows, empty="nothing matches")
            yield Static(id="picker-note", markup=False)
            yield Static(plain(self._keys()), classes="keys", markup=False)

    def _keys(self) -> str:
        own = f" or {self._free}" if self._free else ""
        return f"enter choose   / filter{own}   esc back"

    def on_mount(self) -> None:
        """The cursor on what is chosen now."""
        self._fill("")
        rows = self.query_one(RowList)
        rows.focus()
        chosen = next(
            (i for i, line in enumerate(self._rows.lines) if line.option and line.option.value == self.current), 0
        )
        rows.cursor = chosen
        self._off_heading(1)
        self._tell()

    def set_options(self, options: Sequence[Option], *, waiting: str = "") -> None:
        """Other options, those that had to be looked for; the cursor stays where it is."""
        self._options = tuple(options)
        self._waiting = waiting
        self._measure()
        if self.is_mounted:
            self._fill(self.query_one(self.Filter).value)
            self._tell()

    def _measure(self) -> None:
        self.column = max((cell_len(safe(option.text)) for option in self._options), default=10)

    def _fill(self, typed: str) -> None:
        self._rows.lines = lines_of(self._options, typed, self._free)
        rows = self.query_one(RowList)
        if len(self._rows.lines) > self._tallest:  # it grows for what was found, and does not jump while one types
            self._tallest = len(self._rows.lines)
            rows.styles.height = self._tallest
        rows.redraw()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._fill(event.value)
        rows = self.query_one(RowList)
        rows.cursor = 0
        self._off_heading(1)
        self._tell()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._choose()

    @on(LineInput.Cancelled)
    def _cancelled(self, event: LineInput.Cancelled) -> None:
        event.stop()
        event.line.value = ""
        event.line.remove_class("typing")
        self.query_one(RowList).focus()

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        rows = event.rows
        self._off_heading(-1 if rows.cursor < self._at else 1)
        self._at = rows.cursor
        self._tell()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self._choose()

    def _choose(self) -> None:
        if option := self._here():
            self.dismiss(option.value)

    def _here(self) -> Option | None:
        lines, at = self._rows.lines, self.query_one(RowList).cursor
        return lines[at].option if at < len(lines) else None

    def _off_heading(self, by: int) -> None:
        rows, lines = self.query_one(RowList), self._rows.lines
        if rows.cursor < len(lines) and lines[rows.cursor].option is None:
            rows.cursor = rows.cursor + (by if 0 <= rows.cursor + by < len(lines) else -by)

    def _tell(self) -> None:
        option = self._here()
        note = (option.note if option else "") or self._waiting
        text = plain(note, self.look.palette.warning if option and option.note and option.standing != "ok" else "")
        text.no_wrap = False
        self.query_one("#picker-note", Static).update(text)

    def action_filter(self) -> None:
        """Type to filter."""
        line = self.query_one(self.Filter)
        line.add_class("typing")
        line.focus()

    def action_back(self) -> None:
        """Leave without choosing."""
        self.dismiss(None)


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


class _EstimateRows:
    def __init__(self) -> None:
        self.lines: list[Text] = []

    def row_count(self) -> int:
        return len(self.lines)

    def row_key(self, index: int) -> Hashable:
        return index

    def row_text(self, index: int, width: int) -> Text:
        return self.lines[index]


class ForecastScreen(Dialog[None]):
    """Lines to read; `tell` replaces them when more is known."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        Action("forecast.back", "escape,q,v,enter", "Back", "close", priority=True),
    )
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS

    def __init__(self, title: str, lines: Sequence[Text]) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._rows = _EstimateRows()
        self._given = tuple(lines)

    def compose(self) -> ComposeResult:
        """The lines, and how to leave."""
        with Vertical(classes="box tall") as box:
            box.border_title = escape(safe(self._title))
            yield RowList(self._rows)
            yield Static(plain("j/k scroll   esc back"), classes="keys", markup=False)

    def on_mount(self) -> None:
        """The lines as they are now."""
        self._show()
        self.query_one(RowList).focus()

    def on_resize(self) -> None:
        """Lay the lines out for the new width."""
        self.call_after_refresh(self._show)

    def tell(self, lines: Sequence[Text]) -> None:
        """Replace the lines."""
        self._given = tuple(lines)
        if self.is_mounted:
            self._show()

    def _show(self) -> None:
        rows = self.query_one(RowList)
        width = rows.row_width or 60
        self._rows.lines = [piece for line in self._given for piece in _folded(line, width, rows)]
        rows.redraw()

    def action_back(self) -> None:
        """Close."""
        self.dismiss(None)


def _folded(line: Text, width: int, rows: RowList) -> list[Text]:
    whole = line.copy()
    whole.no_wrap = False
    pieces = whole.wrap(rows.app.console, max(10, width), overflow="fold")
    return list(pieces) or [Text()]
