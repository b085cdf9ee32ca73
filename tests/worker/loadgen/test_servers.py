"""What a server does to an answer, and the class in which its request ends: faults and dressings of the mock."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.loads import Told, load, part_command
from support.raw_servers import Asking, RawServer, raw_server, say_hello
from support.scripted_server import Scripted, scripted
from support.workers import play

from infertui.mock.options import MockOptions
from infertui.mock.server import MockServer
from infertui.worker.loadgen.protocol import PreparePart

KEY = "sk-of-nobody-0001"


def quick(**options: Any) -> MockOptions:
    return MockOptions(ttft_s=0.004, itl_s=0.001, **options)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("rate-limited", "rate-limited"),
        ("server-error", "http"),
        ("overloaded", "http"),
        ("stall", "timeout"),
        ("silent", "timeout"),
        ("reset", "reset"),
        ("cut", "cut-off"),
        ("malformed", "malformed"),
        ("bad-chunk", "malformed"),
        ("drip", ""),
        ("huge-line", ""),
        ("close-keep-alive", ""),
        ("hundred", ""),
    ],
)
def test_each_fault_ends_in_its_class(tmp_path: Path, fault: str, kind: str) -> None:
    with MockServer(quick(faults=(fault,), fault_every=2)) as server:
        command = part_command(server.url, count=8, concurrency=1, target={"request_timeout_s": 0.5})
        told = play(load(tmp_path, command))
    assert sorted(told.kinds) == sorted([""] * 4 + [kind] * 4)
    assert all(bool(request.error) == bool(request.error_kind) for request in told.requests)
    ended = told.snapshots[-1]
    assert (ended.sent, ended.done, ended.failed) == (8, told.kinds.count(""), 8 - told.kinds.count(""))


def test_a_connection_that_breaks_before_an_answer_is_tried_anew_once(tmp_path: Path) -> None:
    with MockServer(quick(faults=("refuse",), fault_every=2)) as server:
        told = play(load(tmp_path, part_command(server.url, count=8, concurrency=1)))
    assert told.kinds == [""] * 8
    assert told.done[0].meter.retried == 7  # every second that the server saw, of 8 + 7
    with MockServer(quick(faults=("refuse",))) as server:
        told = play(load(tmp_path, part_command(server.url, count=3, concurrency=1)))
    assert told.kinds == ["reset"] * 3


@pytest.mark.parametrize(
    ("dressing", "kind"),
    [
        ("plain", ""),
        ("split-segments", ""),
        ("joined-events", ""),
        ("gzip", ""),
        ("late-headers", ""),
        ("content-length", ""),
        ("connection-close", ""),
        ("chunk-a-byte", ""),
        ("ping-comments", ""),
        ("unicode", ""),
        ("error-in-stream", "in-stream"),
        ("cut-stream", "cut-off"),
        ("no-finish", "no-finish"),
    ],
)
def test_each_dressing_comes_to_the_same(tmp_path: Path, dressing: str, kind: str) -> None:
    with MockServer(quick(dressings=(dressing,))) as server:
        told = play(load(tmp_path, part_command(server.url, count=6, concurrency=2)))
        stats = server.stats()
    assert told.kinds == [kind] * 6
    if not kind:
        assert [request.tokens for request in told.requests] == [6] * 6
    assert stats["requests"] == 6


def test_an_answer_that_does_not_stream(tmp_path: Path) -> None:
    with MockServer(quick()) as server:
        command = part_command(server.url, count=3, concurrency=1, target={"streaming": False})
        told = play(load(tmp_path, command))
    assert [(request.error_kind, request.tokens, request.first_ns) for request in told.requests] == [("", 6, None)] * 3


def secure(server: MockServer, **target: Any) -> PreparePart:
    return part_command(server.url, count=2, concurrency=1, target=target)


@pytest.mark.parametrize("dressing", ["plain", "split-segments", "joined-events"])
def test_snapshots_tell_tokens_in_however_many_pieces_they_came(tmp_path: Path, dressing: str) -> None:
    with MockServer(quick(dressings=(dressing,))) as server:
        told = play(load(tmp_path, part_command(server.url, count=6, concurrency=2)))
    assert told.snapshots[-1].tokens == sum(request.tokens for request in told.requests) == 36


def test_a_key_that_the_server_repeats_is_in_no_line(tmp_path: Path) -> None:
    async def run() -> Told:
        refusal = Scripted(401, {"error": {"message": f"no such key: Bearer {KEY}"}})
        async with scripted({"/v1/chat/completions": refusal}) as (url, heard):
            told = await load(tmp_path, part_command(url, count=2, concurrency=1), key=KEY)
            assert {one.headers["authorization"] for one in heard} == {f"Bearer {KEY}"}
        return told

    told = play(run())
    assert told.kinds == ["http"] * 2
    assert all("no such key" in request.error for request in told.requests)
    assert KEY not in repr(told)


def test_a_server_behind_tls(tmp_path: Path) -> None:
    with MockServer(quick(tls=True)) as server:
        assert server.url.startswith("https://")
        assert play(load(tmp_path, secure(server, ca_file=server.ca_file))).kinds == ["", ""]
        assert play(load(tmp_path, secure(server, insecure=True))).kinds == ["", ""]
        distrusted = play(load(tmp_path, secure(server)))
    assert distrusted.kinds == ["tls", "tls"]
    assert "certificate" in distrusted.requests[0].error.lower()


@pytest.mark.parametrize("place", ["unix", "::1", "127.0.0.1"])
def test_a_server_at_a_socket_or_either_loopback(tmp_path: Path, place: str) -> None:
    at = {"uds": str(tmp_path / "mock.sock")} if place == "unix" else {"host": place}
    with MockServer(quick(**at)) as server:
        assert play(load(tmp_path, part_command(server.url, count=4, concurrency=2))).kinds == [""] * 4


def test_a_server_that_hangs_up_unsaid_makes_no_client_late(tmp_path: Path) -> None:
    """It closes each connection a moment after its answer, as a request comes that it will never see."""

    async def closed_soon(asking: Asking, writer: asyncio.StreamWriter) -> None:
        await say_hello(asking, writer)
        await writer.drain()
        asyncio.get_running_loop().call_later(0.001, writer.transport.abort)
        await asyncio.sleep(0.01)  # what comes meanwhile is not read

    async def scenario() -> tuple[Told, RawServer]:
        async with raw_server(closed_soon) as server:
            return await load(tmp_path, part_command(server.url, count=20, concurrency=1)), server

    told, server = asyncio.run(scenario())
    assert told.kinds == [""] * 20
    meter = told.done[0].meter
    assert meter.retried >= 15
    again = [one for one in told.requests if one.connect_ns]
    assert len(again) >= meter.retried
    for one in again:
        assert one.connect_ns is not None
        assert one.sent_ns - one.due_ns >= one.connect_ns
    assert server.connections == meter.connections
    waited = [(one.sent_ns - one.due_ns, one.connect_ns or 0) for one in again]
    assert sum(whole - connect for whole, connect in waited) < sum(connect for _, connect in waited)
