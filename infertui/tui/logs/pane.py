"""The Logs pane: what the worker of a run writes, and what the runner has to say."""

from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from infertui.errors import InfertuiError
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.context import AppContext
from infertui.tui.logs.view import Journal, LogItem, LogRow, find, rows_of
from infertui.tui.state import ALL_TOPICS, Topic
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext, beside, fit
from infertui.tui.widgets.pane import Heading, Pane
from infertui.tui.widgets.prompt import LineInput
from infertui.tui.widgets.rowlist import RowList

_POLL_S = 1.0
_NO_RUN = "Nothing has run yet: there is no log."
_UNREAD = "Reading the log."
_NO_LOG = "This run wrote no log."
_TIME_WIDTH = 9
_TIMED_FROM = 56
"""Narrower panes leave the times out."""
_SLOW_POLLS = 5
"""On a slow link every n-th look counts."""

ACTIONS = (
    Action("logs.follow", "f", "Follow", "stay at the end as the log grows, or stop that"),
    Action("logs.wrap", "w", "Wrap", "wrap long lines, or cut them"),
    Action("logs.find", "slash", "Find", "find text in the log"),
    Action("logs.next", "n", "Next", "next line with the text"),
    Action("logs.previous", "N", "Previous", "the line with the text before this one", footer=False),
    Action("logs.next-run", "]", "Next run", "the log of the next run under way", footer=False),
    Action("logs.previous-run", "[", "Previous run", "the log of the run before it", footer=False),
)


class LogsPane(Pane):
    """The journal of one run: the one under way, else the last one. It is its list's source of rows itself."""

    TITLE = "Logs"
    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    DEFAULT_CSS = "LogsPane > LineInput { display: none; width: 1fr; }"

    def __init__(self, app_context: AppContext, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(app_context, id=id)
        self.follow = True
        self.wrap = False
        self._needle = ""
        self._wanted = ""
        """Run that someone stepped to; empty: the first under way."""
        self._run = ""
        self._journal = Journal()
        self._unread = True
        """The log of this run was not read since it last ran."""
        self._problem = ""
        self._polls = 0
        self._rows: list[LogRow] = []
        self._made: tuple[object, ...] = ()
        self._heading = Heading(self)
        self._list = RowList(self, empty=_NO_RUN)
        self._input = LineInput(placeholder="find")

    def compose(self) -> ComposeResult:
        """The lines, and where to type what is looked for."""
        yield self._list
        yield self._input

    def on_mount(self) -> None:
        """The log is asked for while it can be seen; notes are taken down with their time in any case."""
        self.set_interval(_POLL_S, self.poll)
        self.show(ALL_TOPICS)

    def on_resize(self) -> None:
        """Wrap anew."""
        self._draw()

    def show(self, touched: AbstractSet[Topic]) -> None:
        """Draw what changed of the run's notes; the log comes with the next look."""
        if not self.is_attached or not touched & {"live", "queue", "runner"}:
            return
        self._take_notes()
        self._draw()

    def _entry(self) -> Entry | None:
        """The entry whose log is shown."""
        client_state = self.app_context.client_state
        running = [entry for entry in client_state.running if entry.run]
        if running:
            return next((entry for entry in running if entry.run == self._wanted), running[0])
        ended = [entry for entry in client_state.entries.values() if entry.run]
        return max(ended, key=lambda entry: entry.ended, default=None)

    def _take_notes(self) -> bool:
        client_state = self.app_context.client_state
        entry = self._entry()
        run = entry.run if entry else ""
        first = run != self._run
        if first:
            self._run, self._journal, self._unread, self._problem = run, Journal(), True, ""
        now = "" if first else _time()
        news = self._journal.add_notes("fault", client_state.faults, now)
        if progress := client_state.progress.get(run):
            news |= self._journal.add_notes("note", progress.notes, now)
        return news or first

    # The log.

    def poll(self) -> None:
        """Take down new notes, and ask for the log if it can be seen; called once a second."""
        news = self._take_notes()
        entry = self._entry()
        running = entry is not None and entry.state == "running"
        self._polls += 1
        seen = self.is_on_screen and self.size.height > 0
        due = not self.app_context.settings.slow_link or self._polls % _SLOW_POLLS == 0
        if entry and seen and due and (running or self._unread):
            self.run_worker(self._read(entry), exclusive=True, group="log")
        if news and seen:
            self._draw()

    async def _read(self, entry: Entry) -> None:
        try:
            details = await self.app_context.control.details(entry.out, entry.run)
        except InfertuiError as error:
            self._problem = error.message
        else:
            if entry.run != self._run:
                return
            self._problem = ""
            # What was read of a run that had ended is all there is.
            self._unread = entry.state == "running"
            self._journal.add_log(details.log, _time())
        self._draw()

    # Rows.

    def _draw(self) -> None:
        if not self.is_attached:
            return
        width = self._list.row_width
        items = self._journal.items
        made = (self._run, width, self.wrap, items[-1].number if items else 0, self._journal.partial)
        if made != self._made:
            self._made = made
            partial = LogItem((items[-1].number if items else 0) + 1, "log", "", self._journal.partial)
            shown = [*items, partial] if self._journal.partial else items
            self._rows = rows_of(shown, width - _time_width(width), wrap=self.wrap)
            self._list.redraw()
            if self.follow:
                self._list.cursor = len(self._rows) - 1
        self._list.say_empty(_NO_RUN if not self._run else _UNREAD if self._unread else _NO_LOG)
        self._heading.say(self._words())

    def _words(self) -> str:
        words = [self._run]
        if self._needle:
            words.append(f"find: {self._needle}")
        if not self.follow:
            words.append("not following")
        if self._problem:
            words.append(self._problem)
        return "  ".join(word for word in words if word)

    def row_count(self) -> int:
        return len(self._rows)

    def row_key(self, index: int) -> Hashable:
        row = self._rows[index]
        return row.item.number, row.at

    def row_index(self, key: Hashable) -> int | None:
        """See `RowSource`: by bisection, since lines only come at the end and go at the start."""
        if not isinstance(key, tuple):
            return None
        low, high = 0, len(self._rows)
        while low < high:
            middle = (low + high) // 2
            if self._key(middle) < key:
                low = middle + 1
            else:
                high = middle
        return low if self._rows else None

    def _key(self, index: int) -> tuple[int, int]:
        return self._rows[index].item.number, self._rows[index].at

    def row_text(self, index: int, width: int) -> Text:
        row = self._rows[index]
        look = RenderContext(palette(self.app), self.app_context.ascii_only, self.app_context.settings)
        styles = {"note": look.palette.accent, "fault": look.palette.warning, "gap": look.palette.muted}
        prefix = {"note": "note: ", "fault": "runner: "}.get(row.item.kind, "") if not row.at else ""
        stamp = fit(row.item.time if not row.at else "", _time_width(width), look, style=look.palette.muted)
        room = max(0, width - stamp.cell_len)
        return beside(stamp, fit(prefix + row.piece, room, look, style=styles.get(row.item.kind, "")))

    def reason(self, action: Action) -> str:
        """By what is looked for, and what runs."""
        match action.name:
            case "next" | "previous" if not self._needle:
                return f"nothing is looked for: {self.key('logs.find', '/')} asks for a text"
            case "next_run" | "previous_run" if len(self.app_context.client_state.running) < 2:
                return "no two runs are under way"
        return ""

    def step_back(self) -> bool:
        """Look for nothing."""
        some, self._needle = bool(self._needle), ""
        self._heading.say(self._words())
        return some

    # Keys.

    def action_follow(self) -> None:
        """Follow the end, or stop that."""
        self.follow = not self.follow
        if self.follow:
            self._list.cursor = len(self._rows) - 1
        self._heading.say(self._words())

    def action_wrap(self) -> None:
        """Wrap, or cut."""
        self.wrap = not self.wrap
        self._draw()

    @on(RowList.Moved)
    def _stop_following(self, event: RowList.Moved) -> None:
        """Going up ends following; coming back to the end begins it again."""
        event.stop()
        at_end = self._list.cursor >= len(self._rows) - 1
        if at_end != self.follow and self._list.has_focus:
            self.follow = at_end
            self._heading.say(self._words())

    def action_find(self) -> None:
        """Type what to look for."""
        self._input.display = True
        self._input.value = self._needle
        self._input.focus()

    @on(Input.Submitted)
    def _found(self, event: Input.Submitted) -> None:
        event.stop()
        self._needle = event.value
        self._end_input()
        if self._needle:
            self._seek(self._list.cursor + 1, -1)

    @on(LineInput.Cancelled)
    def _cancelled(self, event: LineInput.Cancelled) -> None:
        event.stop()
        self._needle = ""
        self._end_input()

    def _end_input(self) -> None:
        self._input.display = False
        self._list.focus()
        self._heading.say(self._words())

    def action_next(self) -> None:
        """The next match."""
        self._seek(self._list.cursor, 1)

    def action_previous(self) -> None:
        """The match before."""
        self._seek(self._list.cursor, -1)

    def _seek(self, start: int, by: int) -> None:
        if not self._needle:
            self.app_context.say(f"Nothing is looked for: {self.key('logs.find', '/')} asks for a text.")
            return
        index = find(self._rows, self._needle, start, by)
        if index is None:
            self.app_context.say(f"Not found: {self._needle}", "warning")
            return
        self.follow = False
        self._list.cursor = index
        self._heading.say(self._words())

    def action_next_run(self) -> None:
        """The next run under way."""
        self._step(1)

    def action_previous_run(self) -> None:
        """The run before."""
        self._step(-1)

    def _step(self, by: int) -> None:
        runs: Sequence[str] = [entry.run for entry in self.app_context.client_state.running if entry.run]
        if len(runs) > 1:
            at = runs.index(self._run) if self._run in runs else 0
            self._wanted = runs[(at + by) % len(runs)]
            self.poll()


def _time_width(width: int) -> int:
    return _TIME_WIDTH if width >= _TIMED_FROM else 0


def _time() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
