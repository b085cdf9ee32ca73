"""Which commands make an engine of a model: converting or quantizing its checkpoint, then `trtllm-build`. Pure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

from msgspec import Struct

from infertui.errors import EngineError, ModelError
from infertui.models.resolve import ModelSource
from infertui.models.shapes import ModelShape
from infertui.paths import expand
from infertui.text import clean

Precision = Literal["fp32", "fp16", "bf16", "fp8", "int8", "int4", "int4-awq", "w4a8-awq", "int8-sq", "nvfp4"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

_DTYPES: Final = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
# Weight-only formats that the conversion scripts make; the rest needs calibration, which quantize.py does.
_WEIGHT_ONLY: Final = {"int8": "int8", "int4": "int4"}
_CALIBRATED: Final = {
    "fp8": "fp8", "int4-awq": "int4_awq", "w4a8-awq": "w4a8_awq", "int8-sq": "int8_sq", "nvfp4": "nvfp4",
}  # fmt: skip
ALGORITHMS: Final[Mapping[Precision, str]] = {
    "int8": "w8a16", "int4": "w4a16", "fp8": "fp8", "int4-awq": "w4a16_awq", "w4a8-awq": "w4a8_awq",
    "nvfp4": "nvfp4", "int8-sq": "w8a8_sq",
}  # fmt: skip
"""How the library names what the precisions quantize to, in small letters; SmoothQuant has more of a name."""
_BITS: Final = {
    "fp32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "int8-sq": 8, "int4": 4, "int4-awq": 4, "w4a8-awq": 4,
    "nvfp4": 4,
}  # fmt: skip
_SUPPORTED_SINCE: Final = {"fp8": (8, 9), "w4a8-awq": (8, 9), "nvfp4": (10, 0)}
"""Compute capability from which on the GPU has these formats."""

# Where the library's examples keep the conversion script of a model type.
_SCRIPTS: Final = {
    "llama": "models/core/llama", "mistral": "models/core/llama", "mixtral": "models/core/llama",
    "gpt2": "models/core/gpt", "qwen2": "models/core/qwen", "qwen2_moe": "models/core/qwen",
    "qwen3": "models/core/qwen", "qwen3_moe": "models/core/qwen", "gemma": "models/core/gemma",
    "gemma2": "models/core/gemma", "phi3": "models/core/phi", "gpt_neox": "models/contrib/gptneox",
}  # fmt: skip
_CONVERT = "convert_checkpoint.py"
_QUANTIZE = "quantization/quantize.py"
_CONTAINER_EXAMPLES = "/app/tensorrt_llm/examples"


class BuildOptions(Struct, frozen=True):
    """What an engine is built for."""

    precision: Precision
    batch_size: int
    max_input_len: int
    max_output_len: int
    tensor_parallel: int = 1

    @property
    def max_seq_len(self) -> int:
        """Tokens of prompt and output."""
        return self.max_input_len + self.max_output_len


class Step(Struct, frozen=True):
    """One command of the recipe."""

    name: Literal["convert", "build"]
    command: tuple[str, ...]


class Tools(Struct, frozen=True):
    """Where the library's tools are. `examples` is the folder of its examples, which the wheel does not hold."""

    python: str
    trtllm_build: str
    examples: Path


def dtype_of(precision: Precision, shape: ModelShape) -> str:
    """The number format of what is not quantized: 16 bit as the checkpoint has it."""
    return _DTYPES.get(precision) or ("bfloat16" if shape.dtype == "bfloat16" else "float16")


def check(source: ModelSource, options: BuildOptions, capability: tuple[int, int]) -> None:
    """Refuse what cannot be built. Raises ModelError or EngineError."""
    shown = clean(source.id)
    if source.kind == "synthetic":
        raise ModelError(
            f"{shown} has no weights to convert",
            remedy="Measure random weights with engine.tensorrt_llm.backend = pytorch, which needs no engine.",
        )
    if source.path.is_file():
        raise ModelError(
            f"{shown} is a single file, and engines are built from Hugging Face checkpoints",
            remedy="engine.name = llama-cpp reads GGUF files.",
        )
    if source.shape.quantization:
        raise ModelError(
            f"{shown} is quantized already ({clean(source.shape.quantization)}); the conversion starts from 16 bit",
            remedy="Build from the unquantized checkpoint, or measure this one with backend = pytorch.",
        )
    if source.shape.architecture not in _SCRIPTS and options.precision not in _CALIBRATED:
        raise ModelError(
            f"{shown} is a {clean(source.shape.architecture)}, for which no conversion script is known",
            remedy=f"Known: {', '.join(sorted(_SCRIPTS))}; others run with backend = pytorch, without an engine.",
        )
    if capability < (since := _SUPPORTED_SINCE.get(options.precision, (0, 0))):
        raise EngineError(
            f"this GPU has compute capability {capability[0]}.{capability[1]}; "
            f"{options.precision} needs {since[0]}.{since[1]}"
        )
    longest = source.shape.max_positions
    if longest and options.max_seq_len > longest:
        raise ModelError(
            f"{options.max_input_len} prompt and {options.max_output_len} output tokens exceed the model's "
            f"{longest} positions"
        )


def find_examples(given: str, environ: Mapping[str, str], package: Path) -> Path:
    """The folder of TensorRT-LLM's examples. Raises EngineError where it is not to be found."""
    if given:
        tried = [expand(given)]
    else:
        named = environ.get("TENSORRT_LLM_EXAMPLES")
        tried = [Path(named)] if named else [Path(_CONTAINER_EXAMPLES), package.parent / "examples"]
    for folder in tried:
        if (folder / "models/core").is_dir() or (folder / _QUANTIZE).is_file():
            return folder
    raise EngineError(
        f"the conversion scripts of TensorRT-LLM are not in {' or '.join(clean(str(path)) for path in tried)}",
        remedy="They are no part of the wheel: get the folder `examples` of its repository at the installed version, "
        "and name it with --examples DIR.",
    )


def steps(
    source: ModelSource, options: BuildOptions, tools: Tools, *, checkpoint: Path, engine: Path, calibration: str = ""
) -> tuple[Step, ...]:
    """The commands that convert into `checkpoint` and build into `engine`.

    `calibration` is a folder with the data set for quantizing; empty: the script's own, which it downloads. Raises
    EngineError where a script is not there.
    """
    parallel = str(options.tensor_parallel)
    common = ["--model_dir", str(source.path), "--output_dir", str(checkpoint), "--tp_size", parallel]
    common += ["--dtype", dtype_of(options.precision, source.shape)]
    if options.precision in _CALIBRATED:
        script = tools.examples / _QUANTIZE
        command = [*common, "--qformat", _CALIBRATED[options.precision]]
        if calibration:
            command += ["--calib_dataset", calibration]
    else:
        script = tools.examples / _SCRIPTS[source.shape.architecture] / _CONVERT
        command = common
        if options.precision in _WEIGHT_ONLY:
            command = [*common, "--use_weight_only", "--weight_only_precision", _WEIGHT_ONLY[options.precision]]
    if not script.is_file():
        raise EngineError(
            f"{clean(str(script))} is not there",
            remedy="The examples have to be those of the installed version.",
        )
    build = [
        tools.trtllm_build,
        *("--checkpoint_dir", str(checkpoint)),
        *("--output_dir", str(engine)),
        *("--max_batch_size", str(options.batch_size)),
        *("--max_input_len", str(options.max_input_len)),
        *("--max_seq_len", str(options.max_seq_len)),
        *("--max_num_tokens", str(max(8192, options.max_input_len))),
        *("--gemm_plugin", "auto"),
        *("--workers", parallel),
        *("--output_timing_cache", str(checkpoint.parent / "timing.cache")),
        *("--log_level", "info"),
    ]
    return Step("convert", (tools.python, str(script), *command)), Step("build", tuple(build))


def space_needed(source: ModelSource, options: BuildOptions) -> int:
    """Bytes on disk at the peak: the converted checkpoint, the engine with the same weights, and a GiB for the rest.

    Embeddings stay in 16 bit; a tenth on top is for scales.
    """
    bits = _BITS[options.precision]
    embeddings = source.shape.vocab * source.shape.hidden * (1 if source.shape.tied_embeddings else 2)
    weights = (source.parameters - embeddings) * bits / 8 + embeddings * max(bits, 16) / 8
    return round(2 * 1.1 * max(0, weights)) + (1 << 30)
