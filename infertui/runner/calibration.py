"""Measuring a device's ceilings: a child process does it, and telemetry watches what else goes on meanwhile."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from infertui.config.schema import DeviceConfig
from infertui.errors import EngineError, StoreError
from infertui.measure.roofline import COPY, DevicePeaks
from infertui.measure.validity import DISTURBING_THROTTLES, POWER_CAP
from infertui.paths import state_dir
from infertui.runner.blocking import call_with_timeout
from infertui.runner.execution.loading import as_the_worker_sees, worker_environment
from infertui.runner.telemetry import cpu_seconds, cpu_shares
from infertui.targets.engine.peaks.peaks import Missing, PeaksDone, PeaksSubject, Rate, Refused, Told
from infertui.telemetry.host import host_facts
from infertui.telemetry.processes import group_of
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.sampler import Sampler
from infertui.telemetry.visible import by_uuid, visible_from_environment
from infertui.telemetry.window import GpuReadings, WindowReadings, window_readings
from infertui.text import clean, one_line
from infertui.worker.calibration import MAX_LINE, decode
from infertui.worker.failure import log_tail

TIMEOUT_S = 180.0
"""For all of it; a figure takes seconds."""
_HZ = 10.0
_DRIVER_S = 5.0
_LOOK_S = 0.5
_BUSY_CPU = 10.0
"""Percent of all CPUs that others may take before the figures of a CPU are marked."""
_BUSY_GPU = 5.0
_WIDE = 0.1
"""From where the spread of the repetitions is worth a word."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Wanted(Struct, frozen=True):
    """What to measure: `auto`, `cpu`, `cuda` or `cuda:N`; `threads` of a CPU, 0 being the library's choice."""

    device: str = "auto"
    threads: int = 0
    quick: bool = False


class KnownDevice(Struct, frozen=True):
    """What the driver says of the device: where a kept entry is looked for."""

    name: str
    uuid: str
    driver: str
    threads: int | None


async def calibrate(
    wanted: Wanted,
    *,
    kept: Callable[[KnownDevice], DevicePeaks | None],
    tell: Callable[[Told], None] = lambda _: None,
    environ: Mapping[str, str] = os.environ,
    timeout_s: float = TIMEOUT_S,
) -> tuple[DevicePeaks, bool]:
    """Measure a device; the flag is False where `kept` had an entry and nothing was measured.

    Nothing of the child is left when this returns or is cancelled. Raises EngineError where the device cannot be
    measured, StoreError where the log cannot be written.
    """
    sampler = Sampler(hz=_HZ)
    sampler.start()
    try:
        await call_with_timeout(lambda: sampler.wait_ready(_DRIVER_S), _DRIVER_S + 1)
        log = _log_file(environ)
        async with asyncio.timeout(timeout_s), _Child(wanted, sampler.gpus, log, environ) as child:
            return await _measured(wanted, child, sampler, kept, tell)
    except TimeoutError:
        raise EngineError(
            f"measuring was not done within {timeout_s:g} s",
            remedy=f"Try --quick; the output of the child process is in {clean(str(_log_file(environ)))}.",
        ) from None
    finally:
        sampler.stop(timeout_s=0.5)


async def _measured(
    wanted: Wanted,
    child: "_Child",
    sampler: Sampler,
    kept: Callable[[KnownDevice], DevicePeaks | None],
    tell: Callable[[Told], None],
) -> tuple[DevicePeaks, bool]:
    subject = await child.next()
    if not isinstance(subject, PeaksSubject):
        raise EngineError("the child process did not say what it measures")
    tell(subject)
    gpu = by_uuid(subject.uuid, sampler.gpus) if subject.uuid else None
    known = KnownDevice(
        name=one_line(subject.device or host_facts().cpu_model or "CPU"),
        uuid=gpu.uuid if gpu else subject.uuid,
        driver=clean(gpu.driver or "") if gpu else "",
        threads=subject.threads,
    )
    if (entry := kept(known)) is not None:
        return entry, False
    disturbed = await _company(sampler, gpu, child.pid)
    before = await call_with_timeout(sampler.counters, _DRIVER_S)
    spent = [cpu_seconds(child.pid)]
    began = time.monotonic_ns()
    child.go()
    rates: dict[str, Rate] = {}
    reasons: dict[str, str] = {}
    while not isinstance(told := await child.next(), PeaksDone):
        tell(told)
        if isinstance(told, Rate):
            rates[told.what] = told
        elif isinstance(told, Missing):
            reasons[told.what] = clean(told.reason)
    ended = time.monotonic_ns()
    spent.append(cpu_seconds(child.pid))
    if COPY not in rates:
        raise EngineError("the child process told no copy bandwidth")
    after = await call_with_timeout(sampler.counters, _DRIVER_S)
    seen = window_readings(sampler.window(began, ended), began, ended, before, after)
    told_of, notes = _judged(sampler, gpu, seen) if gpu else (_busy_host(seen, spent), ())
    copy = rates.pop(COPY)
    spreads = {what: _spread(rate.rates) for what, rate in {COPY: copy, **rates}.items()}
    notes += tuple(
        f"{what}: the median of {len(rate.rates)} was {spreads[what]:.0%} below the best"
        for what, rate in {COPY: copy, **rates}.items()
        if spreads[what] > _WIDE
    )
    found = DevicePeaks(
        device=known.name,
        driver=known.driver,
        copy_bandwidth=max(copy.rates),
        matrix_rates={what: max(rate.rates) for what, rate in rates.items()},
        measured=datetime.now().astimezone().isoformat(timespec="seconds"),
        software=clean(subject.software),
        threads=known.threads,
        uuid=known.uuid,
        copy_by_clock=max(copy.by_clock, default=None),
        spreads=spreads,
        sizes={what: clean(rate.size) for what, rate in {COPY: copy, **rates}.items()},
        reasons=reasons,
        disturbed=tuple(dict.fromkeys((*disturbed, *told_of))),
        notes=notes,
        quick=wanted.quick,
        seconds=round((ended - began) / 1e9, 3),
    )
    return found, True


def _spread(rates: tuple[float, ...]) -> float:
    """By how much of the best the median is slower."""
    return round(1 - sorted(rates)[(len(rates) - 1) // 2] / max(rates), 6)


async def _company(sampler: Sampler, gpu: GpuInfo | None, group: int) -> tuple[str, ...]:
    """Who uses the device just before it is measured, while the child waits: a look of half a second."""
    start = time.monotonic_ns()
    await asyncio.sleep(_LOOK_S)
    end = time.monotonic_ns()
    seen = window_readings(sampler.window(start, end), start, end)
    found = []
    if gpu is None:
        busy = seen.host.cpu_percent.mean if seen.host.cpu_percent else None
        if busy is not None and busy > _BUSY_CPU:
            found.append(f"other programs used {busy:.0f} % of the CPUs just before")
        return tuple(found)
    use = next((entry.utilization for entry in seen.gpus if entry.uuid == gpu.uuid), None)
    if use is not None and use.mean > _BUSY_GPU:
        found.append(f"the GPU was {use.mean:.0f} % busy just before")
    return (*found, *await _others(sampler, gpu, group))


async def _others(sampler: Sampler, gpu: GpuInfo, group: int) -> tuple[str, ...]:
    """Other processes that compute on the GPU; none where their numbers cannot be told apart from the child's."""
    listed = await call_with_timeout(lambda: sampler.processes(gpu), _DRIVER_S) or ()
    own = [process for process in listed if group_of(process.pid) == group]
    if listed and not own:  # another PID namespace: one of them is the child
        return (f"{len(listed)} processes used the GPU, one of them this",) if len(listed) > 1 else ()
    others = [f"{clean(process.name or 'process')} ({process.pid})" for process in listed if process not in own]
    return (f"another process used the GPU: {', '.join(others)}",) if others else ()


def _busy_host(seen: WindowReadings, spent: Sequence[float | None]) -> tuple[str, ...]:
    """What speaks against the figures of a CPU; `spent` is the child's CPU time before the window and after it."""
    _, others = cpu_shares(seen.host, spent)
    if others is None or others <= _BUSY_CPU:
        return ()
    return (f"other programs used {others:.0f} % of the CPUs meanwhile",)


def _judged(sampler: Sampler, gpu: GpuInfo, seen: WindowReadings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What speaks against the figures of a GPU, and what a reader should know, by telemetry of the window."""
    readings: GpuReadings | None = next((entry for entry in seen.gpus if entry.uuid == gpu.uuid), None)
    if readings is None:
        return (), ("the driver gave no readings of the GPU meanwhile: throttling is not known",)
    shares = readings.throttle or {}
    against = [
        f"clocks were held down by {name} in {share:.0%} of the samples"
        for name, share in sorted(shares.items())
        if name in DISTURBING_THROTTLES
    ]
    against += [f"telemetry of the GPU was lost: {fault.message}" for fault in sampler.faults if fault.uuid == gpu.uuid]
    notes = []
    if POWER_CAP in shares:
        limit = f" ({gpu.power_limit_w:.0f} W)" if gpu.power_limit_w else ""
        notes.append(f"the GPU ran at its power limit{limit} in {shares[POWER_CAP]:.0%} of the samples")
    if readings.sm_mhz and readings.temperature_c:
        notes.append(
            f"SM clock {readings.sm_mhz.min:.0f} to {readings.sm_mhz.max:.0f} MHz,"
            f" up to {readings.temperature_c.max:.0f} C"
        )
    return tuple(against), tuple(notes)


def _log_file(environ: Mapping[str, str]) -> Path:
    return state_dir(environ) / "calibrate.log"


def _named(name: str, gpus: tuple[GpuInfo, ...], environ: Mapping[str, str]) -> tuple[GpuInfo, ...]:
    """The GPU that `cuda:N` names, of those that the environment leaves; none where it is left to the child."""
    kind, _, number = name.partition(":")
    if kind != "cuda" or not number or not gpus:
        return ()
    return visible_from_environment(environ, gpus)[int(number) :][:1]


class _Child:
    """The measuring process and its pipes. Leaving the context leaves nothing behind."""

    def __init__(self, wanted: Wanted, gpus: tuple[GpuInfo, ...], log: Path, environ: Mapping[str, str]) -> None:
        device = DeviceConfig(name=wanted.device)
        planned = _named(wanted.device, gpus, environ)
        self._wanted = msgspec.structs.replace(wanted, device=as_the_worker_sees(device, planned).name)
        self._log = log
        self._environment = worker_environment(device, gpus, environ, planned=planned)
        if wanted.threads:
            self._environment.update(dict.fromkeys(_THREAD_VARIABLES, str(wanted.threads)))
        self._ours: list[int] = []

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._process.pid

    async def __aenter__(self) -> "_Child":
        events, their_events = os.pipe()
        their_commands, self._commands = os.pipe()
        their_lifeline, lifeline = os.pipe()
        theirs = (their_events, their_commands, their_lifeline)
        self._ours = [self._commands, lifeline]
        wanted = self._wanted
        try:
            try:
                self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                output = self._log.open("wb")
            except OSError as error:
                raise StoreError(
                    f"cannot write {clean(str(self._log))}: {error.strerror}",
                    remedy="Name another state directory with XDG_STATE_HOME.",
                ) from error
            with output:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-P", "-m", "infertui.worker.calibration", *map(str, theirs)),
                    *(wanted.device, str(wanted.threads), "quick" if wanted.quick else "full"),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=theirs,
                    start_new_session=True,
                    env=self._environment,
                )
        except BaseException:
            for descriptor in (events, *self._ours):
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self._reader = asyncio.StreamReader(limit=MAX_LINE)
        try:
            self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(self._reader), os.fdopen(events, "rb", 0)
            )
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._transport.close()
        await self._end()

    async def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for descriptor in self._ours:
            os.close(descriptor)
        await self._process.wait()

    def go(self) -> None:
        """Let it measure."""
        with contextlib.suppress(OSError):  # it is gone: `next` says so
            os.write(self._commands, b"g")

    async def next(self) -> Told:
        """What it tells next. Raises EngineError when it cannot measure, or has ended."""
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            code = await self._process.wait()
            tail = log_tail(self._log)
            raise EngineError(
                f"the process that measures ended with status {code}" + (f":\n{tail}" if tail else ""),
                remedy=f"Its output is in {clean(str(self._log))}.",
            )
        try:
            told = decode(line)
        except msgspec.MsgspecError as error:
            raise EngineError(f"the process that measures told what cannot be read: {error}") from error
        if isinstance(told, Refused):
            raise EngineError(clean(told.message), remedy=clean(told.remedy))
        return told
