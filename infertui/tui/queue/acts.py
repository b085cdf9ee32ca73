"""What can be done to the queue. Each change is kept in a history, which can be undone step by step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from infertui.config.sweep import Variant
from infertui.errors import InfertuiError
from infertui.runner.control import RunnerApi, Submission
from infertui.runner.scheduling.queue_store import ENDED, Entry
from infertui.tui.config.command import config_command
from infertui.tui.frame.actions import sign
from infertui.tui.queue.history import History, QueueChange, Undo
from infertui.tui.terminal.sanitize import safe

if TYPE_CHECKING:
    from textual.app import App

    from infertui.tui.frame.context import AppContext

_SHOWN_STEPS = 12


class QueueActs:
    """Changes the queue for its pane. An act is kept once the runner has done it."""

    def __init__(self, app_context: "AppContext") -> None:
        self._context = app_context
        self._going: set[int] = set()
        """Entries that the runner was asked to take out, and that may still be in the list."""
        self.history = History()

    def remove(self, entries: Sequence[Entry]) -> None:
        """Take out what waits or has ended."""
        # A key may be pressed again before the answer to the first has come.
        self._going &= self._context.client_state.entries.keys()
        entries = [entry for entry in entries if entry.id not in self._going]
        if not entries:
            return
        ids = ids_of(entries)
        waiting = [entry for entry in entries if entry.state == "queued"]
        out = f"{len(waiting)} waiting {runs(len(waiting))} out"

        async def remove(control: RunnerApi) -> None:
            try:
                await control.remove(ids)
            except BaseException:
                self._going.difference_update(ids)
                raise
            if waiting:
                self.history.did(f"took {out}", _submitting(waiting))
            else:
                self.history.did(f"took {ended} out")

        ended = f"{len(entries)} ended {runs(len(entries))}"
        key = sign(self._context.settings.keys, "queue.undo", "u")
        self._going.update(ids)
        self._context.intend(
            remove,
            done=f"Took {out}; {key} puts back." if waiting else f"Took {ended} out; results stay.",
        )

    def cancel(self, entries: Sequence[Entry]) -> None:
        """End those under way."""
        ids = ids_of(entries)
        self._do(f"cancelled {named(entries)}", lambda control: control.cancel(ids))

    def skip(self, entries: Sequence[Entry]) -> None:
        """Pass over what waits or runs."""
        ids = ids_of(entries)
        waiting = [entry for entry in entries if entry.state == "queued"]
        undo = _submitting(waiting) if len(waiting) == len(entries) else None
        self._do(f"skipped {named(entries)}", lambda control: control.skip(ids), undo)

    def clear(self) -> None:
        """Forget what has ended."""
        count = sum(entry.state in ENDED for entry in self._context.client_state.entries.values())
        if count:
            self._do(f"took {count} ended {runs(count)} out", lambda control: control.clear())

    def move(self, entries: Sequence[Entry], by: int) -> None:
        """Later, or sooner where `by` is negative."""
        ids = ids_of(entries)
        if by:
            where = "later" if by > 0 else "sooner"
            self._do(
                f"moved {named(entries)} {where}",
                lambda control: control.move(ids, by),
                lambda control: control.move(ids, -by),
            )

    def duplicate(self, entries: Sequence[Entry]) -> None:
        """Copies right behind."""
        if ids := ids_of(entries):
            self._add(f"duplicated {named(entries)}", lambda control: control.duplicate(ids))

    def retry(self, entries: Sequence[Entry]) -> None:
        """Once more, at the end."""
        ids, count = ids_of(entries), len(entries)
        done = f"Queued {count} {runs(count)} once more, at the end."
        self._add(f"queued {named(entries)} once more", lambda control: control.retry(ids), done)

    def pause(self) -> None:
        """Pause or go on."""
        if self._context.client_state.paused:
            self._do("resumed", lambda control: control.resume(), lambda control: control.pause(), "The queue goes on.")
        else:
            said = "Paused: what runs goes on to its end."
            self._do("paused", lambda control: control.pause(), lambda control: control.resume(), said)

    def _do(self, text: str, work: Undo, undo: Undo | None = None, done: str = "") -> None:
        async def do(control: RunnerApi) -> None:
            await work(control)
            self.history.did(text, undo)

        self._context.intend(do, done=done)

    def _add(self, text: str, work: Undo, done: str = "") -> None:
        """What queues new entries: taking these out undoes it, as far as they still wait."""

        async def do(control: RunnerApi) -> None:
            new: Any = await work(control)

            async def undo(control: RunnerApi) -> None:
                entries = self._context.client_state.entries
                await control.remove([one for one in new if one in entries and entries[one].state == "queued"])

            self.history.did(text, undo)

        self._context.intend(do, done=done)

    # Back again.

    def undo(self, up_to: int = 0) -> None:
        """Undo the last change, or all up to that place in the history."""
        steps = self.history.undoable(up_to)
        if not steps:
            self._context.say("There is nothing to undo.")
            return

        async def undo(control: RunnerApi) -> None:
            for step in steps:
                if step.undo is not None:
                    await step.undo(control)
                    step.undone = True

        words = steps[0].text if len(steps) == 1 else f"{len(steps)} changes"
        self._context.intend(undo, done=f"Undone: {safe(words)}.")

    def show_history(self, app: "App[Any]") -> None:
        """What was done, to be undone up to the change that is chosen."""
        from infertui.tui.widgets.dialogs import Answer, ChoiceScreen

        steps = self.history.steps[:_SHOWN_STEPS]
        if not steps:
            self._context.say("Nothing was changed from this screen.")
            return

        def chosen(answer: str | None) -> None:
            if answer:
                self._undo_from(steps, int(answer))

        answers = [Answer("", "Leave it"), *(Answer(str(at), safe(step.line)) for at, step in enumerate(steps, 1))]
        question = "What was done to the queue, the last first. Enter undoes all down to there."
        app.push_screen(ChoiceScreen(question, answers, back="leave it"), chosen)

    def _undo_from(self, steps: Sequence[QueueChange], place: int) -> None:
        # More may have been done while the list was open.
        self.undo(self.history.steps.index(steps[place - 1]) + 1)

    # Copies.

    def copy(self, entries: Sequence[Entry]) -> None:
        """The command lines that repeat them."""
        try:
            text = "\n".join(config_command(entry.config) for entry in entries)
        except InfertuiError as error:
            self._context.say(str(error), "error")
            return
        self._context.copy(text, "the command line" if len(entries) == 1 else f"{len(entries)} command lines")

    def copy_toml(self, entries: Sequence[Entry]) -> None:
        """The configs, of several each with its place above."""
        from infertui.config.toml import write

        texts = [f"# {safe(f'#{entry.id} {entry.label}')}\n{write(entry.config)}" for entry in entries]
        self._context.copy("\n".join(texts), "the config" if len(entries) == 1 else f"{len(entries)} configs")


def ids_of(entries: Sequence[Entry]) -> tuple[int, ...]:
    """Their ids."""
    return tuple(entry.id for entry in entries)


def runs(count: int) -> str:
    """The word for so many."""
    return "run" if count == 1 else "runs"


def named(entries: Sequence[Entry]) -> str:
    """`demo bs=4`, or how many they are."""
    return entries[0].label if len(entries) == 1 else f"{len(entries)} runs"


def _submitting(entries: Sequence[Entry]) -> Undo:
    """Queues these entries again, at the end, group by group."""
    groups: dict[tuple[int, str, str], list[Variant]] = {}
    for entry in entries:
        groups.setdefault((entry.group, entry.title, entry.out), []).append(
            Variant(entry.name, entry.config, {}, entry.place)
        )
    found = tuple(Submission(title, tuple(variants), out) for (_, title, out), variants in groups.items())

    async def submit(control: RunnerApi) -> None:
        for submission in found:
            await control.submit(submission)

    return submit
