"""What is asked of the engine: which provider computes, in which form the model is made, and what is refused.

All of it is known from the request and the files alone.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from infertui.errors import ConfigError, EngineError, ModelError
from infertui.models.memory.estimate import DeviceKind, dtype_in_use
from infertui.models.resolve import ModelSource
from infertui.models.shapes import ModelShape
from infertui.targets.engine import gpus
from infertui.targets.engine.base import LoadRequest
from infertui.text import clean

Provider = Literal["cpu", "cuda", "nv-tensorrt-rtx"]
Precision = Literal["fp32", "fp16", "bf16", "int8", "int4"]

FAMILIES: Mapping[str, str] = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "phi": "PhiForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "granite": "GraniteForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "ernie4_5": "Ernie4_5ForCausalLM",
    "hunyuan_v1_dense": "HunYuanDenseV1ForCausalLM",
    "nemotron": "NemotronForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
}
"""Model types, and what the model builder knows them by: those whose tokens were those of Transformers, in float32."""

_ROPE: Mapping[str, tuple[str, ...]] = {"llama": ("default", "llama3"), "gpt_oss": ("default", "yarn")}
"""Ways of scaling positions that the model builder writes down as they are; of others it makes another model."""
_ROPE_OF_OTHERS = ("default",)
_WINDOW_IGNORED = ("mistral", "phi3")
"""Model types whose sliding window the model builder leaves out where the cache is kept whole."""
MOST_SEQUENCES = 32
"""The largest batch that the library takes."""
_RTX_ALSO = ((8, 6), (8, 9))
_RTX_FROM = (12, 0)
_SHORT: Mapping[str, Precision] = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_OPTION = "engine.onnxruntime_genai"


class Recipe(Struct, frozen=True):
    """What the model builder is to make. `dtype` is what is computed in, `options` are the builder's own."""

    provider: Provider
    precision: Precision
    dtype: str
    options: dict[str, str] = {}


def check(request: LoadRequest, source: ModelSource) -> None:
    """Refuse what this engine cannot run, before a worker is started: see `targets.engine.base.check`."""
    _check_model(source)
    made = recipe(request, source)
    if made.provider == "nv-tensorrt-rtx":
        _check_rtx(request)
    _check_workload(request, source)


def provider_of(request: LoadRequest) -> Provider:
    """Which provider computes. Raises ConfigError where it is not one of the run's device."""
    asked: str = request.engine.onnxruntime_genai.execution_provider
    on_cpu = request.device.name == "cpu"
    if asked == "auto":
        return "cpu" if on_cpu else "cuda"
    if (asked == "cpu") != on_cpu:
        raise ConfigError(
            f"{_OPTION}.execution_provider",
            f"{asked} computes on {'a CPU' if asked == 'cpu' else 'a GPU'}, and this run has "
            f"{'the CPU' if on_cpu else 'a GPU'}",
            allowed="auto, cpu with --device cpu; auto, cuda, nv-tensorrt-rtx on a GPU",
        )
    provider: Provider = asked  # type: ignore[assignment]
    return provider


def recipe(request: LoadRequest, source: ModelSource) -> Recipe:
    """What is to be made for a request. Raises ConfigError for options that do not go together."""
    engine, options = request.engine, request.engine.onnxruntime_genai
    provider = provider_of(request)
    kind: DeviceKind = "cpu" if provider == "cpu" else "cuda"
    quantized = engine.quantization != "auto"
    dtype = dtype_in_use(source.shape, engine.dtype, kind)
    if provider == "cpu" and dtype != "float32":
        raise ConfigError(
            "engine.dtype", f"ONNX Runtime GenAI computes in float32 on CPUs, and {dtype} was asked for",
            allowed="auto, float32; engine.quantization = int8 or int4 for smaller weights",
        )  # fmt: skip
    if engine.dtype == "auto" and quantized and engine.quantization == "int8" and kind == "cuda":
        dtype = "float16"
    if kind == "cuda":
        _check_gpu_numbers(engine.quantization, dtype, provider)
    if engine.mode == "cudagraph" and provider != "cuda":
        raise ConfigError(
            "engine.mode",
            f"cudagraph is an option of the provider cuda, and {provider} computes",
            allowed="eager, or cudagraph on a GPU",
        )
    made: dict[str, str] = {}
    if quantized:
        made["accuracy_level"] = _accuracy_level(options.activations, provider)
        if engine.quantization == "int4" and dtype == "bfloat16":
            made["use_cuda_bf16"] = "true"
    elif options.activations != "auto":
        raise ConfigError(
            f"{_OPTION}.activations", f"{options.activations}, but no weights are quantized",
            allowed="auto, or engine.quantization = int8 or int4",
        )  # fmt: skip
    if options.prompt_logits == "last":
        made["prune_lm_head"] = "true"
    if engine.mode == "cudagraph":
        made["enable_cuda_graph"] = "true"
    if _window(source.config):
        made["windowed_kv_cache"] = "false"  # with it, a cache that is shorter than the window is refused
    precision: Precision = engine.quantization if quantized else _SHORT[dtype]  # type: ignore[assignment]
    return Recipe(provider, precision, dtype, made)


def _check_rtx(request: LoadRequest) -> None:
    """Raise EngineError where no GPU in sight is one that TensorRT for RTX supports, and for more than one sequence.

    The library describes shapes to it when it loads, by the batch size of its config, which is 1.
    """
    if request.capacity is not None and request.capacity.sequences > 1:
        raise ConfigError(
            "workload.batch_size",
            f"{request.capacity.sequences}, and nv-tensorrt-rtx takes one sequence at a time here",
            allowed="1, or engine.onnxruntime_genai.execution_provider = cuda",
        )
    driver = gpus.read()
    seen = gpus.visible(driver) if driver else ()
    if any(gpu.capability in _RTX_ALSO or gpu.capability >= _RTX_FROM for gpu in seen):
        return
    there = ", ".join(f"{clean(gpu.name)} ({gpu.capability[0]}.{gpu.capability[1]})" for gpu in seen) or "no GPU"
    raise EngineError(
        f"{_OPTION}.execution_provider = nv-tensorrt-rtx runs on GPUs of compute capability 8.6, 8.9, and 12.0 or "
        f"newer, and here there is {there}",
        remedy=f"Use {_OPTION}.execution_provider = cuda, or --engine tensorrt-llm.",
    )


def _check_model(source: ModelSource) -> None:
    name = clean(source.id)
    if source.kind == "gguf":
        raise ModelError(
            f"{name} is a GGUF file, which the model builder of ONNX Runtime GenAI is not given here",
            remedy="Use a folder with config.json and safetensors, or --engine llama-cpp.",
        )
    family = str(source.config.get("model_type", ""))
    if family not in FAMILIES:
        raise ModelError(
            f"{name} is of the type {clean(family) or 'unknown'}, of which the model builder of ONNX Runtime GenAI "
            "makes no model, or none that gives the tokens of Transformers",
            remedy=f"It makes {', '.join(FAMILIES)}. Other engines: `infertui engines`.",
        )
    if quantized := source.config.get("quantization_config"):
        method = quantized.get("quant_method") if isinstance(quantized, dict) else None
        raise ModelError(
            f"{name} is quantized already ({clean(str(method or 'unknown'))})",
            remedy="Use its checkpoint in full precision with engine.quantization = int8 or int4.",
        )
    if source.shape.vocab in _widths(source.shape, fused=family == "phi3"):
        raise ModelError(
            f"{name} has a matrix within its layers that is as wide as its vocabulary ({source.shape.vocab}): the "
            "model builder of ONNX Runtime GenAI takes it for the output layer, and makes another model without a word",
            remedy="Use --engine transformers.",
        )
    kind = rope_type(source.config)
    known = _ROPE.get(family, _ROPE_OF_OTHERS)
    longer = family == "phi3" and _number(source.config, "original_max_position_embeddings") not in (
        None,
        _number(source.config, "max_position_embeddings"),
    )
    if kind not in known or longer:
        raise ModelError(
            f"{name} scales its positions in the way {clean(kind)}, which the model builder of ONNX Runtime GenAI "
            f"does not make as Transformers computes it for {family}",
            remedy=f"It makes {', '.join(known)}. Use --engine transformers.",
        )


def _widths(shape: ModelShape, *, fused: bool) -> tuple[int, ...]:
    """How many numbers the matrices of a layer give; `fused`: those that read the same are one."""
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    apart = (query, key, shape.intermediate)
    return (shape.hidden, *((query + 2 * key, 2 * shape.intermediate) if fused else apart))


def _check_workload(request: LoadRequest, source: ModelSource) -> None:
    capacity = request.capacity
    if capacity is None:
        return
    if capacity.sequences > MOST_SEQUENCES:
        raise ConfigError(
            "workload.batch_size",
            f"ONNX Runtime GenAI takes at most {MOST_SEQUENCES} sequences at a time, not {capacity.sequences}",
            allowed=f"1 to {MOST_SEQUENCES}",
        )
    # Captured, its attention takes the prompts of several sequences for such that go on from a cache, and refuses them.
    if request.engine.mode == "cudagraph" and capacity.sequences > 1:
        raise ConfigError(
            "workload.batch_size",
            f"{capacity.sequences}, and ONNX Runtime GenAI captures graphs of one sequence at a time",
            allowed="1, or engine.mode = eager",
        )
    window = _window(source.config)
    family = str(source.config["model_type"])
    if window and family in _WINDOW_IGNORED and capacity.positions > window:
        raise ConfigError(
            "workload.output_len",
            f"prompt and output come to {capacity.positions} tokens; {clean(source.id)} attends to {window}, which the "
            f"model builder of ONNX Runtime GenAI leaves out for {family}",
            allowed=f"prompt and output of at most {window} tokens",
        )


def _check_gpu_numbers(quantization: str, dtype: str, provider: Provider) -> None:
    """Raise ConfigError for number formats that the model builder does not combine on a GPU."""
    allowed = {
        "auto": ("float16", "bfloat16"),  # in float32 it makes a graph whose cache comes out of nothing
        "int8": ("float16",) if provider == "cuda" else (),
        "int4": ("float16", "bfloat16"),
    }[quantization]
    if not allowed:
        raise ConfigError(
            "engine.quantization", f"{quantization} is not made for {provider}", allowed="auto, int4",
        )  # fmt: skip
    if dtype not in allowed:
        beside = f" beside engine.quantization = {quantization}" if quantization != "auto" else ""
        raise ConfigError(
            "engine.dtype",
            f"the model builder of ONNX Runtime GenAI makes no model in {dtype} for {provider}{beside} that loads",
            allowed=f"auto, {', '.join(allowed)}",
        )


def _accuracy_level(activations: str, provider: Provider) -> str:
    """The builder's word for what quantized weights are multiplied with: 0 leaves it to the kernel, 4 is int8."""
    if activations == "int8" and provider != "cpu":
        raise ConfigError(f"{_OPTION}.activations", f"int8 is for CPUs, and {provider} computes", allowed="auto, float")
    if activations == "float":
        return "1" if provider == "cpu" else "0"
    return "4" if provider == "cpu" else "0"


def rope_type(config: Mapping[str, Any]) -> str:
    """How positions are scaled: the word of `rope_parameters`, or of `rope_scaling` in files of older versions."""
    for key in ("rope_parameters", "rope_scaling"):
        table = config.get(key)
        if isinstance(table, Mapping) and (named := table.get("rope_type") or table.get("type")):
            return str(named)
    return "default"


def _window(config: Mapping[str, Any]) -> int | None:
    """How many tokens a sliding layer attends to; None where none slides."""
    if config.get("use_sliding_window") is False:
        return None
    return _number(config, "sliding_window")


def _number(config: Mapping[str, Any], key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
