"""Which runs may start beside those under way."""

from hypothesis import given
from hypothesis import strategies as st
from support.runs import simulated

from infertui.gpu.readings import GpuInfo
from infertui.runner.lanes import CPU, lane_of, startable
from infertui.store.queue import Entry

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
    assert lane_of(claims, GPUS) == "gpu1"
    assert lane_of(simulated(), GPUS) == CPU
    assert lane_of(claims, ()) == CPU
    cpu = simulated(engine__name="transformers", device__name="cpu")
    assert lane_of(cpu, GPUS) == CPU
