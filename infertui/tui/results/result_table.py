"""The rows of the results on the screen, fetched page by page from the runner as they come into view."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from msgspec.structs import replace
from rich.text import Text
from textual.app import ComposeResult
from textual.events import Click
from textual.message import Message

from infertui.errors import InfertuiError
from infertui.results.table import MAX_LIMIT, Column, ResultPage, ResultQuery, ResultRow
from infertui.tui.frame.actions import sign
from infertui.tui.results.columns import COLUMNS, ColumnLayout, arrange, header_text, row_text
from infertui.tui.results.pages import ResultPages
from infertui.tui.results.selection import Selection
from infertui.tui.terminal.sanitize import safe
from infertui.tui.themes import DEFAULT_PALETTE, palette
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.pane import PanePart
from infertui.tui.widgets.prompt import PinnedLine
from infertui.tui.widgets.rowlist import GUTTER, RowList

if TYPE_CHECKING:
    from infertui.runner.control import RunnerApi
    from infertui.tui.frame.context import AppContext

MOST_MARKED = 5000


async def all_matching(control: "RunnerApi", query: ResultQuery, most: int) -> dict[str, ResultRow]:
    """The rows that match `query` by their ids, about so many of them at most."""
    found: dict[str, ResultRow] = {}
    while True:
        page = await control.results(replace(query, limit=min(most, MAX_LIMIT), offset=len(found)))
        found |= {row.id: row for row in page.rows}
        if not page.rows or len(found) >= min(page.matching, most):
            return found


class ResultTable(PanePart):
    """Shows the answer to one query, with what is marked of it and the baseline; asks for one page at a time."""

    DEFAULT_CSS = "ResultTable { height: 1fr; }"

    class Drawn(Message):
        """Other rows are there, marked or under the cursor: what is said of them may have to change."""

    class HeaderClicked(Message):
        """The heading of `column` was clicked."""

        def __init__(self, column: Column) -> None:
            super().__init__()
            self.column = column

    def __init__(self, app_context: "AppContext", query: ResultQuery) -> None:
        super().__init__()
        self._app_context = app_context
        self.selection = Selection(baseline_due=bool(app_context.settings.baseline))
        self.pages = ResultPages(query)
        self.failed = ""
        """Why the runner gave no answer; asking waits for better times then."""
        self.hint = ""
        """What to do about a filter that nothing matches."""
        self._ready = False
        self._busy = False
        self._wanted = ""
        """The run that the cursor is to come to."""
        self._placed = ColumnLayout((), 0)
        self._look = RenderContext(DEFAULT_PALETTE)
        self.list = RowList(self, id="results-list", markable=True)
        self._note = PinnedLine(id="results-note")
        self._pinned = PinnedLine(id="results-baseline")

    def compose(self) -> ComposeResult:
        """The rows, the baseline; in their place a sentence where there are none."""
        yield self._note
        yield self.list
        yield self._pinned

    def on_mount(self) -> None:
        """From now on there is room to draw, and somebody to ask for."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.lay_out())
        self._ready = True

    # What is shown.

    def lay_out(self) -> None:
        """Columns for this width, settings and theme."""
        settings = self._app_context.settings
        self._look = RenderContext(palette(self.app), self._app_context.ascii_only, settings)
        self._placed = arrange(
            settings.columns, self.list.row_width, ratio=bool(settings.baseline), varied=self.pages.varied
        )
        self.draw()

    def draw(self) -> None:
        """Draw what is here."""
        pages, settings, width = self.pages, self._app_context.settings, self.list.row_width
        empty = pages.answered and not pages.matching
        header = header_text(self._placed, width, self._look, sort=settings.sort, descending=settings.descending)
        if header != self.list.header or empty:
            self.list.set_header(None if empty else header)
        words = f"No run has ended here yet: {self._key('config.run', 'r')} in Config measures one."
        if pages.total:
            words = f"No run matches; {self._key('results.filter', '/')} changes the filter{self.hint}"
        self._note.set_line(Text(f"  {words}", style=self._look.palette.muted) if empty else None)
        at_newest = self.list.cursor == 0 and not self.list.has_focus
        self.list.redraw()
        if at_newest:  # whoever works elsewhere sees what has just ended
            self.list.cursor = 0
        self._pin()
        self.post_message(self.Drawn())

    def _pin(self) -> None:
        settings, line, selection = self._app_context.settings, None, self.selection
        if settings.baseline:
            line = Text("b ", style=self._look.palette.accent, end="")
            if selection.baseline:
                line.append_text(self._row(selection.baseline))
            elif not selection.baseline_due:
                other = self._key("results.baseline", "b")
                words = f"the baseline {safe(settings.baseline)} is not among these results; {other} chooses another"
                line.append(words)
        self._pinned.set_line(line)

    def _key(self, action: str, shipped: str) -> str:
        return sign(self._app_context.settings.keys, action, shipped)

    def _row(self, row: ResultRow) -> Text:
        return row_text(row, self._placed, self.list.row_width, self._look, baseline=self.selection.baseline)

    @property
    def shown_columns(self) -> list[Column]:
        """The columns in view that one can sort by."""
        return [one.spec.key for one in self._placed.placed if one.spec.key in COLUMNS]

    @property
    def current(self) -> ResultRow | None:
        """The run under the cursor, if it was fetched."""
        return self.pages.row(self.list.cursor) if self.pages.matching else None

    # Rows, as RowList asks for them.

    def row_count(self) -> int:
        """All that match."""
        return self.pages.matching

    def row_key(self, index: int) -> Hashable:
        """The run; a row that was not fetched yet goes by its place."""
        row = self.pages.row(index)
        return index if row is None else row.id

    def row_index(self, key: Hashable) -> int | None:
        """Where a run went."""
        return self.pages.place(key) if isinstance(key, str) else None

    def row_text(self, index: int, width: int) -> Text:
        """The row, or a mark in its place until it comes."""
        row = self.pages.row(index)
        if row is None:
            self.call_later(self.ask)
            return Text(self._look.glyph("…", "~"), style=self._look.palette.muted, end="")
        return self._row(row)

    # Asking the runner.

    def change(self, query: ResultQuery) -> bool:
        """Show the answer to another query; whether it is another."""
        return self.pages.change(query)

    def ask(self) -> None:
        """Ask for what is missing, if nothing is being asked."""
        if self._busy or self.failed or not self._ready:
            return
        self.pages.look_at(range(self.list.top, self.list.top + max(1, self.list.size.height)))
        current = self.current
        query = self.pages.ask(cursor=self.list.cursor, run=self._wanted or (current.id if current else ""))
        if query is not None:
            self._busy = True
            self.run_worker(self._fetch(query), group="results")
        elif self.selection.baseline_due:
            self._busy = True
            self.run_worker(self._fetch_baseline(self._app_context.settings.baseline), group="results")

    async def _fetch(self, query: ResultQuery) -> None:
        page = await self._answer(query)
        varied = self.pages.varied
        if page and self.pages.take(query, page):
            (self.draw if varied == self.pages.varied else self.lay_out)()
            self._arrive()
        self.ask()

    def go_to(self, run: str) -> None:
        """Bring the cursor to a run, wherever the order has it."""
        self._wanted = run
        self.pages.outdated()
        self.ask()

    def _arrive(self) -> None:
        wanted, self._wanted = self._wanted, ""
        if wanted and (place := self.pages.place(wanted)) is not None:
            self.list.cursor = place
        elif wanted:
            self._app_context.say(f"{safe(wanted)} is not among the rows that match the filter.", "warning")

    async def _fetch_baseline(self, run: str) -> None:
        page = await self._answer(ResultQuery(str(self._app_context.out), filter=f'id="{safe(run)}"', limit=1))
        if page and run == self._app_context.settings.baseline:
            self.selection.compare_with(page.rows[0] if page.rows else None)
            self.draw()
        self.ask()

    async def _answer(self, query: ResultQuery) -> ResultPage | None:
        try:
            return await self._app_context.control.results(query)
        except InfertuiError as error:
            self.failed = error.message
            self.post_message(self.Drawn())
            return None
        finally:
            self._busy = False

    # Marks.

    async def mark_all(self, control: "RunnerApi", query: ResultQuery) -> None:
        """Mark all that match `query`, as many as may be."""
        found = await all_matching(control, query, MOST_MARKED)
        self.selection.marked, self.list.marked = found, set(found)
        self.draw()

    def unmark(self) -> None:
        """Mark none."""
        self.selection.marked = {}
        self.list.marked.clear()
        self.draw()

    def on_row_list_marked(self, event: RowList.Marked) -> None:
        """Keep what was marked: its page may be gone when it is needed."""
        event.stop()
        marked = {key for key in self.list.marked if isinstance(key, str)}
        self.list.marked = set(marked)
        self.selection.mark(marked, self.pages.rows())
        self.post_message(self.Drawn())

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        """Fetch what comes next."""
        event.stop()
        self.post_message(self.Drawn())
        self.ask()

    def on_click(self, event: Click) -> None:
        """A click on the heading of a column."""
        offset = event.get_content_offset(self.list)
        spec = self._placed.at(offset.x - GUTTER) if offset is not None and offset.y == 0 else None
        if spec is not None and spec.key in COLUMNS:
            event.stop()
            self.post_message(self.HeaderClicked(spec.key))
