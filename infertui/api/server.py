"""The HTTP server, on a socket that is bound already: the one place that knows uvicorn from inside.

In versions that were tested uvicorn is made to leave signals alone, not to tick while something is measured, and to cut
off clients that do not read, and those on TCP that do not ask. In any other it is used as it comes: it answers and
stops, looks up ten times a second, and at a signal gives its answers a moment instead of waiting for the runner.
"""

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import uvicorn
from litestar.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

TESTED = ((0, 30), (0, 55))
"""Versions of uvicorn whose inside is known: from, up to but not including."""
HEAD_S = 10.0
"""Seconds that somebody on TCP has for the head of a request."""
LEAVE_S = 1
"""Seconds that answers get to be finished at the end."""
_START_LOOK_S = 0.02
_log = logging.getLogger(__name__)


class Server(Protocol):
    """What answers at sockets, until it is stopped."""

    async def answer_at(self, *listening: socket.socket) -> None:
        """Begin to answer; at other sockets, where some were given before."""
        ...

    def turn_away(self) -> None:
        """Take no further connection; those that are there stay."""
        ...

    async def stop(self) -> None:
        """End: what is being answered gets `LEAVE_S` to be finished."""
        ...


def server_of(
    app: ASGIApp, *, remote: bool = False, certificate: Path | None = None, key: Path | None = None
) -> Server:
    """A server of the application. `remote`: for clients on TCP, who may be anyone; with a certificate it takes TLS."""
    tested = is_tested(uvicorn.__version__)
    config = uvicorn.Config(
        app,
        http=_Hurried if remote and tested else "h11",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=2 * LEAVE_S,
    )
    if tested:
        return _Quiet(config)
    _log.warning("uvicorn %s was not tested: it is used as it comes", uvicorn.__version__)
    return _Stock(config)


def is_tested(version: str) -> bool:
    """Whether the inside of that version of uvicorn is known."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and TESTED[0] <= (int(numbers[1]), int(numbers[2])) < TESTED[1]


class _Hurried(H11Protocol):
    """Ends a connection that does not bring the head of a request in time; uvicorn looks at those between requests."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Something came."""
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        waiting = cycle is None or cycle.response_complete
        if waiting and self._timer is None:
            self._timer = self.loop.call_later(HEAD_S, self.transport.abort)
        elif not waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None


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

    async def answer_at(self, *listening: socket.socket) -> None:
        server = self._server
        if self._serving is not None:
            await server.startup(sockets=list(listening))
            return
        self._serving = asyncio.create_task(server.serve(list(listening)))
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

    async def answer_at(self, *listening: socket.socket) -> None:
        server = uvicorn.Server(self._config)
        # It closes what it is given at its end, and may not be left with a file that is closed before.
        serving = asyncio.create_task(server.serve([one.dup() for one in listening]))
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
