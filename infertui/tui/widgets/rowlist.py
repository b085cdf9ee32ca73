"""A list of any number of rows, of which only those in view are ever asked for."""

from collections.abc import Hashable
from textwrap import wrap
from typing import ClassVar, Protocol

from rich.text import Text
from textual.binding import BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp, Resize
from textual.message import Message

from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.themes import palette
from infertui.tui.widgets.lines import Lines, cut

GUTTER = 2
"""Cells left of each row: the cursor's sign and the mark's."""
WHEEL_ROWS = 3
NEAR = 1000
"""So far on either side a key is looked for when the source cannot say where it is."""


class RowSource(Protocol):
    """Where the rows come from. A source that also has `row_index(key) -> int | None` is asked where a key went."""

    def row_count(self) -> int:
        """Rows there are."""
        ...

    def row_key(self, index: int) -> Hashable:
        """What stays the same when the row moves."""
        ...

    def row_text(self, index: int, width: int) -> Text:
        """The row as one line, made for `width` cells; longer ones are cut."""
        ...


ACTIONS = (
    Action("list.down", "j,down", "Down", "next row", footer=False),
    Action("list.up", "k,up", "Up", "previous row", footer=False),
    Action("list.top", "g,home", "Top", "first row", footer=False),
    Action("list.bottom", "G,end", "Bottom", "last row", footer=False),
    Action("list.page-down", "pagedown", "Page", "a page down", footer=False),
    Action("list.page-up", "pageup", "Page up", "a page up", footer=False),
    Action("list.half-down", "ctrl+d", "Half page", "half a page down", footer=False),
    Action("list.half-up", "ctrl+u", "Half page up", "half a page up", footer=False),
    Action("list.mark", "space", "Mark", "mark or unmark the row", footer=False),
    Action("list.choose", "enter", "Open", "open the row", footer=False),
)


class RowList(Lines, can_focus=True):
    """Rows of a source, a cursor that stays with its row, and optionally marks.

    No scrollbar: `position` ("12 of 480") belongs into the frame, and `Positioned` tells when it changed.
    """

    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    DEFAULT_CSS = "RowList { width: 1fr; height: 1fr; }"

    class Told(Message):
        """Base of what the list tells; `control` is for `@on(RowList.Moved, "#id")`."""

        def __init__(self, rows: "RowList") -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> "RowList":
            """The list."""
            return self.rows

    class Moved(Told):
        """The cursor came to another row: `key`, or None when there are none."""

        def __init__(self, rows: "RowList", key: Hashable | None) -> None:
            super().__init__(rows)
            self.key = key

    class Chosen(Told):
        """Enter, or a double click, on the row of `key`."""

        def __init__(self, rows: "RowList", key: Hashable) -> None:
            super().__init__(rows)
            self.key = key

    class Marked(Told):
        """`marked` changed."""

    class Positioned(Told):
        """`position` changed."""

        def __init__(self, rows: "RowList", position: str) -> None:
            super().__init__(rows)
            self.position = position

    def __init__(
        self,
        source: RowSource,
        *,
        id: str | None = None,  # noqa: A002 (Textual's name)
        markable: bool = False,
        empty: str = "",
    ) -> None:
        super().__init__(id=id)
        self.marked: set[Hashable] = set()
        self._source = source
        self._markable = markable
        self._empty = empty
        self._heading: Text | None = None
        self._count = 0
        self._top = 0
        self._settled = 0
        """`top` as rows and moves left it: sizes that a layout passes through do not count."""
        self._at = 0
        self._key: Hashable | None = None
        self._told = ""
        self._rows: dict[int, Text] = {}
        """Lines in view without cursor and marks, by index, as the source last gave them."""

    # What panes read and set.

    @property
    def header(self) -> Text | None:
        """The fixed line above the rows."""
        return self._heading

    def set_header(self, header: Text | None) -> None:
        """Set or take away the line above the rows."""
        self._heading = header
        self._rows.clear()
        self._scroll_to_cursor()
        self.compose_lines()

    def say_empty(self, words: str) -> None:
        """What stands here when there are no rows."""
        if words != self._empty:
            self._empty = words
            self.compose_lines()

    @property
    def cursor(self) -> int:
        """Index of the row with the cursor; 0 also when there are no rows."""
        return self._at

    @cursor.setter
    def cursor(self, index: int) -> None:
        self._go(index)

    @property
    def current_key(self) -> Hashable | None:
        """Key of the row with the cursor; None when there are no rows."""
        return self._key

    @property
    def top(self) -> int:
        """Index of the first row in view."""
        return self._top

    @property
    def row_count(self) -> int:
        """Rows as of the last `redraw`."""
        return self._count

    @property
    def position(self) -> str:
        """`12 of 480`; empty when there are no rows."""
        return f"{self._at + 1:,} of {self._count:,}" if self._count else ""

    @property
    def row_width(self) -> int:
        """Cells that a row has."""
        return max(0, self.size.width - GUTTER)

    def redraw(self) -> None:
        """Ask the source again. The cursor stays on its row wherever that went; only changed lines are painted."""
        self._count = self._source.row_count()
        self._rows.clear()
        before_at, before_key = self._at, self._key
        self._at = self._find(before_key)
        self._key = self._source.row_key(self._at) if self._count else None
        # The row keeps its line on the screen when rows came or went above it; at the very top new rows are to be seen.
        if self._top:
            self._top += self._at - before_at
        if self._settled:
            self._settled += self._at - before_at
        self._scroll_to_cursor()
        self.compose_lines()
        if self._key != before_key:
            self.post_message(self.Moved(self, self._key))
        self._tell_position()

    def _find(self, key: Hashable | None) -> int:
        last = max(0, self._count - 1)
        near = min(self._at, last)
        if key is None or not self._count:
            return near
        where = getattr(self._source, "row_index", None)
        if where is not None:
            index = where(key)
            return near if index is None else min(int(index), last)
        for step in range(NEAR + 1):
            for index in {self._at - step, self._at + step}:
                if 0 <= index <= last and self._source.row_key(index) == key:
                    return index
        return near

    # Drawing.

    @property
    def _view(self) -> int:
        """Rows in view."""
        return max(1, self.size.height - (self._heading is not None))

    def on_mount(self) -> None:
        """The first look at the source."""
        super().on_mount()
        self.redraw()

    def on_resize(self, event: Resize) -> None:
        """Rows are made for the width that there is."""
        self._rows.clear()
        self._top = self._settled
        super().on_resize(event)

    def notify_style_update(self) -> None:
        """Rows are made of the theme's colours."""
        self._rows.clear()
        super().notify_style_update()

    def on_focus(self) -> None:
        """The cursor shows where keys go."""
        self.compose_lines()

    def on_blur(self) -> None:
        """The cursor fades."""
        self.compose_lines()

    def compose_lines(self) -> None:
        """All lines in view; cached rows are not asked for again."""
        width, height = self.size
        if not (width and height):
            return
        signs = glyphs(self.app)
        self._scroll_to_cursor()
        lines: list[Text] = []
        if self._heading is not None:
            lines.append(cut(Text(" " * GUTTER, end="").append_text(self._heading), width, signs.ellipsis))
        if not self._count and self._empty:
            lines += [Text(part, style=palette(self.app).muted) for part in wrap(self._empty, width)]
        view = range(self._top, min(self._top + self._view, self._count))
        self._rows = {index: self._rows.get(index) or self._row(index) for index in view}
        lines += [self._decorated(index) for index in view]
        lines += [Text() for _ in range(height - len(lines))]
        self.paint_lines(lines[:height])

    def _row(self, index: int) -> Text:
        width = self.row_width
        return cut(self._source.row_text(index, width), width, glyphs(self.app).ellipsis)

    def _decorated(self, index: int) -> Text:
        signs, colours = glyphs(self.app), palette(self.app)
        marked = self._markable and bool(self.marked) and self._source.row_key(index) in self.marked
        here = index == self._at
        line = Text(signs.cursor if here else " ", end="", no_wrap=True)
        line.append(signs.marked if marked else " ", style=colours.accent if marked else None)
        line.append_text(self._rows[index])
        if here:
            line.pad_right(self.size.width - line.cell_len)
            line.stylize(colours.selection if self.has_focus else colours.selection_blurred)
        return line

    def _scroll_to_cursor(self) -> None:
        if not self.size.height:  # not laid out: nothing is out of view yet
            return
        view = self._view
        self._top = max(self._top, self._at - view + 1)
        self._top = max(0, min(self._top, self._at, self._count - view))

    def _go(self, index: int, *, top: int | None = None) -> None:
        index = max(0, min(index, self._count - 1))
        if top is not None:
            self._top = max(0, min(top, self._count - self._view))
        moved, self._at = index != self._at, index
        self._scroll_to_cursor()
        self._settled = self._top
        if moved:
            self._key = self._source.row_key(index)
            self.post_message(self.Moved(self, self._key))
            self._tell_position()
        self.compose_lines()

    def _tell_position(self) -> None:
        if self.position != self._told:
            self._told = self.position
            self.post_message(self.Positioned(self, self._told))

    # Keys and mouse.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Space is free for others where nothing can be marked."""
        return self._markable if action == "mark" else super().check_action(action, parameters)

    def action_down(self) -> None:
        """To the next row."""
        self._go(self._at + 1)

    def action_up(self) -> None:
        """To the previous row."""
        self._go(self._at - 1)

    def action_top(self) -> None:
        """To the first row."""
        self._go(0)

    def action_bottom(self) -> None:
        """To the last row."""
        self._go(self._count - 1)

    def action_page_down(self) -> None:
        """A page on, the cursor on the same line of the screen."""
        self._page(max(1, self._view - 1))

    def action_page_up(self) -> None:
        """A page back."""
        self._page(-max(1, self._view - 1))

    def action_half_down(self) -> None:
        """Half a page on."""
        self._page(max(1, self._view // 2))

    def action_half_up(self) -> None:
        """Half a page back."""
        self._page(-max(1, self._view // 2))

    def _page(self, rows: int) -> None:
        self._go(self._at + rows, top=self._top + rows)

    def action_mark(self) -> None:
        """Mark or unmark the row, and go to the next."""
        if self._key is None:
            return
        self.marked ^= {self._key}
        self.post_message(self.Marked(self))
        self._go(self._at + 1)

    def action_choose(self) -> None:
        """Enter."""
        if self._key is not None:
            self.post_message(self.Chosen(self, self._key))

    def on_click(self, event: Click) -> None:
        """The cursor comes here; a double click chooses."""
        offset = event.get_content_offset(self)
        row = -1 if offset is None else offset.y - (self._heading is not None)
        if 0 <= row < self._view and self._top + row < self._count:
            event.stop()
            self._go(self._top + row)
            if event.chain == 2:
                self.action_choose()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """The view moves; the cursor stays in it."""
        event.stop()
        self._wheel(WHEEL_ROWS)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """The view moves; the cursor stays in it."""
        event.stop()
        self._wheel(-WHEEL_ROWS)

    def _wheel(self, rows: int) -> None:
        top = max(0, min(self._top + rows, self._count - self._view))
        self._go(max(top, min(self._at, top + self._view - 1)), top=top)
