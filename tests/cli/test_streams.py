"""Output that cannot be written, and that nobody reads: quiet, and the exit code is the command's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infertui.cli.streams import TolerantOutput

COMMAND = [sys.executable, "-c", "from infertui.entry import main; main()"]


def ended(arguments: list[str], *, out: str, err: str = "") -> tuple[int, str]:
    """Exit code and standard error of a command whose streams go there; `|` is a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with Path(os.devnull if out == "|" else out).open("wb") as file, Path(err or os.devnull).open("wb") as errors:
        finished = subprocess.run(
            [*COMMAND, *arguments],
            stdout=writer if out == "|" else file,
            stderr=errors if err else subprocess.PIPE,
            check=False,
        )
    os.close(writer)
    return finished.returncode, (finished.stderr or b"").decode()


@pytest.mark.parametrize("arguments", [["config", "keys"], ["--help"]])
def test_a_full_disk_is_said_and_a_reader_that_left_is_not(arguments: list[str]) -> None:
    code, said = ended(arguments, out="/dev/full")
    assert (code, said.count("\n")) == (1, 1)
    assert "could be written to standard output: No space left on device" in said
    assert ended(arguments, out="|") == (0, "")


def test_the_exit_code_is_the_command_s_own() -> None:
    code, said = ended(["config", "check", "/nowhere.toml"], out="|")
    assert code == 2
    assert "Traceback" not in said
    assert ended(["config", "check", "/nowhere.toml"], out="/dev/full", err="/dev/full")[0] == 2


def test_an_outlet_takes_all_and_remembers_the_first_failure(tmp_path: Path) -> None:
    outlet = TolerantOutput("/dev/full", "wb")
    assert (outlet.write(b"abc"), outlet.write(b"de")) == (3, 2)
    assert outlet.lost is not None
    reader, writer = os.pipe()
    os.close(reader)
    gone = TolerantOutput(writer, "wb")
    assert gone.write(b"abc") == 3
    assert gone.failure is not None
    assert gone.lost is None
    with TolerantOutput(str(tmp_path / "file"), "wb") as fine:
        assert fine.write(b"abc") == 3
    assert (tmp_path / "file").read_bytes() == b"abc"
