"""One connection to the server: a request's bytes go out at once, and what comes is stamped before it is looked at."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from infertui.load.plan import PlannedRequest
from infertui.targets.endpoint.dialect import ChatMessage, ErrorKind

MOST_BYTES = 64 << 20
"""Of one answer, with what its pieces take beside their text."""
MOST_HEAD = 1 << 20
_PIECE = 136
_now = time.monotonic_ns
_FIRST_FINAL = 200
_FRESH_NS = 500_000_000


class InFlight:
    """A request under way, and what came of it. Stamps are monotonic nanoseconds; `sent_ns` 0: it was not sent yet.

    For `connect_ns` in all it was due and had no connection; `waits_from_ns` is since when, where it has none now.
    """

    __slots__ = (
        "body",
        "broken",
        "connect_ns",
        "due_ns",
        "end_ns",
        "first_byte_ns",
        "headers",
        "message",
        "messages",
        "planned",
        "retried",
        "sent_ns",
        "status",
        "waits_from_ns",
        "whole",
        "wire",
    )

    def __init__(self, planned: PlannedRequest, wire: bytes, messages: tuple[ChatMessage, ...], due_ns: int) -> None:
        self.planned = planned
        self.wire = wire
        self.messages = messages
        self.due_ns = due_ns
        self.sent_ns = 0
        self.end_ns = 0
        self.first_byte_ns: int | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body: list[tuple[int, bytes]] = []
        self.whole = False
        self.broken: ErrorKind = ""
        self.message = ""
        self.retried = False
        self.connect_ns = 0
        self.waits_from_ns = 0

    def connected(self, at_ns: int) -> None:
        """It has a connection, or gets none any more."""
        if self.waits_from_ns:
            self.connect_ns += max(0, at_ns - max(self.waits_from_ns, self.due_ns))
            self.waits_from_ns = 0


class Owner(Protocol):
    """Whom a connection tells."""

    def ended(self, connection: "ServerConnection | None", flight: InFlight) -> None:
        """A flight is over. The connection can take another; None: it is gone, or will not be used again."""
        ...

    def closed_unused(self, connection: "ServerConnection", flight: InFlight | None) -> None:
        """The server closed a kept connection: while nobody used it, or as a request reached it."""
        ...


class ServerConnection(asyncio.Protocol):
    """HTTP/1.1 on one transport, one flight after the other. It never raises into the loop."""

    def __init__(self, owner: Owner) -> None:
        self.flight: InFlight | None = None
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._descriptor = -1
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._feed: Callable[[bytes], None] = self._parser.feed_data
        self._body: list[tuple[int, bytes]] = []
        self._headers: dict[str, str] = {}
        self._stamp = 0
        self._first_ns: int | None = None
        self._head = True
        self._head_room = MOST_HEAD
        self._room = MOST_BYTES
        self._kept_from_ns = 0
        self._kept = False
        self._interim = False
        self._complete = False
        """The parser has seen the end of the answer."""
        self._used_up = False
        """It is not to be used again."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)
        self._kept_from_ns = _now() + _FRESH_NS
        if transport.get_extra_info("sslcontext") is None:
            self._descriptor = transport.get_extra_info("socket").fileno()

    @property
    def alive(self) -> bool:
        """Whether a request can be sent here."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, flight: InFlight) -> None:
        """Send a request. Nothing else may be under way here."""
        transport = self._transport
        if transport is None:
            raise RuntimeError("a connection that is closed was given a request")
        self.flight = flight
        self._body = flight.body
        self._head = True
        self._head_room = MOST_HEAD
        self._room = MOST_BYTES
        self._first_ns = None
        flight.sent_ns = now = _now()
        self._kept = now > self._kept_from_ns
        written = 0
        if self._descriptor >= 0 and not transport.is_closing():
            # The transport would wait until the loop has been through everything that came.
            try:
                written = os.write(self._descriptor, flight.wire)
            except OSError:
                written = 0
        if written < len(flight.wire):
            transport.write(flight.wire[written:] if written else flight.wire)

    def break_off(self, kind: ErrorKind, message: str) -> None:
        """End what is under way, from this side."""
        self._stamp = _now()
        self._break(kind, message)

    def abandon(self) -> None:
        """Close at once, and tell nobody."""
        self.flight = None
        self._body = []
        if self._transport is not None:
            self._transport.abort()

    # What the loop calls.

    def data_received(self, data: bytes) -> None:
        self._stamp = _now()
        if self._head:
            self._head_room -= len(data)
            if self._head_room < 0:
                return self._break("malformed", f"headers of more than {MOST_HEAD >> 20} MiB")
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade:
            self._break("malformed", "the server changed to another protocol")
        except httptools.HttpParserError as error:
            if self._complete:
                self._used_up = True
            else:
                self._break("malformed", f"not an answer in HTTP/1.1: {error}")
        if self._complete:
            self._end()
        return None

    def connection_lost(self, error: Exception | None) -> None:
        flight, self.flight = self.flight, None
        told = self._parser is None
        self._transport = None
        self._release()
        if flight is None:
            if not told:
                self._owner.closed_unused(self, None)
            return
        self._stamp = _now()
        if (self._first_ns is None and error is None) or (
            isinstance(error, ConnectionError) and self._first_ns is None
        ):
            if self._kept and not flight.retried:
                self._owner.closed_unused(self, flight)
                return
            flight.broken, flight.message = "reset", "the server closed the connection and had not answered"
        elif self._head:
            flight.broken, flight.message = "cut-off", "the answer ended within its headers"
        elif error is not None:
            flight.broken, flight.message = "reset", f"the connection broke: {error}"
        elif "content-length" in self._headers or "transfer-encoding" in self._headers:
            flight.broken, flight.message = "cut-off", "the answer ended before its length or its last chunk"
        else:
            flight.whole = True
        self._finish(flight)
        self._owner.ended(None, flight)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.flight is None:  # nobody asked for it
            self.abandon()
            return
        if self._complete:
            self._used_up = True
            return
        self._first_ns = self._stamp
        self._headers = {}
        self._head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        before = self._headers.get(key)
        self._headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        if self._parser is None or self.flight is None or self._complete:
            return
        status = self._parser.get_status_code()
        self._interim = status < _FIRST_FINAL
        if not self._interim:
            self.flight.status = status
            self._head = False

    def on_body(self, body: bytes) -> None:
        self._body.append((self._stamp, body))
        self._room -= len(body) + _PIECE
        if self._room < 0:
            self._break("too-long", f"an answer of more than {MOST_BYTES >> 20} MiB")

    def on_message_complete(self) -> None:
        parser = self._parser
        if not self._interim and self.flight is not None and parser is not None:
            self._complete = self.flight.whole = True
            self._finish(self.flight)
            self._used_up = self._used_up or not parser.should_keep_alive()

    def _end(self) -> None:
        """The answer is whole, and what came with it was looked at."""
        self._complete = False
        flight, transport = self.flight, self._transport
        self.flight = None
        if flight is None or transport is None:
            return
        self._kept_from_ns = 0
        if self._used_up or transport.get_write_buffer_size() or transport.is_closing():
            self._release()
            transport.close()
            self._owner.ended(None, flight)
        else:
            self._owner.ended(self, flight)

    def _finish(self, flight: InFlight) -> None:
        flight.end_ns = self._stamp
        flight.first_byte_ns = self._first_ns
        flight.headers, self._headers = self._headers, {}
        self._body = []

    def _break(self, kind: ErrorKind, message: str) -> None:
        flight, transport = self.flight, self._transport
        self.flight = None
        self._release()
        if transport is not None:
            transport.abort()
        if flight is not None:
            flight.broken, flight.message = kind, message
            self._finish(flight)
            self._owner.ended(None, flight)

    def _release(self) -> None:
        """Not to be told of its end: whoever owns it knows. The parser and this hold each other."""
        self._parser = None
        self._feed = _ignore
        self._body = []


def _ignore(_data: object) -> None:
    return
