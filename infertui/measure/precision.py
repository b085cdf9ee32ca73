"""How much number formats lose, to tell which of two runs is nearer to the model as it is. Pure."""

import math
import re
from collections.abc import Iterable

_FLOATS = {
    "float64": 53, "f64": 53, "float32": 24, "f32": 24, "tf32": 11, "float16": 11, "f16": 11, "bfloat16": 8, "bf16": 8,
    "fp8": 4, "fp8-dynamic": 4, "float8": 4, "nvfp4": 2, "mxfp4": 2, "fp4": 2, "nf4": 2,
}  # fmt: skip
"""Significant bits, the one that is not stored included."""
_SHARED_SCALE = 2
"""Bits that an integer format loses because weights of different sizes share one scale."""
_UNKNOWN = 8
HALF = 11
"""Significant bits of float16: a KV cache in it is as good as one in float32 for the tokens that are chosen."""


def significant_bits(word: str) -> float:
    """Of a number format by its name: those of a float, or of an integer format such as int8, q4_k_m or u8."""
    known = _FLOATS.get(word.lower())
    if known is not None:
        return known
    digits = re.search(r"\d+", word)
    return max(0.5, int(digits[0][:2]) - _SHARED_SCALE) if digits else _UNKNOWN


def loss(words: Iterable[str]) -> float:
    """Relative errors of one rounding to each format, added up: of the weights, of computing, of the KV cache."""
    return sum(math.pow(2.0, -significant_bits(word)) for word in words)
