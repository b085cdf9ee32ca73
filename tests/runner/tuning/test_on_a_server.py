"""A tuning session on a server under load: the mock, whose times are known."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from support.mock_process import MockProcess, mock_process
from support.runs import requests_of
from support.tunings import go_on, tune, until

from infertui.analysis.tuning.knobs import effect_between, knobs_of, turned
from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import Config, MeasurementConfig, WorkloadConfig
from infertui.config.sources import load
from infertui.errors import ConfigError
from infertui.runner.runner import Runner
from infertui.runner.tuning.state import TuningRequest, TuningStep, TuningView

OUTPUT, REQUEST_S = 8, 0.020 + 7 * 0.004


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProcess]:
    with mock_process("--ttft", "20ms", "--itl", "4ms") as server:
        yield server


def asked(url: str) -> Config:
    return Config(
        target=TargetConfig(kind="endpoint", url=url),
        load=LoadConfig(concurrency=1),
        workload=WorkloadConfig(prompts="random", input_len=16, output_len=OUTPUT),
        measurement=MeasurementConfig(max_seconds=30),
    )


def test_its_knobs_are_those_of_a_load() -> None:
    config = asked("http://127.0.0.1:1")
    keys = {knob.key for knob in knobs_of(config)}
    assert {"load.concurrency", "load.request_rate", "load.shared_prefix", "workload.output_len"} <= keys
    assert not {key for key in keys if key.startswith("engine.")} | {"workload.batch_size"} & keys
    assert effect_between(config, turned(config, {"load.concurrency": "4"})) == "live"
    for key in ("engine.dtype", "target.url", "device.threads"):
        with pytest.raises(ConfigError, match="no knob"):
            turned(config, {key: "auto"})


def test_a_level_is_a_segment_with_its_own_requests(mock: MockProcess, tmp_path: Path) -> None:
    mock.reset()
    view = tune(asked(mock.url), tmp_path, {}, {"load.concurrency": "4"}, {"workload.output_len": "16"}, seconds=3.0)
    assert [segment.state for segment in view.segments] == ["finished"] * 3, view.error
    one, four, longer = view.segments
    # The mock's times are the least that it takes; a busy machine adds to them.
    assert 0 < (one.figures["throughput"] or 0) <= 1.02 * OUTPUT / REQUEST_S
    assert (one.figures["throughput"] or 0) < (four.figures["throughput"] or 0) <= 1.02 * 4 * OUTPUT / REQUEST_S
    assert (four.figures["ttft"] or 0) >= 0.020
    assert four.previous is not None
    assert four.previous.finding in ("better", "unclear")
    assert (four.previous.ratio or 0) > 1
    assert (longer.effect, longer.changes) == ("live", {"workload.output_len": 16})
    assert [segment.process for segment in view.segments] == [0, 0, 0]


def test_a_change_ends_the_segment_and_a_pinned_one_repeats_it(mock: MockProcess, tmp_path: Path) -> None:
    async def steer(runner: Runner, name: str) -> None:
        await until(runner, name, lambda view: view.phase in ("warmup", "measure"))
        await asyncio.sleep(2.0)
        await runner.turn(name, {"load.concurrency": "2"})
        await until(runner, name, lambda view: len(view.segments) == 1)
        assert await runner.pin_segment(name, 1)
        await until(runner, name, lambda view: view.phase in ("warmup", "measure"))

    view = tune(asked(mock.url), tmp_path, steer=steer)
    pinned = load(str(tmp_path / view.segments[0].run / "run.toml"), environ={}).config
    assert pinned.load.concurrency == 1
    assert 1.0 < pinned.measurement.max_seconds < 30


def has_ended(number: int, view: TuningView) -> bool:
    return len(view.segments) == number


def clients() -> set[int]:
    """The load generators of this process."""
    return {child.pid for child in psutil.Process().children() if "infertui.worker.loadgen" in child.cmdline()}


def test_clients_go_on_and_what_was_in_flight_over_a_change_is_of_no_segment(mock: MockProcess, tmp_path: Path) -> None:
    mock.reset()
    seen: list[set[int]] = []

    async def steer(runner: Runner, name: str) -> None:
        for number, change in enumerate(
            ({"load.concurrency": "4"}, {"workload.output_len": "16"}, {"load.concurrency": "2"}), start=1
        ):
            await until(runner, name, lambda view: view.phase in ("warmup", "measure"))
            await asyncio.sleep(1.0)
            seen.append(clients())
            await runner.turn(name, change)
            await until(runner, name, partial(has_ended, number))
        await until(runner, name, lambda view: view.phase in ("warmup", "measure"))
        await asyncio.sleep(1.0)
        seen.append(clients())

    view = tune(asked(mock.url), tmp_path, steer=steer)
    assert [segment.state for segment in view.segments] == ["finished"] * 4, view.error
    assert len(seen) == 4
    assert len(seen[0]) == 1
    assert all(each == seen[0] for each in seen)
    assert clients() == set()
    records = [requests_of(tmp_path / view.id, segment.run) for segment in view.segments]
    assert [{record.tokens for record in each} for each in records] == [{8}, {8}, {16}, {16}]
    # No answer of one setting is in the file of another, and none is in two.
    prompts = [record.prompt for each in records for record in each]
    assert len(prompts) == len(set(prompts))
    assert all(record.start >= 0 for each in records for record in each)
    # Some ended while a run gave way to the next, and are of neither.
    assert len(prompts) < len(mock.requests())


@pytest.mark.parametrize("change", [{"load.request_rate": "20"}, {"workload.seed": "7"}])
def test_what_clients_do_not_take_anew_begins_with_new_ones(
    mock: MockProcess, tmp_path: Path, change: dict[str, str]
) -> None:
    seen: list[set[int]] = []

    async def steer(runner: Runner, name: str) -> None:
        await until(runner, name, lambda view: view.phase in ("warmup", "measure"))
        await asyncio.sleep(0.5)
        seen.append(clients())
        await runner.turn(name, change)
        await until(runner, name, lambda view: len(view.segments) == 1)
        await until(runner, name, lambda view: view.phase in ("warmup", "measure"))
        seen.append(clients())

    tune(asked(mock.url), tmp_path, steer=steer)
    assert not seen[0] & seen[1]
    assert clients() == set()


def test_a_server_that_is_not_there_ends_the_session_with_the_reason(tmp_path: Path) -> None:
    view = tune(asked("http://127.0.0.1:9"), tmp_path, {}, {"load.concurrency": "2"}, seconds=1.0)
    assert [segment.state for segment in view.segments] == ["failed"]
    assert "127.0.0.1:9" in view.error


def test_a_continued_session_knows_of_its_server_what_was_asked_and_not_what_was_found(
    mock: MockProcess, tmp_path: Path
) -> None:
    config = asked(mock.url)
    steps = TuningStep(), TuningStep({"load.concurrency": "2"}), TuningStep({"load.concurrency": "4"})

    async def first() -> str:
        async with Runner() as runner:
            name = await runner.begin_tuning(TuningRequest(config, str(tmp_path), seconds=1.0, steps=steps))
            await until(runner, name, lambda view: len(view.segments) == 1 and view.phase in ("warmup", "measure"))
            return name

    name = asyncio.run(first())
    view = go_on(config, tmp_path, name)
    assert [segment.step for segment in view.segments if segment.state == "finished"] == [1, 2, 3], view.error
    assert {segment.name for segment in view.segments[1:]} <= {"concurrency=2", "concurrency=4"}
    assert view.config.target == config.target


def test_steps_that_failed_as_the_server_was_gone_are_measured_where_the_session_is_continued(tmp_path: Path) -> None:
    steps = TuningStep(), TuningStep({"load.concurrency": "2"}), TuningStep({"load.concurrency": "4"})

    async def first(server: MockProcess) -> TuningView:
        async with Runner() as runner:
            request = TuningRequest(asked(server.url), str(tmp_path), seconds=1.0, steps=steps)
            name = await runner.begin_tuning(request)
            await until(runner, name, lambda view: len(view.segments) == 1)
            psutil.Process(server.pid).kill()
            return await until(runner, name, lambda view: view.status == "ended")

    with mock_process("--ttft", "20ms", "--itl", "4ms") as server:
        left = asyncio.run(first(server))
    assert left.segments[-1].error is not None
    with mock_process("--ttft", "20ms", "--itl", "4ms", "--port", server.url.rpartition(":")[2]) as server:
        view = go_on(asked(server.url), tmp_path, left.id)
    *_, last = view.segments
    assert (last.step, last.state, last.changes["load.concurrency"]) == (3, "finished", 4)
    assert last.number > left.segments[-1].number
