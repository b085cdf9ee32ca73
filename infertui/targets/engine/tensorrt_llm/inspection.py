"""What is in force, found by looking: at the library's own config objects after loading, and at its log.

`llm.args` is what the library made of the request and hands to the process that holds the model; the log is what that
process did. Where both speak, the log has the last word.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from infertui.targets.engine.base import EffectiveSettings
from infertui.targets.engine.tensorrt_llm.checkpoint import word_of
from infertui.targets.engine.tensorrt_llm.options import OVERLAP
from infertui.targets.engine.tensorrt_llm.stream import StartupLog
from infertui.text import clean, one_line
from infertui.units import format_bytes

_KINDS = (
    ("ngram", "prompt-lookup"), ("drafttarget", "draft-model"), ("eagle", "eagle"), ("mtp", "mtp"),
)  # fmt: skip
_TABLE = "tensorrt_llm"
_SMALLEST_WEIGHTS = 512 << 20
"""The log gives the weights' size to 10 MiB, with some buffers in it: below this it does not tell a number format."""

_UNQUANTIZED = 1.8
"""Bytes a parameter. Embeddings of a quantized model stay in 16 bit: half of a very small one."""


class Expected(Struct, frozen=True):
    """What the size of the weights has to be held against. `parameters` is None where it is not known exactly."""

    parameters: int | None
    sequences: int
    tensor_parallel: int
    on_disk: str
    """Quantization of the checkpoint by its files, as a word of `engine.quantization`."""


def look(args: Any, log: StartupLog, expected: Expected, version: str) -> EffectiveSettings:
    """The options of the PyTorch backend in force."""
    reasons: dict[str, str] = {}
    quantization = _quantization(args, log, expected, reasons)
    settings = {
        "dtype": _dtype(args, log, expected, quantization, reasons),
        "mode": _mode(args, log, expected, version, reasons),
        "quantization": quantization,
        "speculation": _speculation(getattr(args, "speculative_config", None)),
        "tensor_parallel": str(_tensor_parallel(args)),
        f"{_TABLE}.backend": _backend(args, log),
        f"{_TABLE}.kv_cache_dtype": str(getattr(getattr(args, "kv_cache_config", None), "dtype", "auto")),
        f"{_TABLE}.chunked_prefill": _truth(
            getattr(args, "enable_chunked_prefill", False) if log.chunked_prefill is None else log.chunked_prefill
        ),
        f"{_TABLE}.max_num_tokens": str(log.max_num_tokens or getattr(args, "max_num_tokens", None)),
        OVERLAP: "off" if getattr(args, "disable_overlap_scheduler", False) or log.overlap_off else "on",
    }
    if settings["speculation"] == "none" and getattr(args, "speculative_config", None) is None:
        reasons["speculation"] = f"TensorRT-LLM {version} holds no speculative_config"
    if log.overlap_off:
        reasons[OVERLAP] = one_line(log.overlap_off)
    return EffectiveSettings(settings=settings, facts=_facts(args, log), reasons=reasons)


def reuse(args: Any, log: StartupLog) -> str:
    """Why blocks of the KV cache may be reused between requests although that was turned off; empty: they are not."""
    if getattr(getattr(args, "kv_cache_config", None), "enable_block_reuse", None) is not False:
        return "its kv_cache_config has enable_block_reuse on"
    return "its log says cache_reuse=True" if log.block_reuse else ""


def kv_pool(args: Any, log: StartupLog) -> str:
    """What is reserved for the KV cache."""
    if log.kv_bytes is not None:
        return f"KV pool of {log.kv_tokens} tokens, {format_bytes(log.kv_bytes)}, reserved at load"
    tokens = getattr(getattr(args, "kv_cache_config", None), "max_tokens", None)
    if tokens is None:
        return "KV pool of unknown size, reserved at load"
    return f"KV pool of {tokens} tokens, reserved at load"


def _backend(args: Any, log: StartupLog) -> str:
    found = log.backend or str(getattr(args, "backend", None) or "pytorch")
    return "engine" if found == "tensorrt" else found


def _mode(args: Any, log: StartupLog, expected: Expected, version: str, reasons: dict[str, str]) -> str:
    if getattr(args, "cuda_graph_config", None) is None:
        if not log.graphs:
            reasons["mode"] = f"TensorRT-LLM {version} holds no cuda_graph_config"
            return "eager"
        return "cudagraph"
    if not log.talks or log.kv_bytes is None:
        return "cudagraph"  # nothing but the config to look at
    if max(log.graphs, default=0) >= expected.sequences:
        return "cudagraph"
    captured = f"up to batch size {max(log.graphs)}" if log.graphs else "none"
    reasons["mode"] = f"CUDA graphs captured, by the log: {captured}"
    return "eager"


def _dtype(args: Any, log: StartupLog, expected: Expected, quantization: str, reasons: dict[str, str]) -> str:
    held = str(getattr(args, "dtype", "")).removeprefix("torch.")
    if log.weight_bytes is None or not expected.parameters or quantization != "none":
        return held
    each = expected.parameters / expected.tensor_parallel
    wanted = {"float32": 4, "float16": 2, "bfloat16": 2}.get(held)
    if wanted is None or each * wanted < _SMALLEST_WEIGHTS:
        return held
    bytes_each = log.weight_bytes / each
    if 0.75 <= bytes_each / wanted <= 1.5:
        return held
    reasons["dtype"] = f"the weights take {format_bytes(log.weight_bytes)}, {bytes_each:.1f} bytes a parameter"
    return "float32" if bytes_each > 3 else "16 bit" if bytes_each > 1.5 else "8 bit or less"


def _quantization(args: Any, log: StartupLog, expected: Expected, reasons: dict[str, str]) -> str:
    """The library's config object says what it read from the checkpoint; where a version hides it, the files do.

    Weights that take as much as 16 bits each are not quantized whatever either says.
    """
    algorithm = getattr(getattr(args, "quant_config", None), "quant_algo", None)
    told = word_of(clean(str(getattr(algorithm, "value", algorithm))).lower()) if algorithm else expected.on_disk
    if told == "none" or log.weight_bytes is None or not expected.parameters:
        return told
    each = expected.parameters / expected.tensor_parallel
    if each < _SMALLEST_WEIGHTS or log.weight_bytes / each < _UNQUANTIZED:
        return told
    reasons["quantization"] = (
        f"the weights take {format_bytes(log.weight_bytes)}, {log.weight_bytes / each:.1f} bytes a parameter"
    )
    return "none"


def _speculation(config: Any) -> str:
    if config is None:
        return "none"
    name = type(config).__name__.lower()
    return next((word for part, word in _KINDS if part in name), clean(name))


def _tensor_parallel(args: Any) -> int:
    parallel = getattr(args, "parallel_config", None)
    found = getattr(parallel, "tp_size", None)
    return int(found if found is not None else getattr(args, "tensor_parallel_size", 1))


def _truth(value: object) -> str:
    return "true" if value else "false"


def _facts(args: Any, log: StartupLog) -> dict[str, str]:
    kv = getattr(args, "kv_cache_config", None)
    facts = {
        "kv_pool": kv_pool(args, log),
        "kv_tokens_asked": getattr(kv, "max_tokens", None),
        "graphs_captured": _listed(log.graphs),
        "attention": getattr(args, "attn_backend", None),
        "load_format": getattr(getattr(args, "load_format", None), "name", getattr(args, "load_format", None)),
        "max_batch_size": log.max_batch_size or getattr(args, "max_batch_size", None),
        "max_num_tokens": log.max_num_tokens or getattr(args, "max_num_tokens", None),
        "sampler": log.sampler,
        "looked_at": "llm.args and its log" if log.talks else "llm.args alone",
    }
    return {name: one_line(value) for name, value in facts.items() if value not in (None, "")}


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
