"""The process that hosts the runner: one to a user and queue, until it is told to end or nobody needs it.

An application served on a unix socket, for as long as its host wants.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from litestar import Litestar
from msgspec.structs import replace

from infertui import __version__
from infertui.api.errors import RunnerExistsError
from infertui.api.http import create_app
from infertui.api.readonly import ReadOnly
from infertui.api.remote.listening import Listen, RemoteListener
from infertui.api.runtime import (
    Holder,
    Lock,
    bind,
    holder_of,
    last_socket,
    make_state_dir,
    new_socket_path,
    prepare_socket_dir,
    queue_file,
    queue_lock,
    socket_lock,
    unlink_own,
)
from infertui.api.server import Server, server_of
from infertui.api.stream import Presence
from infertui.endings import heeded
from infertui.errors import InfertuiError
from infertui.runner.hooks import Hooks, read_hooks
from infertui.runner.runner import KEEP_LOADED_S, Runner
from infertui.runner.scheduling.queue_store import QueueStore
from infertui.text import clean

WATCH_S = 2.0
"""How often it is looked whether the socket is still in its place."""


class Listener:
    """A place at `path` where clients are let in. Use as an async context manager around the runner.

    Entering takes the place: a client can connect, and is answered once `serve` was called. Leaving ends the event
    streams that are still open. A runtime directory can be removed while the runner lives, as when its user logs out:
    the socket is then made again as soon as that is possible.
    """

    def __init__(self, path: Path, *, presence: Presence, holder: Holder, environ: Mapping[str, str]) -> None:
        self._path = path
        self._presence = presence
        self._holder = holder
        self._environ = environ
        self._lock = Lock(socket_lock(path))
        self._inode = 0
        self._socket: socket.socket | None = None
        self._server: Server | None = None
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Raises RunnerExistsError when another process serves there, InfertuiError where it cannot be."""
        self._take_place()
        return self

    async def serve(self, app: Litestar) -> None:
        """Begin to answer."""
        self._server = server = server_of(app)
        if self._socket:
            await server.answer_at(self._socket)
        self._watching = asyncio.create_task(self._watch(server))

    def turn_away(self) -> None:
        """Let nobody in any more; whoever is connected stays until the end."""
        if self._watching:
            self._watching.cancel()
        self._leave_place()

    async def __aexit__(self, *exception: object) -> None:
        self.turn_away()
        self._presence.ending.set()
        if self._server:
            await self._server.stop()
        if self._watching:
            await asyncio.wait([self._watching])
        self._lock.release()

    def _take_place(self) -> None:
        prepare_socket_dir(self._path, self._environ)
        if not self._lock.acquire(self._holder):
            where = clean(str(self._path))
            raise RunnerExistsError(f"another runner serves at {where}", remedy="`infertui status` tells more.")
        try:
            self._socket = bind(self._path)
        except BaseException:
            self._lock.release()
            raise
        self._inode = self._path.lstat().st_ino

    def _leave_place(self) -> None:
        unlink_own(self._path, self._inode)
        if self._server:
            self._server.turn_away()
        if self._socket:
            self._socket.close()
            self._socket = None

    async def _watch(self, server: Server) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            if self._in_place():
                continue
            self._leave_place()
            self._lock.release()
            with contextlib.suppress(InfertuiError):  # tried again at the next look
                self._take_place()
                if self._socket:
                    await server.answer_at(self._socket)

    def _in_place(self) -> bool:
        try:
            return self._path.lstat().st_ino == self._inode
        except OSError:
            return False


IDLE_EXIT_S = 1800.0
_LOOK_S = 5.0


def serve(
    *,
    path: Path | None = None,
    idle_exit_s: float = IDLE_EXIT_S,
    keep_loaded_s: float = KEEP_LOADED_S,
    cpu_exclusive: bool = True,
    environ: Mapping[str, str] = os.environ,
    listen: Listen | None = None,
    reports: str = "",
    on_ready: Callable[[Path, Sequence[str]], None] = lambda _, __: None,
) -> None:
    """Host a runner until it ends; `on_ready` is called with the path of its socket once it answers, and with the URLs
    where it listens besides: none without `listen`. `reports` is the folder of clients that name none.

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
            Runner,
            QueueStore(queue_file(environ)),
            keep_loaded_s=keep_loaded_s,
            cpu_exclusive=cpu_exclusive,
            hooks=Hooks(lambda: read_hooks(environ)),
        )
        asyncio.run(_host(runner, place, holder, idle_exit_s, environ, listen, reports, on_ready))


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
    listen: Listen | None,
    reports: str,
    on_ready: Callable[[Path, Sequence[str]], None],
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
        RemoteListener(listen, presence) if listen else contextlib.nullcontext() as remote,
        make_runner() as runner,
    ):
        app = create_app(runner, presence, identity=identity, reports=reports)
        await listener.serve(app)
        if remote:
            watched = ReadOnly(runner, watcher="this token only watches", remedy="Another token is for all keys.")
            watching = create_app(watched, presence, identity=identity, reports=reports)
            await remote.serve({"full": app, "read-only": watching})
        on_ready(path, remote.urls if remote else ())
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
        if remote:
            remote.turn_away()


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
