"""Real load generators against a real server: what is asked, when, and what is told of it."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.loads import load, part_command
from support.raw_servers import Asking, raw_server, say_hello
from support.workers import play

from infertui.config.endpoint import LoadConfig
from infertui.config.schema import WorkloadConfig
from infertui.load.planner import plan_of
from infertui.worker.failure import WorkerError


def planned_prompts(count: int, concurrency: int) -> list[str]:
    workload = WorkloadConfig(input_len=4, output_len=6, num_prompts=count)
    return sorted(planned.prompt for planned in plan_of(LoadConfig(concurrency=concurrency), workload).requests())


def test_a_plan_is_executed_whole_and_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with raw_server(say_hello) as server:
            told = await load(tmp_path, part_command(server.url, count=20, concurrency=4))
        planned = planned_prompts(20, concurrency=4)
        assert sorted(asking.prompt for asking in server.asked) == planned
        assert server.peak <= 4
        assert told.kinds == [""] * 20
        assert [request.tokens for request in told.requests] == [2] * 20
        for request in told.requests:
            assert request.first_byte_ns is not None
            assert request.first_ns is not None
            assert request.due_ns <= request.sent_ns < request.first_byte_ns <= request.first_ns <= request.end_ns
        last = told.snapshots[-1]
        assert (last.sent, last.done, last.failed, last.in_flight) == (20, 20, 0, 0)
        assert told.done[0].why == "plan"
        assert told.done[0].meter.connections == 4

    play(scenario())


def test_several_clients_send_each_request_of_one_plan_once(tmp_path: Path) -> None:
    async def scenario() -> list[Asking]:
        async with raw_server(say_hello) as server:
            told = await load(tmp_path, part_command(server.url, count=21, concurrency=5), parts=2)
        assert told.kinds == [""] * 21
        assert server.peak <= 5
        return server.asked

    asked = play(scenario())
    assert sorted(asking.prompt for asking in asked) == planned_prompts(21, concurrency=5)


def test_a_trace_is_sent_at_its_times_and_whole(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    lines = [{"timestamp": 40 * number, "input_length": 5 + number, "output_length": 2} for number in range(12)]
    trace.write_text("\n".join(map(json.dumps, lines)))

    async def scenario() -> None:
        async with raw_server(say_hello) as server:
            told = await load(tmp_path, part_command(server.url, trace=str(trace)), parts=2)
        assert sorted(len(asking.prompt.split()) for asking in server.asked) == list(range(5, 17))
        assert told.kinds == [""] * 12
        dues = sorted(request.due_ns for request in told.requests)
        assert [due - dues[0] for due in dues] == pytest.approx([40e6 * number for number in range(12)], abs=2)

    play(scenario())


def test_a_tokenizer_here_counts_beside_the_server(tmp_path: Path) -> None:
    """That of a synthetic model has a token for each byte: of `hello you` nine."""

    async def scenario() -> None:
        async with raw_server(say_hello) as server:
            command = part_command(server.url, count=2, concurrency=1, target={"tokenizer": "synthetic:nano"})
            told = await load(tmp_path, command)
        assert [(one.tokens, one.counted, one.local_tokens) for one in told.requests] == [(2, "server", 9)] * 2

    play(scenario())


def test_a_tokenizer_that_is_not_there_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with raw_server(say_hello) as server:
            command = part_command(server.url, count=2, target={"tokenizer": str(tmp_path / "none")})
            with pytest.raises(WorkerError, match="none"):
                await load(tmp_path, command)
        assert not server.asked

    play(scenario())


def test_fields_that_the_server_refuses_are_left_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with raw_server(say_hello) as server:
            command = replace(part_command(server.url, count=1), without=("max_tokens", "ignore_eos"))
            await load(tmp_path, command)
        assert "max_tokens" not in server.asked[0].body
        assert server.asked[0].body["max_completion_tokens"] == 6

    play(scenario())
