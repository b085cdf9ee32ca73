"""TensorRT-LLM through its LLM API."""

from typing import Annotated, Literal

from msgspec import Meta

from infertui.config.engines.spec import EngineSpec, Need
from infertui.config.section import MAX_INT, Section


class TensorrtLlmOptions(Section, frozen=True):
    """TensorRT-LLM: its backend, its KV cache and its scheduler."""

    backend: Annotated[
        Literal["pytorch", "engine"],
        Meta(
            description="pytorch: the LLM API of 1.x; engine: a TensorRT engine that `infertui build MODEL` made, with "
            "versions 1.0 to 1.2"
        ),
    ] = "pytorch"
    engine_dir: Annotated[
        str,
        Meta(
            extra={"path": True},
            description="folder of a built engine, for backend = engine; empty: one that `infertui build` made",
        ),
    ] = ""
    kv_cache_dtype: Annotated[Literal["auto", "fp8"], Meta(description="number format of the KV cache")] = "auto"
    max_num_tokens: Annotated[
        int,
        Meta(ge=0, le=MAX_INT, description="most tokens of one scheduler step; 0: 8192, or the prompt if longer"),
    ] = 0
    chunked_prefill: Annotated[bool, Meta(description="prefill long prompts in chunks between decode steps")] = False
    overlap_scheduler: Annotated[
        Literal["auto", "on", "off"],
        Meta(description="schedule the next step while the device computes; auto: the library's choice"),
    ] = "auto"


SPEC = EngineSpec(
    name="tensorrt-llm",
    summary="NVIDIA TensorRT-LLM, LLM API",
    module="infertui.targets.engine.tensorrt_llm",
    options=TensorrtLlmOptions,
    common={
        "dtype": (),
        "mode": ("cudagraph", "eager"),
        "quantization": ("auto", "fp8"),
        "speculation": ("none", "prompt-lookup", "draft-model", "eagle", "mtp"),
        "tensor_parallel": (),
    },
    install="inside its container, or in a Python 3.12: see docs/engines.md",
    devices=("cuda",),
    sized_at_load=True,
    needs={"quantization": {"fp8": Need(capability="8.9")}},
    not_run_on_hardware="written from the documented API and tested against its recorded surface",
)
