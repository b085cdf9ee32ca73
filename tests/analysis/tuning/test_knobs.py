"""Which keys are knobs, what they take, and what turning them asks for."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import simulated

from infertui.analysis.tuning.knobs import Knob, changed_keys, effect_between, knobs_of, stepped, text_of, turned
from infertui.config.fields import parse_text
from infertui.config.schema import Config
from infertui.config.sources import load
from infertui.errors import ConfigError


def config_of(**values: object) -> Config:
    flags = {key.replace("__", "."): ("test", value) for key, value in values.items()}
    return load(None, environ={}, flags=flags).config


def knob(config: Config, key: str) -> Knob:
    return next(knob for knob in knobs_of(config) if knob.key == key)


def test_an_engine_has_its_own_knobs_and_no_others() -> None:
    keys = [knob.key for knob in knobs_of(config_of(engine__name="llama-cpp"))]
    assert {"workload.batch_size", "engine.llama_cpp.n_batch", "engine.llama_cpp.n_gpu_layers"} <= set(keys)
    assert not {"engine.mode", "engine.vllm.block_size", "workload.prompts_file", "engine.draft_tokens"} & set(keys)
    assert keys[0] == "workload.batch_size"
    drafting = config_of(engine__speculation="prompt-lookup")
    assert "engine.draft_tokens" in [knob.key for knob in knobs_of(drafting)]


def test_a_word_is_one_that_the_engine_takes() -> None:
    found = knob(config_of(), "engine.mode")
    assert found.words == ("auto", "eager", "static", "compile", "cudagraph", "continuous")
    assert "int4" in knob(config_of(), "engine.quantization").words
    assert "q4_k_m" not in knob(config_of(), "engine.quantization").words


def test_what_a_change_asks_for_follows_from_the_engine() -> None:
    transformers, sized = config_of(), config_of(engine__name="llama-cpp")
    assert effect_between(transformers, turned(transformers, {"workload.seed": "7"})) == "live"
    assert effect_between(transformers, turned(transformers, {"workload.batch_size": "8"})) == "prepare"
    assert effect_between(sized, turned(sized, {"workload.batch_size": "8"})) == "reload"
    assert effect_between(transformers, turned(transformers, {"engine.dtype": "float16"})) == "reload"
    assert effect_between(transformers, turned(transformers, {"engine.name": "simulator"})) == "reload"


def test_another_engine_keeps_no_option_that_it_does_not_take() -> None:
    config = turned(config_of(engine__mode="compile"), {"engine.name": "llama-cpp"})
    assert config.engine.mode == "auto"
    with pytest.raises(ConfigError, match=r"llama-cpp takes no engine\.mode"):
        turned(config_of(), {"engine.name": "llama-cpp", "engine.mode": "compile"})


@pytest.mark.parametrize("key", ["measurement.iterations", "sweep.grid.workload.seed", "load.concurrency"])
def test_what_is_measured_how_is_no_knob(key: str) -> None:
    with pytest.raises(ConfigError, match=r"no knob|no such key"):
        turned(config_of(), {key: "1"})


@pytest.mark.parametrize(
    ("key", "value", "up", "down"),
    [
        ("workload.batch_size", 1, 2, None),
        ("workload.batch_size", 6, 8, 4),
        ("workload.batch_size", 65536, None, 32768),
        ("workload.top_k", 0, 1, None),
        ("engine.simulator.n_gpu_layers", -1, 0, None),
        ("engine.simulator.n_gpu_layers", 1, 2, 0),
        ("workload.top_p", 1.0, None, 0.95),
        ("workload.temperature", 0.0, 0.1, None),
        ("engine.simulator.step_ms", 5.0, 10.0, 2.5),
        ("engine.simulator.virtual_time", True, None, False),
    ],
)
def test_a_step_is_the_next_value_worth_trying(key: str, value: float, up: float | None, down: float | None) -> None:
    flags: dict[str, object] = {key.replace(".", "__"): value}
    found = knob(simulated(**flags) if key != "workload.top_k" else config_of(), key)
    assert (stepped(found, 1), stepped(found, -1)) == (up, down)


@given(data=st.data(), engine=st.sampled_from(["transformers", "llama-cpp", "simulator", "vllm"]))
def test_every_step_is_a_value_that_the_key_takes(data: st.DataObject, engine: str) -> None:
    config = config_of(engine__name=engine)
    chosen = data.draw(st.sampled_from(knobs_of(config)))
    following = stepped(chosen, data.draw(st.sampled_from([1, -1])))
    if following is None:
        return
    assert parse_text(chosen.key, text_of(following)) == following  # raises where it is not allowed
    with contextlib.suppress(ConfigError):  # keys may contradict each other
        assert changed_keys(config, turned(config, {chosen.key: text_of(following)}))[chosen.key] == following
