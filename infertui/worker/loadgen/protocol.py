"""The messages between a runner and its load generators: JSON lines, each way, as those of a worker.

The API key does not travel here: a client finds it in its environment under `KEY_VARIABLE`.
"""

from typing import Literal

import msgspec
from msgspec import Struct

from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import WorkloadConfig
from infertui.load.texts import TokenScale
from infertui.measure.records import Request
from infertui.targets.endpoint.dialect import Api

KEY_VARIABLE = "INFERTUI_ENDPOINT_KEY"


class ClientCommand(Struct, frozen=True, tag_field="type"):
    """Runner to client."""


class PreparePart(ClientCommand, frozen=True, tag="prepare"):
    """Get ready to execute part `part` of `parts` of a plan. Answered by `PartPrepared` or `ClientFailure`.

    `api`, `model` and `without` (see `AskedRequest`) are what was found of the endpoint, and `prompts` those of the
    workload, none for random ones. For `salt` and `scale` see `load.planner.plan_of`.
    """

    target: TargetConfig
    load: LoadConfig
    workload: WorkloadConfig
    api: Api
    model: str
    prompts: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    salt: int = 0
    scale: TokenScale | None = None
    part: int = 0
    parts: int = 1


class StartLoad(ClientCommand, frozen=True, tag="start"):
    """Begin; the plan's times count from `at_ns` (monotonic, of this machine), which lies ahead.

    A closed loop spreads its first requests evenly over `spread_s` from there on, which should be the time of a token.
    """

    at_ns: int
    spread_s: float = 0.0


class AdjustLoad(ClientCommand, frozen=True, tag="adjust"):
    """From now on another level: of requests in flight over all parts, or of requests a second, whichever it is.

    More requests in flight begin at once, spread over `spread_s`; fewer: those above it are not followed by others.
    Answered by `LoadAdjusted`. `lengths`: other mean lengths, None for those there are.
    """

    concurrency: int | None = None
    request_rate: float | None = None
    input_len: int | None = None
    output_len: int | None = None
    shared_prefix: float | None = None
    spread_s: float = 0.0


class StopLoad(ClientCommand, frozen=True, tag="stop"):
    """Send nothing new. `drain`: what is in flight is waited for; else it is aborted. Answered by `ClientDone`."""

    drain: bool


class ClientEvent(Struct, frozen=True, tag_field="type"):
    """Client to runner. `t_ns` is monotonic."""

    t_ns: int


class PartPrepared(ClientEvent, frozen=True, tag="prepared"):
    """Ready: the plan is made, nothing was sent."""

    pid: int


class LoadSnapshot(ClientEvent, frozen=True, tag="snapshot"):
    """A few times a second: counts since the start, of requests and of pieces of answers; `in_flight` now.

    `tokens` counts what came, as far as it is known before an answer is whole. Of the time since the last snapshot
    `lag_ns` is the longest for which the event loop was late, `late_ns` the longest from due to sent, and `cpu` the
    share of one core that the client used.
    """

    in_flight: int
    sent: int
    done: int
    failed: int
    tokens: int
    lag_ns: int
    late_ns: int
    cpu: float


class RequestsDone(ClientEvent, frozen=True, tag="requests"):
    """Requests that ended since the last such message, in the order of their ends; sent between the waves of tokens."""

    requests: tuple[Request, ...]


class LoadAdjusted(ClientEvent, frozen=True, tag="adjusted"):
    """The new level holds for what is sent from `t_ns` on."""


class ClientMeter(Struct, frozen=True):
    """How much the client itself stood between the server and the figures, over all of its work.

    `cpu_s` of `wall_s`; how late the event loop was, in seconds; how late requests were sent after they were due,
    without the time in which they had no connection.
    `start_s` is from the start of the process until it could have sent its first request, connections included, without
    the time in which it waited for a command. `connections` were opened; `retried` requests were sent a second time,
    since the server had closed a kept connection as they came; `skipped` turns were not sent, since one before them
    had failed.
    """

    cpu_s: float
    wall_s: float
    lag_p99_s: float
    lag_max_s: float
    late_p50_s: float
    late_p99_s: float
    late_max_s: float
    start_s: float
    connections: int
    retried: int = 0
    skipped: int = 0


class ClientDone(ClientEvent, frozen=True, tag="done"):
    """All is over: the plan's end, or a `StopLoad`. Everything that ended was told before."""

    meter: ClientMeter
    why: Literal["plan", "stop"]


class ClientFailure(ClientEvent, frozen=True, tag="failure"):
    """It cannot go on; what had ended was told before."""

    kind: str
    message: str
    remedy: str = ""


AnyClientCommand = PreparePart | StartLoad | AdjustLoad | StopLoad
AnyClientEvent = PartPrepared | LoadSnapshot | RequestsDone | LoadAdjusted | ClientDone | ClientFailure

MAX_LINE = 256 << 20
"""Of commands, which may hold many prompts, and of events."""

_encoder = msgspec.json.Encoder()
_events: msgspec.json.Decoder[AnyClientEvent] = msgspec.json.Decoder(AnyClientEvent)
_commands: msgspec.json.Decoder[AnyClientCommand] = msgspec.json.Decoder(AnyClientCommand)


def encode(message: ClientCommand | ClientEvent) -> bytes:
    """One line, newline included."""
    return _encoder.encode(message) + b"\n"


def decode_event(line: bytes) -> AnyClientEvent:
    """Raises `msgspec.DecodeError` for anything else than an event."""
    return _events.decode(line)


def decode_command(line: bytes) -> AnyClientCommand:
    """Raises `msgspec.DecodeError` for anything else than a command."""
    return _commands.decode(line)
