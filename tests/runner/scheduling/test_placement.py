"""Lanes and estimates of entries."""

import asyncio
import os
from pathlib import Path

import pytest
from support.runs import simulated

from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import Config, MeasurementConfig, WorkloadConfig
from infertui.runner.scheduling import placement
from infertui.runner.scheduling.placement import Placement, kind_of
from infertui.runner.scheduling.queue_store import Duration, Entry

KIND = kind_of(simulated(), "cpu")
ONE_A_SECOND = [Duration(KIND, 1, 1, 0.0, 1.0, 0)]


def entry(number: int, config: Config) -> Entry:
    return Entry(number, 1, "t", "", config, "/reports", "2025-01-01T00:00:00+00:00")


def placed(*configs: Config, earlier: list[Duration] = ONE_A_SECOND) -> list[Entry]:
    place = Placement(tuple, lambda kind: earlier if kind == KIND else [])
    asyncio.run(place.learn(configs))
    return place.placed([entry(number, config) for number, config in enumerate(configs)])


def once_through(**values: object) -> Config:
    return simulated(
        workload__output_len=1,
        measurement__iterations=0,
        measurement__warmup=1,
        **{f"workload__{key}": value for key, value in values.items()},
    )


def test_the_prompts_of_a_file_decide_how_long_it_takes(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("one\n\ntwo\n" * 10)
    (found,) = placed(once_through(prompts_file=str(prompts)))
    assert found.estimate_s == pytest.approx(1 + 20)


def test_a_file_that_does_not_answer_leaves_the_time_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "COUNTING_S", 0.05)
    os.mkfifo(tmp_path / "prompts.txt")
    missing, homeless, hanging, known = placed(
        once_through(prompts_file=str(tmp_path / "none.txt")),
        once_through(prompts_file="~nobody-of-that-name/prompts.txt"),
        once_through(prompts_file=str(tmp_path / "prompts.txt")),
        once_through(num_prompts=7),
    )
    assert [entry.estimate_s for entry in (missing, homeless, hanging)] == [None] * 3
    assert known.estimate_s == pytest.approx(1 + 7)


def test_the_latest_run_of_a_shape_counts() -> None:
    (found,) = placed(simulated(workload__output_len=1), earlier=[Duration(KIND, 1, 1, 0.0, 2.0, 0), *ONE_A_SECOND])
    assert found.estimate_s == pytest.approx(2.0 * 4)


def test_only_an_estimate_that_moved_is_told() -> None:
    earlier = list(ONE_A_SECOND)
    place = Placement(tuple, lambda _: earlier)
    waiting = place.placed([entry(1, simulated(workload__output_len=1))])
    for step, told in ((1.05, 0), (1.5, 1), (0.2, 1)):
        earlier[0] = Duration(KIND, 1, 1, 0.0, step, 0)
        assert len(place.foreseen_anew(waiting, earlier[0])) == told
    assert place.foreseen_anew(waiting, Duration("other", 1, 1, 0.0, 9.0, 0)) == []


def test_a_load_takes_what_its_config_bounds() -> None:
    def load(requests: int = 0, rate: float = 0.0, limit: float = 0.0) -> Config:
        return Config(
            target=TargetConfig(kind="endpoint", url="http://127.0.0.1:1"),
            load=LoadConfig(request_rate=rate),
            workload=WorkloadConfig(num_prompts=requests),
            measurement=MeasurementConfig(max_seconds=limit),
        )

    found = placed(load(), load(100), load(100, 4.0), load(100, 4.0, 20.0), load(limit=60.0))
    assert [entry.estimate_s for entry in found] == [30, None, 25, 20, 60]
    assert {entry.lane for entry in found} == {"cpu"}
