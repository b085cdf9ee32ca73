import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pwd import getpwuid

import pytest

from infertui.telemetry.processes import described, group_of, has_the_hosts_pids
from infertui.telemetry.readings import GpuProcess


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits, with a hostile command line and a token in it."""
    words = [
        sys.executable,
        "-c",
        "import sys; print(1, flush=True); sys.stdin.read()",
        "\x1b]0;owned\x07a\nb",
        "hf_" + "a" * 34,
    ]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def test_whose_how_old_and_how_started(child: subprocess.Popen[bytes]) -> None:
    (found,) = described([GpuProcess(child.pid, "/x/python", 5)], same_pids=True)
    assert found.user == getpwuid(os.getuid()).pw_name
    assert found.age_s is not None
    assert 0 <= found.age_s < 600
    assert found.command
    assert found.command.startswith(sys.executable)
    assert found.memory_used == 5
    assert "\x1b" not in found.command
    assert "\n" not in found.command
    assert "aaaa" not in found.command


def test_in_another_namespace_the_name_has_to_be_the_same(child: subprocess.Popen[bytes]) -> None:
    name = Path(sys.executable).name
    same, other, none = described(
        [GpuProcess(child.pid, f"/elsewhere/{name}"), GpuProcess(child.pid, "trtllm"), GpuProcess(child.pid)],
        same_pids=False,
    )
    assert same.command
    assert other == GpuProcess(child.pid, "trtllm")
    assert none == GpuProcess(child.pid)


@pytest.mark.parametrize("pid", [0, -1, 2**31 - 1, 2**40])
def test_a_process_that_is_not_there_is_as_the_driver_told_it(pid: int) -> None:
    assert described([GpuProcess(pid, "x")], same_pids=True)[0].name == "x"
    assert described([GpuProcess(pid, "x")], same_pids=False) == (GpuProcess(pid, "x"),)


def test_a_clock_that_was_set_back_makes_no_negative_age(child: subprocess.Popen[bytes]) -> None:
    assert described([GpuProcess(child.pid)], same_pids=True, now=lambda: 0.0)[0].age_s == 0.0


def test_groups_and_namespaces(tmp_path: Path) -> None:
    assert group_of(os.getpid()) == os.getpgid(0)
    assert group_of(2**31 - 1) is None
    assert not has_the_hosts_pids(tmp_path)
