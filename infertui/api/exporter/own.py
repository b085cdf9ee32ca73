"""GPUs and machine read by the exporter itself, when a page is asked for: nothing is read for nobody."""

import time
from collections.abc import Callable
from threading import Lock

import infertui
from infertui.api.exporter.family import ScrapedPage
from infertui.api.exporter.gpus import add_gpus, add_host
from infertui.api.exporter.runs import INFO, RUNNER_UP
from infertui.api.exporter.text import exposition
from infertui.telemetry.host import HostReader, host_facts
from infertui.telemetry.nvml import Nvml, NvmlUnavailableError
from infertui.telemetry.readings import GpuInfo, GpuSample

ANEW_S = 30.0
"""When a driver that could not be opened, or lost a GPU, is opened once more."""


class OwnReadings:
    """The driver is opened for the first page, and again some time after it failed. To be asked in threads: the driver
    may take seconds, or hang."""

    def __init__(
        self, open_nvml: Callable[[], Nvml] = Nvml.open, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open = open_nvml
        self._clock = clock
        self._nvml: Nvml | None = None
        self._failed_at: float | None = None
        self._host = HostReader()
        self._host.sample()  # shares of CPU time are since the one before
        self._facts = host_facts()
        self._lock = Lock()

    def text(self) -> bytes:
        """The page as it is now."""
        page = ScrapedPage()
        with self._lock:
            infos, samples = self._gpus()
            add_gpus(page, infos, samples, self._facts.hostname)
            add_host(page, self._host.sample(), self._facts)
        page.add(INFO, 1, version=infertui.__version__, Hostname=self._facts.hostname)
        page.add(RUNNER_UP, 0)
        return exposition(page)

    def close(self) -> None:
        """Give the driver back."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._nvml is not None:
            self._nvml.close()
            self._nvml = None

    def _gpus(self) -> tuple[tuple[GpuInfo, ...], tuple[GpuSample, ...]]:
        now = self._clock()
        if self._failed_at is not None and now - self._failed_at >= ANEW_S:
            self._close()
            self._failed_at = None
        if self._nvml is None and self._failed_at is None:
            try:
                self._nvml = self._open()
            except NvmlUnavailableError:
                self._failed_at = now
        if self._nvml is None:
            return (), ()
        infos = self._nvml.devices()
        samples = tuple(map(self._nvml.sample, infos))
        if self._failed_at is None and any(sample.lost for sample in samples):
            self._failed_at = now
        return infos, samples
