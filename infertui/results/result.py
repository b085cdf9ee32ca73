"""A result: one line of results.jsonl, everything about a finished run that a table, a report or a replay needs."""

from typing import Literal

from msgspec import Struct, field

from infertui.config.schema import Config
from infertui.config.sweep import Place
from infertui.integers import Whole
from infertui.measure.load.figures import LoadFigures
from infertui.measure.quality import Quality
from infertui.measure.roofline import DevicePeaks, Limits
from infertui.measure.summary import Summary
from infertui.measure.validity import Verdict
from infertui.results.setup import JUDGED, Setup, Value
from infertui.targets.endpoint.seen import ServerSeen
from infertui.targets.engine.base import EffectiveSettings, Loaded
from infertui.telemetry.readings import GpuInfo, HostFacts

State = Literal["finished", "failed", "interrupted"]
EnergySource = Literal["counter", "integral"]
Schema = Literal[2]
"""Grows with every change that an older infertui would misread; `results/upgrade.py` reads the lines of before."""


class Error(Struct, frozen=True):
    """Why a run did not finish."""

    kind: str
    message: str
    remedy: str = ""
    details: dict[str, str] = {}
    log_tail: str = ""


class PowerFigures(Struct, frozen=True):
    """Energy and power of the run's device over the measured window, with provenance. None is not available.

    `energy_j` covers `window_s` (joules, gross): the time of the measured batches, as throughput does, at the mean
    power from the first one's start to the last one's end, `span_s` later. Results of before there was a `span_s` have
    both over the whole stretch. `error_j` is how far `energy_j` may be off. `idle_power_w` was read before the worker
    computed, or before that of the run `idle_from`, and the figures above idle subtract it over `window_s`. `reason`
    says why there is no better source.
    """

    domain: Literal["gpu", "cpu-package"]
    source: EnergySource | None = None
    window_s: float | None = None
    energy_j: float | None = None
    mean_power_w: float | None = None
    max_power_w: float | None = None
    idle_power_w: float | None = None
    joules_per_token: float | None = None
    joules_per_token_above_idle: float | None = None
    tokens_per_s_per_w: float | None = None
    samples: Whole = 0
    largest_gap_s: float | None = None
    reason: str = ""
    span_s: float | None = None
    error_j: float | None = None
    idle_from: str = ""


class DeviceFigures(Struct, frozen=True):
    """What telemetry saw of the run's device and host over the measured window. Bytes, percent, degrees, MHz.

    `vram_device_peak` is the whole device's, `vram_process` what the worker's processes hold at the end: with the
    allocator's two peaks in `Summary.memory` four different numbers. Of several GPUs it is the sum, and
    `vram_process_by_gpu` has the parts by the GPU's short name. `violation_s` are the seconds for which a policy
    held the clocks down, of several GPUs the most of one, `throttle_shares` the share of samples (0 to 1) that showed a
    reason. The driver's PCIe counters wrap: true traffic is these plus a multiple of 4 GiB. `sm_clock_fall` is the
    deepest fall below the highest clock before it, as a share. `cpu_busy` and `cpu_others` are percent of the time of
    the CPUs that the run may use: all that was spent, and what others than the worker's processes spent. `swapped` is
    bytes, in and out. `temperature_idle` is the lowest of a GPU while nothing of ours was loaded there, of several GPUs
    the highest of these.
    """

    vram_device_peak: Whole | None = None
    vram_process: Whole | None = None
    utilization_mean: float | None = None
    utilization_max: float | None = None
    temperature_min: float | None = None
    temperature_max: float | None = None
    sm_clock_min: float | None = None
    sm_clock_mean: float | None = None
    sm_clock_max: float | None = None
    throttles: tuple[str, ...] | None = None
    violation_s: dict[str, float] | None = None
    pcie_tx_mod_4gib: Whole | None = None
    pcie_rx_mod_4gib: Whole | None = None
    cpu_mean: float | None = None
    ram_peak: Whole | None = None
    samples: Whole = 0
    throttle_shares: dict[str, float] | None = None
    sm_clock_fall: float | None = None
    cpu_busy: float | None = None
    cpu_others: float | None = None
    swapped: Whole | None = None
    vram_process_by_gpu: dict[str, Whole] | None = None
    temperature_idle: float | None = None


class Fingerprint(Struct, frozen=True):
    """Where and with what a run was measured."""

    infertui: str
    git_revision: str
    python: str
    host: HostFacts
    gpus: tuple[GpuInfo, ...]
    driver: str
    cuda_driver: str
    config_hash: str
    libraries: dict[str, str]


class Recomputed(Struct, frozen=True):
    """That a result was derived anew from its run's files: by which version, when (ISO 8601), which keys changed."""

    infertui: str
    git_revision: str
    at: str
    changed: tuple[str, ...] = ()


class Result(Struct, frozen=True):
    """One run. `phases` holds seconds per phase; `started` is wall-clock time, ISO 8601 with offset.

    `loaded` and `effective` say what really ran, as the engine found it by looking; the counters of the latter are what
    they grew by while measuring, and empty where that was cut off. `source` names the program that measured where it
    was not infertui, as in `llama-bench build 0c1e570`; `imported` is the name of the file that its figures were read
    from, and `imported_sha256` that of its content. Such a run has no config, and so cannot be repeated or judged anew:
    `told` holds the keys of a config that its file tells. Whoever wants to know what was measured asks `setup`, of
    which all that is not known is None.
    `ceilings` are those of the device as calibrated before the run, and `limits` how near it came to them. `recomputed`
    says that figures are not those of when it was measured; these are in the folder's superseded.jsonl.
    """

    id: str
    name: str
    state: State
    started: str
    config: Config | None
    fingerprint: Fingerprint
    verdict: Verdict
    summary: Summary
    phases: dict[str, float]
    loaded: Loaded | None = None
    power: PowerFigures | None = None
    device: DeviceFigures | None = None
    warmup_batches: Whole = 0
    warmup_steady: bool | None = None
    sample_hz: float = 0.0
    error: Error | None = None
    effective: EffectiveSettings | None = field(name="evidence", default=None)
    source: str = ""
    imported: str = ""
    imported_sha256: str = ""
    told: dict[str, Value] = {}
    bench: Place | None = None
    ceilings: DevicePeaks | None = None
    limits: Limits | None = None
    quality: Quality | None = None
    load: LoadFigures | None = None
    """What only a load on an endpoint has."""
    server: ServerSeen | None = None
    """What a server's own page said of that."""
    ended_by: str = ""
    """What cut it off, of a run that is `interrupted`."""
    recomputed: Recomputed | None = None
    schema: Schema = 2

    @property
    def setup(self) -> Setup:
        """What was measured, as far as it is known."""
        return Setup(self.config, self.told)

    @property
    def measured(self) -> bool:
        """Whether any batch, or any request of a load, was measured."""
        return bool(self.summary.iterations) or (self.load is not None and bool(self.summary.requests))

    @property
    def has_throughput(self) -> bool:
        """Whether there is a throughput to tell; an imported file may hold latencies alone."""
        return self.summary.output_throughput is not None

    @property
    def own_config(self) -> Config:
        """The config that repeats it. Raises ValueError for an imported run, which has none."""
        if self.config is None:
            raise ValueError(f"{self.id} was imported from {self.imported}: it has no config")
        return self.config

    @property
    def untold(self) -> tuple[str, ...]:
        """Keys of the config, and of the summary as in `summary.requests`, that an imported file does not tell."""
        if self.config is not None:
            return ()
        from infertui.config.fields import FIELDS

        keys = [key for key in FIELDS if key not in self.told and key.partition(".")[0] not in JUDGED]
        return (*keys, *(f"summary.{name}" for name in self.summary.untold))
