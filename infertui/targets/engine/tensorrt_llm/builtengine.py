"""A built TensorRT engine: what its config.json says that it is. The engine file is what runs, so this is looking."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from infertui.errors import ConfigError, EngineError, ModelError
from infertui.models.resolve import read_config
from infertui.regular_files import is_file
from infertui.targets.engine.tensorrt_llm.checkpoint import word_of
from infertui.text import clean, one_line


class BuiltEngine(Struct, frozen=True):
    """One engine folder. `quantization` is a word of `engine.quantization`; sizes are those it was built for."""

    path: Path
    dtype: str
    quantization: str
    algorithm: str
    kv_cache_dtype: str
    tensor_parallel: int
    vocabulary: int
    max_positions: int | None
    max_batch_size: int
    max_input_len: int
    max_seq_len: int
    version: str = ""


def read(folder: Path) -> BuiltEngine:
    """Read an engine folder. Raises ModelError when it is none."""
    shown = one_line(folder)
    if not is_file(folder / "config.json") or not any(folder.glob("rank*.engine")):
        raise ModelError(
            f"{shown} is no built engine: it has no config.json, or no rank0.engine",
            remedy="`infertui build MODEL` makes one.",
        )
    config = read_config(folder / "config.json")
    model, build = config.get("pretrained_config"), config.get("build_config")
    if not isinstance(model, dict) or not isinstance(build, dict):
        raise ModelError(f"config.json of {shown} is not that of a built engine")
    quantization: Any = model.get("quantization") or {}
    algorithm = clean(str(quantization.get("quant_algo") or ""))
    ranks = len(list(folder.glob("rank*.engine")))
    try:
        return BuiltEngine(
            path=folder,
            dtype=clean(str(model.get("dtype", ""))),
            quantization=word_of(algorithm.lower()),
            algorithm=algorithm,
            kv_cache_dtype=clean(str(quantization.get("kv_cache_quant_algo") or "auto")).lower(),
            tensor_parallel=int((model.get("mapping") or {}).get("tp_size", ranks)),
            vocabulary=int(model["vocab_size"]),
            max_positions=model.get("max_position_embeddings"),
            max_batch_size=int(build["max_batch_size"]),
            max_input_len=int(build["max_input_len"]),
            max_seq_len=int(build["max_seq_len"]),
            version=clean(str(config.get("version", ""))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"config.json of {shown} lacks {clean(str(error))}") from error


def check(engine: BuiltEngine, *, sequences: int, prompt_tokens: int, positions: int, tensor_parallel: int) -> None:
    """Refuse an engine that was built for less. Raises ConfigError or EngineError."""
    too_much = {
        "workload.batch_size": (sequences, engine.max_batch_size, "sequences"),
        "workload.input_len": (prompt_tokens, engine.max_input_len, "prompt tokens"),
        "workload.output_len": (positions, engine.max_seq_len, "tokens of prompt and output"),
    }
    for path, (asked, most, what) in too_much.items():
        if asked > most:
            raise ConfigError(path, f"{asked} {what} exceed the {most} that the engine was built for")
    if tensor_parallel != engine.tensor_parallel:
        raise EngineError(
            f"engine.tensor_parallel is {tensor_parallel}, and the engine was built for {engine.tensor_parallel} GPU(s)"
        )
