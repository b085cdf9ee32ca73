"""What telemetry says of one run: the power of its batches, and the figures of its measured window.

And how often devices are sampled, when several runs under way want different rates.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

import msgspec
import psutil
from msgspec import Struct

from infertui.measure.clock import NS_PER_S
from infertui.measure.energy import above_idle, energy_figures, of_batches
from infertui.measure.records import BatchRecord
from infertui.results.result import DeviceFigures, PowerFigures
from infertui.targets.engine.base import Loaded
from infertui.telemetry.host import cpu_joules
from infertui.telemetry.processes import group_of
from infertui.telemetry.readings import Counters, GpuInfo, Sample
from infertui.telemetry.sampler import IDLE_HZ, Sampler
from infertui.telemetry.visible import by_uuid
from infertui.telemetry.window import (
    MAX_INTERVAL_DEVIATION,
    GpuReadings,
    HostReadings,
    WindowReadings,
    integrate,
    window_readings,
)

# What CPUs spend is counted in hundredths of a second: a shorter window says too little.
MIN_CPU_S = 0.5
# A power sample speaks for the half second around it, no more.
REACH_NS = NS_PER_S // 2
Number = TypeVar("Number", int, float)


def power_of(sample: Sample, gpus: Sequence[GpuInfo]) -> float | None:
    """Watts of the GPUs together, instantaneous where the driver tells; of the CPU packages without a GPU.

    None where one of them is not known.
    """
    if not gpus:
        return sample.host.cpu_power_w
    readings = {reading.uuid: reading.power_now_w for reading in sample.gpus}
    return _sum([readings.get(gpu.uuid) for gpu in gpus])


class MeasuredWindow(Struct, frozen=True):
    """From when to when was measured, monotonic nanoseconds, and the seconds of that in which it was."""

    start_ns: int
    end_ns: int
    measured_s: float


def window_of(batches: Sequence[BatchRecord]) -> MeasuredWindow | None:
    """From the first batch to the end of the last, of which those count that did not fail."""
    if not batches:
        return None
    measured_s = sum(batch.seconds for batch in batches if not batch.error)
    return MeasuredWindow(batches[0].start_ns, batches[-1].end_ns, measured_s)


class RunTelemetry:
    """Reads the sampler on behalf of one run, whose devices are known once its model is loaded."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._gpus: tuple[GpuInfo, ...] = ()
        self._vram_process: int | None = None
        self._vram_by_gpu: dict[str, int] = {}
        self._worker_cpu_s: list[float | None] = []
        self._cool: dict[str, float] = {}
        self.foreign_processes: tuple[str, ...] | None = None

    def device_is(
        self, loaded: Loaded, planned: Sequence[GpuInfo] = (), cool: Mapping[str, float] | None = None
    ) -> None:
        """The engine reported its device; with the layers divided it is one of several that were `planned`.

        `cool` maps UUIDs to degrees Celsius at rest.
        """
        self._cool = dict(cool or {})
        used = by_uuid(loaded.device_uuid, self._sampler.gpus) if loaded.device_uuid else None
        together = used is not None and used.uuid in {gpu.uuid for gpu in planned}
        self._gpus = tuple(planned) if together else (used,) if used else ()

    def mean_power(self, start_ns: int, end_ns: int) -> float | None:
        """Mean watts from `start_ns` to `end_ns`; None unless samples cover all of it to half a second."""
        samples = self._sampler.window(start_ns, end_ns)
        points = [(s.t_ns, watts) for s in samples if (watts := power_of(s, self._gpus)) is not None]
        if not points or points[0][0] > start_ns + REACH_NS or points[-1][0] < end_ns - REACH_NS:
            return None
        if any(after[0] - before[0] > 2 * REACH_NS for before, after in pairwise(points)):
            return None
        joules = integrate(points, start_ns, end_ns)
        return None if joules is None or end_ns <= start_ns else joules * NS_PER_S / (end_ns - start_ns)

    def read_processes(self, group: int) -> None:
        """Note what the worker's process group holds of the GPUs now, and add to who else was seen to compute there."""
        known = [self._sampler.processes(gpu) for gpu in self._gpus]
        listed = [process for processes in known if processes is not None for process in processes]
        if not known or None in known:
            return
        own = [process for process in listed if group_of(process.pid) == group]
        if not own:
            return  # another PID namespace: the numbers cannot be told apart
        # A process is listed on every GPU where it has a context, each time with what it holds there. A sum without
        # one of them would be too small.
        told = all(process.memory_used is not None for process in own)
        self._vram_by_gpu = {
            gpu.label: sum(process.memory_used or 0 for process in processes or () if process in own)
            for gpu, processes in zip(self._gpus if told else (), known if told else (), strict=True)
        }
        self._vram_process = sum(self._vram_by_gpu.values()) or None
        foreign = [f"{process.name or 'process'} ({process.pid})" for process in listed if process not in own]
        self.foreign_processes = tuple(dict.fromkeys((*(self.foreign_processes or ()), *foreign)))

    def read_worker_cpu(self, pid: int) -> None:
        """Note the CPU time that the worker's processes have spent: once before the measured window, once after it."""
        self._worker_cpu_s.append(cpu_seconds(pid))

    def lost(self) -> tuple[str, ...]:
        """Why readings of the run's GPUs ended before their time; empty when they did not."""
        if not self._gpus:
            return ()
        concerned = {"", *(gpu.uuid for gpu in self._gpus)}
        return tuple(fault.message for fault in self._sampler.faults if fault.uuid in concerned)

    def figures(
        self,
        window: MeasuredWindow | None,
        before: Counters | None,
        after: Counters | None,
        *,
        tokens: int,
        idle: dict[str, float],
    ) -> tuple[PowerFigures | None, DeviceFigures | None]:
        """Figures over the measured window; energy of what was measured in it alone.

        `idle` maps a GPU's UUID, or "" for the CPU packages, to the watts that it draws at rest.
        """
        if window is None:
            return None, None
        start_ns, end_ns, measured_s = window.start_ns, window.end_ns, window.measured_s
        readings = window_readings(self._sampler.window(start_ns, end_ns), start_ns, end_ns, before, after)
        uuids = {gpu.uuid for gpu in self._gpus}
        gpus = [entry for entry in readings.gpus if entry.uuid in uuids]
        power = self._gpu_power(gpus) if gpus else _cpu_power(readings, before, after)
        at_rest = _sum([idle.get(uuid) for uuid in uuids or {""}])
        return per_token(power, readings.length_s, measured_s, tokens, at_rest), self._device(readings, gpus)

    def _gpu_power(self, gpus: Sequence[GpuReadings]) -> PowerFigures:
        """Of all GPUs together: energy that is missing for one of them is missing."""
        energies = [gpu.energy for gpu in gpus]
        spreads = [gpu.power_instant_w or gpu.power_w for gpu in gpus]
        sources = {energy.source for energy in energies}
        reasons = dict.fromkeys(energy.reason for energy in energies if energy.reason)
        known = len(gpus) == len(self._gpus)
        gaps = [energy.largest_gap_s for energy in energies if energy.largest_gap_s is not None]
        errors = [energy.error_j for energy in energies]
        return PowerFigures(
            domain="gpu",
            # A total of several sources is as good as the worse one; where a part has none, so has the whole.
            source=None if None in sources or not known else sources.pop() if len(sources) == 1 else "integral",
            energy_j=_sum([energy.joules for energy in energies]) if known else None,
            mean_power_w=_sum([energy.mean_power_w for energy in energies]) if known else None,
            max_power_w=_sum([spread.max if spread else None for spread in spreads]) if known else None,
            samples=min(energy.samples for energy in energies),
            largest_gap_s=max(gaps, default=None),
            reason="; ".join(reasons) if known else "one of the run's GPUs gave no readings",
            # Counters are refreshed independently of each other.
            error_j=None if None in errors or not known else math.hypot(*(error or 0.0 for error in errors)),
        )

    def _device(self, readings: WindowReadings, gpus: Sequence[GpuReadings]) -> DeviceFigures:
        """Of all GPUs together: bytes are summed, for the rest the extremes and means are over all; of the seconds for
        which a policy held clocks down the most of one GPU, as the layers of a model wait for the slowest."""
        host = readings.host
        busy, others = cpu_shares(host, self._worker_cpu_s)
        utilization = [gpu.utilization for gpu in gpus if gpu.utilization]
        temperature = [gpu.temperature_c for gpu in gpus if gpu.temperature_c]
        clock = [gpu.sm_mhz for gpu in gpus if gpu.sm_mhz]
        throttles = [gpu.throttle for gpu in gpus if gpu.throttle is not None]
        policies = [gpu.violation_s for gpu in gpus if gpu.violation_s is not None]
        return DeviceFigures(
            vram_device_peak=_sum([gpu.memory_peak for gpu in gpus]),
            vram_process=self._vram_process,
            utilization_mean=_mean([spread.mean for spread in utilization]),
            utilization_max=max((spread.max for spread in utilization), default=None),
            temperature_min=min((spread.min for spread in temperature), default=None),
            temperature_max=max((spread.max for spread in temperature), default=None),
            sm_clock_min=min((spread.min for spread in clock), default=None),
            sm_clock_mean=_mean([spread.mean for spread in clock]),
            sm_clock_max=max((spread.max for spread in clock), default=None),
            throttles=tuple(dict.fromkeys(name for names in throttles for name in names)) if throttles else None,
            violation_s={
                name: max(policy.get(name, 0.0) for policy in policies) for policy in policies for name in policy
            }
            if policies
            else None,
            # The counters wrap: of several GPUs there is no sum.
            pcie_tx_mod_4gib=gpus[0].pcie_tx_mod_4gib if len(gpus) == 1 else None,
            pcie_rx_mod_4gib=gpus[0].pcie_rx_mod_4gib if len(gpus) == 1 else None,
            cpu_mean=host.cpu_percent.mean if host.cpu_percent else None,
            ram_peak=host.memory_peak,
            samples=readings.samples,
            throttle_shares={
                name: max(shares.get(name, 0.0) for shares in throttles) for shares in throttles for name in shares
            }
            if throttles
            else None,
            sm_clock_fall=max((gpu.sm_fall for gpu in gpus if gpu.sm_fall is not None), default=None),
            cpu_busy=busy,
            cpu_others=others,
            swapped=host.swapped,
            vram_process_by_gpu=self._vram_by_gpu if self._vram_process and len(self._vram_by_gpu) > 1 else None,
            temperature_idle=max((self._cool[gpu.uuid] for gpu in gpus if gpu.uuid in self._cool), default=None),
        )


def cpu_shares(host: HostReadings, spent: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Percent of the CPUs' time that was spent, and that others than the worker spent.

    `spent` is the worker's CPU time in seconds before the window and after it; None is not known.
    """
    if host.busy_s is None or host.cpus_s is None or host.cpus_s < MIN_CPU_S:
        return None, None
    busy = min(100.0, 100 * host.busy_s / host.cpus_s)
    if len(spent) != 2 or spent[0] is None or spent[1] is None:
        return busy, None
    # The worker's time is exact, the host's counted in ticks: the difference can come out a little below nothing.
    return busy, max(0.0, busy - 100 * max(0.0, spent[1] - spent[0]) / host.cpus_s)


def cpu_seconds(pid: int) -> float | None:
    """CPU time of a process, of all below it, and of those that these have waited for; None where it is gone."""
    try:
        process = psutil.Process(pid)
        tree = [process, *process.children(recursive=True)]
    except (psutil.Error, OSError):
        return None
    total = 0.0
    for one in tree:
        with contextlib.suppress(psutil.Error, OSError):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


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


def per_token(power: PowerFigures, span_s: float, measured_s: float, tokens: int, idle: float | None) -> PowerFigures:
    """The figures of a whole stretch as those of the batches in it, and what a token took of these.

    `measured_s` are the seconds of the batches that did not fail, of the stretch's `span_s`.
    """
    window_s = measured_s if 0 < measured_s < span_s else span_s
    power = msgspec.structs.replace(power, window_s=window_s, span_s=span_s, idle_power_w=idle)
    if power.energy_j is None:
        return power
    energy = of_batches(power.energy_j, span_s, measured_s)
    error = None if power.error_j is None else of_batches(power.error_j, span_s, measured_s)
    power = msgspec.structs.replace(power, energy_j=energy, error_j=error)
    if tokens <= 0 or window_s <= 0:
        return power
    found = energy_figures(energy, tokens=tokens, requests=0)
    more = None if idle is None else energy_figures(above_idle(energy, window_s, idle), tokens=tokens, requests=0)
    return msgspec.structs.replace(
        power,
        joules_per_token=found.joules_per_token,
        joules_per_token_above_idle=more.joules_per_token if more else None,
        tokens_per_s_per_w=found.tokens_per_s_per_w,
    )


def _sum(values: Sequence[Number | None]) -> Number | None:
    """The sum; None where one is not known, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(values) else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


WATCHED_HZ = 2.0
"""The rate while nothing is measured and somebody looks on. A measurement has the rate that it asks for, no other."""


class SampleRates:
    """The fastest of the rates that are asked for is in force; with none, one for those who look on, or for nobody."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._wishes: dict[object, float] = {}
        self._resting_hz = IDLE_HZ

    def ask(self, who: object, hz: float) -> None:
        """`who` wants this rate, instead of what it wanted before."""
        self._wishes[who] = hz
        self._apply()

    def release(self, who: object) -> None:
        """`who` has no wish any more."""
        self._wishes.pop(who, None)
        self._apply()

    def watched(self, somebody: bool) -> None:
        """Whether somebody looks on."""
        self._resting_hz = WATCHED_HZ if somebody else IDLE_HZ
        self._apply()

    def _apply(self) -> None:
        self._sampler.set_rate(max(self._wishes.values(), default=self._resting_hz))
