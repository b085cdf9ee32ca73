"""Hosts the Runner in the foreground: signals, what is shown, what is saved, the exit code."""

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, Self

import msgspec
import typer

from infertui.cli.live import LiveView
from infertui.cli.plain import PlainView
from infertui.config.sweep import Variant
from infertui.errors import UsageError
from infertui.measure.records import RequestRecord
from infertui.runner.events import AnyRunEvent, RunFinished
from infertui.runner.runner import Runner
from infertui.store.jsonl import read_lines
from infertui.store.result import Result
from infertui.store.runs import Store

OK, FAILED, INVALID, INTERRUPTED = 0, 1, 3, 130


class View(Protocol):
    """Something that shows a run while it happens."""

    def take(self, event: AnyRunEvent) -> None:
        """Show the next event."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class NoView:
    """Shows nothing."""

    def take(self, event: AnyRunEvent) -> None:
        """See `View`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class SixField(msgspec.Struct, frozen=True):
    """A request in the simple form of the field."""

    prompt: str
    latency: float | None
    tokens: int
    memory_mb: float | None
    power_w: float | None
    tps: float | None


def run_in_foreground(
    variants: Sequence[Variant],
    *,
    out: Path,
    save_json: Path | None,
    as_json: bool,
    ui: Literal["auto", "live", "plain", "none"],
) -> int:
    """Run the variants and return the exit code. Interrupted, it keeps what was measured."""
    if save_json:
        _make_empty(save_json)
    results: list[Result] = []

    def finished(result: Result) -> None:
        results.append(result)
        if save_json:
            _save_six_fields(out / result.id / "requests.jsonl", save_json)
        if as_json:
            sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
            sys.stdout.flush()

    interrupted = False
    with _view(ui, as_json=as_json) as view:
        try:
            asyncio.run(_run(variants, Store(out), view, finished))
        except (KeyboardInterrupt, asyncio.CancelledError):
            interrupted = True
    if interrupted:
        kept = f"; what was measured is in {out}" if results else ""
        typer.echo(f"infertui: interrupted{kept}", err=True)
        return INTERRUPTED
    if any(result.state != "finished" for result in results):
        return FAILED
    return OK if all(result.verdict.valid for result in results) else INVALID


async def _run(variants: Sequence[Variant], store: Store, view: View, finished: Callable[[Result], None]) -> None:
    def on_event(event: AnyRunEvent) -> None:
        view.take(event)
        if isinstance(event, RunFinished):
            finished(event.result)

    # Ctrl-C cancels this task through asyncio's own handler; a terminal that closes and a polite kill do the same.
    task = asyncio.current_task()
    if task:
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with Runner(store, on_event=on_event) as runner:
        await runner.run_all(variants)


def _view(ui: Literal["auto", "live", "plain", "none"], *, as_json: bool) -> View:
    if ui == "none" or (ui == "auto" and as_json and not sys.stderr.isatty()):
        return NoView()
    stream = sys.stderr if as_json else sys.stdout
    if ui == "live" or (ui == "auto" and stream.isatty()):
        return LiveView(stream)
    return PlainView(stream)


def _make_empty(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    except OSError as error:
        raise UsageError(f"--save-json {path}: {error.strerror}") from error


def _save_six_fields(requests: Path, target: Path) -> None:
    encode = msgspec.json.encode
    with target.open("ab") as stream:
        for record in read_lines(requests, RequestRecord, warn=lambda _: None):
            row = SixField(record.prompt, record.latency, record.tokens, record.memory_mb, record.power_w, record.tps)
            stream.write(encode(row) + b"\n")
