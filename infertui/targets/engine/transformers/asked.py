"""Options that do not go together in Transformers, known from the request and the files alone."""

from infertui.config.schema import EngineConfig
from infertui.errors import ConfigError
from infertui.models.memory.estimate import DeviceKind, dtype_in_use
from infertui.models.resolve import ModelSource, resolve
from infertui.targets.engine.base import LoadRequest


def check(request: LoadRequest, source: ModelSource) -> None:
    """Refuse what this engine cannot run, before a worker is started: see `targets.engine.base.check`."""
    engine = request.engine
    if source.kind == "gguf":
        raise ConfigError(
            "model.id", f"{source.id} is a GGUF file, which Transformers does not read here",
            allowed="a folder with config.json and safetensors, or engine.name = llama-cpp or openvino",
        )  # fmt: skip
    if engine.mode == "cudagraph" and request.device.name == "cpu":
        raise ConfigError(
            "engine.mode", "cudagraph needs a CUDA device, and this run has the CPU", allowed="eager, static or compile"
        )
    check_options(engine, "eager" if engine.mode == "auto" else engine.mode, source)
    _check_kernels(request, source)
    if engine.speculation != "none" and request.capacity:
        check_alone(request.capacity.sequences)
    if engine.draft_model and (draft := resolve(engine.draft_model)).kind == "synthetic":
        raise meaningless("engine.draft_model", draft)


def check_options(engine: EngineConfig, mode: str, source: ModelSource) -> None:
    """Raise ConfigError for options that do not go together, before anything is loaded."""
    options = engine.transformers
    if options.graph_step != "model" and mode != "cudagraph":
        raise ConfigError(
            "engine.transformers.graph_step",
            f"{options.graph_step}, but with engine.mode = {mode} nothing is captured",
            allowed="engine.mode = cudagraph, or graph_step = model",
        )
    if options.tuning != "none" and mode != "compile" and (mode != "cudagraph" or options.graph_step != "compiled"):
        raise ConfigError(
            "engine.transformers.tuning",
            f"{options.tuning}, but with engine.mode = {mode} and these options inductor compiles nothing",
            allowed="engine.mode = compile, graph_step = compiled, or tuning = none",
        )
    if mode == "cudagraph" and engine.attention == "flash_attention_2":
        raise ConfigError(
            "engine.attention", "flash_attention_2 takes no mask, which engine.mode = cudagraph gives it",
            allowed="auto, eager or sdpa with cudagraph",
        )  # fmt: skip
    if engine.tensor_parallel > 1:
        _check_parallel(engine, mode)
    if engine.speculation == "none":
        return
    if mode != "eager":
        raise ConfigError(
            "engine.speculation",
            f"{engine.speculation} does not go with engine.mode = {mode} in Transformers",
            allowed="engine.mode = eager, or speculation = none",
        )
    if source.kind == "synthetic":
        raise meaningless("engine.speculation", source)
    if engine.speculation == "draft-model" and not engine.draft_model:
        raise ConfigError("engine.draft_model", "empty, but engine.speculation is draft-model", allowed="a model's id")


def check_alone(sequences: int) -> None:
    """Raise ConfigError for drafting for several sequences at a time, which the library does not."""
    if sequences != 1:
        raise ConfigError(
            "workload.batch_size",
            f"speculation of Transformers takes one sequence at a time, not {sequences}",
            allowed="1, or engine.speculation = none",
        )


def _check_kernels(request: LoadRequest, source: ModelSource) -> None:
    """Raise ConfigError for kernels that there are for other devices and number formats alone."""
    engine, device = request.engine, request.device.name
    kind: DeviceKind = "cpu" if device == "cpu" else "cuda"
    dtype = dtype_in_use(source.shape, engine.dtype, kind)
    if engine.attention == "flash_attention_2":
        if kind == "cpu":
            raise ConfigError(
                "engine.attention", "flash_attention_2 needs a CUDA device, and this run has the CPU",
                allowed="auto, eager or sdpa there",
            )  # fmt: skip
        if dtype == "float32":
            raise ConfigError(
                "engine.dtype", "float32 does not go with engine.attention = flash_attention_2",
                allowed="float16 or bfloat16",
            )  # fmt: skip
    if engine.quantization == "fp8-dynamic" and kind == "cpu":
        raise ConfigError(
            "engine.quantization", "fp8-dynamic needs a GPU of compute capability 8.9, and this run has the CPU",
            allowed="auto, int8, int4 or fp8 there",
        )  # fmt: skip
    if engine.quantization == "int4" and device.startswith("cuda") and dtype != "bfloat16":
        raise ConfigError(
            "engine.dtype", f"{dtype} does not go with engine.quantization = int4 on a GPU", allowed="bfloat16"
        )
    if engine.quantization != "auto" and source.config.get("quantization_config") is not None:
        raise ConfigError(
            "engine.quantization", f"{engine.quantization}, but the checkpoint is quantised already", allowed="auto"
        )


def meaningless(path: str, source: ModelSource) -> ConfigError:
    """The error of drafts that random weights accept or not by chance."""
    return ConfigError(
        path,
        f"{source.id} has random weights, on which the acceptance of drafts means nothing",
        allowed="a model with trained weights, or engine.speculation = none",
    )


def _check_parallel(engine: EngineConfig, mode: str) -> None:
    if mode not in ("eager", "static"):
        raise ConfigError(
            "engine.tensor_parallel",
            f"{engine.tensor_parallel} devices do not go with engine.mode = {mode} in Transformers",
            allowed="engine.mode = eager or static, or tensor_parallel = 1",
        )
    if engine.quantization != "auto" or engine.speculation != "none":
        raise ConfigError(
            "engine.tensor_parallel", "does not go with engine.quantization or engine.speculation in Transformers"
        )
