"""The CI templates of docs/ci.md: they are what they look like, and the gate ends as its table says."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from infertui.cli.main import app
from infertui.config.parse import decode

TEXT = (Path(__file__).parents[1] / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
((_, CONFIG), (_, SCRIPT), (_, GITHUB), (_, GITLAB)) = BLOCKS
PIP = '#!/bin/sh\necho "$@" >> "$(dirname "$0")/../../installed"\n'


def test_the_blocks_are_of_their_kinds() -> None:
    assert [kind for kind, _ in BLOCKS] == ["toml", "sh", "yaml", "yaml"]
    assert decode(tomllib.loads(CONFIG)).model.id == "synthetic:tinyllama-1.1b"


def test_both_services_run_the_gate() -> None:
    steps = yaml.safe_load(GITHUB)["jobs"]["gate"]["steps"]
    (job,) = yaml.safe_load(GITLAB).values()
    for commands in ("\n".join(step.get("run", "") for step in steps), "\n".join(job["script"])):
        assert "sh gate.sh old-requirements.txt requirements.txt" in commands
    assert {"reports/", "gate.md"} <= set(job["artifacts"]["paths"])


def test_what_the_gate_asks_of_infertui_is_understood() -> None:
    (call,) = re.findall(r"infertui (bench .*?) > gate.md", SCRIPT.replace("\\\n", ""))
    words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', call)]
    assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("told", "ends", "says"), [(0, 0, ""), (3, 3, "disturbed"), (4, 4, "for sure"), (5, 0, "WARNING")]
)
def test_the_gate_ends_as_its_table_says(tmp_path: Path, told: int, ends: int, says: str) -> None:
    """With stand-ins for what it starts: a venv with a pip that writes down its words, an infertui that ends so."""
    (tmp_path / "gate.sh").write_text(SCRIPT)
    (tmp_path / "bin").mkdir()
    infertui = f'#!/bin/sh\necho "| $* |"\nexit {told}\n'
    for name, content in (("pip", PIP), ("infertui", infertui)):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "bin/python3").write_text('#!/bin/sh\nmkdir -p "$3/bin" && cp pip infertui "$3/bin"\n')
    (tmp_path / "bin/python3").chmod(0o755)
    environ = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "ROUNDS": "3"}
    done = subprocess.run(
        ["sh", "gate.sh", "old.txt", "new.txt"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == ends, done.stderr
    assert f"engine.python={tmp_path}/old/bin/python,{tmp_path}/new/bin/python --repeat 3" in done.stdout
    assert says in done.stdout
    assert (tmp_path / "installed").read_text().splitlines() == [
        f"install --quiet -r {side}.txt infertui[transformers,report]" for side in ("old", "new")
    ]
