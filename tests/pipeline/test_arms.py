"""`ENGINE[:WORD...]` as it is typed, to a config."""

import pytest

from infertui.config.schema import Config, EngineConfig, WorkloadConfig
from infertui.errors import ConfigError, UsageError
from infertui.pipeline.arms import BASELINE, config_of, differing, parse_arm, parse_arms


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("transformers", {"engine.name": "transformers"}),
        (BASELINE, {"engine.name": "transformers", "engine.mode": "eager"}),
        ("transformers:compile", {"engine.name": "transformers", "engine.mode": "compile"}),
        ("transformers:cudagraph:fused",
         {"engine.name": "transformers", "engine.mode": "cudagraph", "engine.transformers.graph_step": "fused"}),
        ("transformers:fp16", {"engine.name": "transformers", "engine.dtype": "float16"}),
        ("llama-cpp:q8_0", {"engine.name": "llama-cpp", "engine.quantization": "q8_0"}),
        ("llama-cpp:n_gpu_layers=10", {"engine.name": "llama-cpp", "engine.llama_cpp.n_gpu_layers": 10}),
        ("vllm:tensor_parallel=2", {"engine.name": "vllm", "engine.tensor_parallel": 2}),
        ("tensorrt-llm:engine", {"engine.name": "tensorrt-llm", "engine.tensorrt_llm.backend": "engine"}),
        (" simulator : step_ms=5 ", {"engine.name": "simulator", "engine.simulator.step_ms": 5.0}),
    ],
)  # fmt: skip
def test_words_say_which_option_they_are_of(text: str, values: dict[str, object]) -> None:
    assert dict(parse_arm(text, "--engines").values) == values


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("transfomers", "Did you mean transformers"),
        ("onnx", "Did you mean onnxruntime-genai"),
        ("transformers:quick", "transformers knows no \"quick\""),
        ("transformers:modes=eager", "Did you mean mode"),
        ("llama-cpp:compile", "knows no \"compile\""),
        ("llama-cpp:n_gpu_layers=many", "n_gpu_layers"),
        ("transformers:", "knows no \"\""),
        ("", "there is no engine"),
        ("\x1b[2J", "there is no engine"),
    ],
)  # fmt: skip
def test_what_is_no_arm_is_refused_with_what_there_is(text: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_arm(text, "--engines")
    assert told in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_lists_lose_what_is_named_twice_and_what_is_empty() -> None:
    assert [arm.name for arm in parse_arms("llama-cpp, openvino,,llama-cpp", "--engines")] == ["llama-cpp", "openvino"]
    with pytest.raises(UsageError, match="--engines names no engine"):
        parse_arms(" , ", "--engines")


def test_an_arm_changes_the_engine_and_leaves_the_rest() -> None:
    base = Config(engine=EngineConfig(mode="compile", dtype="float32"), workload=WorkloadConfig(batch_size=3))
    config = config_of(base, parse_arm("llama-cpp:q8_0", "--engines"))
    assert (config.engine.name, config.engine.mode, config.engine.dtype) == ("llama-cpp", "auto", "float32")
    assert config.workload == base.workload
    assert differing(base, config) == [
        'engine.name "transformers" -> "llama-cpp"', 'engine.mode "compile" -> "auto"',
        'engine.quantization "auto" -> "q8_0"',
    ]  # fmt: skip


def test_an_option_that_an_arm_does_not_take_names_the_arm() -> None:
    base = Config(engine=EngineConfig(attention="sdpa"))
    with pytest.raises(ConfigError, match=r"engine.attention.*from llama-cpp"):
        config_of(base, parse_arm("llama-cpp", "--engines"))
