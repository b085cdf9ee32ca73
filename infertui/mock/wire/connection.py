"""One connection: HTTP/1.1 requests read within bounds, answers written without delay."""

import asyncio
import os
import socket
import struct
from collections import deque
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, cast

import httptools

from infertui.mock.answers.asked import AskedWronglyError, MockRequest
from infertui.mock.answers.base import error_body
from infertui.mock.reply import Reply
from infertui.mock.wire.framing import Framing
from infertui.mock.wire.pages import MockPage
from infertui.mock.wire.routes import MockRoute, find

if TYPE_CHECKING:
    from infertui.mock.server import MockHost

HEAD_LIMIT = 65_536
BODY_LIMIT = 16 * 1024 * 1024
BACKLOG_LIMIT = 64 * 1024 * 1024
_PIPELINED = 16
_REASONS = {
    200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found", 405: b"Method Not Allowed",
    408: b"Request Timeout", 413: b"Content Too Large", 422: b"Unprocessable Entity",
    424: b"Failed Dependency", 429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error", 503: b"Service Unavailable",
}  # fmt: skip
_LINGER_NOTHING = struct.pack("ii", 1, 0)


class _Message:
    """A request as it is read."""

    __slots__ = ("body", "expects", "gzip", "headers_size", "keep", "key", "method", "name", "old", "url")

    def __init__(self) -> None:
        self.url = b""
        self.body: list[bytes] = []
        self.headers_size = 0
        self.expects = self.gzip = self.old = False
        self.keep = True
        self.key = self.name = self.method = ""


class Connection(asyncio.Protocol):
    """Requests of one connection are answered in turn."""

    def __init__(self, host: "MockHost") -> None:
        self._host, self._serving = host, host.serving
        self._transport: asyncio.Transport | None = None
        self._fd = -1
        self._parser = httptools.HttpRequestParser(self)
        self._message = _Message()
        self._reading_head = True
        self._head_bytes = self._body_bytes = 0
        self._ready: deque[_Message] = deque()
        self._reply: Reply | None = None
        self._keep = True
        self._held = self._behind = False
        self.since_ns = monotonic_ns()
        self._in_request = False
        self._round_ns = self.since_ns

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of its subclasses
        if not self._host.options.secure:
            self._fd = transport.get_extra_info("socket").fileno()
        self._host.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fd = -1
        self._transport = None
        self._host.closed(self)
        self._ready.clear()
        if self._reply is not None:
            self._reply.abandon()
            self._reply = None

    def eof_received(self) -> bool:
        # A client that closes has gone, as for the servers that this stands for.
        return False

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._held:
            return
        self._round_ns = self._host.deadlines.rounds.began_ns()
        if not self._in_request:
            self._in_request, self.since_ns = True, self._round_ns
        if self._reading_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "no upgrades here")
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(*(cause.args if isinstance(cause, _RefusedError) else (400, "not understood")))
        except httptools.HttpParserError:
            self._refuse(400, "no HTTP/1.1 request")
        else:
            if self._reading_head and self._head_bytes > HEAD_LIMIT:
                self._refuse(431, f"more than {HEAD_LIMIT} bytes of headers")
        self._answer_next()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._message = _Message()
        self._reading_head = True
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._message.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        message = self._message
        message.headers_size += len(name) + len(value)
        if message.headers_size > HEAD_LIMIT:
            raise _RefusedError(431, f"more than {HEAD_LIMIT} bytes of headers")
        word = name.lower()
        if word == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            message.key = key.strip() if scheme.lower() == "bearer" else ""
        elif word == b"x-api-key":
            message.key = message.key or value.decode("latin-1")
        elif word == b"x-request-id":
            message.name = value[:200].decode("latin-1")
        elif word == b"accept-encoding":
            message.gzip = b"gzip" in value.lower()
        elif word == b"expect":
            message.expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        message = self._message
        self._reading_head = False
        self._head_bytes = 0
        message.method = self._parser.get_method().decode("latin-1")
        message.old = self._parser.get_http_version() == "1.0"
        message.keep = self._parser.should_keep_alive()
        if message.expects and not self._ready and self._reply is None:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > BODY_LIMIT:
            raise _RefusedError(413, f"more than {BODY_LIMIT} bytes of body")
        self._message.body.append(body)

    def on_message_complete(self) -> None:
        self._reading_head, self._in_request = True, False
        self.since_ns = self._round_ns
        if len(self._ready) >= _PIPELINED:
            raise _RefusedError(400, f"more than {_PIPELINED} requests at once")
        self._ready.append(self._message)

    # Answers.

    def send(self, data: bytes) -> None:
        """Write now, past the loop's buffer where that is empty."""
        if self._behind and self._transport is not None:
            self._behind = self._transport.get_write_buffer_size() > 0
        if self._fd >= 0 and not self._behind:
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop()
                return
            if sent == len(data):
                return
            data = data[sent:]
        if (transport := self._transport) is not None:
            transport.write(data)
            waiting = transport.get_write_buffer_size()
            self._behind = waiting > 0
            if waiting > BACKLOG_LIMIT:
                self._drop()

    def answered(self, ending: str) -> None:
        self._reply = None
        self.since_ns = monotonic_ns()
        if ending == "stall":
            self._held = True
        elif ending == "reset":
            self.reset()
        elif ending in ("cut", "close") or not self._keep:
            self.close()
        else:
            self._host.loop.call_soon(self._answer_next)

    def close(self) -> None:
        """Close it once what was written is out."""
        if self._transport is not None and not self._transport.is_closing():
            self._fd = -1
            self._transport.close()

    def reset(self) -> None:
        """Close it with RST."""
        if self._transport is not None:
            sock: Any = self._transport.get_extra_info("socket")
            if self._host.options.uds == "" and sock is not None:
                with socket.socket(fileno=os.dup(sock.fileno())) as own:
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOTHING)
            self._drop()

    def overdue(self, now_ns: int) -> bool:
        """Whether it waits for its client for too long."""
        if self._reply is not None:
            return False
        options = self._host.options
        limit_s = options.read_timeout_s if self._in_request else options.idle_timeout_s
        return now_ns - self.since_ns > limit_s * 1e9

    @property
    def busy(self) -> bool:
        """Whether an answer is under way."""
        return self._reply is not None

    def _drop(self) -> None:
        self._fd = -1
        if self._transport is not None:
            self._transport.abort()
        if self._reply is not None:
            reply, self._reply = self._reply, None
            reply.abandon()

    def _refuse(self, status: int, message: str) -> None:
        self._ready.clear()
        self._keep = False
        self._held = True
        if self._reply is None:
            self._error("openai-chat", status, message)
        else:
            self._drop()

    def _answer_next(self) -> None:
        while self._ready and self._reply is None and self._transport is not None and not self._transport.is_closing():
            message = self._ready.popleft()
            self._keep = message.keep
            route = find(message.method, message.url, self._host.options.family)
            if isinstance(route, MockRoute):
                self._generate(route, message)
            else:
                self._page(
                    self._host.pages.answer(route, message.method, message.url, message.key, b"".join(message.body)),
                    head=message.method == "HEAD",
                )

    def _page(self, page: MockPage, *, head: bool = False) -> None:
        more = b"".join(b"%b: %b\r\n" % pair for pair in page.headers)
        self.send(
            b"HTTP/1.1 %d %b\r\nserver: infertui-mock\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b%b\r\n%b"
            % (
                page.status, _REASONS.get(page.status, b"Error"), page.media, len(page.body), more,
                b"" if self._keep else b"connection: close\r\n", b"" if head else page.body,
            )
        )  # fmt: skip
        if not self._keep:
            self.close()

    def _error(self, dialect: str, status: int, message: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        # TGI has statuses of its own for what it cannot read, and for what fails.
        told = {400: 422, 500: 424}.get(status, status) if dialect == "tgi" else status
        self._page(MockPage(told, error_body(dialect, status, message), headers=headers))

    def _generate(self, route: MockRoute, message: _Message) -> None:
        host, options, arrived_ns = self._host, self._host.options, self.since_ns
        body = b"".join(message.body)
        if options.api_key and message.key != options.api_key:
            self._error(route.dialect, 401, "Invalid API key")
            return
        try:
            dialect = route.told_by(body)
            asked = host.read(dialect, body, streaming=route.streaming)
        except AskedWronglyError as error:
            self._error(route.dialect, error.status, str(error))
            return
        fault = self._serving.faults.next()
        if fault:
            host.tallies.faults[fault] = host.tallies.faults.get(fault, 0) + 1
        if not self._failed(fault, dialect):
            self._start(asked, message, fault, arrived_ns)
        host.counted()

    def _failed(self, fault: str, dialect: str) -> bool:
        """Whether the fault leaves nothing to answer."""
        if fault == "rate-limited":
            self._error(dialect, 429, "mock: rate limited on purpose", headers=((b"retry-after", b"1"),))
        elif fault == "server-error":
            self._error(dialect, 500, "mock: failed on purpose")
        elif fault == "overloaded":
            self._page(
                MockPage(503, b"<html><body><h1>503 mock: overloaded on purpose</h1></body></html>", media=b"text/html")
            )
        elif fault == "silent":
            self._held = True
        elif fault == "refuse":
            self.reset()
        else:
            if fault == "hundred":
                self.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </mock>\r\n\r\n")
            return False
        return True

    def _start(self, asked: MockRequest, message: _Message, fault: str, arrived_ns: int) -> None:
        serving, worn = self._serving, self._serving.worn
        reply = serving.reply(self, asked, arrived_ns=arrived_ns, fault=fault, name=message.name)
        self._reply = reply
        way = "chunked" if asked.streaming or "chunked" in worn or fault == "bad-chunk" else "length"
        if "content-length" in worn:
            way = "length"
        if "connection-close" in worn or (message.old and way == "chunked"):
            way, self._keep = "close", False
        packed = "gzip" in worn and message.gzip
        reply.answer = answer = serving.answer_of(reply)
        media = answer.media if asked.streaming else b"application/json"
        head = b"HTTP/1.1 200 OK\r\nserver: infertui-mock\r\ncontent-type: %b\r\n%b%b%b\r\n" % (
            media,
            b"content-encoding: gzip\r\n" if packed else b"",
            b"transfer-encoding: chunked\r\n" if way == "chunked" else b"",
            b"" if self._keep else b"connection: close\r\n",
        )
        late = way == "length" or "late-headers" in worn or not asked.streaming
        reply.framing = Framing(
            way=way,
            head=head if late else b"",
            gzip=packed,
            byte_by_byte="chunk-a-byte" in worn,
            bad=(2 if asked.streaming else 1) if fault == "bad-chunk" else 0,
            unfinished=fault in ("stall", "reset", "cut") or ("cut-stream" in worn and asked.streaming),
        )
        if not late:
            self.send(head)
        if not reply.over:
            serving.floor.arrive(reply, arrived_ns)


class _RefusedError(Exception):
    """A request beyond what is accepted: status and message."""
