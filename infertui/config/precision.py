"""A precision in one word, as TRT_PRECISION has it: a dtype, or quantized weights, which engines call differently."""

from collections.abc import Sequence

from infertui.config.engine_options import path_of, words
from infertui.config.engines.spec import EngineSpec
from infertui.config.fields import FIELDS, show
from infertui.config.schema import DTYPE_ALIASES
from infertui.errors import ConfigError

QUANTIZED = {"fp8": ("fp8",), "int8": ("int8", "q8_0"), "int4": ("int4", "q4_0")}
"""Precisions that are no dtype, each by the words that engines have for it; GGUF's come last."""
_ALLOWED = ("fp32", "bf16", "fp16", *QUANTIZED)


def key_of_precision(text: str) -> str:
    """The key that a precision sets."""
    return path_of("quantization" if _plain(text) in QUANTIZED else "dtype")


def precision_of(path: str, text: str, source: str) -> str:
    """`text` as one of the words for precisions. Raises ConfigError for what is none."""
    if (word := _plain(text)) not in {*QUANTIZED, *DTYPE_ALIASES, *FIELDS[path_of("dtype")].choices}:
        allowed = f"one of {', '.join(_ALLOWED)}"
        raise ConfigError(path, f"{show(text)} is no precision", allowed=allowed, source=source)
    return word


def as_the_engine_says(word: str, engines: Sequence[EngineSpec]) -> str:
    """The first engine's word for a precision; as it stands where there is none, for the engine to refuse."""
    own = words(engines[0], "quantization") or () if engines else ()
    return next((name for name in QUANTIZED.get(word, ()) if name in own), word)


def _plain(text: str) -> str:
    return text.strip().lower()
