"""`infertui stop`, `status`, `attach`: the runner that is a process of its own, and a terminal beside it."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infertui.cli.output import say, say_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infertui.api.remote.place import Remote
    from infertui.api.wire import RunnerHello
    from infertui.runner.control import Snapshot
    from infertui.runner.scheduling.queue_store import Entry
    from infertui.runner.tuning.state import TuningView

STOP_EXAMPLES = """[bold]Examples[/bold]

  infertui stop

  infertui stop --now      (ends runs under way; what they measured is kept)
"""
_END_TIMEOUT_S = 60.0
_HELLO_TIMEOUT_S = 10.0
_POLL_S = 0.05


def stop(
    now: Annotated[
        bool, typer.Option("--now", help="Even while something runs: what was measured is kept as interrupted.")
    ] = False,
    path: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="The runner there, instead of the usual place.")
    ] = None,
) -> None:
    """End the runner, when nothing runs. What waits in the queue is kept for the next one."""
    import asyncio
    import os

    from infertui.api.remote.place import given
    from infertui.api.runtime import socket_path

    say(asyncio.run(_stop(path or given(os.environ) or socket_path(os.environ), now=now)))


async def _stop(place: "Path | Remote", *, now: bool) -> str:
    """What became of it."""
    import asyncio
    import os

    from infertui.api.client import Client
    from infertui.api.errors import RunnerUnavailableError
    from infertui.api.runtime import holder_of, queue_lock, socket_lock
    from infertui.errors import InfertuiError, UsageError
    from infertui.text import clean

    locks = (socket_lock(place), queue_lock(os.environ)) if isinstance(place, Path) else ()
    client = Client(place)
    try:
        hello = await Client(place, timeout_s=_HELLO_TIMEOUT_S).greet()
    except RunnerUnavailableError:
        if not locks or holder_of(locks[0]):
            raise  # one is there, and does not answer
        return "no runner is running"
    try:
        await client.stop(now=now)
    except UsageError as refusal:
        raise InfertuiError(
            f"the runner is busy: {refusal.message}",
            remedy="Wait for it, or `infertui stop --now`, which keeps what was measured.",
        ) from None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _END_TIMEOUT_S

    async def lives() -> bool:
        if locks:
            return any(holder.pid == hello.pid for lock in locks if (holder := holder_of(lock)))
        with contextlib.suppress(RunnerUnavailableError):
            return (await Client(place, timeout_s=_HELLO_TIMEOUT_S).greet()).pid == hello.pid
        return False

    while await lives():
        if loop.time() > deadline:
            raise RunnerUnavailableError(
                f"the runner (process {hello.pid}) was told to end and has not within {_END_TIMEOUT_S:g} s"
            )
        await asyncio.sleep(_POLL_S)
    waiting = f"; {hello.queued} waiting are kept" if hello.queued else ""
    return f"the runner (infertui {clean(hello.version)}, process {hello.pid}) has ended{waiting}"


STATUS_EXAMPLES = """[bold]Examples[/bold]

  infertui status

  infertui status --json | jq .queue

  infertui status --check || echo "the runner hangs"

  set -g status-right '#(infertui status --line)'      (in tmux.conf: one short line for its bar)

Exit code 1: no runner is running. It never starts one.
"""


def status(
    path: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="The runner there, instead of the usual place.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Say nothing; exit code 1 only where a runner runs and does not answer.")
    ] = False,
    bar: Annotated[
        bool, typer.Option("--line", help="One short line for a status bar; empty where no runner is running.")
    ] = False,
) -> None:
    """Show whether a runner is running, what it does and what waits."""
    import asyncio
    import os

    from infertui.api.remote.place import given
    from infertui.api.runtime import socket_path

    remote = None if path else given(os.environ)
    place = path or remote or socket_path(os.environ)
    if check:
        if remote or _runs_here(os.environ):
            asyncio.run(_ask(place))
        return
    if bar and not remote and not _runs_here(os.environ) and path is None:
        raise typer.Exit(1)
    hello, told = asyncio.run(_ask(place))
    if bar:
        say(_bar_line(hello, told))
        return
    if as_json:
        say_json(_document(place, hello, told), indent=2)
        return
    for line in _lines(place, hello, told):
        say(line)


def _runs_here(environ: "Mapping[str, str]") -> bool:
    """Whether a runner holds the queue, on this host: of several containers with one state folder one holds it."""
    import socket

    from infertui.api.runtime import holder_of, queue_lock

    holder = holder_of(queue_lock(environ))
    return holder is not None and holder.hostname in ("", socket.gethostname())


async def _ask(place: "Path | Remote") -> "tuple[RunnerHello, Snapshot | None]":
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


def _document(place: "Path | Remote", hello: "RunnerHello", told: "Snapshot | None") -> dict[str, Any]:
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
        "tuning": [view.id for view in _tuning(told)] if told else None,
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

    from infertui.runner.scheduling.queue_store import EntryState

    counts = Counter(entry.state for entry in told.entries)
    return {state: counts[state] for state in get_args(EntryState)}


def _under_way(told: "Snapshot") -> "list[Entry]":
    return [entry for entry in told.entries if entry.state == "running"]


def _tuning(told: "Snapshot") -> "list[TuningView]":
    """The tuning sessions under way, each of which holds a device."""
    return [view for view in told.tunings if view.status != "ended"]


def _lines(place: "Path | Remote", hello: "RunnerHello", told: "Snapshot | None") -> list[str]:
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
    lines += [f"tuning: {clean(view.id)} {clean(view.title)}".rstrip() for view in _tuning(told)]
    lines.append(f"clients: {told.clients}")
    lines += [f"note: {clean(fault)}" for fault in told.faults]
    return lines


_LONGEST_LABEL = 24


def _bar_line(hello: "RunnerHello", told: "Snapshot | None") -> str:
    """`62% bs=4 ETA 0:41, 3 waiting`, or how the last run ended; without the signs that bars read as formats."""
    if told is None:
        return f"{hello.running} running, {hello.queued} waiting"
    from infertui.runner.scheduling.studies import fate
    from infertui.text import one_line

    counts, parts = _counts(told), []
    for entry in _under_way(told)[:1]:
        progress = told.progress.get(entry.run)
        words = [f"{progress.fraction * 100:.0f}%" if progress else "0%", one_line(entry.label, _LONGEST_LABEL)]
        if progress and progress.eta_s is not None:
            minutes, seconds = divmod(round(progress.eta_s), 60)
            words.append(f"ETA {minutes}:{seconds:02}")
        parts.append(" ".join(words))
    parts += [f"{counts['running']} running"] if counts["running"] > 1 else []
    parts += [f"tuning {one_line(view.title, _LONGEST_LABEL)}".rstrip() for view in _tuning(told)[:1]]
    parts += [f"{counts['queued']} waiting"] if counts["queued"] else []
    parts += ["paused"] if told.paused else []
    if not counts["running"] and not _tuning(told):
        ended = [entry for entry in told.entries if entry.ended and entry.run]
        if last := max(ended, key=lambda entry: entry.ended, default=None):
            parts.insert(0, f"{one_line(last.label, _LONGEST_LABEL)} {fate(last)}")
    # tmux takes #[...] in a bar for styles, and #(...) for commands.
    return (", ".join(parts) or "idle").replace("#", "")


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


ATTACH_EXAMPLES = """[bold]Examples[/bold]

  infertui attach

  infertui attach --read-only      (watches, and can change nothing by mistake)
"""


def attach(
    read_only: Annotated[bool, typer.Option("--read-only", help="Watch only: nothing can be changed.")] = False,
    path: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="The runner there, instead of the usual place.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The reports folder to show: ./reports.")
    ] = None,
    spawn: Annotated[bool, typer.Option("--start", hidden=True)] = False,
) -> None:
    """Show the screen of a runner that is running; unlike plain `infertui` it starts none."""
    from infertui.tui.start import start

    raise typer.Exit(start(socket=path, out=out, read_only=read_only, spawn=spawn))
