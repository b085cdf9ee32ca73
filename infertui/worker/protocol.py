"""The messages between a runner and its worker: JSON lines on a pipe of their own, each way.

Whatever a backend prints goes to worker.log; nothing but these messages travels here.
"""

from typing import Literal

import msgspec
from msgspec import Struct, field

from infertui.config.schema import MeasurementConfig, WorkloadConfig
from infertui.measure.records import Activity, BatchRecord
from infertui.targets.engine.base import EffectiveSettings, Loaded, LoadRequest

# One line may hold a batch of many long prompts.
MAX_LINE = 256 << 20

FailureKind = Literal["error", "usage", "out-of-memory", "crash", "killed", "timeout", "cancelled"]


class Command(Struct, frozen=True, tag_field="type"):
    """Runner to worker."""


class LoadModel(Command, frozen=True, tag="load"):
    """Load a model. Answered by `LoadDone` or `Failure`."""

    request: LoadRequest


class AdaptModel(Command, frozen=True, tag="adapt"):
    """Take options anew with the model that is loaded: the request differs in what its engine's description `adapts`.

    Answered by `LoadDone` or `Failure`.
    """

    request: LoadRequest


class Measure(Command, frozen=True, tag="measure"):
    """Warm up and measure. `prompts` is empty for random ids. Answered by batches and `MeasureDone` or `Failure`."""

    workload: WorkloadConfig
    measurement: MeasurementConfig
    prompts: tuple[str, ...]
    iterations: int


class Proceed(Command, frozen=True, tag="proceed"):
    """The answer to `Ready`: the runner has read its counters, measuring may start."""


class Score(Command, frozen=True, tag="score"):
    """Score a text with the loaded model, `tokens` of it at most. Answered by `Scored`, or `Failure`.

    Never sent while a `Measure` is under way.
    """

    text: str
    tokens: int
    timeout_s: float


class FindGaps(Command, frozen=True, tag="find-gaps"):
    """Say how nearly the last run would have gone another way. Answered by `GapsFound`, or `Failure`.

    `partings` maps a prompt's name to a place in its output, from 0, and the token that another run has there.
    """

    partings: dict[str, tuple[int, int]]
    timeout_s: float


class Cancel(Command, frozen=True, tag="cancel"):
    """Stop at the next token step and keep what was measured. Answered by `Failure` of kind cancelled."""


class Conclude(Command, frozen=True, tag="conclude"):
    """End measuring at the next boundary between batches, with all that was measured. Without a measured batch it is
    answered by `Failure` of kind cancelled, and the model stays loaded as well. It is sent while a `Measure` is under
    way; after that it changes nothing.
    """


class Shutdown(Command, frozen=True, tag="shutdown"):
    """Leave. The end of the pipe means the same."""


class Event(Struct, frozen=True, tag_field="type"):
    """Worker to runner. `t_ns` is monotonic."""

    t_ns: int


class WorkerHello(Event, frozen=True, tag="hello"):
    """The worker runs. Sent before any backend is imported."""

    pid: int
    python: str


class PhaseStarted(Event, frozen=True, tag="phase"):
    """A phase began."""

    phase: Literal["load", "compile", "capture", "warmup", "measure", "score"]


class LoadDone(Event, frozen=True, tag="loaded"):
    """The model is loaded."""

    loaded: Loaded


class Ready(Event, frozen=True, tag="ready"):
    """Warm-up is over; the worker waits for `Proceed`. `steady` is None when a fixed count was asked for.

    `effective` says what is in force, so that it is known of runs that are cut off as well; its counters are left out.
    """

    warmup_batches: int
    steady: bool | None
    effective: EffectiveSettings = field(name="evidence", default=EffectiveSettings())


class BatchDone(Event, frozen=True, tag="batch"):
    """One batch was run, in warm-up or measured."""

    batch: BatchRecord


class Heartbeat(Event, frozen=True, tag="heartbeat"):
    """Sent a few times a second by a thread of the worker, whatever the engine does.

    `progress_ns` is the time of the last token step or phase change: it stands still when the engine hangs. In
    `prepare` the engine gets ready, before it says that it compiles or captures.
    """

    phase: Activity
    batch: int
    step: int
    tokens: int
    progress_ns: int
    resident: int


class MeasureEnded(Event, frozen=True, tag="ended"):
    """The last batch is done; what follows is not measured. `stopped` says why it was before the last iteration."""

    stopped: str = ""


class MeasureDone(Event, frozen=True, tag="measured"):
    """The engine is free again. `effective` is what was in force, its counters what they grew by while measuring."""

    effective: EffectiveSettings = field(name="evidence", default=EffectiveSettings())


class Scored(Event, frozen=True, tag="scored"):
    """How likely a text is: the sum of ln p over `tokens` predicted ones, in windows of `window` tokens; see `Scoring`.

    `log_likelihood` is None where it is not available, and `reason` says why.
    """

    log_likelihood: float | None = None
    tokens: int = 0
    window: int = 0
    how: str = ""
    reason: str = ""


class GapsFound(Event, frozen=True, tag="gaps"):
    """By how much the logit of the token that was generated exceeds the other one's, by the name of the prompt.

    Those are left out of which it could not be found in time, or at all: `reason` says why.
    """

    gaps: dict[str, float] = {}
    reason: str = ""


class Failure(Event, frozen=True, tag="failure"):
    """What was asked could not be done. `details` are figures that belong to the message."""

    kind: FailureKind
    message: str
    remedy: str = ""
    details: dict[str, str] = {}


AnyCommand = LoadModel | AdaptModel | Measure | Score | FindGaps | Proceed | Cancel | Conclude | Shutdown
AnyEvent = (
    WorkerHello
    | PhaseStarted
    | LoadDone
    | Ready
    | BatchDone
    | Heartbeat
    | MeasureEnded
    | MeasureDone
    | Scored
    | GapsFound
    | Failure
)

_encoder = msgspec.json.Encoder()
_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_commands: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)


def encode(message: Command | Event) -> bytes:
    """One line, newline included."""
    return _encoder.encode(message) + b"\n"


def decode_event(line: bytes) -> AnyEvent:
    """Raises `msgspec.DecodeError` for anything else than an event."""
    return _events.decode(line)


def decode_command(line: bytes) -> AnyCommand:
    """Raises `msgspec.DecodeError` for anything else than a command."""
    return _commands.decode(line)
