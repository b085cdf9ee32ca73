"""Figures of runs whose layers are divided over several GPUs."""

from typing import Any

from msgspec.structs import replace
from tui.rows.scenes import S, gpus, loaded, sample

from infertui.gpu.readings import GpuInfo, Sample
from infertui.gpu.sampler import Sampler
from infertui.measure.records import BatchRecord, EngineMemory
from infertui.runner.telemetry import RunTelemetry, power_of

INFOS = gpus(3)


class Recorded(Sampler):
    """A sampler that took these samples, ten seconds of them."""

    def __init__(self, samples: list[Sample]) -> None:
        self._taken = samples

    @property
    def gpus(self) -> tuple[GpuInfo, ...]:
        return INFOS

    @property
    def faults(self) -> Any:
        return ()

    def window(self, start_ns: int, end_ns: int) -> list[Sample]:
        return [taken for taken in self._taken if start_ns - S <= taken.t_ns <= end_ns + S]


def batch() -> BatchRecord:
    start = 1002 * S
    return BatchRecord("measure", 0, start, start, start, start + 6 * S, None, (), EngineMemory())


def figures(planned: int, samples: list[Sample]) -> Any:
    telemetry = RunTelemetry(Recorded(samples))
    telemetry.device_is(loaded(), INFOS[:planned])
    idle = {info.uuid: 70.0 for info in INFOS}
    return telemetry.figures([batch()], None, None, tokens=100, idle=idle)


def test_power_and_energy_of_several_gpus_are_summed() -> None:
    samples = [sample(INFOS, tick) for tick in range(11)]
    (alone, _), (both, device) = figures(0, samples), figures(2, samples)
    assert alone.energy_j < both.energy_j < 3 * alone.energy_j
    assert both.idle_power_w == 140.0
    assert both.joules_per_token == both.energy_j / 100
    assert device.vram_device_peak > 120 * 2**30
    telemetry = RunTelemetry(Recorded(samples))
    telemetry.device_is(loaded(), INFOS[:2])
    mean = telemetry.mean_power(1002 * S, 1008 * S)
    assert mean is not None
    assert abs(mean - both.mean_power_w) < 0.05 * mean


def test_a_part_of_the_energy_is_not_told_for_the_whole() -> None:
    missing = [replace(taken, gpus=taken.gpus[:1]) for taken in (sample(INFOS, tick) for tick in range(11))]
    both, _ = figures(2, missing)
    assert (both.energy_j, both.joules_per_token) == (None, None)
    assert "gave no readings" in both.reason
    assert power_of(missing[0], INFOS[:2]) is None
    assert power_of(missing[0], INFOS[:1]) is not None
