"""What `Look` found, in the words of the config. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infertui.config.schema import EngineConfig
from infertui.targets.engine.base import Capacity, EffectiveSettings
from infertui.targets.engine.executed import Compiled, Graphs, source
from infertui.units import format_bytes

# Number formats in which quantized weights are held, by the word of engine.quantization.
_FORMATS = {"int8": "int8", "uint8": "int8", "float8_e4m3fn": "fp8", "float8_e4m3fnuz": "fp8"}
_DRAFTERS = {"Ngram": "prompt-lookup", "DraftModel": "draft-model"}
_COMPUTE = ("float32", "bfloat16", "float16")

# The library's own metrics that are kept, sums of times in microseconds.
_COUNTED = {
    "vllm:spec_decode_num_draft_tokens": "drafted_tokens",
    "vllm:spec_decode_num_accepted_tokens": "accepted_tokens",
    "vllm:num_preemptions": "preemptions",
    "vllm:prefix_cache_hits": "prefix_cache_hits",
    "vllm:generation_tokens": "own_generated_tokens",
}
_SUMMED = {
    "vllm:time_to_first_token_seconds": "own_ttft_us",
    "vllm:request_queue_time_seconds": "own_queue_us",
    "vllm:request_prefill_time_seconds": "own_prefill_us",
    "vllm:request_decode_time_seconds": "own_decode_us",
    "vllm:e2e_request_latency_seconds": "own_e2e_us",
}


def weights_dtype(look: Mapping[str, Any]) -> str:
    """The format of those weights that are not quantized; the one that takes most where there are several."""
    formats: Mapping[str, int] = look["formats"]
    return max((name for name in formats if name in _COMPUTE), key=lambda name: formats[name], default="none")


def quantization(look: Mapping[str, Any]) -> str:
    """The word for how the weights of linear layers are held: `none`, `int8`, `fp8`, else the library's own names."""
    quantized: Mapping[str, int] = look["quantized"]
    if not quantized:
        return "none"
    words = {_FORMATS.get(name, "") for name in quantized}
    return words.pop() if len(words) == 1 and "" not in words else ", ".join(look["quantization_methods"])


def compiled(look: Mapping[str, Any]) -> Compiled:
    """Whether parts of the model run as code that inductor made, and when it made that."""
    if not look["compiled"] or look["compile_backend"] != "inductor":
        return "no"
    if look["compiled_read"]:
        return source(look["compiled_read"], look["compiled"] - look["compiled_read"])
    # While compiling, like layers find each other's code in the cache: only a whole one tells of an earlier start.
    return "fresh" if look["pieces_compiled"] else source(look["pieces_read"], 0)


def graphs(look: Mapping[str, Any]) -> Graphs:
    """Whether CUDA graphs were captured, and replayed since replays are counted."""
    if not look["cudagraphs"]:
        return "no"
    return "replayed" if look["graph_replays"] else "captured"


def mode(look: Mapping[str, Any]) -> str:
    """The option: `compile` where compiled code runs, `eager` where none does and nothing was captured either."""
    if compiled(look) != "no":
        return "compile"
    return "eager" if graphs(look) == "no" else "graphs"


def speculation(look: Mapping[str, Any]) -> str:
    """How tokens are drafted, from the class that does it."""
    drafter: str = look["drafter"]
    if not drafter:
        return "none"
    return next((word for prefix, word in _DRAFTERS.items() if drafter.startswith(prefix)), drafter)


def sizes(found: tuple[int, int], capacity: Capacity | None) -> str:
    """Whether most sequences and the longest one are those of the workload, or larger."""
    return "workload" if capacity and found == (capacity.sequences, capacity.positions) else "library"


def options(look: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, str]:
    """The engine's own options as they are in force. `own` are those that were found outside of the ranks."""
    pool, asked = look["kv_bytes"], look["kv_asked"]
    # The pool is whole pages: it is the one asked for when not one more page would have fitted in.
    page = pool // look["kv_blocks"] if look["kv_blocks"] else 0
    mib = asked >> 20 if pool <= asked < pool + page else pool >> 20
    small = all(name == "uint8" or name.startswith("float8") for name in look["kv_formats"])
    return {
        **{f"vllm.{name}": word for name, word in own.items()},
        "vllm.kv_cache_mib": str(mib),
        "vllm.kv_cache_dtype": "fp8" if small and look["kv_formats"] else "auto",
        "vllm.max_num_batched_tokens": str(look["batched_tokens"]),
    }


def effective(
    looks: Sequence[Mapping[str, Any]],
    metrics: Iterable[Any],
    facts: Mapping[str, str],
    *,
    asked: EngineConfig,
    cached_tokens: int,
    own: Mapping[str, str],
) -> EffectiveSettings:
    """Options as every rank has them (`/` between where ranks differ), counters, and the facts with those of the looks.

    `metrics` are vLLM's own: objects with `name` and `value`, or `sum` and `count` in seconds. `asked` is only for the
    reasons, which speak of what was asked for and is not there. `cached_tokens` is how many prompt tokens came from a
    prefix cache.
    """
    first = looks[0]

    def of_all(word: Any) -> str:
        return "/".join(dict.fromkeys(str(word(look)) for look in looks))

    settings = {
        "dtype": of_all(weights_dtype),
        "mode": of_all(mode),
        "quantization": of_all(quantization),
        "speculation": of_all(speculation),
        "tensor_parallel": str(len(looks)),
        **options(first, own),
    }
    reasons = {}
    if settings["quantization"] == "none" and asked.quantization != "auto":
        reasons["quantization"] = f"none of the {first['linear_layers']} linear layers is quantized"
    if settings["mode"] != "compile" and asked.mode != "eager":
        reasons["mode"] = (
            f"compilation mode {first['compile_mode']}, backend {first['compile_backend'] or 'none'}, "
            f"{first['compiled']} of {first['compilable']} parts compiled"
        )
    moved = {"cached_prompt_tokens": cached_tokens, "graph_replays": first["graph_replays"] or 0}
    sources = {compiled(look) for look in looks}
    return EffectiveSettings(
        settings=settings,
        counters={**counters(metrics), **moved},
        facts={**facts, **described(looks)},
        reasons=reasons,
        compiled=sources.pop() if len(sources) == 1 else "both",
        graphs=graphs(first),
    )


def counters(metrics: Iterable[Any]) -> dict[str, int]:
    """vLLM's own metrics under our names: counts, and sums of times in whole microseconds."""
    found: dict[str, int] = {}
    for metric in metrics:
        if metric.name in _COUNTED:
            name = _COUNTED[metric.name]
            found[name] = found.get(name, 0) + int(metric.value)
        elif metric.name in _SUMMED:
            name = _SUMMED[metric.name]
            found[name] = found.get(name, 0) + round(metric.sum * 1e6)
            if name == "own_e2e_us":
                found["own_requests"] = found.get("own_requests", 0) + int(metric.count)
    return found


def described(looks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What was found, for people to read."""
    first = looks[0]
    quantized = sum(first["quantized"].values())
    methods = ", ".join(first["quantization_methods"])
    pool = sum(look["kv_bytes"] for look in looks)
    return {
        "model_class": first["model_class"],
        "model_runner": first["runner"],
        "weights": ", ".join(f"{name} {format_bytes(size)}" for name, size in sorted(first["formats"].items()))
        + (f"; {first['packed']} layers packed by oneDNN" if first["packed"] else ""),
        "quantized": f"{quantized} of {first['linear_layers']} linear layers" + (f" ({methods})" if methods else ""),
        "compiled": f"{first['compiled']} of {first['compilable']} parts, mode {first['compile_mode']}, "
        f"backend {first['compile_backend'] or 'none'}" + _source(first),
        "compile_seconds": f"{max(look['compile_seconds'] for look in looks):.2f}"
        + (", reading the cache included" if compiled(first) in ("cache", "both") else ""),
        "cudagraphs": f"{first['cudagraphs']} captured, mode {first['cudagraph_mode']}",
        "kv_cache": f"{format_bytes(pool)}, {', '.join(first['kv_formats'])}",
        "drafter": first["drafter"] or "none",
    }


def _source(look: Mapping[str, Any]) -> str:
    match compiled(look):
        case "cache":
            return ", read from the cache"
        case "both":
            return f", {look['compiled_read']} read from the cache"
        case _:
            return ""
