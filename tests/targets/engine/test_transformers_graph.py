"""engine.mode = cudagraph: the same tokens as eager, step by step; refused where it cannot be."""

from collections.abc import Sequence
from typing import Any

import pytest
from support.sinks import Stamps
from support.transformers_models import NANO, PROMPTS, load, prepare

from infertui.config.engines.transformers import TransformersOptions
from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.errors import EngineError
from infertui.targets.engine.base import Batch, GenerationPlan, LoadRequest
from infertui.targets.engine.transformers.engine import TransformersEngine

torch = pytest.importorskip("torch", reason="torch is not installed: pip install infertui[transformers]")

STEPS = ("model", "compiled", "fused")
LENGTH = 24


def captured(step: str, **settings: Any) -> TransformersEngine:
    engine = TransformersEngine()
    options = TransformersOptions(graph_step=step)  # type: ignore[arg-type]
    config = EngineConfig(**{"mode": "cudagraph", "dtype": "float32", "transformers": options, **settings})
    engine.load(LoadRequest(ModelConfig(id=NANO), config, DeviceConfig(name="cuda")))
    return engine


def eager(prompts: Sequence[Sequence[int]], **settings: Any) -> list[list[int]]:
    engine, _ = load(device="cuda", **settings)
    return engine.generate(Batch(tuple(map(tuple, prompts)), LENGTH), Stamps()).read()


def test_a_cpu_has_no_cuda_graphs() -> None:
    with pytest.raises(EngineError, match="cudagraph needs a CUDA device"):
        load(mode="cudagraph")


@pytest.mark.gpu
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS, PROMPTS[1:2]])
def test_greedy_tokens_are_those_of_eager(step: str, prompts: Sequence[Sequence[int]]) -> None:
    engine = captured(step)
    entered = prepare(engine, prompts, LENGTH)
    assert entered[-1] == "capture"
    batch, sink = Batch(tuple(map(tuple, prompts)), LENGTH), Stamps()
    assert engine.generate(batch, sink).read() == eager(prompts)
    assert sink.tokens == [1] * LENGTH
    assert sink.steps == sorted(sink.steps)
    assert engine.generate(batch, Stamps()).read() == eager(prompts), "a second batch finds traces of the first"
    effective = engine.effective()
    assert effective.settings["mode"] == "cudagraph"
    assert effective.settings["transformers.graph_step"] == step
    assert effective.counters["graph_replays"] == 2 * (LENGTH - 1)


@pytest.mark.gpu
@pytest.mark.parametrize("step", ["model", "fused"])
def test_a_batch_after_a_cancelled_one_is_whole(step: str) -> None:
    engine = captured(step)
    prepare(engine, PROMPTS, LENGTH)
    count = 0

    def stop() -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt

    batch = Batch(PROMPTS, LENGTH)
    with pytest.raises(KeyboardInterrupt):
        engine.generate(batch, Stamps(then=stop))
    assert engine.generate(batch, Stamps()).read() == eager(PROMPTS)
    assert engine.effective().settings["mode"] == "cudagraph"


@pytest.mark.gpu
def test_a_prompt_longer_than_planned_is_captured_for_anew_and_counted() -> None:
    engine = captured("model")
    prepare(engine, PROMPTS[:2], LENGTH)
    longer = (tuple(range(40)), PROMPTS[1])
    assert engine.generate(Batch(longer, LENGTH), Stamps()).read() == eager(longer)
    assert engine.effective().counters["recaptures"] == 1


@pytest.mark.gpu
def test_sampling_repeats_by_its_seed_and_differs_by_another() -> None:
    engine = captured("model")
    engine.prepare(GenerationPlan(1, (4,), LENGTH, temperature=1.0, top_k=50, top_p=0.9), lambda _: None)

    def drawn(seed: int) -> list[list[int]]:
        batch = Batch(PROMPTS[:1], LENGTH, temperature=1.0, top_k=50, top_p=0.9, seed=seed)
        return engine.generate(batch, Stamps()).read()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@pytest.mark.gpu
@pytest.mark.parametrize("word", ["int8", "fp8"])
def test_fused_kernels_read_quantised_weights(word: str) -> None:
    """Against the library with the same weights. In 16 bits a tie may fall otherwise, so the start counts."""
    pytest.importorskip("torchao", reason="torchao is not installed: pip install torchao")
    engine = captured("fused", quantization=word, dtype="bfloat16")
    prepare(engine, PROMPTS[:1], LENGTH)
    found = engine.generate(Batch(PROMPTS[:1], LENGTH), Stamps()).read()
    plain = eager(PROMPTS[:1], quantization=word, dtype="bfloat16")
    assert found[0][:4] == plain[0][:4]
    assert engine.effective().settings["quantization"] == word


@pytest.mark.gpu
def test_fused_kernels_refuse_what_they_do_not_know() -> None:
    engine = TransformersEngine()
    options = TransformersOptions(graph_step="fused")
    config = EngineConfig(mode="cudagraph", dtype="float16", transformers=options)
    engine.load(LoadRequest(ModelConfig(id="synthetic:gpt2-124m"), config, DeviceConfig(name="cuda")))
    with pytest.raises(EngineError, match="fused kernels cannot run this model"):
        prepare(engine, PROMPTS[:1], LENGTH)
