"""`infertui tune` as a process: what it prints, what it refuses, and what is left when it is killed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.runs import HANG_S, clean_environment, infertui

from infertui.analysis.tuning.segment import Segment
from infertui.results.jsonl import read_lines
from infertui.results.runs import Store

SIMULATOR = (
    "--set", "engine.name=simulator", "--set", "engine.simulator.virtual_time=true", "--set", "measurement.warmup=1",
    "--set", "workload.output_len=8",
)  # fmt: skip
SLOW = tuple(text.replace("virtual_time=true", "step_ms=2") for text in SIMULATOR)


def segments_of(folder: Path) -> list[Segment]:
    return list(read_lines(folder / "segments.jsonl", Segment, warn=lambda text: pytest.fail(text)))


def test_a_script_prints_a_line_of_json_for_each_segment_and_pins_the_best(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text(
        '{}\n\n{"workload.batch_size": 4, "seconds": 0.5}\n{"workload.batch_size": 2}\n', encoding="utf-8"
    )
    done = infertui(
        "tune",
        *SIMULATOR,
        "--script",
        "script.jsonl",
        "--segment-seconds",
        "1",
        "--json",
        "--pin",
        "best",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["changes"] for line in lines] == [{}, {"workload.batch_size": 4}, {"workload.batch_size": 2}]
    assert [line["previous"] and line["previous"]["finding"] for line in lines] == [None, "better", "worse"]
    (pinned,) = Store(tmp_path / "reports").results(warn=lambda text: pytest.fail(text))
    assert pinned.id == lines[1]["run"]
    repeated = infertui("run", f"reports/{pinned.id}/run.toml", "--json", cwd=tmp_path)
    again = json.loads(repeated.stdout)["summary"]
    assert again["output_throughput"] == pytest.approx(lines[1]["figures"]["throughput"])
    assert again["iterations"] == lines[1]["figures"]["iterations"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "nothing is turned"),
        (("--turn", "workload.batch_size=1,2", "--climb", "workload.batch_size"), "exclude each other"),
        (("--turn", "workload.batch_size"), "is not of the form KEY=VALUE"),
        (("--turn", "workload.batch_size=0,2"), "0 is not allowed here"),
        (("--turn", "workload.bach_size=1"), "The nearest valid key is workload.batch_size"),
        (("--script", "missing.jsonl"), "cannot be read"),
        (("--script", "broken.jsonl"), "line 2 is not JSON"),
        (("--script", "wrong.toml"), "0 is not allowed here"),
        (("--script", "empty.toml"), "is not a list of segments"),
        (("--climb", "model.id"), "is no knob of this session"),
        (("--turn", "workload.batch_size=1,2", "--segment-seconds", "0"), "takes a number above 0"),
        (("--turn", "workload.batch_size=1,2", "--set", "sweep.grid.workload.seed=1,2"), "a sweep cannot be tuned"),
        (("--turn", "workload.batch_size=1,2", "--pin", "first"), "--pin takes best, all, or numbers"),
        (("--continue", "tuning-none"), "there is no tuning session"),
    ],
)
def test_what_cannot_be_is_one_error_that_says_why(tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    (tmp_path / "broken.jsonl").write_text('{}\n{"workload.batch_size": 4\n', encoding="utf-8")
    (tmp_path / "wrong.toml").write_text("[[segment]]\nworkload.batch_size = 0\n", encoding="utf-8")
    (tmp_path / "empty.toml").write_text("", encoding="utf-8")
    done = infertui("tune", *SIMULATOR, *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("after", [0, 1, 2])
def test_killed_at_any_moment_it_keeps_finished_segments_and_goes_on(tmp_path: Path, after: int) -> None:
    command = [
        sys.executable,
        "-m",
        "infertui",
        "tune",
        *SLOW,
        "--turn",
        "workload.batch_size=1,2,4",
        "--segment-seconds",
        "0.3",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        if not after:
            wait_for(tmp_path / "reports", "*/*/requests.jsonl")
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=HANG_S)
    (folder,) = (tmp_path / "reports").glob("tuning-*")
    before = segments_of(folder) if (folder / "segments.jsonl").exists() else []
    assert len([segment for segment in before if segment.state == "finished"]) >= after
    done = infertui("tune", "--continue", folder.name, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    segments = segments_of(folder)
    assert segments[: len(before)] == before
    assert [segment.step for segment in segments if segment.state == "finished"] == [1, 2, 3]
    assert [segment.number for segment in segments] == list(range(1, len(segments) + 1))
    finished = [segment for segment in segments if segment.state == "finished"]
    runs = Store(folder).results(warn=lambda text: pytest.fail(text))
    assert {segment.run for segment in segments} == {run.id for run in runs}
    for segment, (tokens, batch_s) in zip(finished, [(8, 0.034), (16, 0.034), (32, 0.034)], strict=True):
        # On a busy machine sleeping takes longer, never shorter.
        assert 0 < (segment.figures["throughput"] or 0) <= 1.01 * tokens / batch_s


def wait_for(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + HANG_S
    while not list(folder.glob(pattern)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_polite_signal_keeps_what_was_measured(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "infertui",
        "tune",
        *SLOW,
        "--turn",
        "workload.batch_size=1,2",
        "--segment-seconds",
        "0.3",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=HANG_S)
    assert process.returncode == 130
    assert "interrupted by SIGINT; what was measured is in reports" in stderr
    (folder,) = (tmp_path / "reports").glob("tuning-*")
    assert segments_of(folder)[0].state == "finished"


GPU = "GPU-a0000000-0000-4000-8000-000000000000"
ON_GPU = (*SLOW, "--set", f"engine.simulator.gpu_uuid={GPU}")


def stubbed(nvml_stub: Path, state: Path) -> dict[str, str]:
    state.mkdir(exist_ok=True)
    return clean_environment(LD_LIBRARY_PATH=str(nvml_stub), NVML_STUB_STATE=str(state), NVML_STUB_LIMIT_W="600")


def limits(state: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8").strip() for path in state.iterdir()}


def test_settings_of_a_gpu_are_turned_kept_with_the_segment_and_put_back(tmp_path: Path, nvml_stub: Path) -> None:
    environment = stubbed(nvml_stub, state := tmp_path / "state")
    done = infertui(
        "tune", *ON_GPU, "--gpu-settings", "--turn", "gpu.power_limit_w=300,9000,450", "--segment-seconds", "0.2",
        "--json", cwd=tmp_path, environment=environment,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["state"] for line in lines] == ["finished", "finished", "failed", "finished"], done.stderr
    assert lines[1]["changes"] == {"labels.gpu.power_limit_w": "300"}
    assert "allowed: a number from 200 to 750" in lines[2]["error"]["message"]
    assert limits(state) == {"limit.0": "600000 600000"}
    off = infertui(
        "tune", *ON_GPU, "--turn", "gpu.power_limit_w=300", "--segment-seconds", "0.2", "--json", cwd=tmp_path,
        environment=environment,
    )  # fmt: skip
    assert "not to be changed in this session" in json.loads(off.stdout.splitlines()[1])["error"]["message"]
    assert limits(state) == {"limit.0": "600000 600000"}


def test_a_session_that_is_killed_leaves_no_gpu_changed(tmp_path: Path, nvml_stub: Path) -> None:
    environment = stubbed(nvml_stub, state := tmp_path / "state")
    command = [
        sys.executable, "-m", "infertui", "tune", *ON_GPU, "--gpu-settings", "--turn", "gpu.power_limit_w=300",
        "--turn", "gpu.sm_clock_mhz=900,1200", "--segment-seconds", "0.2",
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        assert limits(state)["limit.0"] == "300000 300000"
        process.kill()
        process.wait(timeout=HANG_S)
    deadline = time.monotonic() + HANG_S
    while limits(state) != {"limit.0": "600000 600000"}:
        assert time.monotonic() < deadline, limits(state)
        time.sleep(0.01)


def test_on_the_cpu_there_are_no_settings_of_a_gpu(tmp_path: Path) -> None:
    done = infertui("tune", *SIMULATOR, "--gpu-settings", "--turn", "gpu.power_limit_w=300", cwd=tmp_path)
    assert done.returncode == 2
    assert "the session uses the CPU" in done.stderr
