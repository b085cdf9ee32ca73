"""The process that hosts the runner: one to a user and queue, until it is told to end or nobody needs it."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from infertui import __version__
from infertui.api.errors import RunnerExistsError
from infertui.api.http import create_app
from infertui.api.listen import Listener
from infertui.api.runtime import (
    Holder,
    Lock,
    holder_of,
    last_socket,
    make_state_dir,
    new_socket_path,
    queue_file,
    queue_lock,
)
from infertui.api.stream import Presence
from infertui.endings import heeded
from infertui.runner.queue_store import QueueStore
from infertui.runner.runner import KEEP_LOADED_S, Runner
from infertui.text import clean

IDLE_EXIT_S = 1800.0
_LOOK_S = 5.0


def serve(
    *,
    path: Path | None = None,
    idle_exit_s: float = IDLE_EXIT_S,
    keep_loaded_s: float = KEEP_LOADED_S,
    cpu_exclusive: bool = True,
    environ: Mapping[str, str] = os.environ,
    on_ready: Callable[[Path], None] = lambda _: None,
) -> None:
    """Host a runner until it ends; `on_ready` is called with the path of its socket once it answers.

    It ends when it is asked to, on the signals of `endings.heeded` but SIGHUP, and after `idle_exit_s` seconds (0:
    never) with no client and nothing queued or running. What was measured is kept. `keep_loaded_s` and
    `cpu_exclusive`: see `Runner`.
    Raises RunnerExistsError when a runner of this user lives.
    """
    make_state_dir(environ)
    before = last_socket(environ)
    holder = Holder(os.getpid(), __version__, "", socket.gethostname())
    with Lock(queue_lock(environ)) as lock:
        if not lock.acquire(holder):
            raise already_alive(holder_of(queue_lock(environ)) or Holder())
        place = (path or new_socket_path(environ, before)).absolute()
        holder = replace(holder, socket=str(place))
        lock.note(holder)
        runner = partial(
            Runner, QueueStore(queue_file(environ)), keep_loaded_s=keep_loaded_s, cpu_exclusive=cpu_exclusive
        )
        asyncio.run(_host(runner, place, holder, idle_exit_s, environ, on_ready))


def already_alive(holder: Holder) -> RunnerExistsError:
    """The error of a second runner; `holder` is the first."""
    host, version, where = clean(holder.hostname), clean(holder.version), clean(holder.socket)
    elsewhere = host and host != socket.gethostname()
    return RunnerExistsError(
        f"a runner of yours is alive already: process {holder.pid or 'unknown'}"
        + (f" on {host}" if elsewhere else "")
        + (f", infertui {version}, at {where}" if version else ""),
        remedy=(
            "It uses the same state directory; name another one with XDG_STATE_HOME."
            if elsewhere
            else "`infertui` attaches to it, `infertui status` shows what it does, `infertui stop` ends it."
        ),
    )


async def _host(
    make_runner: Callable[[], Runner],
    path: Path,
    holder: Holder,
    idle_exit_s: float,
    environ: Mapping[str, str],
    on_ready: Callable[[Path], None],
) -> None:
    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    heard: list[signal.Signals] = []

    def hear(number: signal.Signals) -> None:
        heard.append(number)
        told_to_end.set()

    for number in heeded():
        loop.add_signal_handler(number, hear, number)
    # A handler that does nothing; SIG_IGN would be inherited by the workers.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    presence = Presence()
    identity = f"{os.getpid()}-{secrets.token_hex(4)}"
    # The runner is left first: clients still hear how it ends.
    async with (
        Listener(path, presence=presence, holder=holder, environ=environ) as listener,
        make_runner() as runner,
    ):
        await listener.serve(create_app(runner, presence, identity=identity))
        on_ready(path)
        ends = [
            asyncio.create_task(reason)
            for reason in (_wait(told_to_end), _wait(runner.stopping), _idle(runner, presence, idle_exit_s))
        ]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        if heard:
            runner.ended_by = f"{heard[0].name} ended its runner"
        listener.turn_away()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _idle(runner: Runner, presence: Presence, idle_exit_s: float) -> None:
    """Return when nobody has needed the runner for so long."""
    if not idle_exit_s:
        await asyncio.Event().wait()
    loop = asyncio.get_running_loop()
    while loop.time() - presence.last < idle_exit_s:
        await asyncio.sleep(min(_LOOK_S, idle_exit_s / 4))
        if presence.streams or runner.busy:
            presence.touch()
