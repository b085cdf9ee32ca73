"""An application served on a unix socket, for as long as its host wants."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import uvicorn
from litestar import Litestar

from infertui.api.errors import RunnerExistsError
from infertui.api.runtime import Holder, Lock, bind, prepare_socket_dir, socket_lock, unlink_own
from infertui.api.stream import Presence
from infertui.errors import InfertuiError
from infertui.text import clean

WATCH_S = 2.0
"""How often it is looked whether the socket is still in its place."""
_LEAVE_S = 1
"""Seconds that answers get to be finished at the end."""


class _Server(uvicorn.Server):
    """Without signals of its own, and without a clock that ticks while something is measured."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.servers = []
        self.up = asyncio.Event()
        self.ended = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The host of the runner handles signals."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and let `up` know."""
        await super().startup(sockets=sockets)
        self.up.set()

    async def main_loop(self) -> None:
        """Serve until the end. What the original does ten times a second (dates in headers) is not wanted here."""
        await self.ended.wait()


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
        self._server: _Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Raises RunnerExistsError when another process serves there, InfertuiError where it cannot be."""
        self._take_place()
        return self

    async def serve(self, app: Litestar) -> None:
        """Begin to answer."""
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=2 * _LEAVE_S,
        )
        self._server = server = _Server(config)
        serving = asyncio.create_task(server.serve([self._socket] if self._socket else []))
        up = asyncio.create_task(server.up.wait())
        await asyncio.wait([serving, up], return_when=asyncio.FIRST_COMPLETED)
        if not server.started:
            up.cancel()
            await serving
        self._tasks = [serving, asyncio.create_task(self._watch(server))]

    def turn_away(self) -> None:
        """Let nobody in any more; whoever is connected stays until the end."""
        for watching in self._tasks[1:]:
            watching.cancel()
        self._leave_place()

    async def __aexit__(self, *exception: object) -> None:
        self.turn_away()
        self._presence.ending.set()
        if self._server:
            self._server.ended.set()
            _, unfinished = await asyncio.wait(self._tasks, timeout=_LEAVE_S)
            if unfinished:  # somebody who does not read
                for connection in list(self._server.server_state.connections):
                    connection.transport.abort()
                await asyncio.wait(unfinished)
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
        for server in self._server.servers if self._server else ():
            server.close()
        if self._socket:
            self._socket.close()
            self._socket = None

    async def _watch(self, server: _Server) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            if self._in_place():
                continue
            self._leave_place()
            self._lock.release()
            with contextlib.suppress(InfertuiError):  # tried again at the next look
                self._take_place()
                await server.startup(sockets=[self._socket] if self._socket else [])

    def _in_place(self) -> bool:
        try:
            return self._path.lstat().st_ino == self._inode
        except OSError:
            return False
