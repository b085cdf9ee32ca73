"""A list that is searched while typing: the base of help and palette."""

from collections.abc import Hashable, Sequence
from typing import ClassVar

from msgspec import Struct
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.dialogs import DIALOG_CSS, Dialog
from infertui.tui.widgets.prompt import LineInput
from infertui.tui.widgets.rowlist import RowList


class SearchItem(Struct, frozen=True):
    """One line. `value` is returned when it is chosen; an item without one is a heading, and goes with its group."""

    value: str
    text: str
    keys: str = ""
    group: str = ""
    works: bool = True


def matching(items: Sequence[SearchItem], search: str) -> list[SearchItem]:
    """The items in which every word of `search` stands, with the headings of their groups."""
    words = search.lower().split()
    kept = [item for item in items if item.value and _matches(item, words)]
    groups = {item.group for item in kept}
    if not words or any(not item.value for item in items):
        wanted = {id(item) for item in kept}
        return [item for item in items if id(item) in wanted or (not item.value and item.group in groups)]
    return sorted(kept, key=lambda item: _rank(item, words))


def _rank(item: SearchItem, words: list[str]) -> int:
    """Items that begin with what was typed come first, then those in which each word begins a word."""
    text = item.text.lower()
    if text.startswith(words[0]):
        return 0
    starts = text.replace(":", " ").split()
    return 1 if all(any(start.startswith(word) for start in starts) for word in words) else 2


def _matches(item: SearchItem, words: list[str]) -> bool:
    text = f"{item.group} {item.text} {item.value}".lower()
    return all(word in text or word == item.keys.lower() for word in words)


class _Rows:
    """The matching items as rows."""

    def __init__(self, screen: "SearchScreen") -> None:
        self._screen = screen
        self.items: list[SearchItem] = []

    def row_count(self) -> int:
        return len(self.items)

    def row_key(self, index: int) -> Hashable:
        item = self.items[index]
        return item.value or f"# {item.group}"

    def row_text(self, index: int, width: int) -> Text:
        item, colours = self.items[index], palette(self._screen.app)
        if not item.value:
            return plain(item.text, colours.title)
        keys = safe(item.keys)
        column = self._screen.keys_width
        line = Text(no_wrap=True, end="")
        line.append(f"  {keys:<{column}}", style=colours.accent if item.works else colours.muted)
        return line.append_text(plain(item.text, "" if item.works else colours.muted))


def keys_beside_typing(scope: str) -> tuple[Action, ...]:
    """Of a dialog in which text is typed above a list: what moves in the list, and what closes it."""
    return (
        Action(f"{scope}.back", "escape", "Back", "close", priority=True),
        Action(f"{scope}.down", "down,ctrl+n", "Down", "next line", priority=True),
        Action(f"{scope}.up", "up,ctrl+k", "Up", "previous line", priority=True),
        Action(f"{scope}.page-down", "pagedown", "Page down", "a page down", priority=True),
        Action(f"{scope}.page-up", "pageup", "Page up", "a page up", priority=True),
    )


class SearchScreen(Dialog[str | None]):
    """Shows items; returns the value of the chosen one, or None."""

    ACTIONS: ClassVar[tuple[Action, ...]] = keys_beside_typing("search")
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS

    def __init__(self, title: str, items: Sequence[SearchItem], *, placeholder: str) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._items = tuple(items)
        self._placeholder = placeholder
        self.keys_width = min(16, max((len(item.keys) for item in self._items), default=0)) + 2
        self._rows = _Rows(self)
        self._rows.items = list(self._items)

    def compose(self) -> ComposeResult:
        """The line to type in above the list."""
        with Vertical(classes="box tall") as box:
            box.border_title = safe(self._title)
            yield LineInput(placeholder=self._placeholder)
            yield RowList(self._rows, empty="nothing of that name")

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(LineInput).focus()
        self.call_after_refresh(self._off_heading, 1)

    @on(Input.Changed)
    def _searched(self, event: Input.Changed) -> None:
        event.stop()
        self._rows.items = matching(self._items, event.value)
        rows = self.query_one(RowList)
        rows.redraw()
        rows.cursor = 0
        self._off_heading(1)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._choose(self.query_one(RowList).current_key)

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self._choose(event.key)

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        """The settings name actions by their ids: here is where to find those."""
        event.stop()
        item = next((item for item in self._rows.items if item.value and item.value == event.key), None)
        self.query_one(Vertical).border_subtitle = safe(item.value) if item else ""

    def _choose(self, key: Hashable | None) -> None:
        item = next((item for item in self._rows.items if item.value and item.value == key), None)
        if item is not None:
            self.dismiss(item.value)

    def _off_heading(self, by: int) -> None:
        rows = self.query_one(RowList)
        items = self._rows.items
        if items and not items[min(rows.cursor, len(items) - 1)].value:
            rows.cursor += by if rows.cursor or by > 0 else 1

    def action_back(self) -> None:
        """Close without choosing."""
        self.dismiss(None)

    def action_down(self) -> None:
        """Next line."""
        self.query_one(RowList).action_down()
        self._off_heading(1)

    def action_up(self) -> None:
        """Previous line."""
        self.query_one(RowList).action_up()
        self._off_heading(-1)

    def action_page_down(self) -> None:
        """A page down."""
        self.query_one(RowList).action_page_down()
        self._off_heading(1)

    def action_page_up(self) -> None:
        """A page up."""
        self.query_one(RowList).action_page_up()
        self._off_heading(-1)
