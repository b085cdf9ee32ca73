"""From a config to the runs that are queued for it: their names, and paths that hold from any folder."""

from pathlib import Path

import pytest

from infertui.config.parse import decode
from infertui.config.sweep import rooted, variants_of
from infertui.errors import ConfigError


def test_one_config_is_one_run_with_the_title_as_its_name() -> None:
    (variant,) = variants_of(decode({}), "demo")
    assert variant.name == "demo"
    (variant,) = variants_of(decode({}), "")
    assert variant.name == ""


def test_a_sweep_is_its_variants_each_headed_by_the_title() -> None:
    config = decode({"sweep": {"grid": {"workload.batch_size": [1, 2]}}})
    assert [variant.name for variant in variants_of(config, "demo")] == ["demo bs=1", "demo bs=2"]
    assert [variant.name for variant in variants_of(config, "")] == ["bs=1", "bs=2"]
    assert [variant.config.workload.batch_size for variant in variants_of(config, "")] == [1, 2]


def test_a_variant_that_contradicts_itself_is_refused() -> None:
    config = decode({"workload": {"prompts": "random"}, "sweep": {"grid": {"workload.input_len": [0, 8]}}})
    with pytest.raises(ConfigError, match="input_len"):
        variants_of(config, "demo")


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    config = rooted(decode({"model": {"id": "tiny"}, "workload": {"prompts_file": "p.txt"}}))
    assert config.model.id == str(tmp_path / "tiny")
    assert config.workload.prompts_file == str(tmp_path / "p.txt")
    synthetic = rooted(decode({"model": {"id": "synthetic:tiny/config.json"}}))
    assert synthetic.model.id == f"synthetic:{tmp_path / 'tiny' / 'config.json'}"


def test_swept_paths_become_absolute_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = decode({"sweep": {"grid": {"workload.prompts_file": ["a.txt", "b.txt"]}}})
    found = [variant.config.workload.prompts_file for variant in variants_of(config, "")]
    assert found == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]


@pytest.mark.parametrize("name", ["openai-community/gpt2", "synthetic:nano", "x" * 5000, "~nobody-at-all/m"])
def test_what_is_no_path_stays_as_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert rooted(decode({"model": {"id": name}})).model.id == name


def test_the_home_folder_is_spelled_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert rooted(decode({"workload": {"prompts_file": "~/p.txt"}})).workload.prompts_file == str(tmp_path / "p.txt")


def test_paths_of_the_engine_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.gguf").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    engine = {"python": "venv/bin/python", "speculation": "draft-model", "draft_model": "small.gguf"}
    config = rooted(decode({"model": {"id": "small.gguf"}, "engine": engine}))
    assert config.engine.python == str(tmp_path / "venv/bin/python")
    assert config.engine.draft_model == config.model.id == str(tmp_path / "small.gguf")


def test_paths_among_an_engines_own_options_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine = {"name": "tensorrt-llm", "tensorrt_llm": {"backend": "engine", "engine_dir": "engines/small"}}
    assert rooted(decode({"engine": engine})).engine.tensorrt_llm.engine_dir == str(tmp_path / "engines/small")
    assert rooted(decode({})).engine.tensorrt_llm.engine_dir == ""
