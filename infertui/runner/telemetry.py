"""What telemetry says of one run: the power of its batches, and the figures of its measured window."""

import os
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from infertui.engines.base import Loaded
from infertui.gpu.health import MAX_INTERVAL_DEVIATION, GpuReadings, WindowReadings, integrate, window_readings
from infertui.gpu.host import cpu_joules
from infertui.gpu.readings import Counters, GpuInfo, Sample
from infertui.gpu.sampler import Sampler
from infertui.gpu.visible import by_uuid
from infertui.measure.clock import NS_PER_S
from infertui.measure.records import BatchRecord
from infertui.store.result import DeviceFigures, PowerFigures

# A power sample speaks for the half second around it, no more.
REACH_NS = NS_PER_S // 2


def power_of(sample: Sample, gpu: GpuInfo | None) -> float | None:
    """Watts of the GPU, instantaneous where the driver tells; of the CPU packages without a GPU."""
    if gpu is None:
        return sample.host.cpu_power_w
    reading = next((reading for reading in sample.gpus if reading.uuid == gpu.uuid), None)
    return reading.power_now_w if reading else None


class RunTelemetry:
    """Reads the sampler on behalf of one run, whose device is known once its model is loaded."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._gpu: GpuInfo | None = None
        self._vram_process: int | None = None
        self.foreign_processes: tuple[str, ...] | None = None

    def device_is(self, loaded: Loaded) -> None:
        """The engine reported its device."""
        self._gpu = by_uuid(loaded.device_uuid, self._sampler.gpus) if loaded.device_uuid else None

    def mean_power(self, start_ns: int, end_ns: int) -> float | None:
        """Mean watts from `start_ns` to `end_ns`; None unless samples cover all of it to half a second."""
        samples = self._sampler.window(start_ns, end_ns)
        points = [(s.t_ns, watts) for s in samples if (watts := power_of(s, self._gpu)) is not None]
        if not points or points[0][0] > start_ns + REACH_NS or points[-1][0] < end_ns - REACH_NS:
            return None
        if any(after[0] - before[0] > 2 * REACH_NS for before, after in pairwise(points)):
            return None
        joules = integrate(points, start_ns, end_ns)
        return None if joules is None or end_ns <= start_ns else joules * NS_PER_S / (end_ns - start_ns)

    def read_processes(self, group: int) -> None:
        """Note what the worker's process group holds of the GPU now, and add to who else was seen to compute on it."""
        listed = self._sampler.processes(self._gpu) if self._gpu else None
        if listed is None:
            return
        own = [process for process in listed if _group_of(process.pid) == group]
        if not own:
            return  # another PID namespace: the numbers cannot be told apart
        self._vram_process = sum(process.memory_used or 0 for process in own) or None
        foreign = [f"{process.name or 'process'} ({process.pid})" for process in listed if process not in own]
        self.foreign_processes = tuple(dict.fromkeys((*(self.foreign_processes or ()), *foreign)))

    def lost(self) -> tuple[str, ...]:
        """Why readings of the run's GPU ended before their time; empty when they did not."""
        if self._gpu is None:
            return ()
        return tuple(fault.message for fault in self._sampler.faults if fault.uuid in ("", self._gpu.uuid))

    def figures(
        self,
        batches: Sequence[BatchRecord],
        before: Counters | None,
        after: Counters | None,
        *,
        tokens: int,
        idle: dict[str, float],
    ) -> tuple[PowerFigures | None, DeviceFigures | None]:
        """Figures over the window from the first measured batch to the end of the last.

        `idle` maps a GPU's UUID, or "" for the CPU packages, to the watts that it draws at rest.
        """
        if not batches:
            return None, None
        start_ns, end_ns = batches[0].start_ns, batches[-1].end_ns
        readings = window_readings(self._sampler.window(start_ns, end_ns), start_ns, end_ns, before, after)
        gpu = next((entry for entry in readings.gpus if self._gpu and entry.uuid == self._gpu.uuid), None)
        power = self._gpu_power(gpu) if gpu else _cpu_power(readings, before, after)
        at_rest = idle.get(self._gpu.uuid if self._gpu else "")
        return _per_token(power, readings.length_s, tokens, at_rest), self._device(readings, gpu)

    def _gpu_power(self, gpu: GpuReadings) -> PowerFigures:
        spread = gpu.power_instant_w or gpu.power_w
        return PowerFigures(
            domain="gpu",
            source=gpu.energy.source,
            energy_j=gpu.energy.joules,
            mean_power_w=gpu.energy.mean_power_w,
            max_power_w=spread.max if spread else None,
            samples=gpu.energy.samples,
            largest_gap_s=gpu.energy.largest_gap_s,
            reason=gpu.energy.reason,
        )

    def _device(self, readings: WindowReadings, gpu: GpuReadings | None) -> DeviceFigures:
        host = readings.host
        utilization = gpu.utilization if gpu else None
        temperature = gpu.temperature_c if gpu else None
        clock = gpu.sm_mhz if gpu else None
        return DeviceFigures(
            vram_device_peak=gpu.memory_peak if gpu else None,
            vram_process=self._vram_process,
            utilization_mean=utilization.mean if utilization else None,
            utilization_max=utilization.max if utilization else None,
            temperature_min=temperature.min if temperature else None,
            temperature_max=temperature.max if temperature else None,
            sm_clock_min=clock.min if clock else None,
            sm_clock_mean=clock.mean if clock else None,
            sm_clock_max=clock.max if clock else None,
            throttles=tuple(gpu.throttle) if gpu and gpu.throttle is not None else None,
            violation_s=gpu.violation_s if gpu else None,
            pcie_tx_mod_4gib=gpu.pcie_tx_mod_4gib if gpu else None,
            pcie_rx_mod_4gib=gpu.pcie_rx_mod_4gib if gpu else None,
            cpu_mean=host.cpu_percent.mean if host.cpu_percent else None,
            ram_peak=host.memory_peak,
            samples=readings.samples,
        )


def _cpu_power(readings: WindowReadings, before: Counters | None, after: Counters | None) -> PowerFigures:
    """CPU packages by RAPL: mean power between the counters' readings, over the window."""
    joules = cpu_joules(before.host, after.host) if before and after else None
    if joules is None or before is None or after is None or after.host.t_ns <= before.host.t_ns:
        return PowerFigures(domain="cpu-package", reason="this machine gives no readable RAPL counter")
    interval_s = (after.host.t_ns - before.host.t_ns) / NS_PER_S
    if abs(interval_s - readings.length_s) > MAX_INTERVAL_DEVIATION * readings.length_s:
        reason = "the RAPL counter's readings are too far from the window's edges"
        return PowerFigures(domain="cpu-package", reason=reason)
    watts = joules / interval_s
    spread = readings.host.cpu_power_w
    return PowerFigures(
        domain="cpu-package",
        source="counter",
        energy_j=watts * readings.length_s,
        mean_power_w=watts,
        max_power_w=spread.max if spread else None,
        samples=readings.samples,
    )


def _per_token(power: PowerFigures, window_s: float, tokens: int, idle: float | None) -> PowerFigures:
    power = msgspec.structs.replace(power, window_s=window_s, idle_power_w=idle)
    energy = power.energy_j
    if energy is None or tokens <= 0 or window_s <= 0:
        return power
    return msgspec.structs.replace(
        power,
        joules_per_token=energy / tokens,
        joules_per_token_above_idle=None if idle is None else (energy - idle * window_s) / tokens,
        tokens_per_s_per_w=tokens / energy if energy else None,
    )


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None
