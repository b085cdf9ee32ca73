"""What happens while a load runs: other levels, its end, its server's end."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.loads import Told, clients, listen, load, part_command
from support.raw_servers import END, HEAD, Asking, RawServer, chunk, ending, raw_server, say_hello, token
from support.workers import play

from infertui.errors import ConfigError
from infertui.worker.failure import WorkerError
from infertui.worker.loadgen.clients import LoadClients
from infertui.worker.loadgen.protocol import AdjustLoad


class Gate:
    """Answers wait until it is opened, and then only for so many."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(0)

    def let(self, number: int = 1000) -> None:
        for _ in range(number):
            self._free.release()

    async def answer(self, asking: Asking, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(token("one")))
        await self._free.acquire()
        await say_rest(writer)


async def say_rest(writer: asyncio.StreamWriter) -> None:
    writer.write(chunk(token(" two")) + chunk(ending(2)) + END)


@asynccontextmanager
async def running(
    tmp_path: Path, gate: Gate, *, parts: int = 1, **load: Any
) -> AsyncIterator[tuple[RawServer, LoadClients, Told]]:
    """A load without end against answers that wait at a gate; what is told is gathered meanwhile."""
    told = Told()
    async with raw_server(gate.answer) as server, clients(tmp_path, parts=parts) as spawned:
        await spawned.prepare(part_command(server.url, **load))
        await spawned.start()
        listening = asyncio.create_task(listen(spawned, told))
        try:
            yield server, spawned, told
            await listening
        finally:
            listening.cancel()


def test_as_many_are_in_flight_as_were_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        gate = Gate()
        async with running(tmp_path, gate, parts=2, concurrency=7) as (server, spawned, told):
            await server.until(lambda: server.in_flight == 7)
            gate.let(20)
            await server.until(lambda: len(server.asked) == 27 and server.in_flight == 7)
            await spawned.stop(drain=True)
            gate.let()
        assert server.peak == 7
        assert told.kinds == [""] * len(server.asked)
        assert {done.why for done in told.done} == {"stop"}

    play(scenario())


def test_more_begin_at_once_and_fewer_are_not_followed(tmp_path: Path) -> None:
    async def scenario() -> None:
        gate = Gate()
        async with running(tmp_path, gate, parts=2, concurrency=3) as (server, spawned, told):
            await server.until(lambda: server.in_flight == 3)
            await spawned.adjust(AdjustLoad(concurrency=8, spread_s=0.01))
            await server.until(lambda: server.in_flight == 8)
            await spawned.adjust(AdjustLoad(concurrency=2))
            await told.until(lambda: len(told.adjusted) == 4)
            asked = len(server.asked)
            gate.let(6)
            await server.until(lambda: server.in_flight == 2)
            assert len(server.asked) == asked
            gate.let(1)
            await server.until(lambda: len(server.asked) == asked + 1 and server.in_flight == 2)
            await spawned.stop(drain=True)
            gate.let()
        assert server.peak == 8
        assert told.kinds == [""] * len(server.asked)

    play(scenario())


def test_what_is_aborted_is_no_failure_of_the_server(tmp_path: Path) -> None:
    async def scenario() -> None:
        gate = Gate()
        async with running(tmp_path, gate, concurrency=4) as (server, spawned, told):
            gate.let(3)
            await server.until(lambda: len(server.asked) == 7 and server.in_flight == 4)
            await spawned.stop(drain=False)
        assert sorted(told.kinds) == [""] * 3 + ["aborted"] * 4
        assert all(request.error for request in told.requests if request.error_kind)
        last = told.snapshots[-1]
        assert (last.sent, last.done, last.failed, last.in_flight) == (7, 3, 0, 0)

    play(scenario())


def test_a_drain_that_takes_too_long_can_still_be_aborted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, Gate(), concurrency=2) as (server, spawned, told):
            await server.until(lambda: server.in_flight == 2)
            await spawned.stop(drain=True)
            await spawned.stop(drain=False)
        assert told.kinds == ["aborted"] * 2

    play(scenario())


def test_stopped_before_it_began(tmp_path: Path) -> None:
    async def scenario() -> None:
        told = Told()
        async with raw_server(say_hello) as server, clients(tmp_path, parts=2) as spawned:
            await spawned.prepare(part_command(server.url, concurrency=2))
            await spawned.stop(drain=False)
            await listen(spawned, told)
        assert not server.asked
        assert [done.why for done in told.done] == ["stop", "stop"]

    play(scenario())


def test_another_rate_holds_from_now_on(tmp_path: Path) -> None:
    async def scenario() -> list[int]:
        stamps = []

        async def answer(asking: Asking, writer: asyncio.StreamWriter) -> None:
            stamps.append(time.monotonic_ns())
            await say_hello(asking, writer)

        told = Told()
        async with raw_server(answer) as server, clients(tmp_path) as spawned:
            await spawned.prepare(part_command(server.url, request_rate=20.0, arrival="constant"))
            await spawned.start()
            await listen(spawned, told, until=lambda: len(told.requests) >= 5)
            await spawned.adjust(AdjustLoad(request_rate=200.0))
            await listen(spawned, told, until=lambda: bool(told.adjusted))
            await listen(spawned, told, until=lambda: len(told.requests) >= 60)
            await spawned.adjust(AdjustLoad(request_rate=20.0))
            await listen(spawned, told, until=lambda: len(told.adjusted) == 2)
            before = len(told.requests)
            await listen(spawned, told, until=lambda: len(told.requests) >= before + 5)
            await spawned.stop(drain=True)
            await listen(spawned, told)
        assert told.kinds == [""] * len(server.asked)
        requests = sorted(told.requests, key=lambda request: request.due_ns)
        changes = [adjusted.t_ns for adjusted in told.adjusted]
        bounds = [0, *changes, requests[-1].due_ns + 1]
        gaps = [
            [(later.due_ns - earlier.due_ns) / 1e6 for earlier, later in itertools.pairwise(part)]
            for begin, end in itertools.pairwise(bounds)
            for part in [[request for request in requests if begin < request.due_ns <= end]]
        ]
        assert [gap for gap in gaps[0] if not 49.9 < gap < 50.1] == []
        assert [gap for gap in gaps[1] if not 4.99 < gap < 5.01] == []
        assert [gap for gap in gaps[2] if not 49.9 < gap < 50.1] == []
        return stamps

    play(scenario())


@pytest.mark.parametrize(
    "wrong",
    [
        AdjustLoad(request_rate=0.0),
        AdjustLoad(request_rate=float("nan")),
        AdjustLoad(concurrency=-1),
        AdjustLoad(concurrency=1 << 20),
        AdjustLoad(shared_prefix=1.5),
        AdjustLoad(output_len=0),
    ],
)
def test_what_cannot_be_is_refused_and_the_load_goes_on(tmp_path: Path, wrong: AdjustLoad) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        play(LoadClients((), tmp_path).adjust(wrong))


def test_other_lengths_hold_for_what_is_sent_from_then_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        gate = Gate()
        async with running(tmp_path, gate, concurrency=1) as (server, spawned, told):
            gate.let(3)
            await server.until(lambda: len(server.asked) == 4)
            await spawned.adjust(AdjustLoad(input_len=30, output_len=9))
            await told.until(lambda: bool(told.adjusted))
            gate.let(3)
            await server.until(lambda: len(server.asked) == 7)
            await spawned.stop(drain=True)
            gate.let()
        after = len(server.asked) - 4
        assert [asking.body["max_tokens"] for asking in server.asked] == [6] * 4 + [9] * after
        assert [len(asking.prompt.split()) for asking in server.asked] == [4] * 4 + [30] * after
        assert len({asking.prompt for asking in server.asked}) == 4 + after

    play(scenario())


def test_a_server_that_dies_in_the_middle(tmp_path: Path) -> None:
    """What was in flight was reset or cut off, what follows finds nobody, and that is not asked as fast as can be."""

    async def scenario() -> None:
        told = Told()
        async with clients(tmp_path) as spawned:
            async with raw_server(say_hello_slowly) as server:
                await spawned.prepare(part_command(server.url, concurrency=4))
                await spawned.start()
                await listen(spawned, told, until=lambda: len(told.requests) >= 8)
            await listen(spawned, told, until=lambda: told.kinds.count("connect") >= 12)
            await spawned.stop(drain=True)
            await listen(spawned, told)
        kinds = set(told.kinds)
        assert {"", "connect"} <= kinds <= {"", "connect", "reset", "cut-off"}
        refused = [request for request in told.requests if request.error_kind == "connect"]
        seconds = (max(one.sent_ns for one in refused) - min(one.sent_ns for one in refused)) / 1e9
        assert len(refused) <= 4 * (2 + seconds / 0.05)

    play(scenario())


async def say_hello_slowly(asking: Asking, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunk(token("one")))
    await writer.drain()
    await asyncio.sleep(0.01)
    await say_rest(writer)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    told = play(load(tmp_path, part_command("http://127.0.0.1:1", count=6, concurrency=3)))
    assert told.kinds == ["connect"] * 6
    assert told.done[0].why == "plan"
    assert "refused" in told.requests[0].error.lower()


def test_a_server_that_takes_no_connection(tmp_path: Path) -> None:
    """Its queue is full, so that nobody answers at all."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            full = stack.enter_context(socket.socket())
            full.setblocking(False)
            full.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        command = part_command(url, count=2, concurrency=2, target={"request_timeout_s": 0.3})
        told = play(load(tmp_path, command))
    assert told.kinds == ["connect"] * 2
    assert "within 0.3 s" in told.requests[0].error


def test_a_server_that_hangs_up_at_once_is_not_asked_as_fast_as_can_be(tmp_path: Path) -> None:
    async def hang_up(_asking: Asking, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def scenario() -> None:
        async with raw_server(hang_up) as server:
            told = await load(tmp_path, part_command(server.url, count=8, concurrency=2))
        assert told.kinds == ["reset"] * 8
        span = (max(one.sent_ns for one in told.requests) - min(one.sent_ns for one in told.requests)) / 1e9
        assert span > 0.1  # 2 at once, then 50 ms apart and more

    play(scenario())


def test_turns_of_a_conversation_are_sent_with_the_answers_before(tmp_path: Path) -> None:
    async def answer(asking: Asking, writer: asyncio.StreamWriter) -> None:
        said = f"answer {asking.number}"
        writer.write(HEAD + chunk(token(said)) + chunk(ending(1)) + END)

    async def scenario() -> list[Asking]:
        async with raw_server(answer) as server:
            told = await load(tmp_path, part_command(server.url, count=12, concurrency=3, turns=3), parts=2)
        assert told.kinds == [""] * 12
        return server.asked

    asked = play(scenario())
    by_prompt = {asking.prompt: asking for asking in asked}
    assert len(by_prompt) == 12
    turns = sorted(len(asking.body["messages"]) for asking in asked)
    assert turns == [1] * 4 + [3] * 4 + [5] * 4
    for asking in asked:
        *before, _ = asking.body["messages"]
        for question, reply in zip(before[::2], before[1::2], strict=True):
            assert (question["role"], reply["role"]) == ("user", "assistant")
            assert reply["content"] == f"answer {by_prompt[question['content']].number}"


def test_turns_after_a_failure_are_left_out_and_counted(tmp_path: Path) -> None:
    async def answer(asking: Asking, writer: asyncio.StreamWriter) -> None:
        if asking.number == 0:
            writer.write(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n")
        else:
            await say_hello(asking, writer)

    async def scenario() -> None:
        async with raw_server(answer) as server:
            told = await load(tmp_path, part_command(server.url, count=6, concurrency=1, turns=3))
        assert told.kinds == ["http", "", "", ""]
        assert told.done[0].meter.skipped == 2

    play(scenario())


def test_a_request_that_is_never_answered_takes_its_time_and_no_more(tmp_path: Path) -> None:
    async def never(_asking: Asking, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        async with raw_server(never) as server:
            command = part_command(server.url, count=3, concurrency=3, target={"request_timeout_s": 0.2})
            told = await load(tmp_path, command)
        assert told.kinds == ["timeout"] * 3
        assert all((one.end_ns - one.sent_ns) / 1e9 >= 0.2 for one in told.requests)

    play(scenario())


def test_a_key_goes_to_the_server_and_nowhere_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with raw_server(say_hello) as server:
            told = await load(tmp_path, part_command(server.url, count=1, concurrency=1), key="a-secret-of-the-test")
        assert "authorization: Bearer a-secret-of-the-test" in server.asked[0].head
        assert "a-secret-of-the-test" not in repr(told)

    play(scenario())


def test_a_client_that_is_killed_loses_nothing_that_it_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        gate, told = Gate(), Told()
        async with raw_server(gate.answer) as server, clients(tmp_path, parts=2) as spawned:
            await spawned.prepare(part_command(server.url, concurrency=4))
            await spawned.start()
            gate.let(10)
            await listen(spawned, told, until=lambda: len(told.requests) == 10)
            os.kill(spawned.pids[0], signal.SIGKILL)
            with pytest.raises(WorkerError, match="SIGKILL"):
                await listen(spawned, told)
            assert told.kinds == [""] * 10
            # The other one goes on, is listened to, and ends the listening.
            await spawned.stop(drain=False)
            async with asyncio.timeout(60):
                await listen(spawned, told)
        assert set(told.kinds) == {"", "aborted"}

    play(scenario())


def test_nothing_is_waited_for_where_the_only_client_was_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        gate, told = Gate(), Told()
        async with raw_server(gate.answer) as server, clients(tmp_path) as spawned:
            await spawned.prepare(part_command(server.url, concurrency=2))
            await spawned.start()
            os.kill(spawned.pids[0], signal.SIGKILL)
            with pytest.raises(WorkerError, match="SIGKILL"):
                await listen(spawned, told)
            async with asyncio.timeout(60):
                await listen(spawned, told)

    play(scenario())


def test_a_url_that_is_none_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"target\.url"):
        play(load(tmp_path, part_command("ftp://example.org", count=1)))
