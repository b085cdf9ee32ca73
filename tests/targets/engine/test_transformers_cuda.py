"""The Transformers engine on a real GPU: the time of a step is when its tokens are there, not when they were queued."""

import itertools
import statistics
import time

import pytest
from support.sinks import Stamps
from support.transformers_models import NANO, PROMPTS, load, prepare, tokens

from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.targets.engine.base import Batch, LoadRequest
from infertui.targets.engine.transformers.engine import TransformersEngine

pytestmark = pytest.mark.gpu
TOKENS = 50


def test_no_work_is_left_on_the_device_when_a_step_is_told() -> None:
    """Waiting for the device at that moment takes no longer than waiting for an idle one."""
    import torch

    engine = TransformersEngine()
    engine.load(
        LoadRequest(ModelConfig(id="synthetic:gpt2-124m"), EngineConfig(dtype="float16"), DeviceConfig(name="cuda"))
    )
    # A prefill of many tokens keeps the GPU busy long after its kernels were queued.
    batch = Batch(tuple(tuple(range(900)) for _ in range(64)), output_len=TOKENS)
    engine.generate(batch, Stamps())

    def wait() -> int:
        start = time.monotonic_ns()
        torch.cuda.synchronize()
        return time.monotonic_ns() - start

    engine.synchronize()
    idle = statistics.median(wait() for _ in range(TOKENS))
    told: list[int] = []
    waits: list[int] = []

    def on_step() -> None:
        told.append(time.monotonic_ns())
        waits.append(wait())

    start = time.monotonic_ns()
    engine.generate(batch, Stamps(then=on_step))
    engine.synchronize()
    end = time.monotonic_ns()
    assert len(told) == TOKENS
    assert all(before < after for before, after in itertools.pairwise([start, *told, end]))
    assert waits[0] < 20 * idle + 100_000, "the first token was told before the prefill was done"
    assert statistics.median(waits) < 20 * idle + 100_000


LENGTH = 20


def close(engine: TransformersEngine) -> None:
    import gc

    import torch

    engine.close()
    torch._dynamo.reset()
    gc.collect()


@pytest.mark.parametrize("mode", ["static", "compile", "continuous"])
def test_every_mode_gives_the_tokens_of_eager(mode: str) -> None:
    expected = tokens(load(device="cuda")[0], LENGTH)
    engine, _ = load(device="cuda", mode=mode)
    entered = prepare(engine, PROMPTS, LENGTH)
    assert tokens(engine, LENGTH) == expected
    found = engine.effective()
    assert found.settings["mode"] == mode
    if mode == "compile":
        assert entered == ["compile"]
        graphs = found.counters["compiled_graphs"]
        tokens(engine, LENGTH)
        assert engine.effective().counters["compiled_graphs"] == graphs
        assert found.facts["cuda_graphs"] == "by inductor"
    close(engine)


@pytest.mark.parametrize("tuning", ["none", "coordinate-descent", "max-autotune"])
def test_inductor_is_tuned_as_asked(tuning: str) -> None:
    engine, _ = load(device="cuda", mode="compile", tuning=tuning, dtype="bfloat16")
    prepare(engine, PROMPTS, LENGTH)
    tokens(engine, LENGTH)
    found = engine.effective()
    assert found.settings["mode"] == "compile"
    assert found.facts["tuning"] == tuning
    close(engine)


@pytest.mark.parametrize("mode", ["eager", "compile"])
@pytest.mark.parametrize("word", ["int8", "int4", "fp8", "fp8-dynamic"])
def test_quantised_weights_generate(word: str, mode: str) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed: pip install torchao")
    _, plain = load(device="cuda", dtype="bfloat16")
    engine, loaded = load(device="cuda", dtype="bfloat16", quantization=word, mode=mode)
    assert loaded.quantized_layers == 4 * 7
    assert plain.weight_bytes is not None
    assert loaded.weight_bytes is not None
    assert loaded.weight_bytes < plain.weight_bytes
    prepare(engine, PROMPTS, LENGTH)
    assert [len(ids) for ids in tokens(engine, LENGTH)] == [LENGTH] * len(PROMPTS)
    assert engine.effective().settings["quantization"] == word
    assert engine.effective().settings["mode"] == mode
    close(engine)


def test_memory_is_given_back_between_runs() -> None:
    import torch

    engine, _ = load(NANO, device="cuda", mode="continuous")

    def run() -> tuple[int, int]:
        """Bytes while the pages are there, and after they were given up."""
        prepare(engine, PROMPTS * 20, LENGTH)
        tokens(engine, LENGTH, PROMPTS * 20)
        held = torch.cuda.memory_allocated()
        engine.release_memory()
        return held, torch.cuda.memory_allocated()

    _, first = run()  # cuBLAS keeps a workspace for the scheduler's thread
    held, second = run()
    assert held > first + (40 << 20)
    assert second <= first * 1.01
    close(engine)
