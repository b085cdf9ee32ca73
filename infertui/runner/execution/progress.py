"""What a watcher of a run shows, kept up to date from the runner's events. Pure state, drawn elsewhere."""

import math
from itertools import pairwise
from typing import get_args

from msgspec import Struct, field
from msgspec.structs import replace

from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import Gaps
from infertui.measure.records import Phase
from infertui.runner.events import (
    AnyRunEvent,
    BatchMeasured,
    Estimated,
    LoadProgressed,
    ModelLoaded,
    Noted,
    PhaseEntered,
    Progressed,
    ProgressUnit,
    RunFinished,
    RunStarted,
    Sampled,
)
from infertui.targets.engine.base import Loaded
from infertui.telemetry.readings import Sample

RATES = 600
OPTIONAL: tuple[Phase, ...] = ("compile", "capture", "probe", "score")
"""Phases that a run has only where its engine compiles or captures, and where a text is scored afterwards."""
OF_ENDPOINTS: tuple[Phase, ...] = ("probe", "warmup", "measure")
"""The phases of every run on an endpoint."""


class RunProgress(Struct):
    """The state of one run as its events tell it."""

    started: RunStarted | None = None
    estimate: tuple[str, ...] = ()
    phase: Phase | None = None
    loaded: Loaded | None = None
    load_seconds: float | None = None
    warmed_up: int = field(default=0, name="warmup_batches")
    """Units of the warm-up that are done, see `RunStarted.unit`."""
    measured: int = field(default=0, name="measured_batches")
    """Those that are measured."""
    measured_tokens: int = 0
    measured_seconds: float = 0.0
    load: LoadProgressed | None = None
    """How a load on an endpoint goes."""
    ttfts: list[tuple[int, float]] = field(default_factory=list)
    """Median TTFT of late in seconds, as `rates` are kept; of a load alone."""
    step: int = 0
    batch: int = 0
    tokens_per_s: float | None = None
    ttft: float | None = None
    itl: Gaps | None = None
    sample: Sample | None = None
    entered: list[tuple[int, Phase]] = field(default_factory=list)
    """When each phase began, in monotonic nanoseconds."""
    rates: list[tuple[int, float]] = field(default_factory=list)
    """Tokens per second of late, for charts: (monotonic ns, rate), the last RATES of them."""
    notes: list[str] = field(default_factory=list)

    @property
    def unit(self) -> ProgressUnit:
        """What is counted."""
        return self.started.unit if self.started else "batch"

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that this run has, as far as is known yet, in order."""
        begun = {phase for _, phase in self.entered} | {self.phase}
        if self.unit == "request":
            return tuple(phase for phase in get_args(Phase) if phase in OF_ENDPOINTS or phase in begun)
        return tuple(phase for phase in get_args(Phase) if phase not in OPTIONAL or phase in begun)

    def seconds_in(self, phase: Phase) -> float | None:
        """What a phase took that is over, all its turns together; None while it lasts, or where it never was."""
        if phase == self.phase:
            return None
        turns = [after - began for (began, entered), (after, _) in pairwise(self.entered) if entered == phase]
        return sum(turns) / NS_PER_S if turns else None

    def copy(self) -> "RunProgress":
        """This state, which further events leave as it is."""
        return replace(self, entered=[*self.entered], rates=[*self.rates], ttfts=[*self.ttfts], notes=[*self.notes])

    def take(self, event: AnyRunEvent) -> None:
        """Take in the next event."""
        match event:
            case RunStarted():
                self.started = event
            case Estimated():
                self.estimate = event.lines
            case PhaseEntered():
                self.phase, self.step, self.batch, self.tokens_per_s = event.phase, 0, 0, None
                self.entered.append((event.t_ns, event.phase))
            case ModelLoaded():
                self.loaded, self.load_seconds = event.loaded, event.seconds
            case Progressed():
                self.step, self.batch = event.step, event.batch
                self.tokens_per_s = event.tokens_per_s
                if event.tokens_per_s is not None:
                    self.rates.append((event.t_ns, event.tokens_per_s))
                    del self.rates[:-RATES]
            case LoadProgressed():
                self.load, self.measured = event, event.done
                self.tokens_per_s, self.ttft = event.tokens_per_s, event.ttft_p50
                if event.tokens_per_s is not None:
                    self.rates.append((event.t_ns, event.tokens_per_s))
                    del self.rates[:-RATES]
                if event.ttft_p50 is not None:
                    self.ttfts.append((event.t_ns, event.ttft_p50))
                    del self.ttfts[:-RATES]
            case BatchMeasured(batch=batch):
                self.ttft, self.itl = batch.ttft, batch.itl
                if batch.phase == "warmup":
                    self.warmed_up += 1
                else:
                    self.measured += 1
                    self.measured_tokens += 0 if batch.error else batch.tokens
                    self.measured_seconds += batch.seconds
            case Sampled():
                self.sample = event.sample
            case Noted():
                self.notes.append(event.text)
            case RunFinished():
                pass

    @property
    def throughput(self) -> float | None:
        """Mean output tokens per second of what is measured so far."""
        return self.measured_tokens / self.measured_seconds if self.measured_seconds else None

    @property
    def fraction(self) -> float:
        """How much of the measuring is done, token steps counted: 0 to 1. A text is scored when all of it is."""
        if self.load is not None:
            return self._load_fraction
        if self.started is None or self.phase != "measure":
            return 1.0 if self.phase == "score" else 0.0
        if not (wanted := self.wanted):  # a load that only its time ends, before it is first told of
            return 0.0
        within = min(1.0, self.step / self.started.output_len) if self.batch == self.measured else 0.0
        return min(1.0, (self.measured + within) / wanted)

    @property
    def _load_fraction(self) -> float:
        """Of the requests or the seconds of a load, whichever is farther: the first of both ends it."""
        if self.started is None or self.load is None:
            return 0.0
        shares = [self.load.done / self.started.wanted] if self.started.wanted else []
        shares += [self.load.elapsed / self.started.min_seconds] if self.started.min_seconds else []
        return min(1.0, max(shares, default=0.0))

    @property
    def wanted(self) -> int:
        """Units that will be measured, as far as is known: more than asked for where these are too short."""
        if self.started is None:
            return 0
        wanted, least_s = self.started.wanted, self.started.min_seconds
        if not least_s or not self.measured_seconds:
            return wanted
        return max(wanted, math.ceil(least_s * self.measured / self.measured_seconds))

    @property
    def eta_s(self) -> float | None:
        """Seconds of measuring left, at the pace so far; None before the first unit is measured."""
        if self.started is None or not self.measured:
            return None
        if self.load is not None:
            done = self._load_fraction
            return (1 - done) * self.load.elapsed / done if done else None
        per_unit = self.measured_seconds / self.measured
        return max(0.0, (1 - self.fraction) * self.wanted * per_unit)
