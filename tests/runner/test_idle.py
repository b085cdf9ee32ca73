"""Idle power counts only where the driver calls the clocks idle, and stays known."""

import asyncio

from infertui.gpu.readings import GpuInfo, GpuSample, HostSample, Sample
from infertui.runner.idle import SAMPLES, IdlePower

GPU = GpuInfo(0, "GPU-a")


def sample(watts: float, *reasons: str, told: bool = True) -> Sample:
    gpu = GpuSample(0, GPU.uuid, power_instant_w=watts, throttle=reasons if told else None)
    return Sample(0, (gpu,), HostSample())


def settled(idle: IdlePower) -> bool:
    return asyncio.run(idle.settle(GPU, 0.01))


def test_a_gpu_at_rest_is_known_after_a_few_samples() -> None:
    idle = IdlePower()
    for watts in (70, 71, 72, 75):
        assert not idle.watts()
        idle.add(sample(watts, "idle"), [GPU])
    assert idle.watts() == {GPU.uuid: 72.0}
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
