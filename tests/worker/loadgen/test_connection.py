"""HTTP as it comes: whichever way an answer is cut into pieces, it is the same, stamped by the piece."""

import asyncio
import gzip
import itertools
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.raw_servers import HEAD, chunk, ending, token, whole

from infertui.load.plan import PlannedRequest
from infertui.targets.endpoint.coding import unpacked
from infertui.worker.loadgen import connection
from infertui.worker.loadgen.connection import InFlight, ServerConnection

BODY = token("hello") + token(" you") + ending(2)
CHUNKED = HEAD + whole("hello", " you")
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
TRAILERS = HEAD + chunk(BODY) + b"0\r\nX-Count: 2\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        super().__init__({"sslcontext": True})
        self.written = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


class Told:
    """What a connection told its owner."""

    def __init__(self) -> None:
        self.ended_: list[tuple[bool, InFlight]] = []
        self.unused = 0

    def ended(self, kept: ServerConnection | None, flight: InFlight) -> None:
        self.ended_.append((kept is not None, flight))

    def closed_unused(self, _connection: ServerConnection, _flight: InFlight | None) -> None:
        self.unused += 1


def opened() -> tuple[ServerConnection, Wire, Told]:
    told, wire = Told(), Wire()
    made = ServerConnection(told)
    made.connection_made(wire)
    return made, wire, told


def asked() -> InFlight:
    return InFlight(PlannedRequest(0, "hi"), b"POST / HTTP/1.1\r\n\r\n", (), 0)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [piece for begin, end in itertools.pairwise(marks) if (piece := data[begin:end])]


@given(st.sampled_from([CHUNKED, SIZED, INTERIM + CHUNKED, INTERIM + SIZED, TRAILERS]), st.lists(st.integers(0, 10**6)))
def test_an_answer_is_the_same_however_it_is_cut(data: bytes, places: list[int]) -> None:
    made, wire, told = opened()
    made.send(asked())
    for piece in cut(data, places):
        assert not told.ended_
        made.data_received(piece)
    assert wire.written == b"POST / HTTP/1.1\r\n\r\n"
    [(kept, flight)] = told.ended_
    assert kept
    assert flight.whole
    assert not flight.broken
    assert flight.status == 200
    assert b"".join(piece for _, piece in flight.body) == BODY
    stamps = [stamp for stamp, _ in flight.body]
    assert stamps == sorted(stamps)
    assert flight.first_byte_ns is not None
    assert flight.sent_ns <= flight.first_byte_ns <= stamps[0] <= stamps[-1] <= flight.end_ns


@given(st.integers(0, len(CHUNKED) - 1), st.booleans())
def test_an_answer_that_ends_early_has_failed(length: int, broken: bool) -> None:
    made, _, told = opened()
    made.send(asked())
    if length:
        made.data_received(CHUNKED[:length])
    made.connection_lost(ConnectionResetError("reset by peer") if broken else None)
    [(kept, flight)] = told.ended_
    assert not kept
    assert not flight.whole
    expected = {"reset"} if length == 0 else {"reset", "cut-off"} if broken else {"cut-off"}
    assert flight.broken in expected
    assert flight.message


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_bytes_of_any_kind_end_in_a_class_and_never_raise(data: bytes, places: list[int]) -> None:
    made, _, told = opened()
    made.send(asked())
    for piece in cut(data, places):
        made.data_received(piece)
    made.connection_lost(None)
    assert len(told.ended_) == 1


def test_a_body_without_length_ends_with_the_connection() -> None:
    made, _, told = opened()
    made.send(asked())
    made.data_received(b"HTTP/1.1 200 OK\r\n\r\nhello")
    made.data_received(b" you")
    made.connection_lost(None)
    [(kept, flight)] = told.ended_
    assert not kept
    assert flight.whole
    assert [piece for _, piece in flight.body] == [b"hello", b" you"]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
def test_a_connection_that_the_server_will_close_is_not_used_again(data: bytes) -> None:
    made, wire, told = opened()
    made.send(asked())
    made.data_received(data)
    assert [kept for kept, _ in told.ended_] == [False]
    assert wire.closed
    made.connection_lost(None)
    assert told.unused == 0


def test_one_connection_takes_request_after_request() -> None:
    made, _, told = opened()
    for number in range(3):
        made.send(asked())
        made.data_received(CHUNKED if number % 2 else SIZED)
    assert [kept for kept, _ in told.ended_] == [True] * 3
    assert {b"".join(piece for _, piece in flight.body) for _, flight in told.ended_} == {BODY}


def test_what_nobody_asked_for_closes_the_connection() -> None:
    made, wire, told = opened()
    made.send(asked())
    made.data_received(CHUNKED)
    made.data_received(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
    assert wire.closed
    made.connection_lost(None)
    assert len(told.ended_) == 1


def test_an_answer_behind_the_answer_is_not_taken_for_the_next() -> None:
    made, wire, told = opened()
    made.send(asked())
    made.data_received(SIZED + SIZED)
    assert [kept for kept, _ in told.ended_] == [False]
    assert wire.closed


def test_no_answer_takes_more_than_its_share_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_BYTES", 100_000)
    made, wire, told = opened()
    made.send(asked())
    made.data_received(HEAD)
    for _ in range(2000):
        made.data_received(chunk(b"x"))
    assert [flight.broken for _, flight in told.ended_] == ["too-long"]
    assert wire.closed


def test_headers_without_end_are_given_up() -> None:
    made, _, told = opened()
    made.send(asked())
    made.data_received(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        made.data_received(b"x-header-%d: %b\r\n" % (number, b"y" * 100))
        if told.ended_:
            break
    assert [flight.broken for _, flight in told.ended_] == ["malformed"]


def test_large_headers_are_none_of_it() -> None:
    made, _, told = opened()
    made.send(asked())
    made.data_received(HEAD[:-2] + b"set-cookie: %b\r\n\r\n" % (b"z" * 60_000) + whole("hi"))
    assert [flight.broken for _, flight in told.ended_] == [""]


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@given(
    st.binary(max_size=300),
    st.sampled_from([("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", deflated)]),
    st.lists(st.integers(0, 1000)),
)
def test_a_packed_body_is_unpacked_however_it_is_cut(text: bytes, coding: Any, places: list[int]) -> None:
    name, pack = coding
    pieces = list(enumerate(cut(pack(text), places)))
    found = unpacked(pieces, name, most_bytes=1 << 23)
    assert b"".join(piece for _, piece in found) == text
    assert [stamp for stamp, _ in found] == sorted(stamp for stamp, _ in found)


def test_a_small_body_that_unpacks_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1 MiB"):
        unpacked([(1, gzip.compress(bytes(16 << 20)))], "gzip", most_bytes=1 << 20)
