"""In which number formats a run computed, as one short word: `bf16`, `int8`, `q4_1`, `f32 kv q4_0`. Pure."""

from collections.abc import Mapping, Sequence

_SHORT = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "float64": "f64"}
_PLAIN = frozenset(_SHORT.values())
_SIXTEEN = frozenset({"f16", "bf16"})
_NOTHING = frozenset({"", "none", "auto", "unknown", "not known"})
_KV_OPTIONS: Sequence[tuple[str, ...]] = (
    ("llama_cpp.type_k", "llama_cpp.type_v"), ("openvino.kv_cache",), ("vllm.kv_cache_dtype",),
    ("tensorrt_llm.kv_cache_dtype",),
)  # fmt: skip
"""What engines call the format of the KV cache; of llama.cpp that of keys and that of values."""


def form_of(dtype: str, settings: Mapping[str, str]) -> str:
    """The format of the weights, and that of the KV cache where it has fewer bits; empty where neither is known.

    `dtype` is as it was loaded, `options` as they were found in force. A cache of 16 bits is told beside weights in
    float32 alone: elsewhere it is the usual one.
    """
    quantized = settings.get("quantization", "")
    weights = _word(dtype) if quantized in _NOTHING else _word(quantized)
    cache = kv_form_of(settings)
    if not cache or cache == weights or (set(cache.split("/")) <= _PLAIN and not _lower(cache, weights)):
        return weights
    return f"{weights} kv {cache}".strip()


def kv_form_of(settings: Mapping[str, str]) -> str:
    """The format of the KV cache, `q8_0/q4_0` where keys and values differ; empty where it is not known."""
    return "/".join(dict.fromkeys(word for word in map(_word, _kv(settings)) if word))


def _kv(settings: Mapping[str, str]) -> Sequence[str]:
    return next(([settings[name] for name in names] for names in _KV_OPTIONS if all(n in settings for n in names)), [])


def _lower(cache: str, weights: str) -> bool:
    """Whether a cache in a plain format has fewer bits than the weights."""
    return weights == "f32" and bool(set(cache.split("/")) & _SIXTEEN)


def _word(name: str) -> str:
    return "" if name.lower() in _NOTHING else _SHORT.get(name.lower(), name.lower())
