"""What processes have resident, against what they were made to take."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from infertui.targets.engine.resident import reset_resident_peak_of, resident_peak_of

MIB = 1 << 20
HOLD = """
import subprocess, sys
held = b"x" * (int(sys.argv[1]) << 20)
if sys.argv[2:]:
    command = [sys.executable, "-c", sys.stdin.read(), *sys.argv[2:]]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
del held
print("there", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def family() -> Iterator["subprocess.Popen[str]"]:
    """A process that took 200 MiB and gave them back, and one of its own that did so with 100."""
    command = [sys.executable, "-c", HOLD.replace("sys.stdin.read()", repr(HOLD)), "200", "100"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        yield process
        process.kill()


def test_peaks_of_a_family_add_up_and_start_again(family: "subprocess.Popen[str]") -> None:
    peak = resident_peak_of([family.pid])
    assert peak is not None
    assert 300 * MIB < peak < 400 * MIB
    reset_resident_peak_of([family.pid])
    after = resident_peak_of([family.pid])
    assert after is not None
    assert after < 150 * MIB


def test_no_process_has_no_peak(family: "subprocess.Popen[str]") -> None:
    assert resident_peak_of([]) is None
    family.kill()
    family.wait()
    assert resident_peak_of([family.pid]) is None
