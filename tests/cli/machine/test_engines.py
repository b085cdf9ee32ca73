"""`infertui engines`: what it says of every engine, and where one of them runs."""

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infertui.cli.machine.engine_facts import markdown_table
from infertui.cli.machine.engines import app
from infertui.config.engine_options import option_fields
from infertui.config.engines.registry import SPECS
from infertui.errors import EngineError, UsageError
from infertui.targets.engine.environments import chosen


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_without_a_name_there_is_a_line_for_every_engine() -> None:
    lines = run().stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(SPECS)
    assert [line.split()[1] for line in lines][-1] == "yes"


@pytest.mark.parametrize("name", SPECS)
def test_with_a_name_there_is_everything_about_it(name: str) -> None:
    result = run(name)
    assert result.exit_code == 0, result.output
    spec = SPECS[name]
    for field in option_fields(spec):
        assert f"  {field.key} = " in result.stdout
        assert field.description in result.stdout
        assert field.limits in result.stdout
    for option in spec.common:
        assert f"  {option} = " in result.stdout
    assert ("not run on hardware" in result.stdout) == bool(spec.not_run_on_hardware)
    assert run("show", name).stdout == result.stdout


def test_as_json() -> None:
    found = json.loads(run("--json").stdout)
    assert [engine["name"] for engine in found] == list(SPECS)
    one = json.loads(run("vllm", "--json").stdout)
    assert one["levers"]["mode"] == {
        "default": "auto",
        "own_default": "compile",
        "words": ["auto", "compile", "eager"],
        "allowed": "one of auto, eager, compile",
        "description": one["levers"]["mode"]["description"],
    }
    assert one["options"]["kv_cache_mib"]["type"] == "integer"
    assert one["python"] == ""


def test_an_unknown_engine_is_refused_with_the_known() -> None:
    for words in (("warp",), ("show", "warp", "--json"), ("use", "warp", "--forget"), ("w\x1b[31m",)):
        error = run(*words).exception
        assert isinstance(error, UsageError), words
        assert error.exit_code == 2  # as for any argument that names nothing
        assert "transformers" in error.remedy
        assert "\x1b" not in error.message


def test_the_table_is_infertui_s_own_engines() -> None:
    assert run("--markdown").stdout.strip() == markdown_table()


def test_use_asks_the_interpreter_before_it_keeps_it(tmp_path: Path) -> None:
    error = run("use", "vllm", "--python", str(tmp_path / "nope")).exception
    assert isinstance(error, EngineError)
    assert "not kept" in error.message
    assert chosen(os.environ) == {}
    assert isinstance(run("use", "vllm").exception, UsageError)
    assert isinstance(run("use", "vllm", "--forget", "--python", "x").exception, UsageError)


def test_this_interpreter_needs_not_to_be_kept() -> None:
    result = run("use", "simulator", "--python", sys.executable)
    assert result.exit_code == 0
    assert "this interpreter" in result.stdout
    assert chosen(os.environ) == {}
    assert run("use", "simulator", "--forget").exit_code == 0
