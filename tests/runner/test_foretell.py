"""How long a run will take, from earlier ones."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import run, simulated

from infertui.config.engines.llama_cpp import LlamaCppOptions
from infertui.config.engines.transformers import TransformersOptions
from infertui.config.schema import EngineConfig
from infertui.runner.foretell import duration_of, foretell, kind_of
from infertui.store.queue import Duration


def test_without_earlier_runs_nothing_is_foretold() -> None:
    assert foretell(simulated(), []) is None


def test_the_same_run_takes_as_long_again(tmp_path: Path) -> None:
    config = simulated(workload__output_len=10, measurement__iterations=5, measurement__warmup=1)
    (result,), _ = run(config, out=tmp_path)
    known = duration_of(result, "cpu")
    assert known is not None
    foretold = foretell(config, [known])
    assert foretold == pytest.approx(known.load_s + 6 * 10 * known.step_s)


def test_the_nearest_batch_size_tells_the_pace() -> None:
    earlier = [Duration("k", 1, 64, 0, 0.010, 1), Duration("k", 32, 64, 0, 0.020, 1)]
    config = simulated(workload__batch_size=16, workload__output_len=64, measurement__iterations=9)
    assert foretell(config, earlier) == pytest.approx(10 * 64 * 0.020)


def test_a_limit_in_seconds_is_respected() -> None:
    config = simulated(measurement__max_seconds=3.0, measurement__iterations=1000)
    foretold = foretell(config, [Duration("k", 1, 64, 2.0, 1.0, 1)])
    assert foretold == pytest.approx(2.0 + 64 * 1.0 + 3.0)


def test_kinds_differ_by_what_decides_the_speed() -> None:
    assert kind_of(simulated(), "cpu") == kind_of(simulated(workload__batch_size=4), "cpu")
    assert kind_of(simulated(), "cpu") != kind_of(simulated(), "gpu0")
    assert kind_of(simulated(), "cpu") != kind_of(simulated(model__id="synthetic:gpt2-124m"), "cpu")


@pytest.mark.parametrize(
    "changed",
    [
        {"mode": "static"},
        {"quantization": "int8"},
        {"speculation": "prompt-lookup"},
        {"tensor_parallel": 2},
        {"dtype": "float16"},
        {"transformers": TransformersOptions(graph_step="compiled")},
    ],
)
def test_every_lever_makes_another_kind(changed: dict[str, Any]) -> None:
    usual = msgspec.structs.replace(simulated(), engine=EngineConfig())
    other = msgspec.structs.replace(usual, engine=EngineConfig(**changed))
    assert kind_of(usual, "gpu0") != kind_of(other, "gpu0")


def test_options_of_other_engines_and_leave_to_fall_back_do_not() -> None:
    usual = msgspec.structs.replace(simulated(), engine=EngineConfig())
    other = msgspec.structs.replace(usual, engine=EngineConfig(fallback=True, llama_cpp=LlamaCppOptions(n_batch=7)))
    assert kind_of(usual, "gpu0") == kind_of(other, "gpu0")


def test_compiling_belongs_to_the_time_before_measuring(tmp_path: Path) -> None:
    (result,), _ = run(simulated(), out=tmp_path)
    longer = msgspec.structs.replace(result, phases={**result.phases, "compile": 30.0, "capture": 2.0})
    known, usual = duration_of(longer, "cpu"), duration_of(result, "cpu")
    assert known is not None
    assert usual is not None
    assert known.load_s == pytest.approx(usual.load_s + 32.0)


def test_a_fallback_says_nothing_of_the_engine_that_was_asked_for(tmp_path: Path) -> None:
    (result,), _ = run(simulated(), out=tmp_path)
    assert result.loaded is not None
    instead = msgspec.structs.replace(result.loaded, engine="transformers")
    assert duration_of(msgspec.structs.replace(result, loaded=instead), "cpu") is None


@given(st.integers(1, 65536), st.integers(1, 1 << 20), st.floats(1e-6, 10))
def test_a_forecast_is_a_positive_time(batch: int, length: int, step: float) -> None:
    foretold = foretell(simulated(workload__batch_size=batch), [Duration("k", 1, length, 0.0, step, 0)])
    assert foretold is not None
    assert foretold > 0
