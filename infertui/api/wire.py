"""What crosses the socket besides the values of `Control`: who answers, errors, and the format of the event stream.

Everything is JSON; events are server-sent events: `id` is the number, `event` is `event` or `snapshot`, `data` is JSON.
"""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

import infertui.api.errors  # noqa: F401 (its classes are among those that cross)
from infertui.errors import ConfigError, InfertuiError
from infertui.runner.control import EventEnvelope, Snapshot

PREFIX = "/v1"
KEEP_ALIVE_S = 15.0
"""An event stream that has nothing to say says so after this long."""
KEEP_ALIVE = b": still here\n\n"
IDENTITY_HEADER = "infertui-runner"
"""In every answer: which process of the runner gave it. Numbers of events mean something within one process only."""


class RunnerHello(Struct, frozen=True):
    """Who answers. Understood by every version: fields are only ever added."""

    version: str
    protocol: int
    pid: int = 0
    started: str = ""
    running: int = 0
    queued: int = 0
    oldest: int = 0
    """The oldest protocol that it understands as well; 0: its own alone."""
    reports: str = ""
    """The reports folder for those who connect from elsewhere and name none; empty: there is none."""
    read_only: bool = False
    """Whoever asks may only watch."""

    def understands(self, protocol: int, oldest: int) -> bool:
        """Whether it and one of these protocols, of which `protocol` is the newest, have one in common."""
        return (self.oldest or self.protocol) <= protocol and oldest <= self.protocol


class ConfigFault(Struct, frozen=True):
    """What a ConfigError says apart from its message."""

    path: str
    problem: str
    allowed: str = ""
    source: str = ""


class Problem(Struct, frozen=True):
    """An error: `kind` is the word of its class, or of the nearest one that every client knows."""

    kind: str
    message: str
    remedy: str = ""
    config: ConfigFault | None = None


def problem_of(error: InfertuiError) -> Problem:
    """The error as it crosses."""
    known = _classes()
    kind = next(word for cls in type(error).__mro__ if known.get(word := vars(cls).get("kind", "")) is cls)
    fault = None
    if isinstance(error, ConfigError):
        fault = ConfigFault(error.path, error.problem, error.allowed, error.source)
    return Problem(kind, error.message, error.remedy, fault)


def error_of(problem: Problem) -> InfertuiError:
    """The error as it was; one of a kind unknown here is an InfertuiError."""
    cls = _classes().get(problem.kind, InfertuiError)
    if issubclass(cls, ConfigError):
        fault = problem.config or ConfigFault("", problem.message)
        return cls(fault.path, fault.problem, allowed=fault.allowed, source=fault.source, remedy=problem.remedy)
    return cls(problem.message, remedy=problem.remedy)


def _classes() -> dict[str, type[InfertuiError]]:
    """The error classes of `infertui.errors` and of this package, by their words."""

    def family(cls: type[InfertuiError]) -> Iterator[type[InfertuiError]]:
        yield cls
        for child in cls.__subclasses__():
            yield from family(child)

    shared = ("infertui.errors", "infertui.api.errors")
    return {cls.kind: cls for cls in family(InfertuiError) if cls.__module__ in shared}


def encode_told(told: EventEnvelope | Snapshot) -> bytes:
    """One server-sent event."""
    kind = b"snapshot" if isinstance(told, Snapshot) else b"event"
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (told.number, kind, msgspec.json.encode(told))


class EventReader:
    """Takes the bytes of an event stream as they come, and gives the events that are whole."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._event = msgspec.json.Decoder(EventEnvelope)
        self._snapshot = msgspec.json.Decoder(Snapshot)

    def feed(self, data: bytes) -> Iterator[EventEnvelope | Snapshot]:
        """Events that `data` completes. Raises msgspec.MsgspecError for what cannot be read."""
        self._rest += data
        while (end := self._rest.find(b"\n\n", max(0, self._searched - 1))) >= 0:
            block = bytes(self._rest[:end])
            del self._rest[: end + 2]
            self._searched = 0
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if line[:1] != b":" and b": " in line)
            if b"data" in fields:
                decoder = self._snapshot if fields.get(b"event") == b"snapshot" else self._event
                yield decoder.decode(fields[b"data"])
        self._searched = len(self._rest)
