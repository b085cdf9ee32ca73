"""Signals that come before a run or the screen hears them: a word, and the exit code of an interruption."""

import signal
import subprocess
import sys

import pytest

from infertui.endings import ENDING

EARLY = """
import os, signal, sys
number, sys.argv = int(sys.argv[1]), ["infertui", *sys.argv[2:]]
import {module} as module
module.{name} = lambda *_, **__: os.kill(os.getpid(), number)
from infertui.entry import main
main()
print("went on")
"""


def sent(number: int, *arguments: str, module: str, name: str) -> subprocess.CompletedProcess[str]:
    """What comes of a command to which a signal is sent where that function would be called."""
    return subprocess.run(
        [sys.executable, "-c", EARLY.format(module=module, name=name), str(int(number)), *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("number", [each for each in ENDING if each is not signal.SIGINT], ids=lambda each: each.name)
def test_a_signal_while_modules_are_imported(number: signal.Signals) -> None:
    done = sent(number, "results", module="infertui.cli.main", name="main")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == f"infertui: ended by {number.name}\n"


def test_ctrl_c_needs_no_word() -> None:
    done = sent(signal.SIGINT, "results", module="infertui.cli.main", name="main")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_python_swallows_is_heard_all_the_same(number: signal.Signals) -> None:
    """What is raised in the callback by which importlib forgets a module's lock is reported, and the import goes on."""
    code = """
import os, sys
from infertui import entry

def called(frame, event, _):
    if event == "call" and frame.f_code.co_name == "cb" and "importlib" in frame.f_code.co_filename:
        sys.setprofile(None)
        os.kill(os.getpid(), number)

def go_on():
    import time, colorsys
    time.sleep(30)

number, entry._main = int(sys.argv[1]), go_on
sys.setprofile(called)
entry.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(int(number))], capture_output=True, text=True, check=False, timeout=60
    )
    said = "" if number is signal.SIGINT else "infertui: ended by SIGTERM\n"
    assert (done.returncode, done.stderr) == (130, said), done.stdout


@pytest.mark.parametrize("name", ["TERM", "USR1"])
def test_a_signal_before_the_screen_is_there(name: str) -> None:
    done = sent(signal.Signals[f"SIG{name}"], module="infertui.tui.start", name="start")
    assert (done.returncode, done.stderr) == (130, f"infertui: ended by SIG{name}\n")


def test_a_signal_before_a_run_begins_leaves_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("runs") / "reports"
    arguments = ("run", "demo", "--out", str(out))
    done = sent(signal.SIGUSR1, *arguments, module="infertui.cli.running.foreground", name="run_in_foreground")
    assert (done.returncode, done.stderr) == (130, "infertui: ended by SIGUSR1\n")
    assert not out.exists()


def test_what_is_ignored_from_the_start_stays_so() -> None:
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # as what is started from here has it
    try:
        done = sent(signal.SIGUSR2, "results", module="infertui.cli.main", name="main")
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert (done.returncode, done.stdout) == (0, "went on\n")
