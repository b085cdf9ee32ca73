"""Hosts the Runner in the foreground: signals, what is shown, what is saved, the exit code.

`--save-json`: requests in the simple form of the field, six fields a line.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

from infertui.analysis.capacity.plan import is_search
from infertui.analysis.decision.curves import sweep_curves
from infertui.cli.flags import Ui
from infertui.cli.output import say, say_json
from infertui.cli.reading.lookup import opened
from infertui.cli.running.live import LiveView
from infertui.cli.running.plain import PlainView, refusal
from infertui.config.sweep import Variant
from infertui.endings import Asked
from infertui.errors import UsageError
from infertui.formats.six_field import line_of
from infertui.measure.records import RequestRecord
from infertui.models.hub.asking import telling
from infertui.regular_files import exists, is_file
from infertui.results.jsonl import read_lines, store_error
from infertui.results.result import Result
from infertui.runner.blocking import run_blocking
from infertui.runner.events import AnyRunEvent, RunFinished, RunRefused
from infertui.runner.runner import Runner
from infertui.text import clean


class SixFieldFile:
    """Gathers the requests of finished runs and puts them in place at the end: an older file survives a failure."""

    def __init__(self, path: Path) -> None:
        if not path.name or (exists(path) and not is_file(path)):
            raise UsageError(f"--save-json {clean(str(path))} is not a file")
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._partial.write_bytes(b"")
        except OSError as error:
            raise UsageError(f"--save-json {clean(str(path))}: {error.strerror}") from error

    def add(self, requests: Path) -> None:
        """Add the requests of a run. Raises StoreError."""
        try:
            with self._partial.open("ab") as stream:
                for record in read_lines(requests, RequestRecord, warn=lambda _: None):
                    stream.write(line_of(record))
        except OSError as error:
            raise store_error(self._path, error) from error

    def close(self) -> None:
        """Put what was gathered in place, if there is anything."""
        if self._partial.stat().st_size:
            self._partial.replace(self._path)
        else:
            self._partial.unlink()


Following = Callable[[Sequence[Result]], Sequence[Variant]]
"""What to run next, of the results so far."""
OK, FAILED, USAGE, INVALID, INTERRUPTED = 0, 1, 2, 3, 130
# Errors of a run that are the request's fault, found only when it began.
REQUEST_ERRORS = frozenset({"config", "usage"})


class RunView(Protocol):
    """Something that shows a run while it happens."""

    def take(self, event: AnyRunEvent) -> None:
        """Show the next event."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class NoView:
    """Shows nothing; what was refused leaves no result, and is said."""

    def take(self, event: AnyRunEvent) -> None:
        if isinstance(event, RunRefused):
            say(f"infertui: {refusal(event)}", err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class ReliableView:
    """Shows through another view until that fails: a reader that went away must not end a measurement."""

    def __init__(self, view: RunView) -> None:
        self._view = view

    def take(self, event: AnyRunEvent) -> None:
        try:
            self._view.take(event)
        except (OSError, UnicodeError):
            self._view = NoView()

    def __enter__(self) -> Self:
        self._view.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError, UnicodeError):
            self._view.__exit__(*exception)


def run_in_foreground(
    variants: Sequence[Variant],
    *,
    out: Path,
    save_json: Path | None,
    as_json: bool,
    ui: Ui,
    view: RunView | None = None,
    following: Following = lambda _: (),
    take: Callable[[Result], None] = lambda _: None,
) -> int:
    """Run the variants and return the exit code. Interrupted, it keeps what was measured.

    `view` shows them in place of the one that `ui` asks for. `following` says what to run after them, of the results
    of all so far, again and again until that is nothing. `take` is called with each result that was kept.
    """
    if any(is_search(variant.config) for variant in variants):
        raise UsageError("that config searches a capacity (capacity.by)", remedy="infertui capacity FILE; or --queue.")
    if save_json and any(_same(variant.config.workload.prompts_file, save_json) for variant in variants):
        raise UsageError(f"--save-json {clean(str(save_json))} is the prompts file itself")
    six_fields = SixFieldFile(save_json) if save_json else None
    ended: list[RunFinished] = []
    refused: list[RunRefused] = []

    def told(event: RunFinished | RunRefused) -> None:
        if isinstance(event, RunRefused):
            refused.append(event)
            return
        ended.append(event)
        if event.kept:
            take(event.result)
        if as_json:
            say_json(event.result)
            sys.stdout.flush()

    opened(out)
    interrupted = False
    with Asked() as asked:
        chosen = view or _view(ui, as_json=as_json)
        with ReliableView(chosen) as shown, telling(_nobody if isinstance(chosen, NoView) else _waits):
            try:
                asyncio.run(_run(variants, following, out.absolute(), shown, told, asked))
            except (KeyboardInterrupt, asyncio.CancelledError):
                interrupted = True
        if six_fields:
            for event in ended:
                six_fields.add(out / event.result.id / "requests.jsonl")
            six_fields.close()
        if view is None and not as_json and not isinstance(chosen, NoView):
            _say_curves([event.result for event in ended])
        if interrupted:
            measured = any(event.result.measured for event in ended)
            kept = f"; what was measured is in {clean(str(out))}" if measured else ""
            by = f" by {asked.first.name}" if asked.first else ""
            say(f"infertui: interrupted{by}{kept}", err=True)
            return INTERRUPTED
    return _exit_code(ended, refused)


def _say_curves(results: Sequence[Result]) -> None:
    """A sweep over a number ends in a curve."""
    if len(results) > 2:
        with contextlib.suppress(OSError, UnicodeError):
            plain = "utf" not in (sys.stdout.encoding or "").lower()
            for line in sweep_curves(results, ascii_only=plain):
                say(line)


def _waits(text: str) -> None:
    """Say what is waited for before there is a run to show."""
    with contextlib.suppress(OSError):  # a standard error that is closed or full takes nothing away
        say(f"infertui: {text}", err=True)


def _nobody(_: str) -> None: ...


def _same(prompts_file: str, path: Path) -> bool:
    # Path.resolve() has no answer for a loop of links.
    return bool(prompts_file) and os.path.realpath(prompts_file) == os.path.realpath(path)


def _exit_code(ended: Sequence[RunFinished], refused: Sequence[RunRefused]) -> int:
    results = [event.result for event in ended]
    errors = [event.error for event in refused] + [result.error for result in results if result.error]
    if any(error.kind in REQUEST_ERRORS for error in errors):
        return USAGE
    if refused or any(result.state != "finished" for result in results) or not all(event.kept for event in ended):
        return FAILED
    return OK if all(result.verdict.valid for result in results) else INVALID


async def _run(
    variants: Sequence[Variant],
    following: Following,
    out: Path,
    view: RunView,
    told: Callable[[RunFinished | RunRefused], None],
    asked: Asked,
) -> None:
    results: list[Result] = []

    def on_event(event: AnyRunEvent) -> None:
        view.take(event)
        if isinstance(event, RunFinished | RunRefused):
            told(event)
        if isinstance(event, RunFinished):
            results.append(event.result)

    # Ctrl-C, a polite kill, a terminal that closes and a batch system's warning all cancel this task. Repeated, they
    # change nothing: the run in progress is summed up and kept within seconds, whatever comes.
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def end() -> None:
        if task:
            loop.call_soon_threadsafe(task.cancel)  # from a signal's handler: this wakes the loop

    asked.then(end)
    try:
        async with Runner(on_event=on_event) as runner:
            try:
                while variants:
                    await runner.run_all(variants, out)
                    variants = await run_blocking(lambda: following(tuple(results)))
            finally:
                if asked.first:
                    runner.ended_by = f"{asked.first.name} ended it"
    finally:
        asked.then(lambda: None)


def _view(ui: Ui, *, as_json: bool) -> RunView:
    if ui == "none" or (ui == "auto" and as_json and not sys.stderr.isatty()):
        return NoView()
    stream = sys.stderr if as_json else sys.stdout
    if ui == "live" or (ui == "auto" and stream.isatty() and os.environ.get("TERM") != "dumb"):
        return LiveView(stream)
    return PlainView(stream)
