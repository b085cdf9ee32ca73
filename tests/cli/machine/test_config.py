import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infertui.cli.machine.config import app
from infertui.config import sources, toml_text
from infertui.config.fields import FIELDS
from infertui.config.parse import decode
from infertui.errors import ConfigError, UsageError

_VARIABLES = ("MODEL_ID", "BATCH_SIZE", "MAX_NEW_TOKENS", "TRT_PRECISION", "CUDA_VISIBLE_DEVICES")
_PREFIX = "INFERTUI_"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*_VARIABLES, *(name for name in os.environ if name.startswith(_PREFIX))):
        monkeypatch.delenv(variable, raising=False)


def _run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_show_gives_each_value_and_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SIZE", "3")
    result = _run("show", "demo", "--set", "workload.seed=7", "--set", "labels.a b=x")
    assert result.exit_code == 0
    rows = {line[:30].strip(): line[30:].split(maxsplit=1) for line in result.stdout.splitlines()}
    assert rows["workload.batch_size"] == ["3", "environment BATCH_SIZE"]
    assert rows["workload.output_len"] == ["512", "preset demo"]
    assert rows["workload.seed"] == ["7", "--set"]
    assert rows['labels."a b"'] == ['"x"', "--set"]
    assert rows["engine.simulator.virtual_time"] == ["false", "default"]
    assert len(rows) == sum(not field.is_table for field in FIELDS.values()) + 1


def test_show_changed_leaves_the_defaults_out() -> None:
    result = _run("show", "--set", "workload.batch_size=4", "--changed")
    assert result.stdout.split() == ["workload.batch_size", "4", "--set"]


def test_show_as_json_has_config_hash_and_sources() -> None:
    shown = json.loads(_run("show", "tinyllama", "--json").stdout)
    assert shown["config"]["workload"]["input_len"] == 100
    assert shown["sources"]["workload.input_len"] == "preset tinyllama"
    assert len(shown["hash"]) == 12


def test_hostile_values_are_shown_without_their_controls(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[labels]\n"k\\u009b2J" = "\\u001b]0;t\\u0007\\u202e[bold]"\n')
    result = _run("show", file)
    assert result.exit_code == 0
    assert not set(result.stdout) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert "[bold]" in result.stdout


def test_a_mistake_is_one_error_and_no_traceback() -> None:
    result = _run("show", "demo", "--set", "workload.bach_size=4")
    assert isinstance(result.exception, ConfigError)
    assert "workload.batch_size" in result.exception.remedy
    assert isinstance(_run("show", "demos").exception, ConfigError)


def test_keys_of_some_tables_alone() -> None:
    told = [line for line in _run("keys", "load", "engine.vllm").stdout.splitlines() if line[:1] not in ("", " ")]
    assert {line.split(" = ")[0].rpartition(".")[0] for line in told} == {"load", "engine.vllm"}
    assert isinstance(_run("keys", "lod").exception, UsageError)


def test_keys_lists_every_key_with_default_meaning_and_variable() -> None:
    output = _run("keys").stdout
    for field in FIELDS.values():
        assert field.description in output
        assert field.environment in output
    lines = output.splitlines()
    place = lines.index("workload.batch_size = 1")
    assert "an integer from 1 to 65536; INFERTUI_WORKLOAD_BATCH_SIZE" in lines[place + 2]


def test_presets_are_listed_with_what_they_are_for() -> None:
    lines = _run("presets").stdout.splitlines()
    assert [line.split()[0] for line in lines] == sources.names()
    assert any(line.startswith("demo ") and "half a minute on a CPU" in line for line in lines)


def test_write_gives_a_complete_file_free_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SIZE", "3")
    result = _run("write", "gpu-batch4", "--set", "labels.by=me")
    config = decode(toml_text.loads(result.stdout.encode(), "written"))
    assert (config.workload.batch_size, config.workload.output_len, config.labels) == (4, 200, {"by": "me"})
    assert "# sequences generated together in one batch" in result.stdout


def test_write_never_replaces_a_file_unasked(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    assert _run("write", "demo", "-o", file).exit_code == 0
    first = file.read_text()
    again = _run("write", "baseline", "-o", file)
    assert isinstance(again.exception, UsageError)
    assert "--force" in again.exception.remedy
    assert file.read_text() == first
    assert _run("write", "baseline", "-o", file, "--force").exit_code == 0
    assert file.read_text() != first


@pytest.mark.parametrize("name", ["missing/x.toml", "."])
def test_write_says_where_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(_run("write", "-o", name, "--force").exception, UsageError)


def test_schema_is_json() -> None:
    assert json.loads(_run("schema").stdout)["$schema"].endswith("2020-12/schema")


def test_check_looks_at_every_file_and_fails_if_one_is_wrong(tmp_path: Path) -> None:
    good, wrong, torn, clash = (tmp_path / f"{name}.toml" for name in ("good", "wrong", "torn", "clash"))
    good.write_text('[sweep.grid]\n"workload.batch_size" = "1-8*2"\n')
    wrong.write_text("[workload]\nbatch_size = 0\n")
    torn.write_text("[workload")
    clash.write_text('[sweep.grid]\n"workload.prompts" = "short,random"\n')
    assert _run("check", good).exit_code == 0
    result = _run("check", wrong, torn, clash, good)
    assert result.exit_code == 2
    assert f"{good}: good, 4 configurations" in result.stdout
    assert "an integer from 1 to 65536" in result.stderr
    assert "at line 1" in result.stderr
    assert "the sweep at prompts=random" in result.stderr
    assert _run("check").exit_code == 2


def test_expand_lists_the_variants_of_a_sweep() -> None:
    result = _run("expand", "demo", "--set", "sweep.grid.workload.batch_size=1,2")
    assert [line.split()[2:] for line in result.stdout.splitlines()] == [["bs=1"], ["bs=2"]]
    assert "(nothing varies)" in _run("expand").stdout
