"""What is known of a config before it runs: whether it is valid, the memory estimate as arithmetic, the time."""

from collections.abc import Hashable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.markup import escape
from textual.widgets import Static

from infertui.tui.actions import Action, bindings
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.widgets.dialogs import DIALOG_CSS, Dialog
from infertui.tui.widgets.rowlist import RowList


class _Rows:
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
        self._rows = _Rows()
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
        self._rows.lines = [piece for line in self._given for piece in _wrapped(line, width, rows)]
        rows.redraw()

    def action_back(self) -> None:
        """Close."""
        self.dismiss(None)


def _wrapped(line: Text, width: int, rows: RowList) -> list[Text]:
    whole = line.copy()
    whole.no_wrap = False
    pieces = whole.wrap(rows.app.console, max(10, width), overflow="fold")
    return list(pieces) or [Text()]
