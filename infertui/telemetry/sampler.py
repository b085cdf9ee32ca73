"""A thread that samples GPUs and host at a steady rate, and says so when something breaks."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from infertui.errors import InfertuiError
from infertui.telemetry.host import HostReader
from infertui.telemetry.nvml import Nvml, NvmlUnavailableError
from infertui.telemetry.readings import Counters, Fault, GpuInfo, GpuProcess, GpuSample, Sample
from infertui.text import one_line

_log = logging.getLogger(__name__)

IDLE_HZ = 1.0
"""The rate while nothing is measured."""

DEFAULT_HISTORY = 18_000
"""Samples kept in memory: half an hour at 10 Hz, 8 MB for one GPU."""

TRAFFIC_NS = 20_000_000
"""Traffic is what crosses the links in so long before a sample: counters are read at both ends."""
_TRAFFIC_EVERY_NS = 950_000_000
_STALE_PERIODS = 3
_STALE_AT_LEAST_S = 1.0


class Sampler:
    """Samples in a daemon thread of its own; everything here may be called from any thread.

    The driver is opened by that thread too, since it can take seconds: `wait_ready` waits for it. Without a usable
    driver the host alone is sampled, and `unavailable` says why. A driver that hangs holds up the thread and nothing
    else: `stale` tells. A device that was lost, or a driver that died, stays so: start another Sampler afterwards.
    """

    def __init__(
        self,
        *,
        hz: float = IDLE_HZ,
        history: int = DEFAULT_HISTORY,
        on_sample: Callable[[Sample], None] | None = None,
        open_nvml: Callable[[], Nvml] = Nvml.open,
        host: HostReader | None = None,
    ) -> None:
        """`on_sample` is called in the sampler's thread with each sample; what it raises becomes a fault."""
        self._open_nvml = open_nvml
        self._host = host or HostReader()
        self._counting_host = HostReader()
        self._on_sample = on_sample
        self._samples: deque[Sample] = deque(maxlen=history)
        self._nvml: Nvml | None = None
        self._gpus: tuple[GpuInfo, ...] = ()
        self._unavailable: NvmlUnavailableError | None = None
        self._faults: list[Fault] = []
        self._faulty: set[str] = set()
        self._wake = threading.Condition()
        self._hz = _checked(hz)
        self._due_ns = 0
        self._traffic_ns = 0
        self._alive_ns = 0
        self._stopping = False
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy_ns = 0
        self._cpu_ns = 0

    def start(self) -> None:
        """Start sampling, at once. A sampler starts once."""
        if self._thread is not None:
            raise RuntimeError("a Sampler starts only once")
        self._alive_ns = self._due_ns = time.monotonic_ns()
        self._thread = threading.Thread(target=self._run, name="infertui-sampler", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End the thread and close the driver. False if a call into the driver hangs: the thread is left behind."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Wait until the driver was opened, or found unusable; False if that takes longer."""
        return self._ready.wait(timeout_s)

    def set_rate(self, hz: float) -> None:
        """Samples per second from now on; 0 pauses. A change takes a sample at once, so a window's edge has one."""
        with self._wake:
            if _checked(hz) == self._hz:
                return
            self._hz = hz
            self._due_ns = self._alive_ns = time.monotonic_ns()
            self._wake.notify_all()

    @property
    def hz(self) -> float:
        """The rate in force, in samples per second."""
        return self._hz

    @property
    def gpus(self) -> tuple[GpuInfo, ...]:
        """All devices, MIG instances after their GPU; empty before `wait_ready` and without a driver."""
        return self._gpus

    @property
    def unavailable(self) -> InfertuiError | None:
        """Why there are no GPU readings at all, with a remedy; None where there are, and before `wait_ready`."""
        return self._unavailable

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks about devices that are there but cannot be read."""
        return self._nvml.notes if self._nvml else ()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What went wrong since the start, oldest first; each thing once."""
        with self._wake:
            return tuple(self._faults)

    @property
    def latest(self) -> Sample | None:
        """The newest sample."""
        return self._samples[-1] if self._samples else None

    @property
    def stale(self) -> bool:
        """Whether a sample is overdue by more than two periods: the driver hangs, or the machine is overwhelmed."""
        with self._wake:
            if self._thread is None or self._hz == 0 or self._stopping:
                return False
            allowed_s = max(_STALE_PERIODS / self._hz, _STALE_AT_LEAST_S)
            return time.monotonic_ns() - self._alive_ns > allowed_s * 1e9

    @property
    def busy_s(self) -> float:
        """Seconds that the thread spent in sampling and in `on_sample`."""
        return self._busy_ns / 1e9

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the thread, as of its latest sample: what the telemetry costs."""
        return self._cpu_ns / 1e9

    def window(self, start_ns: int, end_ns: int) -> list[Sample]:
        """The samples from `start_ns` to `end_ns`, and the nearest one on either side to interpolate from."""
        found: list[Sample] = []
        with self._wake:
            for sample in reversed(self._samples):
                # Newest first: of those after the window only the nearest stays.
                if sample.t_ns > end_ns and found:
                    found.pop()
                found.append(sample)
                if sample.t_ns < start_ns:
                    break
        return found[::-1]

    def counters(self) -> Counters:
        """Read all growing counters, in the caller's thread: some 9 ms per GPU, or as long as a driver hangs."""
        t_ns = time.monotonic_ns()
        nvml = self._nvml
        gpus = nvml.counters() if nvml else ()
        for gpu in gpus:
            if gpu.lost:
                self._note_lost(gpu.uuid, gpu.lost)
        return Counters(t_ns, gpus, self._counting_host.counters())

    def processes(self, gpu: GpuInfo) -> tuple[GpuProcess, ...] | None:
        """The processes that compute on a device, read in the caller's thread; None where the driver does not tell."""
        return self._nvml.processes(gpu) if self._nvml else None

    def _run(self) -> None:
        nvml: Nvml | None = None
        try:
            try:
                nvml = self._nvml = self._open_nvml()
                self._gpus = nvml.devices()
            except NvmlUnavailableError as error:
                self._unavailable = error
            self._ready.set()
            while self._wait_until_due(early_ns=TRAFFIC_NS if nvml else 0):
                if nvml:
                    self._begin_traffic(nvml)
                    if not self._wait_until_due():
                        break
                self._tick(nvml)
        finally:
            self._ready.set()
            if nvml:
                nvml.close()

    def _begin_traffic(self, nvml: Nvml) -> None:
        """Once a second, as it costs more than all other readings."""
        now = time.monotonic_ns()
        if now - self._traffic_ns < _TRAFFIC_EVERY_NS:
            return
        self._traffic_ns = now
        try:
            nvml.begin_traffic()
        except Exception as error:  # noqa: BLE001 - as with samples
            self._note_error("the traffic could not be read", error)

    def _wait_until_due(self, *, early_ns: int = 0) -> bool:
        """Sleep until the next sample is due, or until so long before that; False: stop."""
        with self._wake:
            while not self._stopping:
                if self._hz == 0:
                    self._wake.wait()
                    continue
                now = time.monotonic_ns()
                if early_ns and now >= self._due_ns - early_ns:
                    return True
                if now >= self._due_ns:
                    # Deadlines stand on a fixed grid, so the rate does not drift; those that were missed are dropped.
                    period = round(1e9 / self._hz)
                    self._due_ns += (1 + (now - self._due_ns) // period) * period
                    return True
                self._wake.wait((self._due_ns - early_ns - now) / 1e9)
        return False

    def _tick(self, nvml: Nvml | None) -> None:
        start_ns = time.monotonic_ns()
        try:
            gpus: tuple[GpuSample, ...] = tuple(map(nvml.sample, self._gpus)) if nvml else ()
            sample = Sample(start_ns, gpus, self._host.sample())
        except Exception as error:  # noqa: BLE001 - a thread that ends would leave the run without any telemetry
            self._note_error("a sample could not be taken", error)
            return
        for gpu in gpus:
            if gpu.lost:
                self._note_lost(gpu.uuid, gpu.lost)
        with self._wake:
            self._samples.append(sample)
        if self._on_sample:
            try:
                self._on_sample(sample)
            except Exception as error:  # noqa: BLE001 - whatever a watcher does wrong, the sampling goes on
                self._note_error("a receiver of samples failed", error)
        end_ns = time.monotonic_ns()
        with self._wake:
            self._alive_ns = end_ns
        self._busy_ns += end_ns - start_ns
        self._cpu_ns = time.thread_time_ns()

    def _note_lost(self, uuid: str, reason: str) -> None:
        if self._nvml and self._nvml.dead:
            self._note("", self._nvml.dead)
            return
        label = next((gpu.label for gpu in self._gpus if gpu.uuid == uuid), uuid)
        self._note(uuid, f"GPU {label}: {reason}")

    def _note_error(self, what: str, error: Exception) -> None:
        """Keep an exception's first message; the same kind of error may come with every sample, worded anew."""
        name = type(error).__name__
        self._note("", f"{what}: {name}: {one_line(error)}", once=f"{what}: {name}")

    def _note(self, uuid: str, message: str, *, once: str = "") -> None:
        """Keep a fault and log it, unless one like it (`once`, or the same message) is there."""
        key = once or message
        with self._wake:
            if key in self._faulty:
                return
            self._faulty.add(key)
            self._faults.append(Fault(time.monotonic_ns(), message, uuid))
        _log.warning("%s", message)


def _checked(hz: float) -> float:
    if not 0 <= hz <= 1000:
        raise ValueError(f"a sampling rate is 0 to 1000 per second, not {hz}")
    return hz
