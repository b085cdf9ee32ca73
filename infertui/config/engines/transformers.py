"""Hugging Face Transformers on PyTorch."""

from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from infertui.config.engines.spec import EngineSpec, Need
from infertui.config.section import Section


class TransformersOptions(Section, frozen=True):
    """Transformers: what the captured decode step is made of, and how it is compiled."""

    graph_step: Annotated[
        Literal["model", "compiled", "fused"],
        Meta(
            description="what engine.mode = cudagraph captures: the library's forward as it is, compiled by inductor, "
            "or kernels of infertui's own for Llama-like models"
        ),
    ] = "model"
    tuning: Annotated[
        Literal["none", "coordinate-descent", "max-autotune"],
        Meta(description="how far inductor searches for faster kernels where something is compiled"),
    ] = "none"


_TORCHAO = Need(("torchao",), "pip install torchao")

SPEC = EngineSpec(
    name="transformers",
    summary="Hugging Face Transformers on PyTorch",
    module="infertui.targets.engine.transformers",
    options=TransformersOptions,
    common={
        "dtype": (),
        "mode": ("eager", "static", "compile", "cudagraph", "continuous"),
        "attention": ("auto", "eager", "sdpa", "flash_attention_2"),
        "quantization": ("auto", "int8", "int4", "fp8", "fp8-dynamic"),
        "speculation": ("none", "prompt-lookup", "draft-model"),
        "tensor_parallel": (),
    },
    install='pip install "infertui[transformers]"',
    adapts=("engine.mode", "engine.draft_tokens", "engine.transformers.graph_step", "device.threads"),
    needs={
        # Without the package Transformers takes the same kernels from the hub, through `kernels`.
        "attention": {"flash_attention_2": Need(("flash_attn", "kernels"), "pip install flash-attn", "8.0")},
        "quantization": {
            "int8": _TORCHAO,
            "int4": _TORCHAO,
            "fp8": _TORCHAO,
            "fp8-dynamic": replace(_TORCHAO, capability="8.9"),
        },
        "tensor_parallel": {"*": Need(("accelerate",), "pip install accelerate")},
    },
)
