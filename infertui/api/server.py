"""The HTTP server, on a socket that is bound already: the one place that knows uvicorn from inside.

In versions that were tested uvicorn is made to leave signals alone, not to tick while something is measured, and to cut
off clients that do not read. In any other it is used as it comes: it answers and stops, looks up ten times a second,
and at a signal gives its answers a moment instead of waiting for the runner.
"""

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Iterator
from typing import Protocol

import uvicorn
from litestar import Litestar

TESTED = ((0, 30), (0, 55))
"""Versions of uvicorn whose inside is known: from, up to but not including."""
LEAVE_S = 1
"""Seconds that answers get to be finished at the end."""
_START_LOOK_S = 0.02
_log = logging.getLogger(__name__)


class Server(Protocol):
    """What answers at sockets, until it is stopped."""

    async def answer_at(self, listening: socket.socket) -> None:
        """Begin to answer; at one socket more, where one was given before."""
        ...

    def turn_away(self) -> None:
        """Take no further connection; those that are there stay."""
        ...

    async def stop(self) -> None:
        """End: what is being answered gets `LEAVE_S` to be finished."""
        ...


def server_of(app: Litestar) -> Server:
    """A server of the application."""
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
        timeout_graceful_shutdown=2 * LEAVE_S,
    )
    if is_tested(uvicorn.__version__):
        return _Quiet(config)
    _log.warning("uvicorn %s was not tested: it is used as it comes", uvicorn.__version__)
    return _Stock(config)


def is_tested(version: str) -> bool:
    """Whether the inside of that version of uvicorn is known."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and TESTED[0] <= (int(numbers[1]), int(numbers[2])) < TESTED[1]


class _QuietServer(uvicorn.Server):
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


class _Quiet:
    def __init__(self, config: uvicorn.Config) -> None:
        self._server = _QuietServer(config)
        self._serving: asyncio.Task[None] | None = None

    async def answer_at(self, listening: socket.socket) -> None:
        server = self._server
        if self._serving is not None:
            await server.startup(sockets=[listening])
            return
        self._serving = asyncio.create_task(server.serve([listening]))
        up = asyncio.create_task(server.up.wait())
        await asyncio.wait([self._serving, up], return_when=asyncio.FIRST_COMPLETED)
        if not server.started:
            up.cancel()
            await self._serving

    def turn_away(self) -> None:
        for server in self._server.servers:
            server.close()

    async def stop(self) -> None:
        self._server.ended.set()
        if self._serving is None:
            return
        _, unfinished = await asyncio.wait([self._serving], timeout=LEAVE_S)
        if unfinished:  # somebody who does not read
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
            await asyncio.wait(unfinished)


class _Stock:
    """uvicorn by what it says of itself: `serve`, `started` and `should_exit`; a server for each socket."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._config = config
        self._servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def answer_at(self, listening: socket.socket) -> None:
        server = uvicorn.Server(self._config)
        # It closes what it is given at its end, and may not be left with a file that is closed before.
        serving = asyncio.create_task(server.serve([listening.dup()]))
        self._servers.append((server, serving))
        while not server.started:
            if serving.done():
                await serving
                return
            await asyncio.sleep(_START_LOOK_S)

    def turn_away(self) -> None:
        """The socket's name is gone, and with it the way to connect."""

    async def stop(self) -> None:
        for server, _ in self._servers:
            server.should_exit = True
        serving = [task for _, task in self._servers]
        if serving:
            _, unfinished = await asyncio.wait(serving, timeout=4 * LEAVE_S)
            for task in unfinished:
                task.cancel()
