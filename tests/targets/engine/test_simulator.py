"""The ground truth itself: the simulator does exactly what its config says."""

import itertools

import pytest
from support.sinks import Stamps

from infertui.config.engines.registry import SPECS
from infertui.config.engines.simulator import SimulatorOptions
from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.errors import EngineError
from infertui.measure.clock import NS_PER_S, MonotonicClock, VirtualClock
from infertui.targets.engine.base import Batch, LoadRequest, create, probe


def stamps(config: SimulatorOptions, clock: VirtualClock | MonotonicClock, tokens: int) -> list[int]:
    engine = create("simulator", clock)
    engine.load(LoadRequest(ModelConfig(), EngineConfig(name="simulator", simulator=config), DeviceConfig()))
    start = clock.now_ns()
    sink = Stamps(clock)
    batch = Batch(((1, 2), (3,)), output_len=tokens)
    assert list(engine.generate(batch, sink).counts) == [tokens, tokens]
    return [stamp - start for stamp in sink.steps]


def test_virtual_times_are_exact() -> None:
    config = SimulatorOptions(ttft_ms=30.5, step_ms=2.25)
    assert stamps(config, VirtualClock(10**15), 4) == [30_500_000, 32_750_000, 35_000_000, 37_250_000]


def test_real_steps_never_end_early_and_errors_do_not_add_up() -> None:
    seen = stamps(SimulatorOptions(ttft_ms=5, step_ms=1), MonotonicClock(), 20)
    due = [round((0.005 + 0.001 * step) * NS_PER_S) for step in range(20)]
    assert all(stamp >= deadline for stamp, deadline in zip(seen, due, strict=True))


def test_every_engine_of_the_registry_answers_a_probe() -> None:
    for name in SPECS:
        status = probe(name)
        assert status.engine == name
        assert status.available or status.remedy


def test_an_unknown_engine_is_refused_with_the_known() -> None:
    with pytest.raises(EngineError, match=r"transformers, .*, simulator"):
        create("warp", MonotonicClock())


def test_processes_differ_by_a_draw_of_their_own() -> None:
    config = SimulatorOptions(ttft_ms=10, step_ms=2, process_ms=1)
    steps = [[after - before for before, after in itertools.pairwise(stamps(config, VirtualClock(), 5))] for _ in "abc"]
    assert all(max(each) - min(each) <= 1 for each in steps), "the same for every step of a process"
    assert all(2_000_000 <= each[0] <= 3_000_000 for each in steps)
    assert len({each[0] for each in steps}) == 3
