"""vLLM: its engine without its server."""

from typing import Annotated, Literal

from msgspec import Meta

from infertui.config.engines.spec import EngineSpec
from infertui.config.section import MAX_INT, Section

EngineCore = Literal["in-process", "process"]


class VllmOptions(Section, frozen=True):
    """vLLM: where its engine core runs, its KV cache and its scheduler."""

    engine_core: Annotated[
        EngineCore,
        Meta(
            description="where the scheduler and the model run: in the worker, or, as `vllm serve` does it, in a "
            "process of their own (V1 multiprocessing)"
        ),
    ] = "in-process"
    kv_cache_mib: Annotated[
        int, Meta(ge=0, le=MAX_INT, description="MiB that each device reserves for the KV cache; 0: for the workload")
    ] = 0
    kv_cache_dtype: Annotated[Literal["auto", "fp8"], Meta(description="number format of the KV cache")] = "auto"
    max_num_batched_tokens: Annotated[
        int, Meta(ge=0, le=MAX_INT, description="most tokens of one scheduler step; 0: the library's choice")
    ] = 0


SPEC = EngineSpec(
    name="vllm",
    summary="vLLM in-process, continuous batching with paged KV cache",
    module="infertui.engines.vllm",
    options=VllmOptions,
    levers={
        "dtype": (),
        "mode": ("compile", "eager"),
        "quantization": ("auto", "fp8", "int8"),
        "speculation": ("none", "prompt-lookup", "draft-model"),
        "tensor_parallel": (),
    },
    install="pip install vllm, in an environment of its own; then `infertui engines use vllm --python PATH`",
    sized_at_load=True,
)
