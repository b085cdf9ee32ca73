"""The Transformers engine on a real GPU: the time of a step is when its tokens are there, not when they were queued."""

import itertools
import statistics
import time

import pytest

from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.engines.base import Batch, LoadRequest
from infertui.engines.transformers import TransformersEngine

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
    engine.generate(batch, lambda _: None)

    def wait() -> int:
        start = time.monotonic_ns()
        torch.cuda.synchronize()
        return time.monotonic_ns() - start

    engine.synchronize()
    idle = statistics.median(wait() for _ in range(TOKENS))
    told: list[int] = []
    waits: list[int] = []

    def on_step(_: int) -> None:
        told.append(time.monotonic_ns())
        waits.append(wait())

    start = time.monotonic_ns()
    engine.generate(batch, on_step)
    engine.synchronize()
    end = time.monotonic_ns()
    assert len(told) == TOKENS
    assert all(before < after for before, after in itertools.pairwise([start, *told, end]))
    assert waits[0] < 20 * idle + 100_000, "the first token was told before the prefill was done"
    assert statistics.median(waits) < 20 * idle + 100_000
