"""OpenVINO GenAI."""

from typing import Annotated, Literal

from msgspec import Meta

from infertui.config.engines.spec import EngineSpec
from infertui.config.section import Section


class OpenvinoOptions(Section, frozen=True):
    """OpenVINO GenAI: the KV cache, and what quantized weights are multiplied with."""

    kv_cache: Annotated[
        Literal["auto", "f32", "bf16", "f16", "u8"],
        Meta(description="number format of the KV cache; auto: that of engine.dtype"),
    ] = "auto"
    dynamic_quantization: Annotated[
        bool, Meta(description="round activations to 8 bits where weights are quantized, as the library does by itself")
    ] = True


SPEC = EngineSpec(
    name="openvino",
    summary="OpenVINO GenAI on CPUs: checkpoints, GGUF files and exported models",
    module="infertui.targets.engine.openvino",
    options=OpenvinoOptions,
    common={"dtype": (), "quantization": ("auto", "q8_0", "q4_0", "q6_k", "q4_k_m", "q4_1")},
    install='pip install "infertui[openvino]"',
    devices=("cpu",),
    sized_at_load=True,
)
