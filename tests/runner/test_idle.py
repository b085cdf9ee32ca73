"""Idle power is what a device draws once its power is at rest, and stays known."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kept import RUNS

from infertui.runner.idle import AGREEMENT, SAMPLES, IdlePower, Reading, at_rest, idle_before
from infertui.telemetry.readings import GpuInfo, GpuSample, HostSample, Sample

GPU = GpuInfo(0, "GPU-a")


def sample(
    watts: float, *reasons: str, told: bool = True, sm_mhz: int | None = None, memory: int | None = None
) -> Sample:
    throttle = reasons if told else None
    gpu = GpuSample(0, GPU.uuid, memory_used=memory, power_instant_w=watts, throttle=throttle, sm_mhz=sm_mhz)
    return Sample(0, (gpu,), HostSample())


def settled(idle: IdlePower) -> bool:
    return asyncio.run(idle.settle(GPU, 0.01))


def test_a_gpu_at_rest_is_known_after_a_few_samples() -> None:
    idle = IdlePower()
    for watts in (70.2, 70.0, 70.1, 69.9):
        assert not idle.watts()
        idle.add(sample(watts, "idle"), [GPU])
    assert idle.watts() == {GPU.uuid: pytest.approx(70.05)}
    assert settled(idle)


def test_a_gpu_that_works_for_someone_else_never_rests() -> None:
    idle = IdlePower()
    for _ in range(10):
        idle.add(sample(300, "power-cap"), [GPU])
    assert not idle.watts()
    assert not settled(idle)


def test_what_was_read_at_rest_stays_known_when_a_worker_has_been() -> None:
    idle = IdlePower()
    for _ in range(SAMPLES):
        idle.add(sample(70, "idle"), [GPU])
    idle.add(sample(130), [GPU])  # just after a worker ended
    assert idle.watts() == {GPU.uuid: 70.0}
    for _ in range(SAMPLES):
        idle.add(sample(80, "idle"), [GPU])
    assert idle.watts() == {GPU.uuid: 80.0}


def test_the_tail_of_earlier_work_does_not_count() -> None:
    idle = IdlePower()
    for watts, reasons in ((130, ()), (130, ()), (82, ("idle",)), (131, ()), (82, ("idle",))):
        idle.add(sample(watts, *reasons), [GPU])
    assert not idle.watts()


def test_a_gpu_that_cannot_tell_is_not_waited_for() -> None:
    idle = IdlePower()
    for _ in range(SAMPLES):
        idle.add(sample(70, told=False), [GPU])
    assert settled(idle)
    assert not idle.watts()


def test_cpu_packages_all_count() -> None:
    idle = IdlePower()
    for _ in range(SAMPLES):
        idle.add(Sample(0, (), HostSample(cpu_power_w=20.0)), [])
    assert idle.watts() == {"": 20.0}


@pytest.mark.parametrize(
    ("watts", "rest"),
    [
        ((122, 79.5, 79.4, 79.2), 79.4),  # the driver says idle one reading too early
        ((130.8, 81.5, 80.2, 80.1, 80.1, 79.5, 80.2), 80.1),  # the median of the last five or six
        ((125.5, 117.8, 79.3, 79.3, 79.1, 78.6), 79.2),
        ((82.8, 82.1, 81.5, 80.9), None),  # it still falls
        ((131.2, 131.8, 130.9, 81.9), None),
        ((125, 118, 79, 79, 79, 78), 79.0),
        ((79.2, 79.4), None),
        ((0.0, 0.0, 0.0, 0.0), 0.0),
    ],
)
def test_readings_count_from_when_they_agree_and_fall_no_more(watts: tuple[float, ...], rest: float | None) -> None:
    assert at_rest([Reading(each) for each in watts]) == (None if rest is None else pytest.approx(rest, abs=0.06))


def test_a_clock_that_still_falls_says_that_power_will() -> None:
    """As an H200 does after work, ten times a second: power looks at rest long before it is."""
    falling = [Reading(81.6, 705), Reading(81.5, 705), Reading(81.6, 645), Reading(81.3, 645), Reading(81.3, 645)]
    assert at_rest(falling) is None
    assert at_rest([*falling, *(Reading(79.3, 345) for _ in range(SAMPLES))]) == 79.3


@given(
    rest=st.floats(20, 120),
    noise=st.lists(st.floats(-0.002, 0.002), min_size=SAMPLES, max_size=20),
    work=st.lists(st.floats(1.2, 8), max_size=8),
)
def test_what_came_before_the_rest_does_not_move_it(rest: float, noise: list[float], work: list[float]) -> None:
    readings = [Reading(rest * (1 + each)) for each in (*work, *noise)]
    assert at_rest(readings) == pytest.approx(rest, rel=0.0021)
    assert at_rest([Reading(each.watts * (1 + 2 * AGREEMENT * at)) for at, each in enumerate(readings)]) is None


def test_a_worker_that_only_imports_leaves_the_gpu_at_rest_and_one_that_computes_does_not() -> None:
    idle = IdlePower()
    idle.add(sample(130, memory=0), [GPU])
    for _ in range(SAMPLES):
        idle.add(sample(79, "idle", memory=3 << 20), (), held=[GPU])
    assert idle.watts() == {GPU.uuid: 79.0}
    for _ in range(2 * SAMPLES):  # some boards rest with a context, and draw more
        idle.add(sample(95, "idle", memory=500 << 20), (), held=[GPU])
    assert idle.watts() == {GPU.uuid: 79.0}


def test_idle_power_of_a_kept_run() -> None:
    """By hand from their telemetry: the tail of earlier work, then 12 readings about 80.1 W; two that the driver calls
    idle too early, then 78.4; and one whose worker had the model loaded already."""
    for folder, expected in (
        ("20261120-225910-eager-7-7-8b4c", 80.1),
        ("20261120-175827-bs-1-2290", 78.4),
        ("20261120-175526-bs-32-c95a", None),
    ):
        path = RUNS / folder
        gpu = GpuInfo(0, msgspec.json.decode((path / "result.json").read_bytes())["loaded"]["device_uuid"])
        lines = (path / "telemetry.jsonl").read_bytes().splitlines()
        found = idle_before((msgspec.json.decode(line, type=Sample) for line in lines), [gpu])
        assert found == ({} if expected is None else {gpu.uuid: pytest.approx(expected, abs=0.1)})
