"""`infertui serve`, `stop`, `status`, `attach`: the runner as a process of its own, and a terminal beside it."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infertui.cli.output import say, say_json
from infertui.errors import InfertuiError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infertui.api.remote.listening import Listen
    from infertui.api.wire import RunnerHello
    from infertui.runner.control import Snapshot
    from infertui.runner.scheduling.queue_store import Entry

SERVE_EXAMPLES = """[bold]Examples[/bold]

  infertui serve

  infertui serve --idle-exit 0      (stays until `infertui stop`)

  infertui serve --web      (the screen in a browser, read-only; --full: with all keys)

  infertui serve --listen 127.0.0.1:8322 --token-file TOKEN      (for other programs, and other machines through ssh -L)

  systemd-run --user infertui serve --idle-exit 0      (survives even where logging out ends all processes)

The runner keeps its queue in ~/.local/state/infertui (XDG_STATE_HOME); its socket is in XDG_RUNTIME_DIR,
or where INFERTUI_RUNTIME_DIR says, else in /tmp in a directory whose name nobody can guess; `infertui status`
tells it. GPUs and caches are those of its own environment, not of the screen's.
"""


def serve(
    path: Annotated[
        Path | None, typer.Option("--socket", metavar="PATH", help="Where to listen, instead of the usual place.")
    ] = None,
    idle_exit: Annotated[
        float | None,
        typer.Option(
            "--idle-exit",
            metavar="MIN",
            min=0,
            help="End after so many minutes without client or work: 30, or with --listen 0, which is never.",
        ),
    ] = None,
    keep_loaded: Annotated[
        float,
        typer.Option(
            "--keep-loaded", metavar="S", min=0, help="Keep a model loaded for so many seconds after its last run."
        ),
    ] = 60.0,
    beside_cpu: Annotated[
        bool,
        typer.Option(
            "--beside-cpu", help="Start runs on GPUs beside one on the CPU, which else has the machine alone."
        ),
    ] = False,
    web: Annotated[
        bool, typer.Option("--web", help="Show the screen in a browser instead, on this machine's loopback address.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=1, max=65535, help="With --web: where to listen.")
    ] = 8321,
    full: Annotated[bool, typer.Option("--full", help="With --web: keys may change things, not only look.")] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="The token to ask for, in a file of mode 600; with --web one is made."
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="Answer there as well, to those who have a token."),
    ] = None,
    read_only_token_file: Annotated[
        Path | None,
        typer.Option(
            "--read-only-token-file", metavar="FILE", help="With --listen: the token of those who only watch."
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="With --listen: use TLS with this certificate.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="The key of the certificate; else in its file.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="With --listen: without TLS even where other machines hear it.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="With --web: the reports folder to show.")] = Path(
        "reports"
    ),
    ready_fd: Annotated[int | None, typer.Option("--ready-fd", hidden=True)] = None,
) -> None:
    """Host the runner: it owns queue and workers, and outlives the screens that attach to it.

    `infertui` starts one by itself. Ctrl-C ends it, keeping what was measured.
    """
    beyond = [tls_cert, tls_key, read_only_token_file, insecure or None]
    if full and not web:
        raise UsageError("--full is about the screen in a browser", remedy="Add --web.")
    if listen is None and any(one is not None for one in (*beyond, None if web else token_file)):
        raise UsageError("tokens and TLS are about listening on TCP", remedy="Add --listen HOST:PORT.")
    if web and listen is not None:
        raise UsageError("--web shows a screen, --listen is for a runner", remedy="Start both, each by itself.")
    if web:
        from infertui.api.remote.access import read_token
        from infertui.tui.browser.access import WebOptions
        from infertui.tui.browser.access import serve as show

        token = read_token(token_file) if token_file is not None else ""
        show(WebOptions(out.absolute(), port, full, token, path), say)
        return
    from infertui import __version__
    from infertui.api.daemon import serve as host

    to_listen = None
    if listen is not None:
        to_listen = _listen(listen, token_file, read_only_token_file, tls_cert, tls_key, insecure=insecure)
    from infertui.api.spawn import READY
    from infertui.text import clean

    def ready(place: Path, urls: "Sequence[str]") -> None:
        with contextlib.suppress(OSError):  # whoever waited for it has gone
            say(f"infertui {__version__}: the runner (process {os.getpid()}) is ready at {clean(str(place))}")
            for url in urls:
                say(f"It listens at {url}")
        if ready_fd is not None:
            with contextlib.suppress(OSError):
                os.write(ready_fd, READY)
            with contextlib.suppress(OSError):
                os.close(ready_fd)

    try:
        host(
            path=path,
            idle_exit_s=60 * (idle_exit if idle_exit is not None else 0.0 if listen else 30.0),
            keep_loaded_s=keep_loaded,
            cpu_exclusive=not beside_cpu,
            listen=to_listen,
            on_ready=ready,
        )
    except InfertuiError as error:
        if ready_fd is not None:
            with contextlib.suppress(OSError):  # it is closed once the runner was ready
                os.write(ready_fd, str(error).encode(errors="replace"))
        raise


def _listen(
    where: str, full: Path | None, watching: Path | None, certificate: Path | None, key: Path | None, *, insecure: bool
) -> "Listen":
    """What the options about TCP come to. Raises UsageError."""
    from infertui.api.remote.access import Role, read_token
    from infertui.api.remote.listening import Listen, parse_listen

    host, port = parse_listen(where)
    tokens: dict[Role, str] = {}
    if full is not None:
        tokens["full"] = read_token(full)
    if watching is not None:
        tokens["read-only"] = read_token(watching, "--read-only-token-file")
    listen = Listen(host, port, tokens, certificate, key, insecure)
    listen.check()
    return listen


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

    from infertui.api.runtime import socket_path

    say(asyncio.run(_stop(path or socket_path(os.environ), now=now)))


async def _stop(place: Path, *, now: bool) -> str:
    """What became of it."""
    import asyncio
    import os

    from infertui.api.client import Client
    from infertui.api.errors import RunnerUnavailableError
    from infertui.api.runtime import holder_of, queue_lock, socket_lock
    from infertui.errors import InfertuiError, UsageError
    from infertui.text import clean

    locks = (socket_lock(place), queue_lock(os.environ))
    client = Client(place)
    try:
        hello = await Client(place, timeout_s=_HELLO_TIMEOUT_S).greet()
    except RunnerUnavailableError:
        if holder_of(locks[0]):
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
    while any(holder.pid == hello.pid for lock in locks if (holder := holder_of(lock))):
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

    from infertui.api.runtime import socket_path

    place = path or socket_path(os.environ)
    if check:
        if _runs_here(os.environ):
            asyncio.run(_ask(place))
        return
    if bar and not _runs_here(os.environ) and path is None:
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


async def _ask(place: Path) -> "tuple[RunnerHello, Snapshot | None]":
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


def _document(place: Path, hello: "RunnerHello", told: "Snapshot | None") -> dict[str, Any]:
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

    from infertui.runner.scheduling.queue_store import EntryState

    counts = Counter(entry.state for entry in told.entries)
    return {state: counts[state] for state in get_args(EntryState)}


def _under_way(told: "Snapshot") -> "list[Entry]":
    return [entry for entry in told.entries if entry.state == "running"]


def _lines(place: Path, hello: "RunnerHello", told: "Snapshot | None") -> list[str]:
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
    parts += [f"{counts['queued']} waiting"] if counts["queued"] else []
    parts += ["paused"] if told.paused else []
    if not counts["running"]:
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
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The reports folder to show.")] = Path("reports"),
    spawn: Annotated[bool, typer.Option("--start", hidden=True)] = False,
) -> None:
    """Show the screen of a runner that is running; unlike plain `infertui` it starts none."""
    from infertui.tui.start import start

    raise typer.Exit(start(socket=path, out=out.absolute(), read_only=read_only, spawn=spawn))
