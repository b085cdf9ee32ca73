import os
import subprocess
import sys
from pathlib import Path

import pytest

from infertui import paths


@pytest.mark.parametrize("name", ["data", "themes"])
def test_shipped_folders_are_found_from_anywhere(name: str, tmp_path: Path) -> None:
    program = f"from infertui import paths; found = paths.{name}(); print(found, found.is_dir())"
    child = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ}, capture_output=True, text=True, check=True
    )
    assert child.stdout.split() == [str(getattr(paths, name)()), "True"]


@pytest.mark.parametrize("name", ["prompts_short.txt", "prompts_medium.txt", "prompts_long.txt", "presets", "models"])
def test_what_the_program_reads_is_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = paths.data() / name
    assert found.is_dir() or found.read_text(encoding="utf-8").strip()
