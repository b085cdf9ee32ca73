"""The Results pane: what was measured so far, sorted, filtered, compared with a baseline."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import Resize
from textual.message import Message

from infertui.results.table import Column, ResultQuery, ResultRow
from infertui.tui.capacity.begin import choose_search
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.topics import ALL_TOPICS, Topic
from infertui.tui.results import acts
from infertui.tui.results.bench import ask_for_bench
from infertui.tui.results.columns import COLUMNS
from infertui.tui.results.filter_bar import FilterBar
from infertui.tui.results.result_table import MOST_MARKED, ResultTable
from infertui.tui.settings.stored import Settings, Shown
from infertui.tui.widgets.pane import Heading, Pane
from infertui.tui.widgets.rowlist import RowList

if TYPE_CHECKING:
    from infertui.tui.frame.context import AppContext

# Figures of which less is better, and texts, begin with the least; the others with the most.
_ASCENDING_FIRST = frozenset({
    "name", "state", "model", "engine", "mode", "form", "quantization", "dtype", "device", "ttft", "ttft_p99", "tpot",
    "itl", "itl_p99", "latency", "vram", "power", "temperature", "joules_per_token",
})  # fmt: skip

ACTIONS = (
    Action("results.open", "enter", "Details", "everything about the run"),
    Action("results.filter", "slash", "Filter", "show only what matches: llama  batch_size>=4  ttft<50ms"),
    Action("results.sort", "s", "Sort", "sort by the next column"),
    Action("results.reverse", "S", "Reverse", "sort the other way round"),
    Action("results.compare", "c", "Compare", "the marked runs side by side, or this one with the baseline"),
    Action("results.baseline", "b", "Baseline", "compare all runs with this one, or with none"),
    Action("results.curve", "v", "Curve", "tok/s and memory over the number that varies in the marked runs, or in all"),
    Action("results.capacities", "K", "Capacities", "what searches for a capacity found here", footer=False),
    Action("results.run-again", "R", "Run again", "queue the marked runs, or this one, once more", writes=True),
    Action("results.bench", "B", "Bench", "measure the marked configurations in turn, several rounds", writes=True),
    Action("results.tune", "t", "Tune", "keep its config loaded, and turn its knobs", writes=True, footer=False),
    Action("results.load", "L", "Load", "load the run's config into the Config pane"),
    Action("results.delete", "D", "Delete", "delete the marked runs, or this one (asks)", writes=True),
    Action("results.columns", "C", "Columns", "choose the columns and their order", footer=False),
    Action("results.newest", "n", "Newest", "go to the run that ended last", footer=False),
    Action("results.hide-failed", "H", "Hide failed", "hide failed runs, or show them", footer=False),
    Action("results.mark-all", "a", "All/none", "mark all that match, or none", footer=False),
    Action("results.copy", "y", "Copy", "copy the row, or the marked ones, tab-separated", footer=False),
    Action("results.copy-command", "Y", "Copy command", "copy the command line that repeats the run", footer=False),
    Action("results.copy-as", "M", "Copy as", "copy as TOML, Markdown, command line or ids", footer=False),
    Action("results.folder", "O", "Folder", "show and copy the path of the run's folder", footer=False),
)  # fmt: skip


class ResultsPane(Pane):
    """Takes the keys: filters, sorts and marks the table of results, and hands the rows meant to an act."""

    TITLE = "Results"
    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]

    class Looked(Message):
        """The cursor came to another run, or others are marked: `runs` are the marked ones, else that one."""

        def __init__(self, runs: tuple[str, ...]) -> None:
            super().__init__()
            self.runs = runs

    def __init__(self, app_context: "AppContext", *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(app_context, id=id)
        self._looked: tuple[str, ...] = ()
        self._filter = FilterBar()
        self._hide_failed = False
        self._applied = app_context.settings
        self._ready = False
        self._version = -1
        self._heading = Heading(self)
        self._table = ResultTable(app_context, self._query())
        self._selection = self._table.selection

    def compose(self) -> ComposeResult:
        """The filter's line when it is typed, the rows and the baseline."""
        yield self._filter
        yield self._table

    def on_mount(self) -> None:
        """Ask for what there is."""
        self._ready = True
        self._table.lay_out()
        self.show(ALL_TOPICS)

    def on_resize(self, _event: Resize) -> None:
        """Other columns may fit."""
        self.call_after_refresh(self._table.lay_out)

    def focus_inside(self) -> None:
        """The list has the keys."""
        self._table.list.focus()

    def show(self, touched: AbstractSet[Topic]) -> None:
        """Ask again when results changed, or when there is somebody to ask at last."""
        if not self._ready:
            return
        self._take_settings()
        version = self.app_context.client_state.results_version
        if version != self._version:
            self._version = version
            self._table.pages.outdated()
            self._selection.baseline_due = bool(self.app_context.settings.baseline)
        if touched & {"results", "runner"}:
            self._table.failed = ""
        self._table.ask()

    # What is asked for.

    def _query(self) -> ResultQuery:
        settings = self.app_context.settings
        words = [self._filter.words] if self._filter.words else []
        if self._hide_failed:
            words.append("!state=failed")
        return ResultQuery(
            str(self.app_context.out), filter=" ".join(words), sort=settings.sort, descending=settings.descending
        )

    def _take_settings(self) -> None:
        """The settings may have been changed elsewhere."""
        settings, before = self.app_context.settings, self._applied
        if settings is before:
            return
        self._applied = settings
        baseline = self._selection.baseline
        if settings.baseline != before.baseline and (baseline is None or baseline.id != settings.baseline):
            self._selection.compare_with(None, due=bool(settings.baseline))
        if self._table.change(self._query()):
            self._table.ask()
        self._table.lay_out()

    def _change(self, settings: Settings) -> None:
        self.app_context.change_settings(settings)
        self._take_settings()

    # What the parts tell.

    def on_result_table_drawn(self, event: ResultTable.Drawn) -> None:
        """The frame's title, and whoever follows the cursor."""
        event.stop()
        self._say()
        runs = tuple(row.id for row in self._targets)
        if runs != self._looked:
            self._looked = runs
            self.post_message(self.Looked(runs))

    def _say(self) -> None:
        words = [f"/ {self._filter.words}"] if self._filter.words else []
        words += ["failed hidden"] if self._hide_failed else []
        self._heading.say("  ".join(_title_words(self._table, words, self.app_context.settings)))

    def on_result_table_header_clicked(self, event: ResultTable.HeaderClicked) -> None:
        """Sort by it; another time the other way round."""
        event.stop()
        self._sort_by(event.column)

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Enter or a double click."""
        event.stop()
        self.action_open()

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        """What is typed acts at once."""
        event.stop()
        if self._table.change(self._query()):
            self._table.failed = ""
            self._table.ask()
        self._say()

    def on_filter_bar_closed(self, event: FilterBar.Closed) -> None:
        """The keys are the list's again."""
        event.stop()
        self._table.list.focus()

    # Keys: what is shown.

    def action_filter(self) -> None:
        """Type a filter; what is typed acts at once."""
        self._filter.open()

    def reason(self, action: Action) -> str:
        """By what is marked, or under the cursor."""
        keys, there = self.app_context.settings.keys, self._table.current is not None
        drawn = len(self._selection.marked) if len(self._selection.marked) > 1 else self._table.pages.matching
        return acts.reason(action.name, keys, there=there, compared=len(self._compared), drawn=drawn)

    def step_back(self) -> bool:
        """Without the marks, then without the filter."""
        if self._selection.marked:
            self._table.unmark()
            return True
        if self._filter.words:
            self._filter.use("")
            return True
        return False

    def action_sort(self) -> None:
        """By the next column of those in view."""
        if keys := self._table.shown_columns:
            now = self.app_context.settings.sort
            self._sort_by(keys[(keys.index(now) + 1) % len(keys)] if now in keys else keys[0])

    def action_reverse(self) -> None:
        """The other way round."""
        self._change(replace(self.app_context.settings, descending=not self.app_context.settings.descending))

    def _sort_by(self, key: Column) -> None:
        settings = self.app_context.settings
        if key == settings.sort:
            self.action_reverse()
        else:
            self._change(replace(settings, sort=key, descending=key not in _ASCENDING_FIRST))

    def action_hide_failed(self) -> None:
        """Hide failed runs, or show them."""
        self._hide_failed = not self._hide_failed
        self._table.hint = f", {self.key('results.hide-failed', 'H')} shows failed runs" if self._hide_failed else ""
        self._table.change(self._query())
        self._table.ask()
        self._say()

    def action_newest(self) -> None:
        """To the run that ended last, in whatever order they stand."""
        acts.newest(self.app_context, self._table.go_to)

    def action_columns(self) -> None:
        """Choose the columns."""
        from infertui.tui.results.columns_dialog import ColumnsScreen

        def take(chosen: tuple[Shown, ...] | None) -> None:
            if chosen:
                self._change(replace(self.app_context.settings, columns=chosen))

        self.app.push_screen(ColumnsScreen(self.app_context.settings.columns), take)

    def action_mark_all(self) -> None:
        """Mark all that match; where some are marked, none."""
        matching = self._table.pages.matching
        if self._selection.marked:
            self._table.unmark()
        elif matching > MOST_MARKED:
            self.app_context.say(f"{matching:,} runs are too many to mark: filter first.", "warning")
        elif matching:
            self.app_context.intend(lambda control: self._table.mark_all(control, self._query()))

    # Keys: acts on runs.

    @property
    def marked_runs(self) -> tuple[str, ...]:
        """Ids of the marked ones."""
        return tuple(self._selection.marked)

    @property
    def _targets(self) -> list[ResultRow]:
        return self._selection.targets(self._table.current)

    @property
    def _compared(self) -> list[ResultRow]:
        return self._selection.compared(self._table.current)

    def action_open(self) -> None:
        """Details of the run under the cursor."""
        if row := self._table.current:
            self.app_context.show_details(row.id)

    def action_baseline(self) -> None:
        """Compare with the run under the cursor; once more: with none."""
        row = self._table.current
        if row is None:
            return
        if row.id == self.app_context.settings.baseline:
            self._compare_with(None)
        elif row.throughput is None:
            self.app_context.say("That run measured no throughput: there is nothing to compare with.", "warning")
        else:
            self._compare_with(row)

    def _compare_with(self, row: ResultRow | None) -> None:
        self._selection.compare_with(row)
        self._change(replace(self.app_context.settings, baseline=row.id if row else ""))

    def action_compare(self) -> None:
        """Side by side."""
        acts.compare(self.app, self.app_context, self._compared)

    def action_curve(self) -> None:
        """A curve over what varies in the marked runs, or in all that match."""
        acts.curve(self.app, self.app_context, self._query(), self._table.pages.matching, list(self._selection.marked))

    def action_capacities(self) -> None:
        """What searches in this folder found."""
        choose_search(self.app, self.app_context)

    def action_bench(self) -> None:
        """Measure the marked configurations in turn."""
        ask_for_bench(self.app, self.app_context, self._compared, str(self.app_context.out))

    def action_copy(self) -> None:
        """Rows for a spreadsheet; several with a header."""
        acts.copy_rows(self.app_context, self._targets, self._selection.baseline, self._table.pages.varied)

    def action_copy_command(self) -> None:
        """What repeats the runs from a shell."""
        acts.copy_commands(self.app_context, self._targets)

    def action_copy_as(self) -> None:
        """In a form that is asked for."""
        if self._targets:
            acts.copy_as(self.app, self.app_context, self._targets, self._table.pages.varied)

    def row_values(self) -> Mapping[str, str]:
        """Of the run under the cursor."""
        if (row := self._table.current) is None:
            return {}
        folder = self.app_context.out / row.id
        out = str(self.app_context.out)
        return {
            "id": row.id, "folder": str(folder), "run_toml": str(folder / "run.toml"), "model": row.model, "out": out
        }  # fmt: skip

    def action_folder(self) -> None:
        """Where the run's files are."""
        if row := self._table.current:
            path = str(self.app_context.out / row.id)
            self.app_context.copy(path, f"the folder {path}")

    def action_delete(self) -> None:
        """Delete, after asking."""
        acts.delete(self.app_context, self._targets, marked=bool(self._selection.marked), gone=self._gone)

    def _gone(self, runs: list[str]) -> None:
        self._table.unmark()
        if self.app_context.settings.baseline in runs:
            self._compare_with(None)

    def action_run_again(self) -> None:
        """Queue once more."""
        acts.run_again(self.app_context, self._targets, self._table.unmark)

    def action_tune(self) -> None:
        """A tuning session from its config, or the one under way."""
        if row := self._table.current:
            acts.tune_again(self.app, self.app_context, row)

    def action_load(self) -> None:
        """Into the Config pane."""
        if row := self._table.current:
            acts.load(self.app_context, row)


def _title_words(table: ResultTable, filters: list[str], settings: Settings) -> list[str]:
    """How many there are, how they are filtered and sorted, and what is wrong with some."""
    words, pages, marked = [], table.pages, len(table.selection.marked)
    if pages.answered:
        everything = pages.matching == pages.total
        words.append(f"{pages.total:,}" if everything else f"{pages.matching:,} of {pages.total:,}")
    words += filters
    if marked:
        words.append(f"{marked:,} marked")
    if pages.matching and settings.sort not in table.shown_columns:
        words.append(f"by {COLUMNS[settings.sort].label}" + ("" if settings.descending else ", least first"))
    if pages.skipped > pages.newer:
        words.append(f"{pages.skipped - pages.newer:,} unreadable")
    if pages.newer:
        words.append(f"{pages.newer:,} of a newer infertui")
    return [*words, table.failed] if table.failed else words
