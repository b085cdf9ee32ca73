import ast
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from infertui import paths

FOLDERS: dict[str, tuple[Callable[[Mapping[str, str]], Path | None], str, str]] = {
    "config": (paths.config_dir, "XDG_CONFIG_HOME", ".config/infertui"),
    "state": (paths.state_dir, "XDG_STATE_HOME", ".local/state/infertui"),
    "cache": (paths.cache_dir, "XDG_CACHE_HOME", ".cache/infertui"),
}
PACKAGE = Path(paths.__file__).parent


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


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_the_user_is_where_the_specification_says(kind: str) -> None:
    found, variable, below_home = FOLDERS[kind]
    home = {"HOME": "/home/ada"}
    assert found(home) == Path("/home/ada", below_home)
    assert found({**home, variable: "/big/disk"}) == Path("/big/disk/infertui")
    assert found({variable: "/big/disk"}) == Path("/big/disk/infertui")
    for unset in ("", "relative/place", "~/place", "."):
        assert found({**home, variable: unset}) == Path("/home/ada", below_home)


def test_a_runtime_directory_is_taken_where_it_is_set_and_absolute() -> None:
    assert paths.runtime_dir({"XDG_RUNTIME_DIR": "/run/user/7"}) == Path("/run/user/7/infertui")
    for unset in ({}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "run"}):
        assert paths.runtime_dir({"HOME": "/home/ada", **unset}) is None


@pytest.mark.parametrize("environ", [{}, {variable: "/big/disk" for _, variable, _ in FOLDERS.values()}], ids=str)
def test_platformdirs_finds_the_same_folders(environ: dict[str, str]) -> None:
    """Where it can say: with a home, of the process's own environment."""
    program = (
        f"import platformdirs as p\nfor kind in {list(FOLDERS)}: print(getattr(p, 'user_' + kind + '_dir')('infertui'))"
    )
    home = {"HOME": "/home/ada", **environ}
    done = subprocess.run([sys.executable, "-c", program], env=home, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(found(home)) for found, _, _ in FOLDERS.values()]


def test_nothing_else_reads_where_folders_are() -> None:
    """A text that is the name of an XDG variable, and no sentence about it, stands in paths.py alone."""
    others = {PACKAGE / "paths.py", PACKAGE / "models" / "hub" / "cache.py"}  # the latter: huggingface_hub's own rule
    for file in set(PACKAGE.rglob("*.py")) - others:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                named = node.args if node.func.attr in ("get", "getenv") else []
            else:
                named = [node.slice] if isinstance(node, ast.Subscript) else []
            read = [str(part.value) for part in named if isinstance(part, ast.Constant)]
            assert not any(name.startswith("XDG_") for name in read), file
