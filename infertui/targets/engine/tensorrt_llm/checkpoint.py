"""How a checkpoint is quantized, read from its files: the PyTorch backend takes the algorithm from there alone."""

from pathlib import Path
from typing import Any

import msgspec

from infertui.models.disk import read_at_most
from infertui.models.resolve import ModelSource
from infertui.regular_files import is_file
from infertui.text import one_line

_MAX_BYTES = 8 << 20


def algorithm(source: ModelSource) -> str:
    """The quantization of its weights, in small letters as in `fp8`, `nvfp4`, `w4a16_awq`; empty: none."""
    folder = source.path if source.kind != "synthetic" else source.path.parent
    exported = _table(folder / "hf_quant_config.json").get("quantization")
    if isinstance(exported, dict) and exported.get("quant_algo"):
        return _word(exported["quant_algo"])
    config = source.config.get("quantization_config")
    if not isinstance(config, dict):
        return ""
    if config.get("quant_algo"):
        return _word(config["quant_algo"])
    method = _word(config.get("quant_method", ""))
    if method in ("fp8", "fbgemm_fp8", "mxfp4"):
        return method
    bits = config.get("bits") or config.get("w_bit")
    if method == "compressed-tensors":
        return _compressed(config)
    return f"{method}-{bits}bit" if bits else method


def word_of(found: str) -> str:
    """The algorithm as a word of `engine.quantization`: every kind of FP8 is `fp8`."""
    if not found:
        return "none"
    return "fp8" if "fp8" in found and not found.startswith("w4") else found


def _compressed(config: dict[str, Any]) -> str:
    groups = config.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            kind = "fp" if weights.get("type") == "float" else "int"
            return f"{kind}{weights.get('num_bits', '')}"
    return "compressed-tensors"


def _word(value: object) -> str:
    return one_line(str(value), 60).lower()


def _table(path: Path) -> dict[str, Any]:
    if not is_file(path):
        return {}
    try:
        found = msgspec.json.decode(read_at_most(path, _MAX_BYTES) or b"{}")
    except (OSError, msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
