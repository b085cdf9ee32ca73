"""The description of `support.fake_engine`. It is imported while the engines are collected, so it imports none."""

from msgspec.structs import replace

from infertui.config.engines.spec import EngineSpec

NAME = "fake"

SPEC = EngineSpec(
    name=NAME,
    summary="does what a test tells it",
    module="support.fake_engine",
    common={
        "dtype": (),
        "mode": ("eager", "cudagraph"),
        "attention": ("auto", "sdpa"),
        "quantization": ("auto", "int8"),
        "speculation": ("none", "prompt-lookup", "draft-model"),
        "tensor_parallel": (),
    },
)
SIZED = replace(SPEC, sized_at_load=True)
