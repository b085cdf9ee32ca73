"""A runner at the other end of a socket, as a Control: a unix socket, or one on TCP. Light: the screen imports it.

The few things of HTTP/1.1 that a client needs: one exchange to a connection.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import h11
import msgspec

from infertui import __version__
from infertui.api.errors import OtherVersionError, RunnerUnavailableError
from infertui.api.operations import HELLO, OPERATIONS, Operation, operations
from infertui.api.remote.place import Remote
from infertui.api.runtime import RUNTIME_VARIABLE, check_socket, trusted_users, untrusted
from infertui.api.wire import IDENTITY_HEADER, KEEP_ALIVE_S, PREFIX, EventReader, Problem, RunnerHello, error_of
from infertui.errors import InfertuiError, UsageError
from infertui.paths import without_home
from infertui.runner.control import CALL_TIMEOUT_S, OLDEST, PROTOCOL, EventEnvelope, RunnerApi, Snapshot
from infertui.text import clean

_PIECE = 64 * 1024
_START_REMEDY = "`infertui` starts one, and so does `infertui run --queue`."


class HttpAnswer:
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

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        headers: Sequence[tuple[str, str]] = (("host", "localhost"),),
    ) -> None:
        self._headers = headers
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)

    async def ask(self, method: str, target: str, body: bytes | None) -> HttpAnswer:
        """Send a request; its answer's head. `body` is JSON."""
        headers = [*self._headers, ("connection", "close"), ("accept", "application/json, text/event-stream")]
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
        return HttpAnswer(head.status_code, dict(head.headers), self)

    async def next_event(self) -> object:
        """The next event of the answer. Raises RunnerUnavailableError when what comes is not HTTP, or nothing does."""
        try:
            while (event := self._state.next_event()) is h11.NEED_DATA:
                self._state.receive_data(await self._reader.read(_PIECE))
        except (OSError, h11.RemoteProtocolError) as error:
            raise broken() from error
        return event


@asynccontextmanager
async def exchange(place: Path | Remote, *, timeout_s: float) -> AsyncIterator[Exchange]:
    """A connection to the runner at a unix socket or behind a URL, closed afterwards.

    Raises RunnerUnavailableError when there is none, UntrustedSocketError or AccessError where it might be somebody
    else's.
    """
    if isinstance(place, Remote):
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await place.open(_PIECE)
        except TimeoutError:
            raise unresponsive(timeout_s) from None
        try:
            yield Exchange(reader, writer, place.headers)
        finally:
            writer.transport.abort()
        return
    path = place
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


CONNECT_TIMEOUT_S = 5.0
SILENCE_S = 3 * KEEP_ALIVE_S


class Client(RunnerApi):
    """A runner over the unix socket at a path, or behind a URL; nothing is opened before it is used.

    Every method raises what the runner raised, of the same class, RunnerUnavailableError when none answers, and
    OtherVersionError when its answer cannot be read.
    """

    def __init__(self, place: Path | Remote, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.place = place
        self._timeout_s = timeout_s
        self._runner = ""
        """Which process of the runner the numbers known here belong to."""

    async def hello(self) -> RunnerHello:
        """Who runs. Raises OtherVersionError when this client and that runner would misunderstand each other."""
        told = await self.greet()
        remote = isinstance(self.place, Remote)
        if (told.version, told.protocol) == (__version__, PROTOCOL) or (remote and told.understands(PROTOCOL, OLDEST)):
            return told
        version = clean(told.version)
        under_way = f"; it has {told.running} under way and {told.queued} waiting" if told.running else ""
        raise OtherVersionError(
            f"the runner (process {told.pid}) is infertui {version}, protocol {told.protocol}; "
            f"this is {__version__}, protocol {PROTOCOL}{under_way}",
            version=version,
            busy=told.running > 0,
            remedy=(
                f"Install infertui {version} here, or this version there."
                if remote
                else "Once its runs have ended, `infertui stop` ends it; the next `infertui` starts this version, and "
                "the queue is kept."
                if told.running
                else "`infertui stop` ends it; the next `infertui` starts this version, and the queue is kept."
            ),
        )

    async def greet(self) -> RunnerHello:
        """Who runs, of whatever version."""
        _, content = await self._ask(HELLO, {})
        told: RunnerHello = _given(HELLO, content)
        return told

    async def snapshot(self) -> Snapshot:
        asked = OPERATIONS["snapshot"]
        answer, content = await self._ask(asked, {})
        self._runner = _identity(answer)
        told: Snapshot = _given(asked, content)
        return told

    async def events(self, since: int) -> AsyncIterator[EventEnvelope | Snapshot]:
        """Raises RunnerUnavailableError when the runner ends, or is not heard of for 45 s."""
        target = f"{PREFIX}/events?{urlencode({'since': since, 'runner': self._runner})}"
        async with exchange(self.place, timeout_s=CONNECT_TIMEOUT_S) as connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    answer = await connection.ask("GET", target, None)
                    await _check(answer)
            except TimeoutError:
                raise unresponsive(self._timeout_s) from None
            self._runner = _identity(answer)
            async with aclosing(answer.pieces()) as pieces:
                async for told in _heard(pieces):
                    yield told
        raise broken()

    async def call(self, operation: str, /, *arguments: object, **named: object) -> Any:
        asked = operations(type(self))[operation]
        _, content = await self._ask(asked, asked.bound(*arguments, **named))
        return _given(asked, content)

    async def _ask(self, asked: Operation, arguments: dict[str, Any]) -> tuple[HttpAnswer, bytes]:
        try:
            target, body = asked.target(arguments), asked.body(arguments)
        except UnicodeEncodeError as error:
            text = clean(error.object)
            raise UsageError(f"{text} is not valid UTF-8; a runner takes names that are") from error
        limit = asked.route.timeout_s or self._timeout_s
        try:
            async with (
                asyncio.timeout(limit),
                exchange(self.place, timeout_s=min(CONNECT_TIMEOUT_S, self._timeout_s)) as connection,
            ):
                answer = await connection.ask(asked.route.verb, PREFIX + target, body)
                await _check(answer)
                return answer, await answer.body()
        except TimeoutError:
            raise unresponsive(limit) from None


async def _check(answer: HttpAnswer) -> None:
    """Raise what the runner raised."""
    if answer.status < 400:
        return
    try:
        problem = msgspec.json.decode(await answer.body(), type=Problem)
    except msgspec.MsgspecError as error:
        raise _unreadable(error) from error
    raise error_of(problem)


async def _heard(pieces: AsyncGenerator[bytes, None]) -> AsyncIterator[EventEnvelope | Snapshot]:
    """The events of a stream, until it ends. Raises RunnerUnavailableError when it falls silent."""
    events = EventReader()
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise unresponsive(SILENCE_S) from None
        try:
            for told in events.feed(piece):
                yield told
        except msgspec.MsgspecError as error:
            raise _unreadable(error) from error


def _identity(answer: HttpAnswer) -> str:
    return answer.headers.get(IDENTITY_HEADER.encode(), b"").decode("latin-1")


def _given(asked: Operation, content: bytes) -> Any:
    try:
        return asked.given(content)
    except msgspec.MsgspecError as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> InfertuiError:
    return OtherVersionError(
        f"the runner's answer cannot be read: {clean(str(error))}",
        remedy="It may be of another version: `infertui stop` ends it, and the next `infertui` starts this one.",
    )
