"""A runner at the other end of a unix socket, as a Control. Light: the screen imports it.

The few things of HTTP/1.1 that a client on a unix socket needs: one exchange to a connection.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import h11
import msgspec

from infertui import __version__
from infertui.analysis.bench import Bench
from infertui.api.errors import OtherVersionError, RunnerUnavailableError
from infertui.api.runtime import RUNTIME_VARIABLE, check_socket, trusted_users, untrusted
from infertui.api.wire import (
    IDENTITY_HEADER,
    KEEP_ALIVE_S,
    PREFIX,
    Computing,
    Ending,
    EventReader,
    Hello,
    Ids,
    Problem,
    QueueState,
    Runs,
    Shift,
    error_of,
)
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import InfertuiError, UsageError
from infertui.models.local import LocalModel
from infertui.paths import without_home
from infertui.results.details import RunDetails
from infertui.results.table import ResultPage, ResultQuery
from infertui.runner.blocking import MODEL_S
from infertui.runner.control import PROTOCOL, Compared, Forecast, Numbered, Snapshot, Submission
from infertui.telemetry.readings import GpuProcess
from infertui.text import clean

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


CALL_TIMEOUT_S = 60.0
"""Ending runs and reading a large folder take a while; a runner that is well answers in milliseconds."""
FORECAST_TIMEOUT_S = CALL_TIMEOUT_S + MODEL_S
"""The runner may have to ask Transformers about a model first, and says itself when that does not answer."""
COMPARE_TIMEOUT_S = 600.0
"""Runs of millions of requests are read whole to be compared."""
CONNECT_TIMEOUT_S = 5.0
SILENCE_S = 3 * KEEP_ALIVE_S
T = TypeVar("T")


class Client:
    """Implements Control over the socket at `path`; nothing is opened before it is used.

    Every method raises what the runner raised, of the same class, RunnerUnavailableError when none answers, and
    OtherVersionError when its answer cannot be read.
    """

    def __init__(self, path: Path, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._runner = ""
        """Which process of the runner the numbers known here belong to."""

    async def hello(self) -> Hello:
        """Who runs. Raises OtherVersionError when this client and that runner would misunderstand each other."""
        told = await self.greet()
        if (told.version, told.protocol) == (__version__, PROTOCOL):
            return told
        version = clean(told.version)
        under_way = f"; it has {told.running} under way and {told.queued} waiting" if told.running else ""
        raise OtherVersionError(
            f"the runner (process {told.pid}) is infertui {version}, protocol {told.protocol}; "
            f"this is {__version__}, protocol {PROTOCOL}{under_way}",
            version=version,
            busy=told.running > 0,
            remedy=(
                "Once its runs have ended, `infertui stop` ends it; the next `infertui` starts this version, and the "
                "queue is kept."
                if told.running
                else "`infertui stop` ends it; the next `infertui` starts this version, and the queue is kept."
            ),
        )

    async def greet(self) -> Hello:
        """Who runs, of whatever version."""
        return await self._get("/hello", Hello)

    async def snapshot(self) -> Snapshot:
        """See `Control`."""
        answer, content = await self._exchange("GET", "/snapshot", None)
        self._runner = _identity(answer)
        return _decode(content, Snapshot)

    async def events(self, since: int) -> AsyncIterator[Numbered | Snapshot]:
        """See `Control`. Raises RunnerUnavailableError when the runner ends, or is not heard of for 45 s."""
        target = f"{PREFIX}/events?{urlencode({'since': since, 'runner': self._runner})}"
        async with exchange(self.path, timeout_s=CONNECT_TIMEOUT_S) as connection:
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

    async def submit(self, submission: Submission) -> tuple[int, ...]:
        """See `Control`."""
        return (await self._ask("POST", "/entries", submission, Ids)).ids

    async def cancel(self, ids: Sequence[int]) -> None:
        """See `Control`."""
        await self._tell("POST", "/entries/cancel", Ids(tuple(ids)))

    async def skip(self, ids: Sequence[int]) -> None:
        """See `Control`."""
        await self._tell("POST", "/entries/skip", Ids(tuple(ids)))

    async def retry(self, ids: Sequence[int]) -> tuple[int, ...]:
        """See `Control`."""
        return (await self._ask("POST", "/entries/retry", Ids(tuple(ids)), Ids)).ids

    async def duplicate(self, ids: Sequence[int]) -> tuple[int, ...]:
        """See `Control`."""
        return (await self._ask("POST", "/entries/duplicate", Ids(tuple(ids)), Ids)).ids

    async def edit(self, entry: int, variant: Variant) -> None:
        """See `Control`."""
        await self._tell("PATCH", f"/entries/{entry}", variant)

    async def move(self, ids: Sequence[int], by: int) -> None:
        """See `Control`."""
        await self._tell("POST", "/entries/move", Shift(tuple(ids), by))

    async def remove(self, ids: Sequence[int]) -> None:
        """See `Control`."""
        await self._tell("DELETE", "/entries", Ids(tuple(ids)))

    async def clear(self) -> None:
        """See `Control`."""
        await self._tell("DELETE", "/entries/ended", None)

    async def pause(self) -> None:
        """See `Control`."""
        await self._tell("PATCH", "/queue", QueueState(paused=True))

    async def resume(self) -> None:
        """See `Control`."""
        await self._tell("PATCH", "/queue", QueueState(paused=False))

    async def forecast(self, config: Config) -> Forecast:
        """See `Control`."""
        return _decode((await self._exchange("POST", "/forecast", config, timeout_s=FORECAST_TIMEOUT_S))[1], Forecast)

    async def models(self) -> tuple[LocalModel, ...]:
        """See `Control`."""
        return await self._get("/models", tuple[LocalModel, ...])

    async def processes(self, uuid: str) -> tuple[GpuProcess, ...] | None:
        """See `Control`."""
        return (await self._get(f"/processes?{_query({'gpu': uuid})}", Computing)).processes

    async def results(self, query: ResultQuery) -> ResultPage:
        """See `Control`."""
        values = {name: str(value) for name, value in msgspec.structs.asdict(query).items()}
        return await self._get(f"/results?{_query(values)}", ResultPage)

    async def details(self, out: str, run: str) -> RunDetails:
        """See `Control`."""
        return await self._get(f"/runs?{_query({'out': out, 'run': run})}", RunDetails)

    async def compare(self, out: str, runs: Sequence[str]) -> Compared:
        """See `Control`. Ending the wait ends the runner's work on it."""
        content = await self._exchange("POST", "/compare", Runs(out, tuple(runs)), timeout_s=COMPARE_TIMEOUT_S)
        return _decode(content[1], Compared)

    async def bench(self, out: str, bench: str) -> Bench:
        """See `Control`."""
        return await self._get(f"/benches?{_query({'out': out, 'bench': bench})}", Bench)

    async def delete(self, out: str, runs: Sequence[str]) -> None:
        """See `Control`."""
        await self._tell("DELETE", "/runs", Runs(out, tuple(runs)))

    async def stop(self, *, now: bool = False) -> None:
        """See `Control`."""
        await self._tell("POST", "/stop", Ending(now))

    async def _get(self, path: str, kind: type[T]) -> T:
        return await self._ask("GET", path, None, kind)

    async def _ask(self, method: str, path: str, body: object, kind: type[T]) -> T:
        return _decode((await self._exchange(method, path, body))[1], kind)

    async def _tell(self, method: str, path: str, body: object) -> None:
        await self._exchange(method, path, body)

    async def _exchange(
        self, method: str, path: str, body: object, *, timeout_s: float | None = None
    ) -> tuple[Answer, bytes]:
        content, limit = None if body is None else _encode(body), timeout_s or self._timeout_s
        try:
            async with (
                asyncio.timeout(limit),
                exchange(self.path, timeout_s=min(CONNECT_TIMEOUT_S, self._timeout_s)) as connection,
            ):
                answer = await connection.ask(method, PREFIX + path, content)
                await _check(answer)
                return answer, await answer.body()
        except TimeoutError:
            raise unresponsive(limit) from None


async def _check(answer: Answer) -> None:
    """Raise what the runner raised."""
    if answer.status >= 400:
        raise error_of(_decode(await answer.body(), Problem))


async def _heard(pieces: AsyncGenerator[bytes, None]) -> AsyncIterator[Numbered | Snapshot]:
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


def _identity(answer: Answer) -> str:
    return answer.headers.get(IDENTITY_HEADER.encode(), b"").decode("latin-1")


def _encode(body: object) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError as error:
        raise _not_text(error.object) from error


def _query(values: dict[str, str]) -> str:
    try:
        return urlencode(values)
    except UnicodeEncodeError as error:
        raise _not_text(error.object) from error


def _not_text(text: str) -> UsageError:
    return UsageError(f"{clean(text)} is not valid UTF-8; a runner takes names that are")


def _decode(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> InfertuiError:
    return OtherVersionError(
        f"the runner's answer cannot be read: {clean(str(error))}",
        remedy="It may be of another version: `infertui stop` ends it, and the next `infertui` starts this one.",
    )
