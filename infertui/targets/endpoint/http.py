"""One HTTP/1.1 request at a time, before and after a load: for what a server is, and what it counts.

Each has a connection of its own, is bounded in time and size, and comes back as a `ReceivedAnswer`, whatever happened.
The load itself has a client made for it (`worker/loadgen`).
"""

import asyncio
import ssl
import time
from collections.abc import Mapping

import h11

from infertui import __version__
from infertui.config.endpoint import TargetConfig
from infertui.targets.endpoint.address import EndpointAddress
from infertui.targets.endpoint.coding import CodingError, Pieces, as_sent
from infertui.targets.endpoint.dialect import ErrorKind, ReceivedAnswer
from infertui.targets.endpoint.tls import tls_context
from infertui.text import error_text

CONNECT_TIMEOUT_S = 10.0
MOST_BYTES = 16 << 20
_PIECE = 1 << 16
_LONGEST_HEAD = 1 << 16


class _FaultError(Exception):
    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message


class HttpAsker:
    """Asks one server. `headers` go with every request."""

    def __init__(self, address: EndpointAddress, target: TargetConfig, headers: Mapping[str, str]) -> None:
        """Raises ConfigError for certificates that cannot be read."""
        self._address = address
        self._tls = tls_context(target) if address.tls else None
        self._headers = {
            "host": address.authority,
            "user-agent": f"infertui/{__version__}",
            "accept-encoding": "identity",
            "connection": "close",
        } | dict(headers)

    async def get(self, below: str, headers: Mapping[str, str], *, timeout_s: float = 10.0) -> ReceivedAnswer:
        """A page below the server's URL."""
        return await self._ask("GET", below, b"", {"accept": "*/*"} | dict(headers), timeout_s)

    async def post(
        self, below: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float = 10.0
    ) -> ReceivedAnswer:
        """The answer to a body."""
        return await self._ask("POST", below, body, headers, timeout_s)

    async def send(
        self, method: str, below: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float = 10.0
    ) -> ReceivedAnswer:
        """The answer to a body that is sent by another method."""
        return await self._ask(method, below, body, headers, timeout_s)

    async def _ask(
        self, method: str, below: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> ReceivedAnswer:
        got = _Response()
        connected = False
        kind: ErrorKind = ""
        message = ""
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await self._connected()
                connected = True
                try:
                    lines = list((self._headers | dict(headers) | {"content-length": str(len(body))}).items())
                    request = h11.Request(method=method, target=self._address.path(below), headers=lines)
                    await _exchanged(reader, writer, request, body, got)
                finally:
                    writer.transport.abort()
        except _FaultError as fault:
            kind, message = fault.kind, fault.message
        except TimeoutError:
            kind, message = "timeout", f"no whole answer within {timeout_s:g} s"
            if not connected:
                kind, message = self._no_connection(timeout_s)
        except (h11.LocalProtocolError, h11.RemoteProtocolError) as error:
            kind, message = "cut-off" if got.status else "malformed", f"no HTTP: {error_text(error)}"
        except OSError as error:
            kind, message = "reset", error_text(error)
        pieces: Pieces = got.pieces
        try:
            pieces = as_sent(pieces, got.headers, most_bytes=MOST_BYTES)
        except CodingError as error:
            pieces = ()
            kind, message = kind or "malformed", message or str(error)
        return ReceivedAnswer(
            status=got.status,
            headers=got.headers,
            pieces=pieces,
            end_ns=time.monotonic_ns(),
            whole=not kind,
            broken=kind,
            message=message,
        )

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self._address
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if address.socket_path:
                    return await asyncio.open_unix_connection(address.socket_path, limit=_PIECE)
                return await asyncio.open_connection(
                    address.host,
                    address.port,
                    ssl=self._tls,
                    server_hostname=address.host if self._tls else None,
                    happy_eyeballs_delay=0.25,
                    limit=_PIECE,
                )
        except TimeoutError:
            raise _FaultError(*self._no_connection(CONNECT_TIMEOUT_S)) from None
        except ssl.SSLError as error:
            raise _FaultError("tls", error_text(error)) from None
        except (OSError, UnicodeError) as error:
            reset = self._tls is not None and isinstance(error, ConnectionResetError | ConnectionAbortedError)
            raise _FaultError("tls" if reset else "connect", error_text(error)) from None

    def _no_connection(self, seconds: float) -> tuple[ErrorKind, str]:
        """A server that speaks no TLS may wait for a request while the client waits for its handshake."""
        if self._tls is not None:
            return "tls", f"no connection with a handshake within {seconds:g} s"
        return "connect", f"no connection within {seconds:g} s"


class _Response:
    """What came so far."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[tuple[int, bytes]] = []
        self.size = 0
        self.heard = False


async def _exchanged(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: h11.Request, body: bytes, got: _Response
) -> None:
    """Send the request and read all of its response."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
    sent = [connection.send(request), connection.send(h11.Data(data=body)) if body else b""]
    writer.write(b"".join(filter(None, [*sent, connection.send(h11.EndOfMessage())])))
    # A server may refuse before it has read all: what it says is read even if the rest cannot be sent.
    stamp = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(_PIECE)
            stamp = time.monotonic_ns()
            if not data and not got.heard:
                raise _FaultError("reset", "the connection was closed without an answer")
            got.heard = True
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            got.status = event.status_code
            got.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            got.size += len(event.data)
            if got.size > MOST_BYTES:
                raise _FaultError("too-long", f"an answer of over {MOST_BYTES >> 20} MiB")
            got.pieces.append((stamp, bytes(event.data)))
        elif isinstance(event, h11.EndOfMessage):
            return
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            raise _FaultError("reset", "the connection was closed without an answer")
