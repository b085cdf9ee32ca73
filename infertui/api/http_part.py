"""The few things of HTTP/1.1 that a client on a unix socket needs: one exchange to a connection."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import h11

from infertui.api.errors import RunnerUnavailableError
from infertui.api.runtime import RUNTIME_VARIABLE, check_socket, trusted_users, untrusted
from infertui.text import clean
from infertui.userdir import without_home

_PIECE = 64 * 1024
_START_REMEDY = "`infertui` starts one, and so does `infertui run --queue`."


class Answer:
    """The answer to one request: its head is there, its body is read with `body` or `pieces`."""

    def __init__(self, status: int, headers: dict[bytes, bytes], exchange: "Exchange") -> None:
        self.status = status
        self.headers = headers
        self._exchange = exchange

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises RunnerUnavailableError when the connection breaks before its end."""
        while isinstance(event := await self._exchange.next_event(), h11.Data):
            yield bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise broken()

    async def body(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.pieces()])


class Exchange:
    """One request and its answer, on a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)

    async def ask(self, method: str, target: str, body: bytes | None) -> Answer:
        """Send a request; its answer's head. `body` is JSON."""
        headers = [("host", "localhost"), ("connection", "close"), ("accept", "application/json, text/event-stream")]
        if body is not None:
            headers += [("content-type", "application/json"), ("content-length", str(len(body)))]
        request = self._state.send(h11.Request(method=method, target=target, headers=headers)) or b""
        request += (self._state.send(h11.Data(data=body)) or b"") if body else b""
        request += self._state.send(h11.EndOfMessage()) or b""
        try:
            self._writer.write(request)
            await self._writer.drain()
        except OSError as error:
            raise broken() from error
        head = await self.next_event()
        if not isinstance(head, h11.Response):
            raise broken()
        return Answer(head.status_code, dict(head.headers), self)

    async def next_event(self) -> object:
        """The next event of the answer. Raises RunnerUnavailableError when what comes is not HTTP, or nothing does."""
        try:
            while (event := self._state.next_event()) is h11.NEED_DATA:
                self._state.receive_data(await self._reader.read(_PIECE))
        except (OSError, h11.RemoteProtocolError) as error:
            raise broken() from error
        return event


@asynccontextmanager
async def exchange(path: Path, *, timeout_s: float) -> AsyncIterator[Exchange]:
    """A connection to the runner at `path`, closed afterwards.

    Raises RunnerUnavailableError when there is none, UntrustedSocketError where it might be somebody else's.
    """
    check_socket(path)
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=_PIECE)
    except TimeoutError:
        raise unresponsive(timeout_s) from None
    except (OSError, ValueError) as error:
        if homeless := without_home(path):
            remedy = f"Set HOME, or XDG_STATE_HOME and {RUNTIME_VARIABLE} to directories of yours."
            raise RunnerUnavailableError(f"no runner is running, and {homeless}", remedy=remedy) from error
        raise RunnerUnavailableError(f"no runner is running (at {clean(str(path))})", remedy=_START_REMEDY) from error
    try:
        _check_owner(writer, path)
        yield Exchange(reader, writer)
    finally:
        writer.transport.abort()


def broken() -> RunnerUnavailableError:
    """The error of a connection that ended early."""
    return RunnerUnavailableError("the runner has gone: the connection to it broke", remedy=_START_REMEDY)


def unresponsive(seconds: float) -> RunnerUnavailableError:
    """The error of a runner that takes too long."""
    return RunnerUnavailableError(
        f"the runner does not answer within {seconds:g} s", remedy="`infertui status` names its process; its log tells."
    )


def _check_owner(writer: asyncio.StreamWriter, path: Path) -> None:
    """Talk to our own runner, or to root's: anyone could listen on a socket that passes for ours."""
    peer = writer.get_extra_info("socket")
    if peer is None or not hasattr(socket, "SO_PEERCRED"):
        return
    _, owner, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if owner not in trusted_users():
        raise untrusted(path, f"is listened to by user {owner}")
