"""What answers requests, as the worker that measures it sees it: the seam between measuring and what is measured.

A target answers and says of itself what it is; stamps, order and statistics are the session's. An engine in the worker
is one kind. Another kind is a module with a class of this protocol, a word in `TargetKind`, and an entry in
`targets/kinds.py`, which makes a target of what a `Load` asks.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct

from infertui.measure.records import EngineMemory
from infertui.targets.engine.contract import (
    Batch,
    EffectiveSettings,
    Generated,
    GenerationPlan,
    Getting,
    Loaded,
    Scoring,
    Sink,
)

TargetKind = Literal["engine", "endpoint"]
"""`engine`: a library that runs the model, in the worker; `endpoint`: a server behind a URL. Words of results: they are
not to be changed."""


class TargetName(Struct, frozen=True):
    """What was asked to answer: an engine by its name, an endpoint by its URL. None is what a file of another program
    does not tell."""

    kind: TargetKind
    name: str | None


@runtime_checkable
class AdaptingTarget(Protocol):
    """What a target is as well that can take options anew with what is loaded."""

    def adapt(self, request: Any) -> Loaded:
        """Take them. Raises EngineError where they cannot be."""
        ...


class Target(Protocol):
    """What a session measures, loaded when it is handed over. Used from one thread."""

    @property
    def name(self) -> TargetName:
        """What was asked for."""
        ...

    def load(self) -> Loaded:
        """Get it to where it can answer. Raises EngineError or ModelError, also for another than was asked for."""
        ...

    @property
    def loaded(self) -> Loaded:
        """What answers really, as it was found by looking: model, device, vocabulary, limits."""
        ...

    @property
    def scorer(self) -> Scoring | None:
        """How likely texts are to it, where it can tell; it is asked after measuring."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt."""
        ...

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """Get ready, before warm-up; `enter` tells of phases of their own. Returns when that is done."""
        ...

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        """Answer the requests of a batch, telling `sink` of tokens as they come. Raises EngineError where it cannot."""
        ...

    def synchronize(self) -> None:
        """Return when all work that was asked for is done."""
        ...

    def effective(self, *, seen: bool) -> EffectiveSettings:
        """What is in force; `seen` is whether it has generated. Raises EngineError where that is not what was asked."""
        ...

    def check_growth(self, grown: dict[str, int], output_len: int) -> None:
        """Raise EngineError where counters, by what they grew while measuring, deny what was asked."""
        ...

    def release_memory(self) -> None:
        """Give back what earlier runs left cached."""
        ...

    def reset_peak_memory(self) -> None:
        """Forget the peaks so far, those of the worker's own process included."""
        ...

    def memory(self) -> EngineMemory:
        """Peaks since the last reset, in bytes; None is what is not known of it, as of a server elsewhere."""
        ...

    def close(self) -> None:
        """End what it started, also where `load` failed."""
        ...
