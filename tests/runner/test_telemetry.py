"""Figures of runs whose layers are divided over several GPUs, and whose the time of the CPUs was."""

import os
import subprocess
import sys
from typing import Any

import pytest
from msgspec.structs import replace
from support.scenes import S, gpus, loaded, sample

import infertui.runner.telemetry
from infertui.measure.records import BatchRecord, EngineMemory
from infertui.runner.telemetry import RunTelemetry, cpu_seconds, power_of, window_of
from infertui.telemetry.readings import Counters, GpuCounters, GpuInfo, GpuProcess, HostCounters, Sample
from infertui.telemetry.sampler import Sampler

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
    return telemetry.figures(window_of([batch()]), None, None, tokens=100, idle=idle)


@pytest.mark.parametrize(("held", "known"), [((3 << 30, 1 << 30), 4 << 30), ((3 << 30, None), None)])
def test_memory_of_processes_is_known_where_that_of_each_is(held: tuple[int | None, ...], known: int | None) -> None:
    class Listed(Recorded):
        def processes(self, gpu: GpuInfo) -> tuple[GpuProcess, ...]:
            return tuple(GpuProcess(pid, "worker", bytes_) for pid, bytes_ in zip(pids, held, strict=True))

    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    pids = (os.getpid(), child.pid)
    try:
        telemetry = RunTelemetry(Listed([sample(INFOS, tick) for tick in range(11)]))
        telemetry.device_is(loaded(), INFOS[:1])
        telemetry.read_processes(os.getpgrp())
        _, device = telemetry.figures(window_of([batch()]), None, None, tokens=100, idle={})
    finally:
        child.communicate()
    assert device is not None
    assert device.vram_process == known
    assert telemetry.foreign_processes == ()


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


def test_clocks_held_down_on_one_of_several_gpus() -> None:
    """The counters of each GPU grow by so many seconds of ten: what is told is the worst one's share of the time."""
    samples = [sample(INFOS, tick) for tick in range(11)]
    telemetry = RunTelemetry(Recorded(samples))
    telemetry.device_is(loaded(), INFOS[:2])
    before, after = (
        Counters(
            t_s * S,
            tuple(
                GpuCounters(info.uuid, t_s * S, violation_ns={"thermal": round(t_s * share * S), "power": t_s * S // 2})
                for info, share in zip(INFOS, (0.1, 0.2, 0.9), strict=True)
            ),
            HostCounters(t_s * S),
        )
        for t_s in (1000, 1010)
    )
    _, device = telemetry.figures(window_of([batch()]), before, after, tokens=100, idle={})
    assert device is not None
    assert device.violation_s is not None
    assert device.violation_s["thermal"] == pytest.approx(2.0)
    assert device.violation_s["power"] == pytest.approx(5.0)


def test_a_part_of_the_energy_is_not_told_for_the_whole() -> None:
    missing = [replace(taken, gpus=taken.gpus[:1]) for taken in (sample(INFOS, tick) for tick in range(11))]
    both, _ = figures(2, missing)
    assert (both.energy_j, both.joules_per_token) == (None, None)
    assert both.source is None
    assert "gave no readings" in both.reason
    assert power_of(missing[0], INFOS[:2]) is None
    assert power_of(missing[0], INFOS[:1]) is not None


@pytest.mark.parametrize(
    ("worker_s", "busy_s", "cpus_s", "expected"),
    [
        ((10.0, 17.0), 9.0, 12.0, (75.0, 100 * 2 / 12)),
        ((10.0, 22.1), 12.0, 12.0, (100.0, 0.0)),  # ticks and exact times differ a little
        ((10.0, None), 9.0, 12.0, (75.0, None)),  # the worker was gone
        ((10.0,), 9.0, 12.0, (75.0, None)),
        ((10.0, 10.1), 0.2, 0.4, (None, None)),  # too short to be counted in hundredths of a second
    ],
)
def test_whose_the_time_of_the_cpus_was(
    worker_s: tuple[float | None, ...],
    busy_s: float,
    cpus_s: float,
    expected: tuple[float | None, float | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = list(worker_s)
    monkeypatch.setattr(infertui.runner.telemetry, "cpu_seconds", lambda _: readings.pop(0))
    telemetry = RunTelemetry(Recorded([sample(INFOS, tick) for tick in range(11)]))
    for _ in worker_s:
        telemetry.read_worker_cpu(1)
    before = Counters(0, host=HostCounters(0, cpu_busy_s=1.0, cpu_total_s=2.0, swapped=0))
    after = Counters(0, host=HostCounters(0, cpu_busy_s=1.0 + busy_s, cpu_total_s=2.0 + cpus_s, swapped=8192))
    _, device = telemetry.figures(window_of([batch()]), before, after, tokens=1, idle={})
    assert device is not None
    assert (device.cpu_busy, device.cpu_others) == pytest.approx(expected)
    assert device.swapped == 8192


def test_cpu_time_of_a_process_and_those_below_it() -> None:
    """A child burns a tenth of a second in a child of its own, and waits for it."""
    burn = "import time\nwhile time.process_time() < 0.1: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        spent = cpu_seconds(process.pid)
        process.communicate(b"\n")
    assert spent is not None
    assert spent >= 0.09  # the kernel counts in hundredths, and rounds each process down
    assert cpu_seconds(process.pid) is None
