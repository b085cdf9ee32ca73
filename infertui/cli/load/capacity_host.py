"""Hosts the runner for searches in the foreground: signals, what is shown, the exit code."""

import asyncio
import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from infertui.cli.flags import Ui
from infertui.cli.load.capacity_output import CapacityForm
from infertui.cli.load.capacity_text import progress_text, stay_line
from infertui.cli.output import progress, say
from infertui.cli.running.foreground import FAILED, INTERRUPTED, INVALID, OK, USAGE
from infertui.cli.running.plain import refusal
from infertui.config.sweep import Variant
from infertui.endings import Asked
from infertui.runner.capacity.state import CapacityView
from infertui.runner.control import AnyEvent, CapacityChanged, CapacityMeasured, EventEnvelope
from infertui.runner.events import AnyRunEvent, Noted, RunRefused
from infertui.runner.runner import Runner
from infertui.text import clean


def search_in_foreground(variants: Sequence[Variant], out: Path, ui: Ui, form: CapacityForm) -> int:
    """One search after the other, and the exit code: the worst of theirs. Interrupted, it keeps what was measured."""
    shown = _Shown(ui, form)
    with Asked() as asked:
        try:
            asyncio.run(_run(variants, out.absolute(), shown, asked))
        except (KeyboardInterrupt, asyncio.CancelledError):
            shown.codes.append(INTERRUPTED)
        finally:
            shown.end()
    if INTERRUPTED in shown.codes and not shown.found:
        say("infertui: interrupted before anything was measured", err=True)
    return max(shown.codes, default=OK, key=(OK, INVALID, FAILED, USAGE, INTERRUPTED).index)


async def _run(variants: Sequence[Variant], out: Path, shown: "_Shown", asked: Asked) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def end() -> None:
        if task and not task.cancelling():  # repeated, signals change nothing
            loop.call_soon_threadsafe(task.cancel)  # from a signal's handler: this wakes the loop

    asked.then(end)
    watching: asyncio.Task[None] | None = None
    try:
        async with Runner(on_event=shown.take_run) as runner:
            watching = asyncio.create_task(_watch(runner, shown))
            try:
                await runner.run_all(variants, out)
            finally:
                if asked.first:
                    runner.ended_by = f"{asked.first.name} ended it"
    finally:
        if watching is not None:
            await watching  # it ends with what the runner told last
        asked.then(lambda: None)


async def _watch(runner: Runner, shown: "_Shown") -> None:
    async for told in runner.events(0):
        if isinstance(told, EventEnvelope):
            shown.take(told.event)
        else:
            for view in told.capacities:
                shown.take(CapacityChanged(view))


class _Shown:
    """A line for each stay, and in a terminal one for the present one, which is overwritten; what was found."""

    def __init__(self, ui: Ui, form: CapacityForm) -> None:
        self.codes: list[int] = []
        self.found = 0
        self._form = form
        self._stream = sys.stderr if form.quiet else sys.stdout
        self._quiet = ui == "none"
        self._live = ui == "live" or (ui == "auto" and sys.stderr.isatty())
        self._views: dict[str, CapacityView] = {}
        self._told: dict[str, int] = {}

    def take_run(self, event: AnyRunEvent) -> None:
        """What is worth a line besides."""
        if isinstance(event, Noted):
            self._say(f"note: {clean(event.text)}")
        elif isinstance(event, RunRefused):
            self._say(f"infertui: {refusal(event)}")
            self.codes.append(USAGE)

    def take(self, event: AnyEvent) -> None:
        """Show it. Who reads it may have gone away: the search goes on."""
        with contextlib.suppress(OSError, UnicodeError):
            match event:
                case CapacityMeasured() if self._live and not self._quiet and event.capacity in self._views:
                    plan = self._views[event.capacity].record.plan
                    progress(progress_text(plan, event.live, event.boundary))
                case CapacityChanged(capacity=view):
                    self._changed(view)
                case _:
                    pass

    def _changed(self, view: CapacityView) -> None:
        before = self._views.get(view.id)
        self._views[view.id] = view
        if before is None or before.status == "probing":  # those of before it was continued are no news
            self._told[view.id] = len(view.stays)
        for stay in view.stays[self._told[view.id] :]:
            if not self._quiet:
                self.end()
                say(stay_line(view.record.plan, stay), stream=self._stream)
        self._told[view.id] = len(view.stays)
        if view.status == "ended":
            self._ended(view)

    def _ended(self, view: CapacityView) -> None:
        self.end()
        outcome = view.outcome
        if view.error and (outcome is None or outcome.ending != "interrupted" or not view.stays):
            self.codes.append(FAILED)
            return
        if outcome is None:
            self.codes.append(INTERRUPTED)
            return
        self.found += 1
        if not self._form.quiet:
            say("")
        self._form.say(view.record, outcome)
        say(f"kept in {clean(view.folder)}", stream=self._stream)
        if outcome.ending == "interrupted":
            command = ["infertui", "capacity", "--continue", view.folder]
            say(f"infertui: it goes on with: {clean(shlex.join(command))}", err=True)
            self.codes.append(INTERRUPTED)
        elif outcome.capacity is None:
            self.codes.append(FAILED)
        else:
            self.codes.append(INVALID if outcome.notes else OK)

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError, UnicodeError):
            self.end()
            say(text, err=True)

    def end(self) -> None:
        """The line that is overwritten is no more."""
        if self._live:
            with contextlib.suppress(OSError, UnicodeError):
                progress("")
