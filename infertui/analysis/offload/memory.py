"""What layers on the GPU are estimated to take, before any is measured."""

from msgspec.structs import replace

from infertui.analysis.offload.coarse import Estimate
from infertui.config.schema import Config
from infertui.errors import InfertuiError
from infertui.models.memory.of_engine import Task, needed
from infertui.models.resolve import resolve


def estimate_by_layers(config: Config, most: int, prompt_tokens: int) -> Estimate:
    """The engine's memory estimate by layers. It is made for none, one and all of `most`, and straight between them:
    inner layers are alike. Nothing is known of a model or an engine that has no estimate."""
    known = {layers: _needed(config, layers, prompt_tokens) for layers in {0, 1, most}}

    def estimate(layers: int) -> int | None:
        if layers in known:
            return known[layers]
        first, last = known.get(1), known[most]
        if first is None or last is None:
            return None
        return round(first + (last - first) * (layers - 1) / (most - 1))

    return estimate


def _needed(config: Config, layers: int, prompt_tokens: int) -> int | None:
    if config.engine.name != "llama-cpp":
        return None
    options = replace(config.engine.llama_cpp, n_gpu_layers=layers)
    engine = replace(config.engine, llama_cpp=options)
    workload = config.workload
    task = Task(workload.batch_size, workload.input_len or prompt_tokens, workload.output_len)
    try:
        found = needed(resolve(config.model.id, config.model.revision), engine, "cuda", task)
    except InfertuiError:
        return None
    return found.total if found is not None else None
