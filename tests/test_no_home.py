"""Every command for a user without an entry in the user database: without HOME, with one that cannot be written to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import HANG_S

SIMULATED = ("--engine", "simulator", "--set", "engine.simulator.virtual_time=true", "-n", "2")
COMMANDS = [
    ("results",), ("run", *SIMULATED), ("run", "demo", "--dry-run"), ("compare", "a", "b"),
    ("bench", "demo", "--vary", "workload.batch_size=1,2", "--dry-run"), ("report", "a"), ("cost", "a"),
    ("calibrate", "--list"), ("import", "x.json"), ("export",), ("gpus",), ("doctor",), ("attach",),
    ("status",), ("stop",), ("serve", "--idle-exit", "0.0001"), ("engines",), ("engines", "transformers"),
    ("build", "x", "--dry-run"), ("models",), ("models", "show", "synthetic:nano"), ("models", "pull", "gpt2"),
    ("config", "presets"), ("config", "keys"), ("config", "show", "demo"), ("--screenshot", "x.svg"),
    ("run", *SIMULATED, "--queue"),
]  # fmt: skip
# A user that nobody has entered anywhere, whoever runs these tests.
NOBODY = """
import pwd, sys
def unknown(_):
    raise KeyError("no such user")
pwd.getpwuid = unknown
sys.argv = ["infertui", *sys.argv[1:]]
from infertui.entry import main
main()
"""


def nobody(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", NOBODY, *arguments], cwd=cwd, capture_output=True, text=True, check=False,
        timeout=HANG_S, stdin=subprocess.DEVNULL, env=kept | {"HF_ENDPOINT": "http://127.0.0.1:9"} | environment,
    )  # fmt: skip


def in_words(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode in (0, 1, 2, 3)
    assert "no-home" not in done.stderr
    assert ("there is no home directory" in done.stderr) == ("Set HOME" in done.stderr)
    assert not (folder / "~").exists()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_fails_for_want_of_a_home_but_in_words(command: tuple[str, ...], tmp_path: Path) -> None:
    in_words(nobody(*command, cwd=tmp_path), tmp_path)


@pytest.mark.parametrize("command", [("run", *SIMULATED), ("serve",), ("engines",), ("models", "pull", "gpt2")])
def test_a_home_that_cannot_be_written_to_is_said_in_words(command: tuple[str, ...], tmp_path: Path) -> None:
    in_words(nobody(*command, cwd=tmp_path, HOME="/proc/self"), tmp_path)


@pytest.mark.parametrize("command", [("run", *SIMULATED), ("serve", "--idle-exit", "0.0001"), ("calibrate", "--list")])
def test_the_xdg_variables_are_enough(command: tuple[str, ...], tmp_path: Path) -> None:
    folders = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}
    done = nobody(*command, cwd=tmp_path, INFERTUI_RUNTIME_DIR=str(tmp_path / "run"), **folders)
    assert done.returncode in (0, 3), done.stderr


def test_where_there_is_no_place_for_the_queue_it_is_said_what_to_set(tmp_path: Path) -> None:
    done = nobody("serve", cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no home directory: HOME is not set" in done.stderr
    assert "Set HOME, or XDG_STATE_HOME to a directory of yours." in done.stderr
