"""`infertui gpus` as a user meets it: a process of its own, over the stub driver library."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[3]
_PROGRAM = "import typer; from infertui.cli.machine.gpus import gpus; app = typer.Typer(); app.command()(gpus); app()"
_WAIT_S = 30.0


def _environment(library: Path, **settings: object) -> dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NVML_STUB_")}
    environ |= {f"NVML_STUB_{name.upper()}": str(value) for name, value in settings.items()}
    return environ | {"LD_LIBRARY_PATH": str(library), "PYTHONPATH": str(_ROOT), "COLUMNS": "80", "TERM": "xterm"}


def _run(library: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        env=_environment(library, **settings),
        capture_output=True,
        text=True,
        timeout=_WAIT_S,
        check=False,
    )


def _words(line: str) -> str:
    return " ".join(line.split())


@pytest.fixture
def no_driver(tmp_path: Path) -> Path:
    """A folder whose driver library cannot be loaded, so that a real one is not found either."""
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"")
    return tmp_path


def test_plain_lines_when_nobody_looks(nvml_stub: Path) -> None:
    done = _run(nvml_stub, gpus=2, power_w="300,80", throttle="4,1", pids="77", name="NVIDIA H200")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert _words(lines[0]) == "GPU name util memory power temp SM clock limited by"
    assert _words(lines[1]) == "0 H200 50 % 1.0/140 GiB 300/700 W 40 C 1980 MHz power-cap"
    assert _words(lines[2]) == "1 H200 50 % 1.0/140 GiB 80/700 W 40 C 1980 MHz -"
    assert lines[0].index("limited") == lines[1].index("power-cap")  # aligned
    assert "driver 580.95.05, CUDA up to 13.0" in lines
    assert "GPU 0: process 77 (/usr/bin/stub-77) uses 1.00 GiB" in lines
    assert lines[-1].startswith("host: CPU ")
    assert max(map(len, lines)) <= 80


def test_what_is_missing_is_said_to_be(nvml_stub: Path) -> None:
    done = _run(nvml_stub, unsupported="nvmlDeviceGetPowerUsage,field:186,nvmlDeviceGetUtilizationRates")
    assert _words(done.stdout.splitlines()[1]) == "0 Stub n/a 1.0/140 GiB n/a 40 C 1980 MHz -"


def test_mig(nvml_stub: Path) -> None:
    done = _run(nvml_stub, mig=1)
    assert done.stdout.splitlines()[2].split()[:2] == ["0:1", "Stub"]
    assert "GPU 0 is divided by MIG" in done.stdout


def test_no_driver_is_no_failure(no_driver: Path) -> None:
    done = _run(no_driver)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, last = done.stdout.splitlines()
    assert first == "GPUs are not available: the NVIDIA driver library libnvidia-ml.so.1 was not found."
    assert "install the NVIDIA driver" in second
    assert last.startswith("host: CPU ")


def test_a_broken_driver_says_what_to_do(nvml_stub: Path) -> None:
    done = _run(nvml_stub, init_error=18)
    assert "differ in version" in done.stdout
    assert "reboot" in done.stdout


def test_no_gpu_in_a_machine_with_a_driver(nvml_stub: Path) -> None:
    assert "lists no GPU" in _run(nvml_stub, gpus=0).stdout


def test_json(nvml_stub: Path) -> None:
    document = json.loads(_run(nvml_stub, "--json", gpus=2, unsupported="nvmlDeviceGetPowerUsage", pids=5).stdout)
    assert document["unavailable"] is None
    assert document["driver"] == "580.95.05"
    first = document["gpus"][0]
    assert first["info"]["uuid"].startswith("GPU-")
    assert first["sample"]["power_w"] is None
    assert first["sample"]["power_instant_w"] == 300.0
    (process,) = first["processes"]
    assert {key: process[key] for key in ("pid", "name", "memory_used")} == {
        "pid": 5, "name": "/usr/bin/stub-5", "memory_used": 1 << 30,
    }  # fmt: skip
    assert (process["user"], process["command"]) == (None, None)  # no process here has that name
    assert document["host"]["facts"]["logical_cores"] >= 1
    assert document["host"]["sample"]["memory_total"] > 0


def test_json_without_a_driver(no_driver: Path) -> None:
    document = json.loads(_run(no_driver, "--json").stdout)
    assert document["gpus"] == []
    assert "not found" in document["unavailable"]["reason"]
    assert document["unavailable"]["remedy"]


def _watch(library: Path, *arguments: str, **settings: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "--watch", "--interval", "0.1", *arguments],
        env=_environment(library, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_watch_gives_a_json_line_per_reading_until_interrupted(nvml_stub: Path) -> None:
    with _watch(nvml_stub, "--json") as process:
        assert process.stdout
        assert process.stderr
        documents: list[dict[str, Any]] = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(_WAIT_S) == 0
        assert process.stderr.read() == ""
    assert len({document["time"] for document in documents}) == 3


def test_watch_tells_of_a_gpu_that_gets_lost(nvml_stub: Path, tmp_path: Path) -> None:
    with _watch(nvml_stub, lost_file=tmp_path / "lost") as process:
        assert process.stdout
        while "300/700 W" not in process.stdout.readline():
            pass
        (tmp_path / "lost").touch()
        while not (line := process.stdout.readline()).startswith("GPU 0: "):
            pass
        assert "the GPU is lost" in line
        process.send_signal(signal.SIGINT)
        assert process.wait(_WAIT_S) == 0


def test_watch_ends_quietly_when_its_reader_does(nvml_stub: Path) -> None:
    with _watch(nvml_stub) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(_WAIT_S) == 0
        assert process.stderr.read() == ""


def test_a_table_of_eighty_columns_in_a_terminal(nvml_stub: Path) -> None:
    controller, terminal = pty.openpty()
    settings = {"name": "NVIDIA RTX 6000 Ada Generation", "throttle": "0xcc", "used_mib": 120_000}
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        env=_environment(nvml_stub, **settings) | {"NO_COLOR": "1"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = _read_all(controller)
    os.close(controller)
    assert process.wait(_WAIT_S) == 0
    lines = shown.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    assert max(map(len, lines)) <= 80
    for words in ("117.2/140 GiB", "300/700 W", "hw-power-brake", "hw-slowdown"):
        assert any(words in line for line in lines), words


def _read_all(descriptor: int) -> bytes:
    """What a terminal shows, until its program is gone."""
    shown = b""
    deadline = time.monotonic() + _WAIT_S
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # how Linux says that the other side was closed
            break
        if not part:
            break
        shown += part
    return shown
