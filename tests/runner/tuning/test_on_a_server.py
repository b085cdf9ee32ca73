"""A tuning session on a server under load: the mock, whose times are known."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mock_process import MockProcess, mock_process
from support.tunings import tune, until

from infertui.analysis.tuning.knobs import effect_between, knobs_of, turned
from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import Config, MeasurementConfig, WorkloadConfig
from infertui.config.sources import load
from infertui.errors import ConfigError
from infertui.runner.runner import Runner

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


def test_a_server_that_is_not_there_ends_the_session_with_the_reason(tmp_path: Path) -> None:
    view = tune(asked("http://127.0.0.1:9"), tmp_path, {}, {"load.concurrency": "2"}, seconds=1.0)
    assert [segment.state for segment in view.segments] == ["failed"]
    assert "127.0.0.1:9" in view.error
