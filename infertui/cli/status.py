"""`infertui status`: what the runner does."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infertui.cli.output import say, say_json

if TYPE_CHECKING:
    from infertui.api.wire import Hello
    from infertui.runner.control import Snapshot
    from infertui.runner.queue_store import Entry

EPILOG = """[bold]Examples[/bold]

  infertui status

  infertui status --json | jq .queue

Exit code 1: no runner is running. It never starts one.
"""


def status(
    path: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="The runner there, instead of the usual place.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show whether a runner is running, what it does and what waits."""
    import asyncio
    import os

    from infertui.api.runtime import socket_path

    place = path or socket_path(os.environ)
    hello, told = asyncio.run(_ask(place))
    if as_json:
        say_json(_document(place, hello, told), indent=2)
        return
    for line in _lines(place, hello, told):
        say(line)


async def _ask(place: Path) -> "tuple[Hello, Snapshot | None]":
    """Who runs, and what it does; None of a runner that this version does not understand."""
    from infertui.api.client import Client
    from infertui.api.errors import OtherVersionError

    client = Client(place, timeout_s=10)
    hello = await client.greet()
    try:
        await client.hello()
    except OtherVersionError:
        return hello, None
    return hello, await client.snapshot()


def _document(place: Path, hello: "Hello", told: "Snapshot | None") -> dict[str, Any]:
    """What `--json` gives. `queue` and `running` are null of a runner of another version."""
    return {
        "version": hello.version,
        "protocol": hello.protocol,
        "pid": hello.pid,
        "started": hello.started,
        "socket": str(place),
        "paused": told.paused if told else None,
        "clients": told.clients if told else None,
        "queue": _counts(told) if told else None,
        "running": [_running(told, entry) for entry in _under_way(told)] if told else None,
        "faults": told.faults if told else None,
    }


def _running(told: "Snapshot", entry: "Entry") -> dict[str, Any]:
    progress = told.progress.get(entry.run)
    return {
        "id": entry.id,
        "label": entry.label,
        "lane": entry.lane,
        "run": entry.run,
        "out": entry.out,
        "started": entry.started,
        "phase": progress.phase if progress else None,
        "fraction": progress.fraction if progress else 0.0,
        "throughput": progress.throughput if progress else None,
        "eta_s": progress.eta_s if progress else None,
    }


def _counts(told: "Snapshot") -> dict[str, int]:
    from collections import Counter
    from typing import get_args

    from infertui.runner.queue_store import EntryState

    counts = Counter(entry.state for entry in told.entries)
    return {state: counts[state] for state in get_args(EntryState)}


def _under_way(told: "Snapshot") -> "list[Entry]":
    return [entry for entry in told.entries if entry.state == "running"]


def _lines(place: Path, hello: "Hello", told: "Snapshot | None") -> list[str]:
    from infertui import __version__
    from infertui.text import clean

    since = hello.started[:19].replace("T", " ")
    head = f"runner: infertui {clean(hello.version)}, process {hello.pid}, since {clean(since)}, at {clean(str(place))}"
    if told is None:
        return [
            head,
            f"This is infertui {__version__}, which cannot read its queue: {hello.running} running, "
            f"{hello.queued} waiting.",
            "`infertui stop` ends it when nothing runs; the queue is kept.",
        ]
    counts = _counts(told)
    others = [f"{count} {state}" for state, count in counts.items() if count and state not in ("queued", "running")]
    line = f"queue: {counts['running']} running, {counts['queued']} waiting"
    lines = [head, ", ".join([line, *others]) + ("; paused" if told.paused else "")]
    lines += [_running_line(told, entry) for entry in _under_way(told)]
    lines.append(f"clients: {told.clients}")
    lines += [f"note: {clean(fault)}" for fault in told.faults]
    return lines


def _running_line(told: "Snapshot", entry: "Entry") -> str:
    from infertui.text import clean
    from infertui.units import format_number, format_seconds

    progress = told.progress.get(entry.run)
    parts = [f"running: #{entry.id} {clean(entry.label)} on {clean(entry.lane)}"]
    if progress and progress.phase:
        parts.append(progress.phase)
        if progress.phase == "measure":
            parts[-1] += f" {progress.fraction:.0%}"
        if progress.throughput is not None:
            parts.append(f"{format_number(progress.throughput)} tok/s")
        if progress.eta_s is not None:
            parts.append(f"{format_seconds(progress.eta_s)} left")
    return ", ".join(parts)
