"""The interface that matters: what an engine is, and what it says of itself.

An engine loads a model and generates tokens; it measures nothing. The loop that measures is the same for all.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, runtime_checkable

from msgspec import Struct

from infertui.config.engines.registry import SPECS
from infertui.config.engines.spec import EngineSpec
from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.errors import EngineError
from infertui.measure.clock import Clock
from infertui.measure.records import EngineMemory
from infertui.models.resolve import ModelSource
from infertui.targets.engine.contract import (
    Batch,
    Capacity,
    Closing,
    EffectiveSettings,
    Generated,
    GenerationPlan,
    Getting,
    Loaded,
    Probe,
    Scoring,
    ScoringWay,
    Sink,
)

__all__ = [
    "Adapting",
    "Batch",
    "Capacity",
    "Closing",
    "EffectiveSettings",
    "Engine",
    "EngineFactory",
    "Generated",
    "GenerationPlan",
    "Getting",
    "LoadRequest",
    "Loaded",
    "Probe",
    "Scoring",
    "ScoringWay",
    "Sink",
    "check",
    "create",
    "probe",
    "spec_of",
]  # fmt: skip


class LoadRequest(Struct, frozen=True):
    """Everything that determines a loaded model. Two runs with equal requests can share one worker.

    `capacity` is given to engines that are `sized_at_load`. `requested` is the engine that was asked for where
    another one, `engine.name`, takes its place because of `fallback_reason`.
    """

    model: ModelConfig
    engine: EngineConfig
    device: DeviceConfig
    capacity: Capacity | None = None
    requested: str = ""
    fallback_reason: str = ""


class Engine(Protocol):
    """One backend with one loaded model. Used from one thread."""

    def load(self, request: LoadRequest) -> Loaded:
        """Load the model. Raises EngineError or ModelError for what a user can mend."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, as the model's tokenizer makes them for plain text."""
        ...

    def prepare(self, plan: GenerationPlan, enter: Callable[[Getting], None]) -> None:
        """Get ready for a plan, before warm-up. `enter` is called when compiling and when capturing begins."""
        ...

    def generate(self, batch: Batch, sink: Sink) -> Generated:
        """Generate `output_len` tokens for every prompt, ignoring end-of-sequence; tell `sink` as they come."""
        ...

    def effective(self) -> EffectiveSettings:
        """What is in force now. Called after warm-up and after measuring."""
        ...

    def synchronize(self) -> None:
        """Return when all work given to the device is done."""
        ...

    def release_memory(self) -> None:
        """Give back what earlier batches left cached, so that a run's memory is its own."""
        ...

    def reset_peak_memory(self) -> None:
        """Forget the peaks so far."""
        ...

    def memory(self) -> EngineMemory:
        """Peaks since the last reset, where they can be reset."""
        ...


@runtime_checkable
class Adapting(Protocol):
    """What an engine is as well that takes some options anew with the model loaded: those that its description says
    that it `adapts`."""

    def adapt(self, request: LoadRequest) -> Loaded:
        """Take them, and tell what is loaded as `load` does. Raises EngineError."""
        ...


EngineFactory = Callable[[Clock], Engine]


def create(name: str, clock: Clock) -> Engine:
    """A new engine of that name, nothing loaded yet."""
    factory: EngineFactory = import_module(spec_of(name).module).create
    return factory(clock)


def probe(name: str) -> Probe:
    """Whether the engine can be used in this environment. Takes milliseconds: nothing of the backend is imported."""
    answer: Callable[[], Probe] = import_module(spec_of(name).module).probe
    return answer()


def check(request: LoadRequest, source: ModelSource) -> None:
    """Raise what the engine is known to answer to a request, before a worker is started for it.

    An engine's module may have a `check(request, source)` for that. Nothing of the backend is imported: the engine may
    live in another environment. The request has a capacity, also of an engine that is not sized at load, and its device
    is `cpu` or `cuda` where it is known what `auto` comes to.
    """
    if refuse := getattr(import_module(spec_of(request.engine.name).module), "check", None):
        refuse(request, source)


def spec_of(name: str) -> EngineSpec:
    """The description of an engine. Raises EngineError when there is none of that name."""
    if name not in SPECS:
        raise EngineError(f"there is no engine {name!r}", remedy=f"Engines: {', '.join(SPECS)}.")
    return SPECS[name]
