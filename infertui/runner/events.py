"""What the runner tells whoever watches: facts, in order, as plain values."""

from typing import Literal

from msgspec import Struct, field

from infertui.measure.records import BatchRecord, Phase
from infertui.results.result import Error, Result
from infertui.targets.engine.base import Loaded
from infertui.telemetry.readings import Sample

ProgressUnit = Literal["batch", "request"]
"""What a run counts while it measures."""


class RunEvent(Struct, frozen=True, tag_field="event"):
    """Base of all events. `run` is the run's id."""

    run: str


class RunStarted(RunEvent, frozen=True, tag="started"):
    """A run has its folder; nothing is loaded yet. `number` of `total` in this series.

    At least `wanted` of its `unit` will be measured, for at least `min_seconds`: batches of `batch_size` requests. Of
    requests as they are due it is over with `wanted`, or after `min_seconds`; 0 of either: that does not end it.
    """

    name: str
    folder: str
    number: int
    total: int
    wanted: int = field(name="iterations")
    output_len: int
    batch_size: int
    min_seconds: float = 0.0
    unit: ProgressUnit = "batch"


class Estimated(RunEvent, frozen=True, tag="estimated"):
    """The memory estimate, as lines of arithmetic."""

    lines: tuple[str, ...]


class PhaseEntered(RunEvent, frozen=True, tag="phase"):
    """A phase began, at `t_ns`."""

    t_ns: int
    phase: Phase


class ModelLoaded(RunEvent, frozen=True, tag="loaded"):
    """The model is in memory, or still was (`reused`)."""

    loaded: Loaded
    seconds: float
    reused: bool


class Progressed(RunEvent, frozen=True, tag="progress"):
    """How far the run is: a few times a second. `tokens_per_s` is over the time since the previous one."""

    t_ns: int
    phase: Phase
    batch: int
    step: int
    tokens: int
    tokens_per_s: float | None
    resident: int


class LoadProgressed(RunEvent, frozen=True, tag="load"):
    """How a load on an endpoint goes: a few times a second. `elapsed` seconds after its start.

    `level` is what is asked for now, in requests in flight or requests a second as `by` says. Rates and times are over
    the last few seconds: tokens and requests a second, TTFT from when a request was due and ITL in seconds. `lag` and
    `late` are how late the client's loop, and requests were at most, in seconds; `cpu` is the most of one core that one
    of its processes used. `steady`: whether what is measured has settled, None while that cannot be told, and `verdict`
    says why in words.
    """

    t_ns: int
    phase: Phase
    elapsed: float
    level: float
    by: Literal["concurrency", "request_rate"]
    in_flight: int
    sent: int
    done: int
    failed: int
    requests_per_s: float | None = None
    tokens_per_s: float | None = None
    ttft_p50: float | None = None
    ttft_p99: float | None = None
    itl_p50: float | None = None
    itl_p99: float | None = None
    lag: float = 0.0
    late: float = 0.0
    cpu: float = 0.0
    steady: bool | None = None
    verdict: str = ""


class BatchMeasured(RunEvent, frozen=True, tag="batch"):
    """The requests of one batch of warm-up or measuring are complete."""

    batch: BatchRecord


class Sampled(RunEvent, frozen=True, tag="sample"):
    """A telemetry sample, at up to 10 Hz."""

    sample: Sample


class RunRefused(RunEvent, frozen=True, tag="refused"):
    """What was asked for is known to be wrong, and will not be a run: `run` is empty, as no folder is made.

    `number` of `total` in this series.
    """

    name: str
    number: int
    total: int
    error: Error


class Noted(RunEvent, frozen=True, tag="note"):
    """Something worth a line: a fault of telemetry, an early stop."""

    level: Literal["info", "warning"]
    text: str


class RunFinished(RunEvent, frozen=True, tag="finished"):
    """A run ended, in whatever state. `kept`: its result is in the folder and in the index."""

    result: Result
    kept: bool = True


AnyRunEvent = (
    RunStarted
    | RunRefused
    | Estimated
    | PhaseEntered
    | ModelLoaded
    | Progressed
    | LoadProgressed
    | BatchMeasured
    | Sampled
    | Noted
    | RunFinished
)
