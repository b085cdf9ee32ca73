"""`infertui calibrate`, as a user types it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.without_torch import without_torch

from infertui.measure.roofline import DevicePeaks
from infertui.results.peaks import keep_peaks, peaks_file

HANG_S = 90
GPU = DevicePeaks(
    "NVIDIA H200", "580.1", 4.27e12, {"bfloat16": 7.5e14}, "2026-11-20T12:00:00+00:00", "torch 2.11.0",
    uuid="GPU-aa", spreads={"copy": 0.004}, sizes={"copy": "4.00 GiB to another 4.00 GiB"}, seconds=21.0,
    copy_by_clock=4.2e12, reasons={"float8": "PyTorch cannot\x1b[31m"}, disturbed=("another process\x1b[2J",),
    notes=("the GPU ran at its power limit (700 W) in 40% of the samples",),
)  # fmt: skip


def command(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "infertui", "calibrate", *arguments]


def environment(home: Path) -> dict[str, str]:
    return {**without_torch(home / "hidden"), "XDG_STATE_HOME": str(home), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


def call(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(home, *arguments), env=environment(home), capture_output=True, text=True, timeout=HANG_S, check=False
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A home in which the CPU was measured, and what was told."""
    home = tmp_path_factory.mktemp("home")
    done = call(home, "--device", "cpu", "--threads", "1", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    return home, json.loads(done.stdout)


def test_json_tells_figures_and_where_they_are_kept(measured: tuple[Path, dict[str, Any]]) -> None:
    home, document = measured
    assert document["fresh"] is True
    assert document["file"] == str(peaks_file({"XDG_STATE_HOME": str(home)}))
    assert document["ceilings"]["copy_bandwidth"] > 0
    assert document["ceilings"]["threads"] == 1
    assert {row["what"] for row in document["reached"]} >= {"copy", "float32"}


def test_a_kept_entry_is_used_and_force_measures_again(measured: tuple[Path, dict[str, Any]]) -> None:
    home, document = measured
    # An entry that nothing disturbed, whatever went on while the tests ran.
    entry = json.loads(Path(document["file"]).read_text())
    entry["ceilings"][0] |= {"disturbed": [], "copy_bandwidth": 12345.0}
    Path(document["file"]).write_text(json.dumps(entry))
    again = json.loads(call(home, "--device", "cpu", "--threads", "1", "--quick", "--json").stdout)
    assert again["fresh"] is False
    assert again["ceilings"]["copy_bandwidth"] == 12345.0
    forced = call(home, "--device", "cpu", "--threads", "1", "--quick", "--force")
    assert forced.returncode == 0
    assert "12.3 kB/s" not in forced.stdout
    assert "1 threads" in forced.stdout
    assert "copy" in forced.stderr  # progress is no part of the answer


def test_the_list_shows_measured_beside_datasheet(tmp_path: Path) -> None:
    assert "nothing was calibrated yet" in call(tmp_path, "--list").stdout
    keep_peaks(GPU, {"XDG_STATE_HOME": str(tmp_path)})
    shown = call(tmp_path, "--list").stdout
    assert "NVIDIA H200  GPU-aa  driver 580.1" in shown
    line = next(line for line in shown.splitlines() if line.split()[:1] == ["copy"])
    assert line.split() == ["copy", "4.27", "TB/s", "4.80", "TB/s", "89.0%", "0.4%", "4.00", "GiB", "to", "another",
                            "4.00", "GiB"]  # fmt: skip
    assert "75.8%" in shown  # 750 of 989.5 TFLOP/s
    assert "PyTorch cannot" in shown
    assert "NVIDIA H200 datasheet" in shown
    assert "disturbed: another process" in shown
    assert "power limit" in shown
    assert "\x1b" not in shown
    document = json.loads(call(tmp_path, "--list", "--json").stdout)
    assert document[0]["datasheet"]["memory_bandwidth"] == 4.8e12


def test_a_device_that_is_none(tmp_path: Path) -> None:
    for wrong in ("cuda:", "cpu\x1b[31m"):
        done = call(tmp_path, "--device", wrong)
        assert done.returncode == 2
        assert "auto, cpu, cuda or cuda:N" in done.stderr
        assert "\x1b" not in done.stderr


def test_ctrl_c_keeps_nothing_and_says_so(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path, "--device", "cpu", "--threads", "1"),
        env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("measuring")
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 130
    assert "nothing was kept" in errors
    assert "Traceback" not in errors
    assert out == ""
    assert not peaks_file({"XDG_STATE_HOME": str(tmp_path)}).exists()
