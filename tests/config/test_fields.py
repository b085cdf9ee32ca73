import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.config.engines.registry import SPECS
from infertui.config.fields import FIELDS, SECTIONS, field_of, nearest, parse_text, show, toml_path
from infertui.errors import ConfigError
from infertui.text import clean


def test_every_key_is_described_with_limits_and_an_allowed_default() -> None:
    for field in FIELDS.values():
        assert field.description
        assert field.allowed
        if not field.is_table:
            assert field.check(field.default) == field.default


def test_the_table_follows_the_schema() -> None:
    batch = FIELDS["workload.batch_size"]
    assert (batch.type, batch.default, batch.minimum, batch.maximum) == ("integer", 1, 1, 65536)
    assert batch.allowed == "an integer from 1 to 65536"
    assert (batch.section, batch.key, batch.environment) == ("workload", "batch_size", "INFERTUI_WORKLOAD_BATCH_SIZE")
    assert FIELDS["engine.dtype"].choices == ("auto", "float32", "float16", "bfloat16")
    assert FIELDS["measurement.warmup"].allowed == 'an integer from 0 to 100000 or "auto"'
    assert FIELDS["workload.top_p"].allowed == "a number above 0, at most 1"
    common = ("dtype", "mode", "attention", "quantization", "speculation", "draft_model", "draft_tokens")
    tables = tuple(spec.table for spec in SPECS.values())
    assert SECTIONS["engine"] == ("name", "python", "fallback", *common, "tensor_parallel", *tables)
    assert FIELDS["engine.name"].choices == tuple(SPECS)
    assert FIELDS["engine.mode"].choices[:2] == ("auto", "eager")
    assert FIELDS["engine.simulator.fault"].choices[0] == "none"
    assert SECTIONS[""] == (
        "model",
        "engine",
        "workload",
        "measurement",
        "validity",
        "quality",
        "device",
        "target",
        "load",
        "capacity",
        "labels",
        "sweep",
    )


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("workload.batch_size", " 1_024 ", 1024),
        ("workload.temperature", "1", 1.0),
        ("workload.temperature", ".5", 0.5),
        ("workload.temperature", "-0", 0.0),
        ("measurement.load_timeout_s", "1e3", 1000.0),
        ("measurement.warmup", "auto", "auto"),
        ("measurement.warmup", "3", 3),
        ("device.force", "Yes", True),
        ("device.force", "off", False),
        ("engine.dtype", "FP16", "float16"),
        ("engine.dtype", "bf16", "bfloat16"),
        ("device.name", "cuda:1", "cuda:1"),
        ("device.visible", "0, 2,GPU-1a2b", "0, 2,GPU-1a2b"),
        ("model.id", "a=b, c", "a=b, c"),
        ("labels.owner", "true", "true"),
    ],
)
def test_text_becomes_the_type_of_its_key(path: str, text: str, value: object) -> None:
    parsed = parse_text(path, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("workload.batch_size", ""),
        ("workload.batch_size", "4.0"),
        ("workload.batch_size", "٤"),
        ("workload.batch_size", "0"),
        ("workload.batch_size", "9" * 5000),
        ("workload.temperature", "nan"),
        ("workload.temperature", "inf"),
        ("workload.temperature", "1e999"),
        ("workload.top_p", "0"),
        ("measurement.warmup", "automatic"),
        ("device.force", "maybe"),
        ("device.name", "cuda:1\n"),
        ("device.name", "cuda:١"),
        ("device.visible", "zero"),
        ("device.visible", "0,,1"),
        ("model.id", ""),
        ("model.id", "  "),
        ("model.id", "a\0b"),
        ("model.revision", "half a pair \udc80"),
        ("labels.owner", "\udc80"),
        ("labels.\udc80", "x"),
        ("labels.", "x"),
        ("labels", "x"),
        ("sweep.grid", "x"),
        ("no.such", "x"),
    ],
)
def test_impossible_text_is_refused(path: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_text(path, text, source="--set")
    assert caught.value.allowed
    assert caught.value.source == "--set"


@pytest.mark.parametrize("value", [True, "4", 4.0, None, [4], {"a": 4}, 0, -1, 65537, 10**400, float("nan")])
def test_a_value_of_the_wrong_type_or_size_is_refused(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        FIELDS["workload.batch_size"].check(value, source="file x.toml")
    assert caught.value.path == "workload.batch_size"
    assert "an integer from 1 to 65536" in str(caught.value)
    assert "file x.toml" in str(caught.value)


def test_a_mistyped_choice_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match='Did you mean "float16"'):
        parse_text("engine.dtype", "flaot16")


@pytest.mark.parametrize(
    ("word", "engine"),
    [("onnx", "onnxruntime-genai"), ("TRT", "tensorrt-llm"), ("pytorch", "transformers"), ("llama_cpp", "llama-cpp")],
)
def test_an_engine_by_another_name_is_answered_with_its_own(word: str, engine: str) -> None:
    with pytest.raises(ConfigError, match=f'Did you mean "{engine}"'):
        parse_text("engine.name", word)


def test_several_values_for_one_key_point_to_the_sweep() -> None:
    with pytest.raises(ConfigError, match=r'\[sweep\.grid\] "workload\.batch_size" = "1,2,4"'):
        parse_text("workload.batch_size", "1,2,4")


@pytest.mark.parametrize(
    ("mistaken", "meant"),
    [
        ("workload.bach_size", "workload.batch_size"),
        ("batch_size", "workload.batch_size"),
        ("max_new_tokens", "workload.output_len"),
        ("workload.max-new-tokens", "workload.output_len"),
        ("precision", "engine.dtype"),
        ("model", "model.id"),
        ("workload", "workload.batch_size"),
        ("engine.simulator.ttft", "engine.simulator.ttft_ms"),
        ("measurement.warm_up", "measurement.warmup"),
        ("lables", "labels"),
        ("tp", "engine.tensor_parallel"),
        ("enforce_eager", "engine.mode"),
        ("n_gpu_layers", "engine.llama_cpp.n_gpu_layers"),
    ],
)
def test_the_nearest_key(mistaken: str, meant: str) -> None:
    assert nearest(mistaken) == meant


@given(st.text())
def test_there_is_always_a_nearest_key_and_no_crash(path: str) -> None:
    assert nearest(path) in FIELDS
    field_of(path)
    assert clean(toml_path(path)) == toml_path(path)


def test_values_are_shown_safely() -> None:
    assert show("\x1b]0;owned\x07ls\n") == '"ls "'
    assert show(True) == "true"
    assert show(16**9000) == "an integer of 36001 bits"
    assert show([1, [2], "x", {}, 16**9000, 6]) == '[1, […], "x", an empty table, an integer of 36001 bits, …]'
    assert len(show("x" * 10_000)) < 100
