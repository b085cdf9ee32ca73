"""What llama.cpp is known to refuse, from the request and the files alone."""

from infertui.config.engines.llama_cpp import LlamaCppOptions
from infertui.errors import ConfigError
from infertui.models.resolve import ModelSource
from infertui.targets.engine.base import Capacity, LoadRequest
from infertui.targets.engine.llama_cpp.model import check_weights


def check(request: LoadRequest, source: ModelSource) -> None:
    """Refuse what this engine cannot run, before a worker is started: see `targets.engine.base.check`."""
    check_weights(source, request.engine)
    layers = request.engine.llama_cpp.n_gpu_layers
    if layers > 0 and request.device.name == "cpu":
        raise ConfigError(
            "engine.llama_cpp.n_gpu_layers", f"{layers} layers are to be on a GPU, and this run has the CPU",
            allowed="-1 (all that can be) or 0 there",
        )  # fmt: skip
    check_experts(request.engine.llama_cpp.n_cpu_moe, source)
    if request.capacity:
        check_context(request.engine.llama_cpp, request.capacity)


def check_experts(layers: int, source: ModelSource) -> None:
    """Raise ConfigError for experts of a model that has none, or not in so many layers."""
    if not layers:
        return
    shape = source.shape
    if not shape.experts:
        raise ConfigError(
            "engine.llama_cpp.n_cpu_moe",
            f"{source.label} is no mixture of experts, and it is {layers}",
            allowed="0 there",
        )
    if layers > shape.layers:
        raise ConfigError(
            "engine.llama_cpp.n_cpu_moe", f"{layers} layers, and the model has {shape.layers}",
            allowed=f"0 to {shape.layers}",
        )  # fmt: skip


def check_context(options: LlamaCppOptions, capacity: Capacity) -> None:
    """Raise ConfigError for options that cannot hold the workload, or contradict each other."""
    if options.n_batch < capacity.sequences:
        raise ConfigError(
            "engine.llama_cpp.n_batch",
            f"{options.n_batch} tokens at once are fewer than the {capacity.sequences} sequences of a step",
            allowed=f"at least {capacity.sequences}",
        )
    if options.type_v in ("q8_0", "q4_0") and not options.flash_attention:
        raise ConfigError(
            "engine.llama_cpp.type_v",
            f"{options.type_v} values need flash attention, and engine.llama_cpp.flash_attention is false",
            allowed="f16, f32, bf16 without it",
        )
    needed = capacity.sequences * capacity.positions
    if options.n_ctx and options.n_ctx < needed:
        raise ConfigError(
            "engine.llama_cpp.n_ctx",
            f"{options.n_ctx} positions are too few for {capacity.sequences} x {capacity.positions} tokens",
            allowed=f"0, or at least {needed}",
        )
