"""The server itself: where it listens, its loop, its end, and the same inside another process for tests."""

import asyncio
import contextlib
import gc
import signal
import ssl
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from types import TracebackType
from typing import Any, Self

import uvloop

from infertui.errors import ConfigError, InfertuiError
from infertui.mock.answers.asked import MockRequest, read_request
from infertui.mock.clock import Deadlines
from infertui.mock.options import MODEL, MockOptions, check
from infertui.mock.serving import Serving, warmed_up
from infertui.mock.tallies import ServedRequest, Tallies
from infertui.mock.wire.certificate import made_here
from infertui.mock.wire.connection import Connection
from infertui.mock.wire.pages import Pages
from infertui.text import one_line

_BACKLOG = 4096
_MOST_CONNECTIONS = 16_384
_SWEEP_S = 0.5
_READY_S = 30.0


class MockHost:
    """One listening server in a running loop."""

    def __init__(self, options: MockOptions) -> None:
        self.options = check(options)
        self.loop = asyncio.get_running_loop()
        self.deadlines = Deadlines(
            self.loop, spin_ns=round(options.spin_s * 1e9), apart_ns=round(options.coalesce_s * 1e9)
        )
        self.serving = Serving(self.options, self.deadlines)
        self.pages = Pages(self)
        self.url = ""
        self.ca_file = ""
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._served = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._leftovers = contextlib.ExitStack()

    @property
    def tallies(self) -> Tallies:
        """What is counted."""
        return self.serving.tallies

    async def start(self) -> str:
        """Listen; returns the URL. Raises ConfigError where it cannot."""
        options = self.options
        await warmed_up(options, self.deadlines)
        try:
            if options.uds:
                _make_way(Path(options.uds))
                self._server = await self.loop.create_unix_server(self._connection, options.uds, backlog=_BACKLOG)
                self._leftovers.callback(Path(options.uds).unlink, missing_ok=True)
                self.url = f"unix:{options.uds}"
            else:
                context = self._context() if options.secure else None
                self._server = await self.loop.create_server(
                    self._connection, options.host, options.port, ssl=context, backlog=_BACKLOG
                )
                host, port = self._server.sockets[0].getsockname()[:2]
                scheme = "https" if options.secure else "http"
                self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        except OSError as error:
            self.deadlines.close()
            self._leftovers.close()
            name = "--uds" if options.uds else "--port"
            raise ConfigError(name, f"cannot listen there: {one_line(error.strerror or error)}") from error
        self._tidy()
        return self.url

    def _context(self) -> ssl.SSLContext:
        options = self.options
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate, key = options.tls_cert, options.tls_key
        if not certificate:
            certificate, key = map(str, self._leftovers.enter_context(made_here()))
        self.ca_file = certificate
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError("--tls-cert", f"not usable: {one_line(error)}") from error
        return context

    async def stop(self) -> None:
        """Close everything."""
        if self._sweep is not None:
            self._sweep.cancel()
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.close()
        self.deadlines.close()
        await asyncio.sleep(0)
        self._leftovers.close()

    def read(self, dialect: str, body: bytes, *, streaming: bool | None) -> MockRequest:
        """What a body asks for; raises AskedWronglyError."""
        options = self.options
        return read_request(
            dialect, body, model=MODEL, osl=options.osl, streaming=streaming, strict=options.family == "openai"
        )

    def opened(self, connection: Connection) -> None:
        """A connection is there."""
        tallies = self.tallies
        tallies.connections += 1
        self._connections.add(connection)
        tallies.open_connections = len(self._connections)
        tallies.peak_connections = max(tallies.peak_connections, tallies.open_connections)
        if len(self._connections) > _MOST_CONNECTIONS:
            connection.reset()

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        self._connections.discard(connection)
        self.tallies.open_connections = len(self._connections)

    def counted(self) -> None:
        """A request was taken; after `stop_after` of them nothing listens any more."""
        self._served += 1
        if self._served == self.options.stop_after and self._server is not None:
            self._server.close()

    def reset(self) -> None:
        """Count anew."""
        self.tallies.reset()
        self.deadlines.longest_slice_ns = 0

    def _connection(self) -> Connection:
        return Connection(self)

    def _tidy(self) -> None:
        """Close connections whose client is too slow, or idle for too long."""
        now_ns = monotonic_ns()
        for connection in [one for one in self._connections if one.overdue(now_ns)]:
            connection.close()
        self._sweep = self.loop.call_later(_SWEEP_S, self._tidy)


def _make_way(path: Path) -> None:
    """Remove a socket that nobody listens on; anything else in the way is refused."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError("--uds", f"{one_line(path)} exists and is no socket")
    import socket

    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise ConfigError("--uds", f"something listens at {one_line(path)} already")


async def serve(options: MockOptions, ready: Callable[[MockHost], None], ended: asyncio.Event) -> None:
    """Serve until `ended`."""
    host = MockHost(options)
    await host.start()
    try:
        ready(host)
        await ended.wait()
    finally:
        await host.stop()


def run(options: MockOptions, ready: Callable[[MockHost], None]) -> None:
    """Serve in this process until SIGTERM or SIGINT."""

    async def until_signalled() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        # What is there now stays: collections need not look at it, and none is due while answers are written.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        await serve(options, ready, ended)

    uvloop.run(until_signalled())


class MockServer:
    """A mock server in a thread of this process, for tests: `with MockServer(MockOptions()) as server: server.url`.

    It shares the interpreter with whoever runs it, so its times are off by milliseconds while that computes; a process
    of its own keeps them (`infertui mock-server`).
    """

    def __init__(self, options: MockOptions | None = None) -> None:
        self._options = options or MockOptions()
        self._host: MockHost | None = None
        self._ended: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="mock-server", daemon=True)
        self._ready = threading.Event()
        self._failed: BaseException | None = None

    def __enter__(self) -> Self:
        check(self._options)
        self._thread.start()
        if not self._ready.wait(_READY_S):
            raise InfertuiError("the mock server did not start in time")
        if self._failed is not None:
            self._thread.join(_READY_S)
            raise self._failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        host, ended = self._host, self._ended
        if host is not None and ended is not None and self._thread.is_alive():
            host.loop.call_soon_threadsafe(ended.set)
        self._thread.join(_READY_S)

    @property
    def url(self) -> str:
        """Its base URL, as in http://127.0.0.1:12345 or unix:/path."""
        return self._running.url

    @property
    def ca_file(self) -> str:
        """The certificate to trust, PEM; empty without TLS."""
        return self._running.ca_file

    @property
    def _running(self) -> MockHost:
        if self._host is None:
            raise InfertuiError("the mock server does not run")
        return self._host

    def stats(self) -> dict[str, Any]:
        """What /mock/stats says."""
        found: dict[str, Any] = self._asked(lambda host: host.pages.stats())
        return found

    def requests(self) -> list[ServedRequest]:
        """The requests that have ended, the latest 20,000."""
        found: list[ServedRequest] = self._asked(lambda host: list(host.tallies.records))
        return found

    def reset(self) -> None:
        """Count anew."""
        self._asked(MockHost.reset)

    def _asked(self, question: Callable[[MockHost], Any]) -> Any:
        host = self._running

        async def answer() -> Any:
            return question(host)

        return asyncio.run_coroutine_threadsafe(answer(), host.loop).result(_READY_S)

    def _run(self) -> None:
        async def main() -> None:
            self._ended = asyncio.Event()
            await serve(self._options, self._started, self._ended)

        try:
            uvloop.run(main())
        except Exception as error:  # noqa: BLE001 - whoever starts it gets it
            self._failed = error
        finally:
            self._ready.set()

    def _started(self, host: MockHost) -> None:
        self._host = host
        self._ready.set()
