"""What passes between an engine and the worker that runs it.

Nothing of the config is needed for it: an engine of another package, whose description is read while the config is
put together, imports this at the top of its one module.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct, field

from infertui.integers import Whole
from infertui.targets.engine.executed import Compiled, Graphs

PROCESS_DIED = 71
"""With it a worker exits when a process that its engine had started, such as vLLM's core, has ended by itself."""


class Sink(Protocol):
    """Where an engine tells that tokens have come, at the moment when the host knows of them. Calls may raise to stop.

    An engine whose sequences advance together calls `step`; one that schedules them by itself calls `gained`.
    """

    def step(self, tokens: int = 1) -> None:
        """Every sequence of the batch gained `tokens`."""
        ...

    def gained(self, sequence: int, tokens: int = 1) -> None:
        """The sequence with that index gained `tokens`."""
        ...


class Generated(Struct, frozen=True):
    """What a batch came to: tokens per sequence, and how to read their ids, which is not done while time counts."""

    counts: Sequence[int]
    read: Callable[[], list[list[int]]]


class Probe(Struct, frozen=True):
    """Whether an engine can be used here, found out without importing its backend.

    `cuda`: the version of CUDA that the engine's library (PyTorch, llama.cpp) was built for, `none` without; empty: not
    known.
    `packages`: those of `EngineSpec.needs` that are there; None: not known.
    """

    engine: str
    available: bool
    reason: str
    remedy: str = ""
    versions: dict[str, str] = {}
    cuda: str = ""
    packages: tuple[str, ...] | None = None


class Capacity(Struct, frozen=True):
    """The most that a run will ask of a loaded model: sequences at once, and tokens of each."""

    sequences: int
    prompt_tokens: int
    output_tokens: int

    @property
    def positions(self) -> int:
        """Tokens of prompt and output in one sequence."""
        return self.prompt_tokens + self.output_tokens


class Loaded(Struct, frozen=True):
    """What was really loaded, as the engine found it by looking; never what was asked for.

    `paths` names the file from which each library in `versions` was imported. `quantized_layers` counts the modules
    whose weights are held in another format than `dtype`; `weight_bytes` counts what the weights really take, of which
    `lookup_bytes` are tables that a step reads single rows of, as embeddings that are not the output layer as well.
    `kv_token_bytes` is what one token of one sequence takes in the KV cache.
    `offloaded_layers` says how many layers are on the GPU, as in `22 of 23`. `warms_by_shape` says that the backend
    loads kernels or picks algorithms when it first sees a prompt length, so that warm-up has to show it every one.
    `engine_requested` and `fallback_reason` are filled in by the worker.
    """

    engine: str
    versions: dict[str, str]
    device: str
    device_name: str
    dtype: str
    attention: str
    parameters: Whole | None
    weight_bytes: Whole | None
    vocabulary: Whole
    random_weights: bool
    memory_policy: str
    device_uuid: str = ""
    special_ids: tuple[Whole, ...] = ()
    max_positions: Whole | None = None
    threads: Whole | None = None
    warms_by_shape: bool = False
    paths: dict[str, str] = {}
    engine_requested: str = ""
    fallback_reason: str = ""
    quantized_layers: Whole | None = None
    lookup_bytes: Whole | None = None
    kv_token_bytes: Whole | None = None
    offloaded_layers: str = ""
    details: dict[str, str] = {}


class Batch(Struct, frozen=True):
    """One static batch: prompts by token ids, and how to continue them."""

    prompts: tuple[tuple[int, ...], ...]
    output_len: int
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


@runtime_checkable
class Closing(Protocol):
    """What an engine is as well that has processes or services of its own to end."""

    def close(self) -> None:
        """End them. Called when the worker leaves; a worker that is killed takes its process group along."""
        ...


class ScoringWay(Struct, frozen=True):
    """How an engine finds likelihoods: `how` names weights and kernels; `positions` is the most tokens at once."""

    how: str
    positions: int | None = None


@runtime_checkable
class Scoring(Protocol):
    """What an engine is as well that can tell how likely a text is. It is asked after measuring, never meanwhile."""

    def scoring(self) -> ScoringWay:
        """How it will, with the weights in force. Raises EngineError, with the reason, where it cannot."""
        ...

    def score(self, ids: Sequence[int], going_on: Callable[[], None]) -> float:
        """Sum over all ids but the first of ln p(id | ids before it), in nats, from logits in float32 or better.

        `going_on` is called every few hundred tokens; it may raise to stop. Raises EngineError.
        """
        ...


class GenerationPlan(Struct, frozen=True):
    """What a run is going to ask of a loaded model, for an engine to get ready: compile, capture, allocate.

    `widths` are the prompt lengths of its batches, padded, as far as they are known: of many different ones not all
    are. Every batch has `batch_size` sequences.
    """

    batch_size: int
    widths: tuple[int, ...]
    output_len: int
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0


class EffectiveSettings(Struct, frozen=True):
    """What is in force, as the engine finds it by looking, for the check against what was asked.

    `options` maps keys of `[engine]` to the word in force. `counters` only ever grow while the engine lives, such as
    `graph_replays`, `drafted_tokens` and `accepted_tokens`; the run keeps their growth while it measured. `reasons`
    says why an option is not in force, where the engine knows. `compiled` and `graphs` are how steps were executed,
    where the engine can tell: `graphs` of the run is `replayed` only if `graph_replays` grew while it measured.
    `unseen` names options that show only when steps have run, as long as none has: no evidence against them.
    """

    settings: dict[str, str] = field(name="levers", default_factory=dict)
    counters: dict[str, Whole] = {}
    facts: dict[str, str] = {}
    reasons: dict[str, str] = {}
    compiled: Compiled = ""
    graphs: Graphs = ""
    unseen: tuple[str, ...] = ()


Getting = Literal["compile", "capture"]
