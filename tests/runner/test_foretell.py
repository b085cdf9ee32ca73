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
from infertui.runner.scheduling.placement import duration_of, estimate_duration, kind_of
from infertui.runner.scheduling.queue_store import Duration


def test_without_earlier_runs_nothing_is_foretold() -> None:
    assert estimate_duration(simulated(), []) is None


def test_the_same_run_takes_as_long_again(tmp_path: Path) -> None:
    config = simulated(workload__output_len=10, measurement__iterations=5, measurement__warmup=1)
    (result,), _ = run(config, out=tmp_path)
    known = duration_of(result, "cpu")
    assert known is not None
    foretold = estimate_duration(config, [known])
    assert foretold == pytest.approx(known.load_s + 6 * 10 * known.step_s)


def test_the_nearest_batch_size_tells_the_pace() -> None:
    earlier = [Duration("k", 1, 64, 0, 0.010, 1), Duration("k", 32, 64, 0, 0.020, 1)]
    config = simulated(workload__batch_size=16, workload__output_len=64, measurement__iterations=9)
    assert estimate_duration(config, earlier) == pytest.approx(10 * 64 * 0.020)


def test_a_limit_in_seconds_is_respected() -> None:
    config = simulated(measurement__max_seconds=3.0, measurement__iterations=1000)
    foretold = estimate_duration(config, [Duration("k", 1, 64, 2.0, 1.0, 1)])
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
def test_every_option_makes_another_kind(changed: dict[str, Any]) -> None:
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
    foretold = estimate_duration(simulated(workload__batch_size=batch), [Duration("k", 1, length, 0.0, step, 0)])
    assert foretold is not None
    assert foretold > 0


def known(**values: Any) -> Duration:
    usual: dict[str, Any] = {
        "kind": "m|simulator|cpu|0", "batch_size": 1, "output_len": 8, "load_s": 2.0, "warmup_batches": 2,
        "prefill_s": 1.0, "prompt_tokens": 16.0,
    }  # fmt: skip
    usual |= values
    if "step_s" not in usual:
        usual["step_s"] = (1.0 + 0.005 * (usual["output_len"] - 1)) / usual["output_len"]
    return Duration(**usual)


@pytest.mark.parametrize(
    ("history", "asked", "seconds"),
    [
        (8, 256, 2.0 + 7 * (1.0 + 255 * 0.005)),  # 17.9 s, where 234 s were told
        (256, 8, 2.0 + 7 * (1.0 + 7 * 0.005)),  # 9.2 s, where 2.5 s were
        (8, 8, 2.0 + 7 * (1.0 + 7 * 0.005)),
        (8, 1, 2.0 + 7 * 1.0),
        (1, 1, 2.0 + 7 * 1.0),
    ],
)
def test_the_output_length_moves_the_decode_steps_alone(history: int, asked: int, seconds: float) -> None:
    """TTFT 1 s and a step of 5 ms, two batches of warm-up and five measured."""
    config = simulated(workload__output_len=asked, measurement__iterations=5, measurement__warmup=2)
    assert estimate_duration(config, [known(output_len=history)]) == pytest.approx(seconds)


def test_a_forecast_is_what_the_simulator_then_takes(tmp_path: Path) -> None:
    """On its virtual clock, from the shortest output to the longest: loading apart, which takes real time."""
    settings = {"engine__simulator__ttft_ms": 300.0, "engine__simulator__step_ms": 7.0}
    short = simulated(**settings, workload__output_len=4, measurement__iterations=3)
    long = simulated(**settings, workload__output_len=200, measurement__iterations=6)
    (first, second), _ = run(short, long, out=tmp_path)
    learnt = duration_of(first, "cpu")
    assert learnt is not None
    foretold = estimate_duration(long, [learnt])
    assert foretold is not None
    # One more batch of warm-up, which is not summed up.
    assert foretold - learnt.load_s == pytest.approx((second.summary.measured_s or 0.0) * 7 / 6)


def test_a_larger_batch_takes_longer_as_earlier_runs_say() -> None:
    """From 1 to 16: prefill 4 times (a power of 1/2), steps 2 times (1/4); at 64 they are 8 and 2.83 times."""
    earlier = [
        known(output_len=11, prefill_s=1.0, step_s=2.0 / 11),
        known(output_len=11, batch_size=16, prefill_s=4.0, step_s=6.0 / 11),
    ]
    config = simulated(
        workload__output_len=11, workload__batch_size=64, measurement__iterations=5, measurement__warmup=1
    )
    batch_s = 4.0 * 2 + 10 * 0.2 * 2**0.5
    assert estimate_duration(config, earlier) == pytest.approx(2.0 + 6 * batch_s)


def test_without_others_a_batch_and_a_prompt_grow_as_is_usual_for_the_device() -> None:
    """32 times the sequences: on a CPU 32 times the prefill and sqrt(32) times the step, on a GPU next to none."""
    one = known(output_len=11, prefill_s=0.1, step_s=0.2 / 11)
    config = simulated(
        workload__output_len=11, workload__batch_size=32, measurement__iterations=5, measurement__warmup=1
    )
    on_cpu = estimate_duration(config, [one])
    assert on_cpu == pytest.approx(2.0 + 6 * (3.2 + 0.1 * 32**0.5))
    on_gpu = estimate_duration(config, [msgspec.structs.replace(one, kind="m|transformers|GPU-a|0")])
    assert on_gpu == pytest.approx(2.0 + 6 * (0.1 * 32**0.3 + 0.1 * 32**0.1))
    longer = simulated(
        workload__output_len=11, workload__input_len=160, measurement__iterations=5, measurement__warmup=1
    )
    assert estimate_duration(longer, [one]) == pytest.approx(2.0 + 6 * (1.0 + 0.1))


def test_a_least_time_of_measuring_is_foretold() -> None:
    """Batches of 1.035 s: 2 are asked for, 5 s take 5 of them."""
    config = simulated(workload__output_len=8, measurement__iterations=2, measurement__warmup=1)
    longer = simulated(
        workload__output_len=8, measurement__iterations=2, measurement__warmup=1, measurement__min_seconds=5.0
    )
    assert estimate_duration(config, [known()]) == pytest.approx(2.0 + 3 * 1.035)
    assert estimate_duration(longer, [known()]) == pytest.approx(2.0 + 6 * 1.035)


def test_failed_batches_do_not_make_a_run_look_fast(tmp_path: Path) -> None:
    config = simulated(engine__simulator__fail_every=2, measurement__iterations=6, workload__output_len=4)
    (result,), _ = run(config, out=tmp_path)
    learnt = duration_of(result, "cpu")
    assert learnt is not None
    assert learnt.batch_s == pytest.approx((result.summary.measured_s or 0.0) / 3)
