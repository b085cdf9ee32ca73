"""Which runs may start beside those under way."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.runs import simulated

from infertui.config.schema import EngineConfig
from infertui.config.sweep import Place
from infertui.errors import ConfigError
from infertui.runner.execution.loading import Choice, planned_gpus
from infertui.runner.scheduling.device_slots import CPU, devices_of, slot_of, startable
from infertui.runner.scheduling.queue_store import Entry
from infertui.targets.engine.base import Probe
from infertui.telemetry.readings import GpuInfo

GPUS = (GpuInfo(0, "GPU-a"), GpuInfo(1, "GPU-b"))


def waiting(*lanes: str) -> list[Entry]:
    return [
        Entry(number, number, "", "", simulated(), "/r", "now", lane=lane) for number, lane in enumerate(lanes, start=1)
    ]


def ids(entries: list[Entry]) -> list[int]:
    return [entry.id for entry in entries]


def test_one_run_a_device_and_several_devices_at_once() -> None:
    line = waiting("gpu0", "gpu0", "gpu1", "gpu1")
    assert ids(startable(line, set())) == [1, 3]
    assert ids(startable(line, {"gpu0"})) == [3]


def test_a_cpu_run_has_the_machine_to_itself() -> None:
    assert ids(startable(waiting(CPU, "gpu0"), set())) == [1]
    assert ids(startable(waiting(CPU, "gpu0"), {"gpu1"})) == [], "nor does anything overtake it"
    assert ids(startable(waiting("gpu0", CPU, "gpu1"), set())) == [1]
    assert ids(startable(waiting("gpu0"), {CPU})) == []


def test_the_runs_of_a_bench_go_one_at_a_time_whatever_their_devices() -> None:
    line = [replace(entry, place=Place("b1", entry.lane, 0, 2)) for entry in waiting("gpu0", "gpu1", "gpu0")]
    others = [replace(entry, id=entry.id + 10) for entry in waiting("gpu1", "gpu2")]
    assert ids(startable([*line, *others], set())) == [1, 12], "what waits behind takes no device that it waits for"
    assert ids(startable(line[1:], {"gpu0"}, benches={"b1"})) == []
    assert ids(startable(line[1:], {"gpu0"}, benches={"b2"})) == [2]


def test_unless_it_need_not() -> None:
    assert ids(startable(waiting(CPU, "gpu0", CPU), set(), cpu_exclusive=False)) == [1, 2]


@given(st.lists(st.sampled_from([CPU, "gpu0", "gpu1"]), max_size=8), st.sets(st.sampled_from([CPU, "gpu0", "gpu1"])))
def test_no_device_is_taken_twice_and_the_machine_is_never_idle(lanes: list[str], busy: set[str]) -> None:
    started = startable(waiting(*lanes), busy)
    taken = [entry.lane for entry in started]
    assert len(set(taken)) == len(taken)
    assert not set(taken) & busy
    if CPU in taken:
        assert taken == [CPU]
        assert not busy
    if lanes and not busy:
        assert started[0].id == 1


def test_lanes_by_device() -> None:
    claims = simulated(engine__simulator__gpu_uuid="GPU-b")
    assert slot_of(claims, GPUS) == "gpu1"
    assert slot_of(simulated(), GPUS) == CPU
    assert slot_of(claims, ()) == CPU
    cpu = simulated(engine__name="transformers", device__name="cpu")
    assert slot_of(cpu, GPUS) == CPU


def choice_of(name: str, **settings: object) -> Choice:
    return Choice(EngineConfig(name=name, **settings), Probe(name, available=True, reason=""))  # type: ignore[arg-type]


def test_a_run_whose_layers_are_divided_takes_several_devices() -> None:
    lane = slot_of(simulated(), GPUS, choice_of("transformers", tensor_parallel=2))
    assert lane == "gpu0+1"
    assert devices_of(lane) == {"gpu0", "gpu1"}
    assert devices_of("gpu0:1+0:2") == {"gpu0:1", "gpu0:2"}
    assert ids(startable(waiting(lane, "gpu0", "gpu1", "gpu2"), set())) == [1, 4]
    assert ids(startable(waiting("gpu1", "gpu2"), {lane})) == [2]
    assert ids(startable(waiting(lane, "gpu1"), {"gpu0"})) == [], "nor is it overtaken on a part of its devices"


def test_more_devices_than_can_be_seen_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"engine\.tensor_parallel: 3 GPUs are asked for, and this run can see 2"):
        planned_gpus(simulated(), GPUS, choice_of("transformers", tensor_parallel=3))
    assert slot_of(simulated(), GPUS, choice_of("transformers", tensor_parallel=3)) == CPU


def test_engines_of_one_kind_of_device() -> None:
    config = simulated()
    assert planned_gpus(config, GPUS, choice_of("openvino")) == ()
    assert planned_gpus(config, GPUS, choice_of("tensorrt-llm")) == GPUS[:1]
    with pytest.raises(ConfigError, match="tensorrt-llm needs an NVIDIA GPU, and none was found"):
        planned_gpus(config, (), choice_of("tensorrt-llm"))
    for device, engine, complaint in (
        ("cpu", "tensorrt-llm", "device.name is cpu"),
        ("cuda:1", "openvino", "on CPUs alone"),
    ):
        elsewhere = msgspec.structs.replace(config, device=msgspec.structs.replace(config.device, name=device))
        with pytest.raises(ConfigError, match=complaint):
            planned_gpus(elsewhere, GPUS, choice_of(engine))
