"""The ground truth itself: the simulator does exactly what its config says."""

import pytest

from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig, SimulatorConfig
from infertui.engines.base import ENGINES, Batch, LoadRequest, create, probe
from infertui.errors import EngineError
from infertui.measure.clock import NS_PER_S, MonotonicClock, VirtualClock


def stamps(config: SimulatorConfig, clock: VirtualClock | MonotonicClock, tokens: int) -> list[int]:
    engine = create("simulator", clock)
    engine.load(LoadRequest(ModelConfig(), EngineConfig(name="simulator", simulator=config), DeviceConfig()))
    start = clock.now_ns()
    seen: list[int] = []
    batch = Batch(((1, 2), (3,)), output_len=tokens)
    counts = engine.generate(batch, lambda _: seen.append(clock.now_ns() - start))
    assert list(counts) == [tokens, tokens]
    return seen


def test_virtual_times_are_exact() -> None:
    config = SimulatorConfig(ttft_ms=30.5, step_ms=2.25)
    assert stamps(config, VirtualClock(10**15), 4) == [30_500_000, 32_750_000, 35_000_000, 37_250_000]


def test_real_steps_never_end_early_and_errors_do_not_add_up() -> None:
    seen = stamps(SimulatorConfig(ttft_ms=5, step_ms=1), MonotonicClock(), 20)
    due = [round((0.005 + 0.001 * step) * NS_PER_S) for step in range(20)]
    assert all(stamp >= deadline for stamp, deadline in zip(seen, due, strict=True))


def test_every_engine_of_the_registry_answers_a_probe() -> None:
    for name in ENGINES:
        status = probe(name)
        assert status.engine == name
        assert status.available or status.remedy


def test_an_unknown_engine_is_refused_with_the_known() -> None:
    with pytest.raises(EngineError, match="transformers, simulator"):
        create("warp", MonotonicClock())
