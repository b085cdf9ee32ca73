"""The interface that matters: what an engine is, what it says of itself, and the registry.

An engine loads a model and generates tokens; it measures nothing. The loop that measures is the same for all.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Protocol

from msgspec import Struct

from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.errors import EngineError
from infertui.measure.clock import Clock
from infertui.measure.records import EngineMemory

OnStep = Callable[[int], None]
"""Called right after each token step, with the number of tokens that each sequence gained. May raise to stop."""


class Probe(Struct, frozen=True):
    """Whether an engine can be used here, found out without importing its backend."""

    engine: str
    available: bool
    reason: str
    remedy: str = ""
    versions: dict[str, str] = {}


class LoadRequest(Struct, frozen=True):
    """Everything that determines a loaded model. Two runs with equal requests can share one worker."""

    model: ModelConfig
    engine: EngineConfig
    device: DeviceConfig


class Loaded(Struct, frozen=True):
    """What was really loaded, as the engine reports it; never what was asked for.

    `warms_by_shape` says that the backend loads kernels or picks algorithms when it first sees a prompt length, so
    that warm-up has to show it every one.
    """

    engine: str
    engine_requested: str
    versions: dict[str, str]
    device: str
    device_name: str
    dtype: str
    attention: str
    parameters: int | None
    weight_bytes: int | None
    vocabulary: int
    random_weights: bool
    memory_policy: str
    device_uuid: str = ""
    special_ids: tuple[int, ...] = ()
    max_positions: int | None = None
    threads: int | None = None
    warms_by_shape: bool = False
    details: dict[str, str] = {}


class Batch(Struct, frozen=True):
    """One static batch: prompts by token ids, and how to continue them."""

    prompts: tuple[tuple[int, ...], ...]
    output_len: int
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


class Engine(Protocol):
    """One backend with one loaded model. Used from one thread."""

    def load(self, request: LoadRequest) -> Loaded:
        """Load the model. Raises EngineError or ModelError for what a user can mend."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, as the model's tokenizer makes them for plain text."""
        ...

    def generate(self, batch: Batch, on_step: OnStep) -> Sequence[int]:
        """Generate `output_len` tokens for every prompt, ignoring end-of-sequence.

        `on_step` is called when the tokens of a step are known to the host. Returns the number of tokens that each
        sequence really gained.
        """
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


EngineFactory = Callable[[Clock], Engine]


class EngineEntry(Struct, frozen=True):
    """An engine of the registry: the module holds `create(clock)` and `probe()`, and imports its backend lazily."""

    name: str
    module: str
    summary: str


ENGINES = {
    entry.name: entry
    for entry in (
        EngineEntry("transformers", "infertui.engines.transformers", "Hugging Face Transformers on PyTorch, eager"),
        EngineEntry("simulator", "infertui.engines.simulator", "known timings, no model: checks the measuring"),
    )
}


def create(name: str, clock: Clock) -> Engine:
    """A new engine of that name, nothing loaded yet."""
    factory: EngineFactory = import_module(_entry(name).module).create
    return factory(clock)


def probe(name: str) -> Probe:
    """Whether the engine can be used here. Takes milliseconds: nothing of the backend is imported."""
    answer: Callable[[], Probe] = import_module(_entry(name).module).probe
    return answer()


def _entry(name: str) -> EngineEntry:
    if name not in ENGINES:
        raise EngineError(f"there is no engine {name!r}", remedy=f"Engines: {', '.join(ENGINES)}.")
    return ENGINES[name]
