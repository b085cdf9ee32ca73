"""The Transformers engine on a real GPU: the stamps that the device takes, against waiting for every step."""

import itertools
import statistics
import time

import pytest

from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.engines.base import Batch, LoadRequest
from infertui.engines.transformers import TransformersEngine
from infertui.measure.clock import MonotonicClock

pytestmark = pytest.mark.gpu
TOKENS = 100


def test_device_stamps_agree_with_waiting_for_each_step() -> None:
    import torch

    engine = TransformersEngine(MonotonicClock())
    engine.load(
        LoadRequest(ModelConfig(id="synthetic:gpt2-124m"), EngineConfig(dtype="float16"), DeviceConfig(name="cuda"))
    )
    batch = Batch((tuple(range(30)), tuple(range(20))), output_len=TOKENS)
    engine.generate(batch, lambda _: None)
    waited: list[int] = []

    def wait(_: int) -> None:
        torch.cuda.synchronize()
        waited.append(time.monotonic_ns())

    engine.synchronize()
    start = time.monotonic_ns()
    generated = engine.generate(batch, wait)
    end = time.monotonic_ns()
    assert generated.step_ns is not None
    assert len(generated.step_ns) == len(waited) == TOKENS
    assert start < generated.step_ns[0] < generated.step_ns[-1] < end
    assert all(before < after for before, after in itertools.pairwise(generated.step_ns))
    # The device's stamp of a step comes just before the host learns of it.
    lags = [host - device for host, device in zip(waited, generated.step_ns, strict=True)]
    assert 0 <= statistics.median(lags) < 200_000
    first, last = generated.step_ns[0], generated.step_ns[-1]
    assert (last - first) == pytest.approx(waited[-1] - waited[0], rel=0.01)
