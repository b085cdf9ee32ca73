"""ONNX Runtime GenAI in tests: its model builder in this process, where its libraries are imported once."""

from collections.abc import Sequence
from typing import Any

import pytest
from support.sinks import Stamps

from infertui.config.engines.onnxruntime_genai import OnnxruntimeGenaiOptions
from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.measure.clock import MonotonicClock
from infertui.targets.engine.base import Batch, Capacity, Loaded, LoadRequest, create
from infertui.targets.engine.onnxruntime_genai import building, conversion
from infertui.targets.engine.onnxruntime_genai.conversion import OnnxOrder
from infertui.targets.engine.onnxruntime_genai.engine import OnnxruntimeGenaiEngine

Running = tuple[OnnxruntimeGenaiEngine, Loaded]


def build_here(patch: pytest.MonkeyPatch) -> list[OnnxOrder]:
    """Let models be made without a process for each; the orders, as they come."""
    orders: list[OnnxOrder] = []

    def run(order: OnnxOrder, _name: str) -> None:
        orders.append(order)
        building.build(order)

    patch.setattr(conversion, "_run", run)
    return orders


def asked(dtype: str = "auto", quantization: str = "auto", mode: str = "auto", **options: Any) -> EngineConfig:
    return EngineConfig(
        name="onnxruntime-genai", dtype=dtype, quantization=quantization, mode=mode,  # type: ignore[arg-type]
        onnxruntime_genai=OnnxruntimeGenaiOptions(**options),
    )  # fmt: skip


def request(
    model: str, engine: EngineConfig | None = None, *, device: str = "cpu", seed: int = 0, threads: int = 1,
    capacity: Capacity | None = None,
) -> LoadRequest:  # fmt: skip
    return LoadRequest(
        ModelConfig(id=model, seed=seed), engine or asked(), DeviceConfig(name=device, threads=threads), capacity
    )


def load(model: str, engine: EngineConfig | None = None, **how: Any) -> Running:
    made = create("onnxruntime-genai", MonotonicClock())
    assert isinstance(made, OnnxruntimeGenaiEngine)
    return made, made.load(request(model, engine, **how))


def generate(
    engine: OnnxruntimeGenaiEngine, prompts: Sequence[Sequence[int]], output_len: int = 12, **how: Any
) -> list[list[int]]:
    """The tokens of a batch, of which the sink was told one by one."""
    sink = Stamps()
    generated = engine.generate(Batch(tuple(map(tuple, prompts)), output_len=output_len, **how), sink)
    outputs = generated.read()
    assert list(generated.counts) == [output_len] * len(prompts) == [len(ids) for ids in outputs]
    assert sink.tokens == [1] * output_len
    return outputs
