import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.config.fields import FIELDS
from infertui.config.schema import Config
from infertui.config.sources import (
    Layer,
    default_layer,
    environment_layer,
    file_layer,
    flag_layer,
    load,
    preset_layer,
    resolve,
    set_layer,
)
from infertui.errors import ConfigError, InfertuiError, UsageError

BATCH = "workload.batch_size"


def test_nothing_asked_for_gives_the_defaults() -> None:
    resolved = load(None, environ={})
    assert resolved.config == Config()
    assert set(resolved.sources.values()) == {"default"}
    assert resolved.sources.keys() == {path for path, field in FIELDS.items() if not field.is_table}
    assert resolved.changed() == []


def test_the_order_of_precedence(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[workload]\nbatch_size = 2\noutput_len = 2\ninput_len = 2\nseed = 2\n")
    resolved = load(
        str(file),
        environ={f"INFERTUI_WORKLOAD_{key}": "3" for key in ("BATCH_SIZE", "OUTPUT_LEN", "INPUT_LEN")},
        sets=["workload.batch_size=4", "workload.output_len=4"],
        flags={BATCH: ("--batch-size", 5), "workload.seed": ("--seed", None)},
    )
    work = resolved.config.workload
    assert (work.batch_size, work.output_len, work.input_len, work.seed, work.top_k) == (5, 4, 3, 2, 0)
    assert [
        resolved.sources[f"workload.{key}"] for key in ("batch_size", "output_len", "input_len", "seed", "top_k")
    ] == [
        "--batch-size",
        "--set",
        "environment INFERTUI_WORKLOAD_INPUT_LEN",
        f"file {file}",
        "default",
    ]


@pytest.mark.parametrize("target", ["synthetic:nano", "m.GGUF", "models/", "models", "org/name", "./m.gguf"])
def test_a_model_stands_where_a_preset_could(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "config.json").write_text("{}")
    resolved = load(target, environ={"MODEL_ID": "another"}, flags={"model.id": ("--model", None)})
    assert resolved.config.model.id == target
    assert resolved.sources["model.id"] == "MODEL"
    with pytest.raises(UsageError, match="is a model, and --model names another"):
        load(target, environ={}, flags={"model.id": ("--model", "x")})


@pytest.mark.parametrize("target", ["empty", "empty/", "empty/name", "a/b/c", "/org/name", "org/", "~/x"])
def test_what_may_be_a_file_is_no_model(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no file|folder|no preset or file"):
        load(target, environ={})


def test_a_preset_stands_over_the_defaults() -> None:
    resolved = load("gpu-batch4", environ={"BATCH_SIZE": "8"})
    assert resolved.config.workload.output_len == 200
    assert resolved.sources["workload.output_len"] == "preset gpu-batch4"
    assert resolved.config.workload.batch_size == 8
    assert resolved.sources[BATCH] == "environment BATCH_SIZE"


def test_the_flags_of_a_typical_command_line() -> None:
    resolved = load(
        "baseline",
        environ={},
        flags={
            "workload.prompts_file": ("--prompts-file", "data/prompts_medium.txt"),
            "workload.output_len": ("--max-new-tokens", 200),
            BATCH: ("--batch-size", 4),
            "engine.dtype": ("--dtype", "fp16"),
        },
    )
    work = resolved.config.workload
    assert (work.prompts_file, work.output_len, work.batch_size) == ("data/prompts_medium.txt", 200, 4)
    assert resolved.config.engine.dtype == "float16"
    assert resolved.sources["workload.output_len"] == "--max-new-tokens"


def test_the_general_variables() -> None:
    layer = environment_layer(
        {
            "MODEL_ID": "a/b",
            "BATCH_SIZE": "2",
            "MAX_NEW_TOKENS": "3",
            "TRT_PRECISION": "FP16",
            "CUDA_VISIBLE_DEVICES": "1",
        }
    )
    assert layer.values == {
        "model.id": "a/b",
        BATCH: 2,
        "workload.output_len": 3,
        "engine.dtype": "float16",
        "device.visible": "1",
    }


@pytest.mark.parametrize(
    ("engine", "words"),
    [  # fp8, int8, int4 as each engine's documents call its quantized weights; empty: it has none
        ("transformers", ("fp8", "int8", "int4")),
        ("tensorrt-llm", ("fp8", "", "")),
        ("vllm", ("fp8", "int8", "")),
        ("llama-cpp", ("", "q8_0", "q4_0")),
        ("openvino", ("", "q8_0", "q4_0")),
        ("simulator", ("", "", "")),
    ],
)
def test_a_precision_is_said_in_the_words_of_the_engine(engine: str, words: tuple[str, ...]) -> None:
    for precision, word in zip(("fp8", "INT8", " int4 "), words, strict=True):
        environ = {"TRT_PRECISION": precision, "INFERTUI_ENGINE_NAME": engine}
        if word:
            resolved = load(None, environ=environ)
            assert resolved.config.engine.quantization == word
            assert resolved.config.engine.dtype == "auto"
            assert resolved.sources["engine.quantization"] == "environment TRT_PRECISION"
        else:
            with pytest.raises(ConfigError, match="environment TRT_PRECISION"):
                load(None, environ=environ)


def test_a_precision_that_is_no_dtype_names_the_key_that_takes_it() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, environ={}, flags={"engine.dtype": ("--dtype", "INT8")})
    assert caught.value.remedy == 'That is of quantized weights: engine.quantization = "int8".'


def test_what_is_said_of_weights_elsewhere_stays_as_it_is() -> None:
    environ = {"TRT_PRECISION": "int8"}
    for closer in (["engine.quantization=q4_k_m"], ["engine.quantization=q8_0"]):
        resolved = load(None, environ=environ, sets=["engine.name=llama-cpp", *closer])
        assert [f"engine.quantization={resolved.config.engine.quantization}"] == closer
    swept = load(None, environ=environ, sets=["sweep.grid.engine.name=llama-cpp,openvino"])
    assert swept.config.engine.quantization == "q8_0"
    own = load(None, environ={**environ, "INFERTUI_ENGINE_QUANTIZATION": "int4"})
    assert own.config.engine.quantization == "int4"


def test_our_own_variables_beat_the_general_ones() -> None:
    layer = environment_layer({"BATCH_SIZE": "no number", "INFERTUI_WORKLOAD_BATCH_SIZE": "7"})
    assert layer.values == {BATCH: 7}
    assert layer.origin(BATCH) == "environment INFERTUI_WORKLOAD_BATCH_SIZE"


def test_every_key_has_a_variable() -> None:
    for path, field in FIELDS.items():
        if not field.is_table:
            text = str(field.default) or "1"
            assert path in environment_layer({field.environment: text}).values
    layer = environment_layer(
        {
            "INFERTUI_LABELS_OWNER": "me",
            "INFERTUI_SWEEP_GRID_WORKLOAD_BATCH_SIZE": "1,2",
            "INFERTUI_SWEEP_ZIP_LABELS_ROUND": "a,b",
        }
    )
    assert layer.values == {
        "labels.owner": "me",
        "sweep.grid.workload.batch_size": "1,2",
        "sweep.zip.labels.round": "a,b",
    }


def test_an_empty_variable_is_unset_but_no_gpu_is_a_choice() -> None:
    assert environment_layer({"MODEL_ID": "", "BATCH_SIZE": " ", "INFERTUI_ENGINE_DTYPE": ""}).values == {}
    for hidden in ("", "-1", "NoDevFiles"):
        assert environment_layer({"CUDA_VISIBLE_DEVICES": hidden}).values == {"device.visible": "-1"}


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("INFERTUI_WORKLOAD_BACH_SIZE", "INFERTUI_WORKLOAD_BATCH_SIZE"),
        ("INFERTUI_WORKLOD_BATCH_SIZE", "INFERTUI_WORKLOAD_BATCH_SIZE"),
        ("INFERTUI_MODEL", "INFERTUI_MODEL_ID"),
        ("INFERTUI_LABELS_", "INFERTUI_LABELS"),
        ("INFERTUI_SWEEP_GRID_WORKLOAD_BATCHSIZE", "INFERTUI_SWEEP_GRID_WORKLOAD_BATCH_SIZE"),
    ],
)
def test_a_variable_that_names_no_key_is_an_error(variable: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        environment_layer({variable: "1"})
    assert variable in str(caught.value)
    assert near in caught.value.remedy


def test_variables_of_other_matters_are_left_alone() -> None:
    assert (
        environment_layer({"INFERTUI_REPORTS": "/x", "INFERTUI_": "x", "PATH": "/bin", "infertui_model_id": "x"}).values
        == {}
    )


@pytest.mark.parametrize(
    ("environ", "parts"),
    [
        ({"TRT_PRECISION": "fp7"}, ["engine.dtype", '"fp7"', "fp16, fp8, int8", "environment TRT_PRECISION"]),
        ({"BATCH_SIZE": "many"}, [BATCH, '"many"', "an integer from 1", "environment BATCH_SIZE"]),
        ({"MODEL_ID": "\udcff"}, ["model.id", "not UTF-8", "environment MODEL_ID"]),
    ],
)
def test_a_wrong_variable_is_named(environ: dict[str, str], parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load("demo", environ=environ)
    assert not [part for part in parts if part not in str(caught.value)], str(caught.value)


def test_set_takes_any_key_and_the_last_one_counts() -> None:
    layer = set_layer(
        [
            "workload.batch_size=2",
            " workload.batch_size = 3 ",
            "labels.note=a = b",
            'sweep.grid."workload.output_len"=8-32*2',
            "sweep.zip.engine.dtype=fp16",
            "model.revision=",
        ]
    )
    assert layer.values == {
        BATCH: 3,
        "labels.note": "a = b",
        "sweep.grid.workload.output_len": "8-32*2",
        "sweep.zip.engine.dtype": "fp16",
        "model.revision": "",
    }


@pytest.mark.parametrize("text", ["", "=", "=4", "workload.batch_size", "  =x"])
def test_set_without_key_or_value_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        set_layer([text])


def test_flags_of_several_types() -> None:
    layer = flag_layer(
        {
            "workload.temperature": ("--temperature", 1),
            "labels.round": ("--label", 3),
            "sweep.grid.workload.batch_size": ("--sweep", [1, 2]),
            "sweep.grid.workload.seed": ("--sweep", "1,2"),
        }
    )
    assert layer.values["workload.temperature"] == 1.0
    assert layer.values["labels.round"] == "3"
    assert layer.values["sweep.grid.workload.batch_size"] == [1, 2]
    assert layer.origin("labels.round") == "--label"
    with pytest.raises(ConfigError, match=r"2\.5 is not allowed here.*--batch-size"):
        flag_layer({BATCH: ("--batch-size", 2.5)})
    with pytest.raises(ConfigError, match="no such key"):
        flag_layer({"workload.nothing": ("--nothing", 1)})


def test_labels_merge_one_by_one_and_axes_replace_one_by_one() -> None:
    lower = Layer(
        "file a",
        {"labels.x": "1", "labels.y": "1", "sweep.grid.workload.batch_size": [1], "sweep.grid.workload.seed": [1]},
    )
    upper = Layer("--set", {"labels.y": "2", "sweep.grid.workload.batch_size": "2,4"})
    resolved = resolve([upper, lower, default_layer()])
    assert resolved.config.labels == {"x": "1", "y": "2"}
    assert resolved.config.sweep.grid == {BATCH: "2,4", "workload.seed": [1]}
    assert resolved.sources["labels.x"] == "file a"
    assert resolved.sources["sweep.grid.workload.batch_size"] == "--set"


def test_a_plain_value_from_above_ends_a_sweep_over_it() -> None:
    lower = Layer("file a", {BATCH: 2, "sweep.grid.workload.batch_size": [1, 2], "sweep.zip.workload.seed": [1]})
    resolved = resolve([Layer("--batch-size", {BATCH: 8}), lower, default_layer()])
    assert resolved.config.sweep.grid == {}
    assert resolved.config.sweep.zip == {"workload.seed": [1]}
    assert resolved.config.workload.batch_size == 8
    assert "sweep.grid.workload.batch_size" not in resolved.sources
    assert resolve([lower, default_layer()]).config.sweep.grid == {BATCH: [1, 2]}


def test_an_axis_moves_between_grid_and_zip() -> None:
    lower = Layer("file a", {"sweep.grid.workload.batch_size": [1, 2]})
    upper = Layer("--set", {"sweep.zip.workload.batch_size": [4]})
    sweep = resolve([upper, lower, default_layer()]).config.sweep
    assert (sweep.grid, sweep.zip) == ({}, {BATCH: [4]})


def test_values_that_disagree_are_named_with_their_sources() -> None:
    with pytest.raises(ConfigError) as caught:
        load("gpu-short", environ={}, flags={"workload.num_prompts": ("--num-prompts", 20)})
    assert "preset gpu-short for measurement.iterations" in str(caught.value)
    assert "--num-prompts for workload.num_prompts" in str(caught.value)


def test_what_a_target_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain").write_text("[workload]\nbatch_size = 3\n")
    Path("demo").write_text("[workload]\nbatch_size = 4\n")
    assert load("plain", environ={}).config.workload.batch_size == 3
    assert load("demo", environ={}).sources["workload.output_len"] == "preset demo"
    assert load("./demo", environ={}).config.workload.batch_size == 4


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("baselin", ['"baselin"', "cpu-baseline", "Did you mean baseline?"]),
        ("vllm", ["vllm is an engine", "infertui run gpu-medium --engine vllm"]),
        ("llamacpp", ["--engine llama-cpp", "Presets with it: llama-cpp, llama-cpp-13b"]),
        ("tensorrt-llm", ["--engine tensorrt-llm", "Presets with it: trtllm."]),
        ("missing.toml", ["no file missing.toml"]),
        ("a/b/c", ["no file a/b/c"]),
        ("\0", ["no preset or file"]),
        ("", ["no preset or file"]),
    ],
)
def test_a_target_that_is_nothing(target: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(target, environ={})
    assert not [part for part in parts if part not in str(caught.value)], str(caught.value)


def test_the_layers_of_presets_and_files_know_their_origin(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[workload]\nbatch_size = 'x'\n")
    with pytest.raises(ConfigError, match=r"file .*x\.toml"):
        file_layer(file)
    assert preset_layer("demo").origin("workload.output_len") == "preset demo"


@given(st.dictionaries(st.text(), st.text()), st.lists(st.text()), st.lists(st.sampled_from([*FIELDS])), st.text())
def test_any_words_give_a_config_or_an_error_with_a_name(
    environ: dict[str, str], sets: list[str], keys: list[str], value: str
) -> None:
    assignments = [*sets, *(f"{key}={value}" for key in keys)]
    variables = {**environ, **{FIELDS[key].environment: value for key in keys}}
    for words in (assignments, []):
        with contextlib.suppress(InfertuiError):
            load(None, environ=variables, sets=words)


@pytest.mark.parametrize("name", ["a" * 256, "9" * 5000, "a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_no_preset_either(name: str) -> None:
    with pytest.raises(ConfigError, match="there is no preset or file"):
        load(name, environ={})
