"""From what a run asks to what TensorRT-LLM is told. Pure, but for asking the installed classes what they take.

They refuse what they do not know, and what they know differs from version to version: arguments are filtered by the
installed version's own surface, never passed in hope.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from infertui.config.engines.tensorrt_llm import TensorrtLlmOptions
from infertui.config.schema import EngineConfig
from infertui.errors import ConfigError, EngineError
from infertui.targets.engine.base import Batch, Capacity
from infertui.text import clean, one_line


def fields_of(kind: Any) -> frozenset[str] | None:
    """The arguments that a class takes: a pydantic model's fields and their aliases, else its signature's.

    None where it takes anything.
    """
    fields = getattr(kind, "model_fields", None)
    if isinstance(fields, Mapping):
        return frozenset(fields) | frozenset(_aliases(fields))
    parameters = inspect.signature(kind).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)


def _aliases(fields: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for field in fields.values():
        for name in ("alias", "validation_alias"):
            alias = getattr(field, name, None)
            choices = getattr(alias, "choices", (alias,))
            found += [choice for choice in choices if isinstance(choice, str)]
    return found


class Surface:
    """The library as it is installed. `version` names it in errors."""

    def __init__(self, library: Any, version: str) -> None:
        self._library = library
        self._version = clean(version)

    def find(self, *names: str, why: str, remedy: str = "") -> Any:
        """The first class of these names that the version has. Raises EngineError when it has none of them."""
        for home in (getattr(self._library, "llmapi", None), self._library):
            for name in names:
                if (found := getattr(home, name, None)) is not None:
                    return found
        raise EngineError(f"TensorRT-LLM {self._version} has no {' or '.join(names)}, which {why} needs", remedy=remedy)

    def has(self, kind: Any, name: str) -> bool:
        """Whether a class takes an argument."""
        fields = fields_of(kind)
        return fields is None or name in fields

    def pick(self, kind: Any, *names: str, why: str) -> str:
        """The first of these arguments that a class takes. Raises EngineError when it takes none."""
        for name in names:
            if self.has(kind, name):
                return name
        raise self._lacks(kind, names[0], why)

    def make(self, kind: Callable[..., Any], needed: Mapping[str, Any], wished: Mapping[str, Any], *, why: str) -> Any:
        """A new object. `needed` arguments must be known to the version, `wished` ones are left out where not.

        Raises EngineError naming the argument, the version and `why` it is needed; and for values that it refuses.
        """
        for name in needed:
            if not self.has(kind, name):
                raise self._lacks(kind, name, why)
        arguments = {name: value for name, value in wished.items() if self.has(kind, name)} | dict(needed)
        try:
            return kind(**arguments)
        except (TypeError, ValueError) as error:
            raise EngineError(f"TensorRT-LLM {self._version} refuses {_name(kind)}: {one_line(error, 400)}") from error

    def _lacks(self, kind: Any, argument: str, why: str) -> EngineError:
        return EngineError(
            f"TensorRT-LLM {self._version} has no {_name(kind)}({argument}=...), which {why} needs",
            remedy="Use another version, or leave that setting at its default.",
        )


def _name(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))


TOKENS_PER_BLOCK = 32
"""The library's default; a KV pool is counted in blocks."""
SPARE_BLOCKS = 2
"""For the sequences that fill up a captured graph, and for warming up."""
MAX_NUM_TOKENS = 8192
"""The library's default for the tokens of one scheduler step."""
DRAFT_TOKENS = 4
LOOKUP_NGRAM = 3
"""How many last tokens prompt lookup searches the prompt for."""
OVERLAP = "tensorrt_llm.overlap_scheduler"

_SPECULATION = {"prompt-lookup", "draft-model", "eagle", "mtp"}


class Sizes(Struct, frozen=True):
    """What the workload needs of a loaded model, in sequences and tokens."""

    sequences: int
    positions: int
    max_num_tokens: int
    kv_tokens: int


def sizes(capacity: Capacity, options: TensorrtLlmOptions, draft_tokens: int) -> Sizes:
    """What to reserve, so that the KV pool holds the workload and no more.

    The scheduler keeps room for the token under way and, with overlap, for the next, and for drafts of both; a
    sequence takes whole blocks.
    """
    ahead = 2 + 2 * draft_tokens
    blocks = capacity.sequences * -(-(capacity.positions + ahead) // TOKENS_PER_BLOCK) + SPARE_BLOCKS
    prompt = 0 if options.chunked_prefill else capacity.prompt_tokens
    return Sizes(
        sequences=capacity.sequences,
        positions=capacity.positions + ahead,
        max_num_tokens=options.max_num_tokens or max(MAX_NUM_TOKENS, prompt),
        kv_tokens=blocks * TOKENS_PER_BLOCK,
    )


def draft_tokens(engine: EngineConfig) -> int:
    """Tokens drafted at a time; 0 without speculation."""
    if engine.speculation == "none":
        return 0
    return engine.draft_tokens or (1 if engine.speculation == "mtp" else DRAFT_TOKENS)


def check(engine: EngineConfig, capacity: Capacity) -> None:
    """Refuse what cannot be, before anything is loaded. Raises ConfigError."""
    options = engine.tensorrt_llm
    if options.max_num_tokens and not options.chunked_prefill and options.max_num_tokens < capacity.prompt_tokens:
        raise ConfigError(
            "engine.tensorrt_llm.max_num_tokens",
            f"{options.max_num_tokens} is less than the longest prompt, {capacity.prompt_tokens} tokens",
            allowed="at least that, or any with chunked_prefill = true",
        )
    if engine.speculation in ("draft-model", "eagle") and not engine.draft_model:
        raise ConfigError("engine.draft_model", f"is empty, and speculation = {engine.speculation} needs one")
    if options.backend == "pytorch" and options.engine_dir:
        raise ConfigError("engine.tensorrt_llm.engine_dir", "is for backend = engine", allowed="empty")
    if options.backend == "engine":
        _check_engine_backend(engine)


def _check_engine_backend(engine: EngineConfig) -> None:
    options = engine.tensorrt_llm
    fixed = {
        "engine.mode": engine.mode not in ("auto", "cudagraph") and engine.mode,
        "engine.speculation": engine.speculation != "none" and engine.speculation,
        "engine.tensorrt_llm.kv_cache_dtype": options.kv_cache_dtype != "auto" and options.kv_cache_dtype,
        "engine.tensorrt_llm.overlap_scheduler": options.overlap_scheduler != "auto" and options.overlap_scheduler,
        "engine.tensorrt_llm.max_num_tokens": options.max_num_tokens or False,
    }
    for path, value in fixed.items():
        if value:
            raise ConfigError(path, f"{value} is not for backend = engine, where it was fixed when building")
    if engine.mode == "cudagraph":
        raise ConfigError("engine.mode", "cudagraph is not for backend = engine", allowed="auto")


def for_pytorch(
    surface: Surface,
    args_class: Any,
    engine: EngineConfig,
    *,
    need: Sizes,
    dtype: str,
    dummy: bool,
    trust_remote_code: bool,
    draft: Path | None,
) -> dict[str, Any]:
    """Arguments of `tensorrt_llm.LLM` but the model, all of which the installed version takes.

    Raises EngineError for an option that it lacks.
    """
    options = engine.tensorrt_llm
    needed: dict[str, Any] = {
        "dtype": dtype,
        "kv_cache_config": _kv_cache(surface, options, need),
        "max_batch_size": need.sequences,
        "max_seq_len": need.positions,
        "max_num_tokens": need.max_num_tokens,
        "tensor_parallel_size": engine.tensor_parallel,
        "skip_tokenizer_init": True,
        "cuda_graph_config": None if engine.mode == "eager" else _graphs(surface, need.sequences),
    }
    if options.chunked_prefill:
        needed["enable_chunked_prefill"] = True
    if options.overlap_scheduler != "auto":
        needed["disable_overlap_scheduler"] = options.overlap_scheduler == "off"
    if dummy:
        needed["load_format"] = "dummy"
    if engine.speculation in _SPECULATION:
        needed["speculative_config"] = _speculation(surface, engine, draft)
    if trust_remote_code:
        needed["trust_remote_code"] = True
    for name in needed:
        _require(surface, args_class, name, _REASONS.get(name, "infertui"))
    wished = {"enable_chunked_prefill": False, "stream_interval": 1, "return_perf_metrics": True}
    return {name: value for name, value in wished.items() if surface.has(args_class, name)} | needed


def for_engine(surface: Surface, args_class: Any, engine: EngineConfig, need: Sizes) -> dict[str, Any]:
    """Arguments of the engine backend's `LLM` but the folder. Raises EngineError for what it lacks."""
    options = engine.tensorrt_llm
    needed: dict[str, Any] = {
        "kv_cache_config": _kv_cache(surface, options, need),
        "tensor_parallel_size": engine.tensor_parallel,
        "skip_tokenizer_init": True,
    }
    if options.chunked_prefill:
        needed["enable_chunked_prefill"] = True
    for name in needed:
        _require(surface, args_class, name, _REASONS.get(name, "infertui"))
    wished = {"max_batch_size": need.sequences, "return_perf_metrics": True}
    return {name: value for name, value in wished.items() if surface.has(args_class, name)} | needed


_REASONS = {
    "kv_cache_config": "a KV pool of known size",
    "cuda_graph_config": "engine.mode",
    "dtype": "engine.dtype",
    "tensor_parallel_size": "engine.tensor_parallel",
    "enable_chunked_prefill": "engine.tensorrt_llm.chunked_prefill",
    "disable_overlap_scheduler": "engine.tensorrt_llm.overlap_scheduler",
    "load_format": "a model with random weights",
    "speculative_config": "engine.speculation",
    "skip_tokenizer_init": "giving prompts by token ids",
}


def _require(surface: Surface, args_class: Any, name: str, why: str) -> None:
    surface.pick(args_class, name, why=why)


def _kv_cache(surface: Surface, options: TensorrtLlmOptions, need: Sizes) -> Any:
    kind = surface.find("KvCacheConfig", why="a KV pool of known size")
    needed: dict[str, Any] = {"max_tokens": need.kv_tokens, "enable_block_reuse": False}
    if options.kv_cache_dtype != "auto":
        needed["dtype"] = options.kv_cache_dtype
    return surface.make(kind, needed, {"enable_partial_reuse": False}, why="a KV pool of known size without reuse")


def graph_sizes(sequences: int) -> list[int]:
    """Batch sizes to capture: powers of two and the batch itself, for the first steps in which not all have begun."""
    found = {sequences}
    size = 1
    while size < sequences:
        found.add(size)
        size *= 2
    return sorted(found)


def _graphs(surface: Surface, sequences: int) -> Any:
    kind = surface.find("CudaGraphConfig", "DecodeCudaGraphConfig", why="engine.mode = cudagraph")
    return surface.make(
        kind, {"batch_sizes": graph_sizes(sequences), "enable_padding": True}, {}, why="engine.mode = cudagraph"
    )


def _speculation(surface: Surface, engine: EngineConfig, draft: Path | None) -> Any:
    why = f"engine.speculation = {engine.speculation}"
    count = draft_tokens(engine)
    if engine.speculation == "mtp":
        kind = surface.find("MTPDecodingConfig", why=why)
        return surface.make(kind, {"num_nextn_predict_layers": count}, {"max_draft_len": count}, why=why)
    if engine.speculation == "prompt-lookup":
        kind = surface.find("NGramDecodingConfig", why=why)
        return surface.make(
            kind,
            {"max_draft_len": count, "max_matching_ngram_size": LOOKUP_NGRAM},
            # A pool of its own for each request: what one has generated must not speed up another.
            {"is_keep_all": True, "is_use_oldest": True, "is_public_pool": False},
            why=why,
        )
    names = {
        "draft-model": ("DraftTargetDecodingConfig",),
        "eagle": ("EagleDecodingConfig", "Eagle3DecodingConfig"),
    }[engine.speculation]
    kind = surface.find(*names, why=why)
    model = surface.pick(kind, "speculative_model", "speculative_model_dir", why=why)
    wished = {"eagle3_one_model": True} if engine.speculation == "eagle" else {}
    return surface.make(kind, {"max_draft_len": count, model: str(draft)}, wished, why=why)


def sampling(surface: Surface, batch: Batch, index: int) -> Any:
    """How to continue one prompt: exactly `output_len` tokens, end-of-sequence ignored, every choice said outright.

    But for `top_p` when greedy: 1.0 and 1.1 take any value of it for sampling, whatever else is said.
    """
    kind = surface.find("SamplingParams", why="generating")
    needed: dict[str, Any] = {
        "max_tokens": batch.output_len,
        "ignore_eos": True,
        "end_id": -1,
        "pad_id": -1,
        "detokenize": False,
        "temperature": batch.temperature,
        "top_k": 1,
    }
    if batch.temperature:
        needed |= {"top_k": batch.top_k, "top_p": batch.top_p, "seed": batch.seed + index}
    wished: Mapping[str, Any] = {"return_perf_metrics": True, "add_special_tokens": False}
    return surface.make(kind, needed, wished, why="generating a fixed number of tokens")


def refuse_quantization(word: str, found: str) -> None:
    """Refuse a quantization that the checkpoint does not have. Raises EngineError."""
    if word == "auto" or word == found:
        return
    has = "is not quantized" if found == "none" else f"is quantized as {found}"
    raise EngineError(
        f"engine.quantization = {word} needs a checkpoint that is quantized so: TensorRT-LLM's PyTorch backend "
        f"quantizes nothing itself, and this one {has}",
        remedy="Take a checkpoint in FP8, such as nvidia/Llama-3.1-8B-Instruct-FP8, or make one with NVIDIA Model "
        "Optimizer (examples/llm_ptq); for random weights, synthetic:PATH with its config.json.",
    )


_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?((?:rc|a|b|\.dev|\.post)\S*)?")

# The engine backend was removed on the main line in July 2026, after 1.3.0rc15 and before 1.4: in which candidate of
# 1.3 exactly, only the files say.
_LINES = ((1, 0), (1, 1), (1, 2))


class Version(Struct, frozen=True):
    """A version. `line` is `1.0`, `1.1` or `1.2`, `later` for what came after, `older` for what came before."""

    text: str
    major: int
    minor: int
    patch: int
    pre: str = ""

    @property
    def line(self) -> str:
        """The line that it belongs to."""
        if (self.major, self.minor) in _LINES:
            return f"{self.major}.{self.minor}"
        return "older" if (self.major, self.minor) < _LINES[0] else "later"

    @property
    def cuda_major(self) -> int:
        """The CUDA major version that its wheels are built for: 12 for 1.0, 13 since 1.1."""
        return 13 if (self.major, self.minor) >= (1, 1) else 12

    @property
    def note(self) -> str:
        """What a user of this version has to know; empty as a rule."""
        if (self.major, self.minor, self.patch) == (1, 2, 0):
            return "1.2.0 corrupts its KV cache, which 1.2.1 mends: tokens may be wrong"
        return ""


def parse(text: str) -> Version | None:
    """`1.2.1` or `1.4.0rc1`; None where it is no version."""
    match = _VERSION.match(text)
    if match is None:
        return None
    return Version(text, int(match[1]), int(match[2]), int(match[3] or 0), match[4] or "")
