"""What is said of a run that has a folder and no result, by every command that is given runs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.runs import run, simulated
from typer.testing import CliRunner

from infertui.cli.main import app
from infertui.config.toml import write
from infertui.results.runs import Begun, RunFolder, Store
from infertui.runner.execution.fingerprint import fingerprint

COMMANDS = [
    ["compare", "DONE", "RUN", "--out", "OUT"],
    ["report", "RUN", "--from", "OUT", "--no-charts"],
    ["export", "RUN", "--from", "OUT", "--format", "vllm"],
    ["cost", "RUN", "--out", "OUT"],
    ["recompute", "RUN", "--out", "OUT"],
]


@pytest.fixture
def done(tmp_path: Path) -> str:
    (result,), _ = run(simulated(), out=tmp_path)
    return result.id


def begun(out: Path) -> RunFolder:
    """A run that this process measures, as far as others can tell."""
    folder, config = Store(out).create_run("under way", datetime.now(UTC)), simulated()
    folder.write_config(write(config))
    folder.write_begun(Begun("under way", datetime.now(UTC).isoformat(), config, fingerprint(config, ())))
    return folder


def told(arguments: list[str], **names: str) -> str:
    """The one error of a command."""
    from infertui.errors import UsageError

    outcome = CliRunner().invoke(app, [names.get(word, word) for word in arguments])
    assert isinstance(outcome.exception, UsageError), outcome.output
    return str(outcome.exception)


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda each: each[0])
def test_a_run_that_is_still_running(tmp_path: Path, done: str, arguments: list[str]) -> None:
    folder = begun(tmp_path)
    for name in (folder.id, folder.id[:24]):
        said = told(arguments, RUN=name, DONE=done, OUT=str(tmp_path))
        assert f"{folder.id} is still running: it has no result yet" in said
    folder.close()


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda each: each[0])
def test_a_run_that_left_nothing(tmp_path: Path, done: str, arguments: list[str]) -> None:
    folder = Store(tmp_path).create_run("empty", datetime.now(UTC))
    folder.write_config(write(simulated()))
    folder.close()
    said = told(arguments, RUN=folder.id, DONE=done, OUT=str(tmp_path))
    assert f"{folder.id} was cut off" in said
    assert f"infertui run {tmp_path / folder.id / 'run.toml'}" in said
