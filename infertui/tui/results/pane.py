"""The Results pane: what was measured so far, sorted, filtered, compared with a baseline."""

from collections.abc import Hashable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import Click, Resize
from textual.message import Message

from infertui.errors import InfertuiError
from infertui.results.table import MAX_LIMIT, Column, ResultPage, ResultQuery, ResultRow
from infertui.tui.actions import Action, bindings
from infertui.tui.results import acts
from infertui.tui.results.bench import ask_for_bench
from infertui.tui.results.columns import COLUMNS, Layout, arrange, header_text, row_text
from infertui.tui.results.filter_bar import FilterBar
from infertui.tui.results.pages import ResultPages
from infertui.tui.settings import Settings, Shown
from infertui.tui.terminal.sanitize import safe
from infertui.tui.themes import DEFAULT_PALETTE, palette
from infertui.tui.topics import ALL_TOPICS, Topic
from infertui.tui.widgets.cells import Look
from infertui.tui.widgets.pane import Heading, Pane
from infertui.tui.widgets.prompt import PinnedLine
from infertui.tui.widgets.rowlist import GUTTER, RowList

if TYPE_CHECKING:
    from infertui.runner.control import Control
    from infertui.tui.context import Cockpit

MOST_MARKED = 5000
# Figures of which less is better, and texts, begin with the least; the others with the most.
_ASCENDING_FIRST = frozenset({
    "name", "state", "model", "engine", "mode", "form", "quantization", "dtype", "device", "ttft", "ttft_p99", "tpot",
    "itl", "itl_p99", "latency", "vram", "power", "joules_per_token",
})  # fmt: skip

ACTIONS = (
    Action("results.open", "enter", "Details", "everything about the run"),
    Action("results.filter", "slash", "Filter", "show only what matches: llama  batch_size>=4  ttft<50ms"),
    Action("results.sort", "s", "Sort", "sort by the next column"),
    Action("results.reverse", "S", "Reverse", "sort the other way round"),
    Action("results.compare", "c", "Compare", "the marked runs side by side, or this one with the baseline"),
    Action("results.baseline", "b", "Baseline", "compare all runs with this one, or with none"),
    Action("results.run-again", "R", "Run again", "queue the marked runs, or this one, once more", writes=True),
    Action("results.bench", "B", "Bench", "measure the marked configurations in turn, several rounds", writes=True),
    Action("results.load", "L", "Load", "load the run's config into the Config pane"),
    Action("results.delete", "D", "Delete", "delete the marked runs, or this one (asks)", writes=True),
    Action("results.columns", "C", "Columns", "choose the columns and their order", footer=False),
    Action("results.hide-failed", "H", "Hide failed", "hide failed runs, or show them", footer=False),
    Action("results.mark-all", "a", "All/none", "mark all that match, or none", footer=False),
    Action("results.copy", "y", "Copy", "copy the row, or the marked ones, tab-separated", footer=False),
    Action("results.copy-command", "Y", "Copy command", "copy the command line that repeats the run", footer=False),
    Action("results.folder", "O", "Folder", "show and copy the path of the run's folder", footer=False),
)  # fmt: skip


class ResultsPane(Pane):
    """The table of results. Its rows come in pages from the runner, one request at a time."""

    TITLE = "Results"
    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]

    class Looked(Message):
        """The cursor came to another run, or others are marked: `runs` are the marked ones, else that one."""

        def __init__(self, runs: tuple[str, ...]) -> None:
            super().__init__()
            self.runs = runs

    def __init__(self, cockpit: "Cockpit", *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(cockpit, id=id)
        self._looked: tuple[str, ...] = ()
        self._filter = FilterBar(changed=self._filter_changed, closed=self._filter_closed)
        self._hide_failed = False
        self._applied = cockpit.settings
        self._ready = False
        self._pages = ResultPages(self._query())
        self._version = -1
        self._busy = False
        self._failed = ""
        self._picked: dict[str, ResultRow] = {}
        """Marked runs; they need not be on a page that is here."""
        self._baseline: ResultRow | None = None
        self._baseline_due = bool(cockpit.settings.baseline)
        self._layout = Layout((), 0)
        self._look = Look(DEFAULT_PALETTE)
        self._heading = Heading(self)
        self._list = RowList(self, id="results-list", markable=True)
        self._note = PinnedLine(id="results-note")
        self._pinned = PinnedLine(id="results-baseline")

    def compose(self) -> ComposeResult:
        """The filter's line when it is typed, the rows, the baseline."""
        yield self._filter
        yield self._note
        yield self._list
        yield self._pinned

    def on_mount(self) -> None:
        """Ask for what there is."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._lay_out())
        self._ready = True
        self._lay_out()
        self.show(ALL_TOPICS)

    def on_resize(self, event: Resize) -> None:
        """Other columns may fit."""
        self.call_after_refresh(self._lay_out)

    def focus_inside(self) -> None:
        """The list has the keys."""
        self._list.focus()

    def show(self, touched: AbstractSet[Topic]) -> None:
        """Ask again when results changed, or when there is somebody to ask at last."""
        if not self._ready:
            return
        self._take_settings()
        version = self.cockpit.mirror.results_version
        if version != self._version:
            self._version = version
            self._pages.outdated()
            self._baseline_due = bool(self.cockpit.settings.baseline)
        if touched & {"results", "runner"}:
            self._failed = ""
        self._pump()

    # What is shown.

    def _query(self) -> ResultQuery:
        settings = self.cockpit.settings
        words = [self._filter.words] if self._filter.words else []
        if self._hide_failed:
            words.append("!state=failed")
        return ResultQuery(
            str(self.cockpit.out), filter=" ".join(words), sort=settings.sort, descending=settings.descending
        )

    def _take_settings(self) -> None:
        """The settings may have been changed elsewhere."""
        settings, before = self.cockpit.settings, self._applied
        if settings is before:
            return
        self._applied = settings
        if settings.baseline != before.baseline and (self._baseline is None or self._baseline.id != settings.baseline):
            self._baseline, self._baseline_due = None, bool(settings.baseline)
        if self._pages.change(self._query()):
            self._pump()
        self._lay_out()

    def _change(self, settings: Settings) -> None:
        self.cockpit.change_settings(settings)
        self._take_settings()

    def _lay_out(self) -> None:
        """Columns for this width, settings and theme."""
        settings = self.cockpit.settings
        self._look = Look(palette(self.app), self.cockpit.ascii_only, settings)
        width = self._list.row_width
        self._layout = arrange(settings.columns, width, ratio=bool(settings.baseline))
        self._draw()

    def _draw(self) -> None:
        pages, settings, width = self._pages, self.cockpit.settings, self._list.row_width
        empty = pages.answered and not pages.matching
        header = header_text(self._layout, width, self._look, sort=settings.sort, descending=settings.descending)
        if header != self._list.header or empty:
            self._list.set_header(None if empty else header)
        words = f"No run has ended here yet: {self.key('config.run', 'r')} in Config measures one."
        if pages.total:
            words = f"No run matches; {self.key('results.filter', '/')} changes the filter"
            if self._hide_failed:
                words += f", {self.key('results.hide-failed', 'H')} shows failed runs"
        self._note.set_line(Text(f"  {words}", style=self._look.palette.muted) if empty else None)
        self._list.redraw()
        self._pin()
        self._say()

    def _pin(self) -> None:
        settings, line = self.cockpit.settings, None
        if settings.baseline:
            line = Text("b ", style=self._look.palette.accent, end="")
            if self._baseline:
                line.append_text(self._row(self._baseline))
            elif not self._baseline_due:
                other = self.key("results.baseline", "b")
                words = f"the baseline {safe(settings.baseline)} is not among these results; {other} chooses another"
                line.append(words)
        self._pinned.set_line(line)

    def _say(self) -> None:
        pages, settings = self._pages, self.cockpit.settings
        words = []
        if pages.answered:
            everything = pages.matching == pages.total
            words.append(f"{pages.total:,}" if everything else f"{pages.matching:,} of {pages.total:,}")
        if self._filter.words:
            words.append(f"/ {self._filter.words}")
        if self._hide_failed:
            words.append("failed hidden")
        if self._picked:
            words.append(f"{len(self._picked):,} marked")
        if pages.matching and settings.sort not in {one.spec.key for one in self._layout.placed}:
            words.append(f"by {COLUMNS[settings.sort].label}" + ("" if settings.descending else ", least first"))
        if pages.skipped > pages.newer:
            words.append(f"{pages.skipped - pages.newer:,} unreadable")
        if pages.newer:
            words.append(f"{pages.newer:,} of a newer infertui")
        if self._failed:
            words.append(self._failed)
        self._heading.say("  ".join(words))
        self._tell_looked()

    def _row(self, row: ResultRow) -> Text:
        return row_text(row, self._layout, self._list.row_width, self._look, baseline=self._baseline)

    # Rows.

    def row_count(self) -> int:
        """See `RowSource`."""
        return self._pages.matching

    def row_key(self, index: int) -> Hashable:
        """See `RowSource`. A row that was not fetched yet goes by its place."""
        row = self._pages.row(index)
        return index if row is None else row.id

    def row_index(self, key: Hashable) -> int | None:
        """See `RowSource`."""
        return self._pages.place(key) if isinstance(key, str) else None

    def row_text(self, index: int, width: int) -> Text:
        """See `RowSource`."""
        row = self._pages.row(index)
        if row is None:
            self.call_later(self._pump)
            return Text(self._look.glyph("…", "~"), style=self._look.palette.muted, end="")
        return self._row(row)

    @property
    def _current(self) -> ResultRow | None:
        return self._pages.row(self._list.cursor) if self._pages.matching else None

    @property
    def _targets(self) -> list[ResultRow]:
        """What an act is on: the marked runs, or the one under the cursor."""
        if self._picked:
            return list(self._picked.values())
        return [self._current] if self._current else []

    def _tell_looked(self) -> None:
        runs = tuple(row.id for row in self._targets)
        if runs != self._looked:
            self._looked = runs
            self.post_message(self.Looked(runs))

    # Asking the runner.

    def _pump(self) -> None:
        """Ask for what is missing, if nothing is being asked."""
        if self._busy or self._failed or not self._ready:
            return
        self._pages.look_at(range(self._list.top, self._list.top + max(1, self._list.size.height)))
        current = self._current
        query = self._pages.ask(cursor=self._list.cursor, run=current.id if current else "")
        if query is not None:
            self._busy = True
            self.run_worker(self._fetch(query), group="results")
        elif self._baseline_due:
            self._busy = True
            self.run_worker(self._fetch_baseline(self.cockpit.settings.baseline), group="results")

    async def _fetch(self, query: ResultQuery) -> None:
        page = await self._answer(query)
        if page and self._pages.take(query, page):
            self._draw()
        self._pump()

    async def _fetch_baseline(self, run: str) -> None:
        page = await self._answer(ResultQuery(str(self.cockpit.out), filter=f'id="{safe(run)}"', limit=1))
        if page and run == self.cockpit.settings.baseline:
            self._baseline_due = False
            self._baseline = page.rows[0] if page.rows else None
            self._draw()
        self._pump()

    async def _answer(self, query: ResultQuery) -> ResultPage | None:
        """A page, or None: then the frame says why, and asking waits for better times."""
        try:
            return await self.cockpit.control.results(query)
        except InfertuiError as error:
            self._failed = error.message
            self._say()
            return None
        finally:
            self._busy = False

    # What the list tells.

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        """Fetch what comes next."""
        event.stop()
        self._tell_looked()
        self._pump()

    def on_row_list_positioned(self, event: RowList.Positioned) -> None:
        """The position stands in the frame."""
        event.stop()
        self.say_position(event.position)

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Enter or a double click."""
        event.stop()
        self.action_open()

    def on_row_list_marked(self, event: RowList.Marked) -> None:
        """Keep what was marked: its page may be gone when it is needed."""
        event.stop()
        marked = self._list.marked = {key for key in self._list.marked if isinstance(key, str)}
        # In the order in which they were marked: the first may be what the others are compared with.
        known = self._picked | {row.id: row for row in self._pages.rows() if row.id in marked}
        self._picked = {run: row for run, row in known.items() if run in marked}
        self._say()

    def on_click(self, event: Click) -> None:
        """A click on a column's header sorts by it; another one the other way round."""
        offset = event.get_content_offset(self._list)
        spec = self._layout.at(offset.x - GUTTER) if offset is not None and offset.y == 0 else None
        if spec is not None and spec.key in COLUMNS:
            event.stop()
            self._sort_by(spec.key)

    # The filter.

    def action_filter(self) -> None:
        """Type a filter; what is typed acts at once."""
        self._filter.open()

    def _filter_changed(self) -> None:
        if self._pages.change(self._query()):
            self._failed = ""
            self._pump()
        self._say()

    def _filter_closed(self) -> None:
        self._list.focus()

    def step_back(self) -> bool:
        """Without the marks, then without the filter."""
        if self._picked:
            self._unmark()
            return True
        if self._filter.words:
            self._filter.use("")
            return True
        return False

    # Sorting.

    def action_sort(self) -> None:
        """By the next column of those in view."""
        keys: list[Column] = [one.spec.key for one in self._layout.placed if one.spec.key in COLUMNS]
        if keys:
            now = self.cockpit.settings.sort
            self._sort_by(keys[(keys.index(now) + 1) % len(keys)] if now in keys else keys[0])

    def action_reverse(self) -> None:
        """The other way round."""
        self._change(replace(self.cockpit.settings, descending=not self.cockpit.settings.descending))

    def _sort_by(self, key: Column) -> None:
        settings = self.cockpit.settings
        if key == settings.sort:
            self.action_reverse()
        else:
            self._change(replace(settings, sort=key, descending=key not in _ASCENDING_FIRST))

    # Acts.

    def action_open(self) -> None:
        """Details of the run under the cursor."""
        if row := self._current:
            self.cockpit.show_details(row.id)

    def action_baseline(self) -> None:
        """Compare with the run under the cursor; once more: with none."""
        row = self._current
        if row is None:
            return
        if row.id == self.cockpit.settings.baseline:
            self._baseline, self._baseline_due = None, False
            self._change(replace(self.cockpit.settings, baseline=""))
        elif row.throughput is None:
            self.cockpit.say("That run measured no throughput: there is nothing to compare with.", "warning")
        else:
            self._baseline, self._baseline_due = row, False
            self._change(replace(self.cockpit.settings, baseline=row.id))

    @property
    def _compared(self) -> list[ResultRow]:
        """The baseline first, then the marked runs, or the one under the cursor; without a baseline the marked ones."""
        base = [self._baseline] if self._baseline else []
        return [*base, *(row for row in self._targets if not base or row.id != base[0].id)]

    def action_compare(self) -> None:
        """Side by side."""
        acts.compare(self.app, self.cockpit, self._compared)

    def action_bench(self) -> None:
        """Measure the marked configurations in turn."""
        ask_for_bench(self.app, self.cockpit, self._compared, str(self.cockpit.out))

    def action_hide_failed(self) -> None:
        """Hide failed runs, or show them."""
        self._hide_failed = not self._hide_failed
        self._pages.change(self._query())
        self._pump()
        self._say()

    def action_columns(self) -> None:
        """Choose the columns."""
        from infertui.tui.results.columns_dialog import ColumnsScreen

        def take(chosen: tuple[Shown, ...] | None) -> None:
            if chosen:
                self._change(replace(self.cockpit.settings, columns=chosen))

        self.app.push_screen(ColumnsScreen(self.cockpit.settings.columns), take)

    def action_mark_all(self) -> None:
        """Mark all that match; where some are marked, none."""
        if self._picked:
            self._unmark()
        elif self._pages.matching > MOST_MARKED:
            self.cockpit.say(f"{self._pages.matching:,} runs are too many to mark: filter first.", "warning")
        elif self._pages.matching:
            self.cockpit.intend(self._mark_all)

    async def _mark_all(self, control: "Control") -> None:
        query = replace(self._query(), limit=MAX_LIMIT)
        found: dict[str, ResultRow] = {}
        while True:
            page = await control.results(replace(query, offset=len(found)))
            found |= {row.id: row for row in page.rows}
            if not page.rows or len(found) >= min(page.matching, MOST_MARKED):
                break
        self._picked, self._list.marked = found, set(found)
        self._draw()

    def _unmark(self) -> None:
        self._picked = {}
        self._list.marked.clear()
        self._draw()

    def action_copy(self) -> None:
        """Rows for a spreadsheet; several with a header."""
        acts.copy_rows(self.cockpit, self._targets, self._baseline)

    def action_copy_command(self) -> None:
        """What repeats the runs from a shell."""
        acts.copy_commands(self.cockpit, self._targets)

    def action_folder(self) -> None:
        """Where the run's files are."""
        if row := self._current:
            path = str(self.cockpit.out / row.id)
            self.cockpit.copy(path, f"the folder {path}")

    def action_delete(self) -> None:
        """Delete, after asking."""
        acts.delete(self.cockpit, self._targets, marked=bool(self._picked), gone=self._gone)

    def _gone(self, runs: list[str]) -> None:
        self._unmark()
        if self.cockpit.settings.baseline in runs:
            self._baseline, self._baseline_due = None, False
            self._change(replace(self.cockpit.settings, baseline=""))

    def action_run_again(self) -> None:
        """Queue once more."""
        acts.run_again(self.cockpit, self._targets, self._unmark)

    def action_load(self) -> None:
        """Into the Config pane."""
        if row := self._current:
            acts.load(self.cockpit, row)
