"""ONNX Runtime GenAI."""

from typing import Annotated, Literal

from msgspec import Meta

from infertui.config.engines.spec import EngineSpec
from infertui.config.section import Section


class OnnxruntimeGenaiOptions(Section, frozen=True):
    """ONNX Runtime GenAI: what computes, and how the model is made for it."""

    execution_provider: Annotated[
        Literal["auto", "cpu", "cuda", "nv-tensorrt-rtx"],
        Meta(
            description="what computes; auto: cpu on a CPU, cuda on a GPU; nv-tensorrt-rtx: TensorRT for RTX GPUs, "
            "written from its documentation and not run by us"
        ),
    ] = "auto"
    activations: Annotated[
        Literal["auto", "float", "int8"],
        Meta(
            description="what quantized weights are multiplied with: the numbers as they are, or rounded to 8 bits; "
            "auto: int8 on a CPU, float on a GPU, as the library does by itself"
        ),
    ] = "auto"
    prompt_logits: Annotated[
        Literal["all", "last"],
        Meta(
            description="for which tokens of a prompt the output layer is computed: all, as the library does by "
            "itself, or the last, which saves time and memory, takes prompts of one length, and scores no texts"
        ),
    ] = "all"


SPEC = EngineSpec(
    name="onnxruntime-genai",
    summary="ONNX Runtime GenAI on CPUs and GPUs: checkpoints, by its own model builder",
    module="infertui.targets.engine.onnxruntime_genai",
    options=OnnxruntimeGenaiOptions,
    common={"dtype": (), "mode": ("eager", "cudagraph"), "quantization": ("auto", "int8", "int4")},
    install='pip install "infertui[onnx]"; on a GPU "infertui[onnx-cuda]" instead',
)
