"""The Queue pane: what runs, what waits, what became of the rest; sweeps fold."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from infertui.analysis.capacity.plan import is_search
from infertui.runner.scheduling.queue_store import ENDED, Entry
from infertui.tui.capacity.begin import show_search
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.context import AppContext
from infertui.tui.queue.acts import QueueActs
from infertui.tui.queue.reasons import reason
from infertui.tui.queue.view import Line, QueueContext, entries_of, heading, line_text, lines_of, neighbours
from infertui.tui.state import ALL_TOPICS, Topic
from infertui.tui.themes import DEFAULT_PALETTE, palette
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.pane import Heading, Pane
from infertui.tui.widgets.rowlist import RowList

ACTIONS = (
    Action("queue.open", "enter", "Open", "details of a run or a search that has begun; on a group: fold or unfold it"),
    Action("queue.cancel", "x", "Cancel", "cancel what runs (asks), take out what waits or has ended", writes=True),
    Action("queue.move-down", "J", "Later", "move waiting runs one place down", writes=True),
    Action("queue.move-up", "K", "Sooner", "move waiting runs one place up", writes=True),
    Action("queue.pause", "P", "Pause", "start no further runs, or go on", writes=True),
    Action("queue.retry", "R", "Retry", "queue ended runs once more", writes=True),
    Action("queue.edit", "e", "Edit", "change a waiting run in the Config pane", writes=True),
    Action("queue.duplicate", "d", "Duplicate", "queue copies right behind", footer=False, writes=True),
    Action("queue.skip", "s", "Skip", "pass over waiting runs, or the one that runs (asks)", footer=False, writes=True),
    Action("queue.undo", "u", "Undo", "undo the last change of the queue", footer=False, writes=True),
    Action("queue.history", "U", "Changes", "what was done to the queue, to undo it up to there", footer=False),
    Action("queue.clear", "X", "Clear", "take all ended runs out of the list; results stay", footer=False, writes=True),
    Action("queue.curve", "v", "Curve", "what the group came to, in a curve that grows with each run that ends"),
    Action("queue.copy", "y", "Copy", "copy the command line that repeats the run", footer=False),
    Action("queue.copy-toml", "Y", "Copy TOML", "copy the config of the run as TOML", footer=False),
    Action("queue.fold", "left,h", "Fold", "fold the group", footer=False),
    Action("queue.unfold", "right,l", "Unfold", "unfold the group", footer=False),
)


class QueuePane(Pane):
    """The queue as a list. It is the list's source of rows itself."""

    TITLE = "Queue"
    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]

    def __init__(self, app_context: AppContext, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(app_context, id=id)
        self._folded: set[Hashable] = set()
        self._lines: list[Line] = []
        self._places: dict[Hashable, int] = {}
        self._shown = QueueContext({}, datetime.now(UTC), RenderContext(DEFAULT_PALETTE))
        self._acts = QueueActs(app_context)
        self._followed: Hashable = None
        """The line that the cursor was brought to, as what it stands for ran."""
        self._held = False
        """Whether it was said that a tuning session keeps what waits from running."""
        self._heading = Heading(self)
        self._list = RowList(self, markable=True)

    def compose(self) -> ComposeResult:
        """The list."""
        yield self._list

    def on_mount(self) -> None:
        """Draw what is known already."""
        self.show(ALL_TOPICS)

    def show(self, touched: AbstractSet[Topic]) -> None:
        """Draw what changed of the queue or of what runs."""
        if not self.is_attached:
            return
        if not touched & {"queue", "live", "runner"}:
            if (self.app_context.client_state.tuning is None) == self._held:
                self._say_heading()
            return
        client_state = self.app_context.client_state
        entries = tuple(client_state.entries.values())
        moment = self.app_context.client_state.moment_s
        now = datetime.now(UTC) if moment is None else datetime.fromtimestamp(moment, UTC)
        look = RenderContext(palette(self.app), self.app_context.ascii_only, self.app_context.settings)
        self._shown = QueueContext(client_state.progress, now, look)
        self._lines = lines_of(entries, self._folded)
        self._places = {line.key: index for index, line in enumerate(self._lines)}
        self._list.marked &= self._places.keys()
        self._list.say_empty(f"Empty: {look.key('config.run', 'r')} in Config adds a run.")
        self._list.redraw()
        self._follow()
        self._say_heading()

    def _say_heading(self) -> None:
        client_state = self.app_context.client_state
        entries = tuple(client_state.entries.values())
        self._held = client_state.tuning is not None
        words = heading(entries, client_state.progress, self._shown.now, paused=client_state.paused, tuning=self._held)
        self._heading.say(words)

    def _follow(self) -> None:
        """The cursor goes on with what runs, unless somebody took it elsewhere; back at what runs it follows again."""
        running = [line.key for line in self._lines if line.entry is not None and line.entry.state == "running"]
        at = self._list.current_key
        if at in running:
            self._followed = at
        elif running and (self._followed is None or at == self._followed):
            self._followed = running[0]
            self._list.cursor = self._places[running[0]]

    # Rows.

    def row_count(self) -> int:
        return len(self._lines)

    def row_key(self, index: int) -> Hashable:
        return self._lines[index].key

    def row_index(self, key: Hashable) -> int | None:
        return self._places.get(key)

    def row_text(self, index: int, width: int) -> Text:
        return line_text(self._lines[index], width, self._shown)

    @property
    def _line(self) -> Line | None:
        index = self._places.get(self._list.current_key)
        return None if index is None else self._lines[index]

    def _targets(self) -> list[Entry]:
        """What an act is on: the marked lines, or the one with the cursor."""
        keys = self._list.marked or {self._list.current_key}
        return entries_of(keys, self._lines)

    def reason(self, action: Action) -> str:
        """By what is marked, or under the cursor."""
        entries = self.app_context.client_state.entries.values()
        return reason(action.name, self._targets(), self._line, entries, undoable=bool(self._acts.history.undoable()))

    def step_back(self) -> bool:
        """Without the marks."""
        some = bool(self._list.marked)
        self._list.marked.clear()
        self._list.compose_lines()
        return some

    def on_row_list_positioned(self, event: RowList.Positioned) -> None:
        """The position stands in the frame: it says that there are more lines than are in view."""
        event.stop()
        self.say_position(event.position)

    # Acts.

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Enter or a double click."""
        event.stop()
        self.action_open()

    def action_open(self) -> None:
        """Fold or unfold a group; the details of a run."""
        line = self._line
        if line is None:
            return
        if line.entry is None:
            self._fold(line.key, fold=not line.group.folded)
        elif line.entry.run and is_search(line.entry.config):
            show_search(self.app, self.app_context, line.entry.run, line.entry.out)
        elif line.entry.run:
            self.app_context.show_details(line.entry.run, out=line.entry.out)
        else:
            self.app_context.say(f"{line.entry.label} has not begun yet: there are no details of it.")

    def action_fold(self) -> None:
        """Fold the group that the cursor is in."""
        if (line := self._line) and len(line.group.entries) > 1:
            self._fold(line.group.key, fold=True)

    def action_unfold(self) -> None:
        """Unfold the group under the cursor."""
        if (line := self._line) and line.entry is None:
            self._fold(line.key, fold=False)

    def _fold(self, key: Hashable, *, fold: bool) -> None:
        self._folded = self._folded | {key} if fold else self._folded - {key}
        self.show(ALL_TOPICS)
        if key in self._places:
            self._list.cursor = self._places[key]

    def action_cancel(self) -> None:
        """Cancel what runs, take out the rest."""
        entries = self._targets()
        running = [entry for entry in entries if entry.state == "running"]
        others = [entry for entry in entries if entry.state != "running"]

        def go() -> None:
            if running:
                self._acts.cancel(running)
            self._acts.remove(others)
            self._list.marked.clear()

        self._ask_about(running, "Cancel", go)

    def action_skip(self) -> None:
        """Pass over waiting and running entries."""
        entries = [entry for entry in self._targets() if entry.state in ("queued", "running")]
        if not entries:
            self.app_context.say("Only what waits or runs can be skipped.")
            return
        running = [entry for entry in entries if entry.state == "running"]
        self._ask_about(running, "Skip", lambda: self._acts.skip(entries))

    def _ask_about(self, running: Sequence[Entry], verb: str, go: Callable[[], None]) -> None:
        """Ask when a run under way would end; else go ahead."""
        if not running:
            go()
            return
        what = running[0].label if len(running) == 1 else f"{len(running)} runs"
        question = f"{verb} {what}? It is being measured; what it has so far is kept, marked as interrupted."
        self.app_context.confirm(question, yes=f"{verb} the run" + "s" * (len(running) > 1), then=go)

    def action_undo(self) -> None:
        """Undo the last change."""
        self._acts.undo()

    def action_history(self) -> None:
        """What was done, to undo more of it."""
        self._acts.show_history(self.app)

    def action_clear(self) -> None:
        """Forget what has ended."""
        self._acts.clear()

    def action_move_down(self) -> None:
        """Later."""
        self._move(1)

    def action_move_up(self) -> None:
        """Sooner."""
        self._move(-1)

    def _move(self, by: int) -> None:
        entries = [entry for entry in self._targets() if entry.state == "queued"]
        if not entries:
            self.app_context.say("Only what waits can be moved.")
            return
        line = self._line
        if line and line.entry is None and not self._list.marked:
            by *= neighbours(self._lines, line, by)
        self._acts.move(entries, by)

    def action_duplicate(self) -> None:
        """Copies right behind."""
        self._acts.duplicate(self._targets())

    def action_retry(self) -> None:
        """Once more."""
        entries = [entry for entry in self._targets() if entry.state in ENDED]
        if not entries:
            copy = self.key("queue.duplicate", "d")
            self.app_context.say(f"Only what has ended can be retried; {copy} duplicates what waits or runs.")
            return
        self._acts.retry(entries)
        self._list.marked.clear()

    def action_edit(self) -> None:
        """Change a waiting entry."""
        line = self._line
        if line and line.entry and line.entry.state == "queued":
            self.app_context.edit_entry(line.entry)
        else:
            copy = self.key("queue.duplicate", "d")
            self.app_context.say(f"Only a single run that waits can be edited; {copy} makes a copy of any.")

    def action_pause(self) -> None:
        """Pause or go on."""
        self._acts.pause()

    def action_curve(self) -> None:
        """The curve of the group that the cursor is in."""
        if (line := self._line) is None:
            return
        from infertui.tui.results.curve.dialog import CurveScreen

        group, out = line.group.entries[0].group, line.group.entries[0].out
        seen: dict[str, None] = {}

        def entries() -> list[Entry]:
            return [one for one in self.app_context.client_state.entries.values() if one.group == group]

        def runs() -> tuple[str, ...]:
            # Of entries that are taken out of the list meanwhile, the runs stay.
            seen.update({one.run: None for one in entries() if one.run and one.state in ENDED})
            return tuple(seen)

        def whole() -> bool:
            return all(one.state in ENDED for one in entries())

        self.app.push_screen(CurveScreen(self.app_context, runs, out=out, whole=whole))

    def row_values(self) -> Mapping[str, str]:
        """Of the entry under the cursor; a folder once it has begun."""
        if (line := self._line) is None or (entry := line.entry) is None:
            return {}
        values = {"id": str(entry.id), "model": entry.config.model.id, "out": entry.out}
        if entry.run:
            folder = Path(entry.out) / entry.run
            values |= {"folder": str(folder), "run_toml": str(folder / "run.toml")}
        return values

    def action_copy(self) -> None:
        """The command line of the run under the cursor."""
        if (line := self._line) and line.entries:
            self._acts.copy(line.entries)

    def action_copy_toml(self) -> None:
        """The config of the run under the cursor."""
        if (line := self._line) and line.entries:
            self._acts.copy_toml(line.entries)
