"""What goes wrong on purpose goes wrong as it says, as often as it says; what clients do wrong does no harm."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mock_client import ask, connect, receive, request_bytes, sse_events

from infertui.mock.faults import FAULTS, HUGE_LINE_BYTES, FaultPlan
from infertui.mock.options import MockOptions
from infertui.mock.server import MockServer

BODY = {"messages": [{"role": "user", "content": "hello"}], "stream": True, "max_tokens": 4}
CHAT = "/v1/chat/completions"


@contextlib.contextmanager
def faulty(*faults: str, **more: Any) -> Iterator[MockServer]:
    with MockServer(MockOptions(ttft_s=0.004, itl_s=0.001, faults=faults, **more)) as server:
        yield server


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(("fault", "status"), [("rate-limited", 429), ("server-error", 500), ("overloaded", 503)])
def test_statuses(fault: str, status: int, streaming: bool) -> None:
    with faulty(fault) as server:
        got = ask(server.url, CHAT, BODY | {"stream": streaming})
        assert (got.status, got.whole) == (status, True)
        if status == 429:
            assert got.headers["retry-after"] == "1"
            assert got.json()["error"]["type"] == "RateLimitError"
        assert server.stats()["faults"] == {fault: 1}
        assert server.stats()["requests"] == 0


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("fault", ["reset", "cut", "refuse", "bad-chunk"])
def test_connections_that_break(fault: str, streaming: bool) -> None:
    with faulty(fault) as server:
        got = ask(server.url, CHAT, BODY | {"stream": streaming})
        assert not got.whole
        assert ("reset" in got.error.lower()) == (fault in ("reset", "refuse"))
        assert ask(server.url, "/mock/stats", method="GET").status == 200


def test_a_stall_leaves_the_connection_open_and_half_of_the_tokens() -> None:
    with faulty("stall") as server, connect(server.url) as sock:
        sock.sendall(request_bytes(CHAT, BODY))
        sock.settimeout(0.3)
        got = receive(sock)
        assert "Timeout" in got.error or "timed out" in got.error
        assert got.body.count(b'"content":" ') == 2
        assert server.stats()["outcomes"] == {"stall": 1}
        assert server.stats()["running"] == 0


def test_silence() -> None:
    with faulty("silent") as server, connect(server.url) as sock:
        sock.sendall(request_bytes(CHAT, BODY))
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_malformed_and_huge_lines() -> None:
    with faulty("malformed", "huge-line") as server:
        got = ask(server.url, CHAT, BODY)
        bad = []
        for _, text in sse_events(got.body):
            try:
                json.loads(text)
            except ValueError:
                bad.append(text)
        assert len(bad) == 2  # and [DONE]
        got = ask(server.url, CHAT, BODY)
        assert max(map(len, got.body.split(b"\n"))) > HUGE_LINE_BYTES
        assert got.whole
        got = ask(server.url, CHAT, BODY | {"stream": False})
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            got.json()
        assert len(ask(server.url, CHAT, BODY | {"stream": False}).body) > HUGE_LINE_BYTES


def test_drips_come_byte_by_byte_and_say_the_same() -> None:
    with faulty("drip") as server:
        got = ask(server.url, CHAT, BODY)
    assert got.whole
    assert [json.loads(text)["choices"][0]["delta"].get("content") for _, text in sse_events(got.body)[1:-2]] == [
        " this", " text", " is", " of",
    ]  # fmt: skip


def test_a_kept_connection_is_closed_without_a_word() -> None:
    with faulty("close-keep-alive") as server, connect(server.url) as sock:
        sock.sendall(request_bytes(CHAT, BODY))
        got = receive(sock)
        assert got.whole
        assert "connection" not in got.headers
        assert sock.recv(1) == b""


def test_informational_answers_come_first() -> None:
    with faulty("hundred") as server, connect(server.url) as sock:
        sock.sendall(request_bytes(CHAT, BODY | {"stream": False}))
        data = b""
        while b"usage" not in data:
            data += sock.recv(65_536)
    assert data.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n")
    assert b"HTTP/1.1 200 OK\r\n" in data


def test_every_third_request_and_faults_in_turn() -> None:
    plan = FaultPlan(("a", "b"), rate=1.0, every=3, seed=0)
    assert [plan.next() for _ in range(12)] == ["", "", "a", "", "", "b", "", "", "a", "", "", "b"]


@given(st.floats(0, 1), st.integers(0, 2**32))
def test_a_rate_is_kept_and_repeats_with_its_seed(rate: float, seed: int) -> None:
    first, again = (FaultPlan(("a",), rate=rate, every=0, seed=seed) for _ in range(2))
    found = [first.next() for _ in range(1000)]
    assert found == [again.next() for _ in range(1000)]
    # Six standard deviations of a binomial count.
    assert abs(found.count("a") - 1000 * rate) <= 6 * (1000 * rate * (1 - rate)) ** 0.5 + 1


def test_without_faults_there_are_none() -> None:
    assert FaultPlan((), rate=1.0, every=1, seed=0).next() == ""
    assert all(FAULTS.values())


def test_after_so_many_requests_nothing_listens() -> None:
    with faulty(stop_after=2) as server:
        assert ask(server.url, CHAT, BODY).whole
        assert ask(server.url, CHAT, BODY).whole
        for _ in range(100):
            try:
                connect(server.url).close()
            except ConnectionRefusedError:
                break
            time.sleep(0.01)
        else:
            raise AssertionError("it still listens")


# What clients do wrong.


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with MockServer(MockOptions(ttft_s=0.002, itl_s=0.001, read_timeout_s=0.4, idle_timeout_s=0.4)) as server:
        yield server.url


def raw(url: str, *parts: bytes) -> bytes:
    """All that the server says until it closes."""
    said = b""
    with connect(url) as sock:
        with contextlib.suppress(OSError):
            for part in parts:
                sock.sendall(part)
        with contextlib.suppress(ConnectionResetError):
            while data := sock.recv(65_536):
                said += data
    return said


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ((b"nonsense\r\n\r\n",), b"400"),
        ((b"\x16\x03\x01\x02\x00\x01\x00",), b"400"),
        ((b"GET / HTTP/1.1\r\nHost: m\r\nContent-Length: -1\r\n\r\n",), b"400"),
        ((b"POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",), b"400"),
        ((b"POST / HTTP/1.1\r\nHost: m\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",), b"400"),
        ((b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: m\r\n\r\n",), b"4"),
        ((b"GET / HTTP/1.1\r\n", *[b"X-Y: " + b"z" * 1000 + b"\r\n"] * 100), b"431"),
        ((b"GET / HTTP/1.1\r\nHost: m\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",), b"4"),
        ((b"POST /completion HTTP/1.1\r\nHost: m\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 100,), b""),
        ((b"POST /completion HTTP/1.1\r\nHo",), b""),
        ((b"",), b""),
    ],
)
def test_hostile_and_half_requests_end_the_connection(url: str, parts: tuple[bytes, ...], status: bytes) -> None:
    said = raw(url, *parts)
    assert said == b"" or said.startswith(b"HTTP/1.1 " + status), said[:200]
    assert ask(url, CHAT, BODY).whole


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_no_bytes_do_harm(url: str, data: bytes) -> None:
    with connect(url) as sock, contextlib.suppress(OSError):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65_536):
            pass
    assert ask(url, "/mock/stats", method="GET").status == 200


@given(st.lists(st.integers(1, 400), max_size=12))
@settings(max_examples=40, deadline=None)
def test_a_request_may_come_in_any_pieces(url: str, cuts: list[int]) -> None:
    data = request_bytes(CHAT, BODY | {"stream": False})
    places = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    with connect(url) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin, end in pairwise(places):
            sock.sendall(data[begin:end])
        assert receive(sock).json()["usage"]["completion_tokens"] == 4


def test_requests_in_a_row_are_answered_in_order(url: str) -> None:
    ask_one = request_bytes("/completion", {"prompt": "x", "n_predict": 1})
    ask_two = request_bytes("/completion", {"prompt": "x", "n_predict": 2})
    with connect(url) as sock:
        sock.sendall(ask_one + ask_two + request_bytes("/health", method="GET"))
        data = b""
        while data.count(b"HTTP/1.1 200 OK") < 3:
            data += sock.recv(65_536)
    assert data.index(b'"tokens_predicted":1') < data.index(b'"tokens_predicted":2')


def test_chunked_bodies_expectations_and_old_clients(url: str) -> None:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    connection.request("POST", "/completion", iter([b'{"prompt":', b'"x","n_predict":1}']), encode_chunked=True)
    assert json.load(connection.getresponse())["tokens_predicted"] == 1
    connection.close()
    body = b'{"prompt":"x","n_predict":1,"stream":true}'
    with connect(url) as sock:
        sock.sendall(
            b"POST /completion HTTP/1.1\r\nHost: m\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert receive(sock).whole
    said = raw(url, b"POST /completion HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert b"transfer-encoding" not in said
    assert said.endswith(b"}\n\n")


def test_a_client_that_leaves_frees_its_place() -> None:
    with MockServer(MockOptions(ttft_s=0.02, itl_s=5, slots=1)) as server:
        first = connect(server.url)
        first.sendall(request_bytes(CHAT, BODY))
        while server.stats()["running"] == 0:
            pass
        waiting = connect(server.url)
        waiting.sendall(request_bytes(CHAT, BODY))
        while server.stats()["waiting"] == 0:
            pass
        waiting.close()
        while server.stats()["waiting"]:
            pass
        first.close()
        while server.stats()["running"]:
            pass
        assert server.stats()["outcomes"] == {"aborted": 2}
        assert ask(server.url, CHAT, BODY | {"max_tokens": 1}).whole


def test_a_client_that_does_not_read_costs_bounded_memory() -> None:
    """What it does not read waits in the connection's buffer, and beyond a bound the connection is dropped."""
    with MockServer(MockOptions(ttft_s=0, itl_s=0)) as server, connect(server.url) as sock:
        sock.sendall(
            request_bytes("/generate", {"text": "x", "stream": True, "sampling_params": {"max_new_tokens": 9000}})
        )
        for _ in range(2000):
            if server.stats()["outcomes"]:
                break
            time.sleep(0.01)
        assert server.stats()["outcomes"] == {"aborted": 1}
        assert server.stats()["bytes"] < 100_000_000
