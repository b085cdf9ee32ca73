"""vLLM: its engine without its server."""

from typing import Annotated, Literal

from msgspec import Meta

from infertui.config.engines.spec import EngineSpec, Need
from infertui.config.section import MAX_INT, Section

EngineCore = Literal["in-process", "process"]
Sizes = Literal["library", "workload"]


class VllmOptions(Section, frozen=True):
    """vLLM: where its engine core runs, its KV cache and its scheduler. The defaults are those of `LLM.generate`."""

    engine_core: Annotated[
        EngineCore,
        Meta(
            description="where the scheduler and the model run: in a process of their own, as `vllm serve` and `LLM` "
            "have it, or in the worker, as `LLM` with VLLM_ENABLE_V1_MULTIPROCESSING=0"
        ),
    ] = "process"
    kv_cache_mib: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_INT,
            description="MiB that each device reserves for the KV cache; 0: for the workload, and for one sequence of "
            "max_model_len, where the library would take most of the GPU",
        ),
    ] = 0
    kv_cache_dtype: Annotated[Literal["auto", "fp8"], Meta(description="number format of the KV cache")] = "auto"
    max_num_batched_tokens: Annotated[
        int, Meta(ge=0, le=MAX_INT, description="most tokens of one scheduler step; 0: the library's choice")
    ] = 0
    sizes: Annotated[
        Sizes,
        Meta(
            description="most sequences and longest sequence, by which CUDA graphs, buffers and the splitting of "
            "attention go: the library's own for the model and the GPU, or no more than the workload needs"
        ),
    ] = "library"
    detokenize: Annotated[
        bool,
        Meta(description="make text of the output while generating, as the library does where there is a tokenizer"),
    ] = True
    own_metrics: Annotated[
        bool,
        Meta(
            description="let the library count and time beside us, as `vllm serve` does and `LLM` does not; on in any "
            "case where tokens are drafted, to count those accepted"
        ),
    ] = False


SPEC = EngineSpec(
    name="vllm",
    summary="vLLM without its server, continuous batching with paged KV cache",
    module="infertui.targets.engine.vllm",
    options=VllmOptions,
    common={
        "dtype": (),
        "mode": ("compile", "eager"),
        "quantization": ("auto", "fp8", "int8"),
        "speculation": ("none", "prompt-lookup", "draft-model"),
        "tensor_parallel": (),
    },
    install="pip install vllm, in an environment of its own; then `infertui engines use vllm --python PATH`",
    sized_at_load=True,
    needs={"dtype": {"bfloat16": Need(capability="8.0")}},
)
