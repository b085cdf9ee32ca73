"""llama.cpp through llama-cpp-python."""

from typing import Annotated, Literal

from msgspec import Meta

from infertui.config.engines.gguf_words import GGUF_FORMS
from infertui.config.engines.spec import EngineSpec
from infertui.config.section import MAX_INT, Section

KvType = Literal["f16", "f32", "bf16", "q8_0", "q4_0"]


class LlamaCppOptions(Section, frozen=True):
    """llama.cpp: layers on the GPU, batch sizes of the prefill, and the KV cache."""

    n_gpu_layers: Annotated[
        int, Meta(ge=-1, le=10_000, description="layers held on the GPU, the output layer counting as one; -1: all")
    ] = -1
    n_cpu_moe: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="layers, from the first on, whose experts stay in host memory while the rest of them is on the "
            "GPU; of a mixture of experts; 0: none",
        ),
    ] = 0
    n_ctx: Annotated[
        int, Meta(ge=0, le=MAX_INT, description="positions of the KV cache; 0: what the workload needs")
    ] = 0
    n_batch: Annotated[int, Meta(ge=1, le=MAX_INT, description="most prompt tokens handed over at once")] = 2048
    n_ubatch: Annotated[int, Meta(ge=1, le=MAX_INT, description="most prompt tokens computed at once")] = 512
    flash_attention: Annotated[bool, Meta(description="flash attention kernels")] = True
    type_k: Annotated[KvType, Meta(description="number format of the keys in the KV cache")] = "f16"
    type_v: Annotated[
        KvType, Meta(description="number format of the values; a quantized one needs flash_attention")
    ] = "f16"


SPEC = EngineSpec(
    name="llama-cpp",
    summary="llama.cpp through llama-cpp-python, GGUF files",
    module="infertui.targets.engine.llama_cpp",
    options=LlamaCppOptions,
    common={"dtype": (), "quantization": ("auto", *GGUF_FORMS)},
    install='pip install "infertui[llama-cpp]" (compiles; CMAKE_ARGS="-DGGML_CUDA=on" for NVIDIA GPUs)',
    sized_at_load=True,
    gpu_layers="n_gpu_layers",
)
