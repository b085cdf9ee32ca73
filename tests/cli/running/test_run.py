"""`infertui run` as a user meets it: a process of its own, real files, signals, a terminal."""

import csv
import io
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.runs import clean_environment, infertui, measuring

SIMULATOR = ("--engine", "simulator", "--set", "engine.simulator.virtual_time=true", "--iterations", "3")
SLOW = ("--engine", "simulator", "--iterations", "100000", "--osl", "2", "--warmup", "0")


def results_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_the_command_of_the_documentation_works_as_written(tmp_path: Path) -> None:
    """With fewer tokens and the simulator in place of GPT-2, which takes minutes on a small CPU."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prompts_medium.txt").write_text("one two three\nfour five six\nseven eight\n")
    done = infertui(
        *("run", "baseline", "--prompts-file", "data/prompts_medium.txt", "--max-new-tokens", "200"),
        *("--batch-size", "4", "--save-json", "reports/batch.jsonl"),
        *("--engine", "simulator", "--set", "engine.simulator.virtual_time=true"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "reports" / "batch.jsonl").read_text().splitlines()]
    assert len(rows) == 5 * 4
    assert {tuple(row) for row in rows} == {("prompt", "latency", "tokens", "memory_mb", "power_w", "tps")}
    assert {row["tokens"] for row in rows} == {200}
    (result,) = results_of(tmp_path / "reports")
    assert "baseline" in str(result["id"])


SHORTER = ("--osl", "32", "--set", "measurement.min_seconds=0", "--set", "measurement.iterations=3")


def test_the_demo_measures_a_real_model(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    done = infertui("run", "demo", "--device", "cpu", "--json", *SHORTER, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["loaded"]["engine"] == "transformers"
    assert result["loaded"]["random_weights"] is True
    assert result["summary"]["output_throughput"] > 0
    assert result["summary"]["latency"]["mean"] == pytest.approx(
        result["summary"]["ttft"]["mean"] + 31 * result["summary"]["tpot"]["mean"]
    )


def test_plain_lines_tell_the_story(tmp_path: Path) -> None:
    done = infertui("run", *SIMULATOR, cwd=tmp_path)
    assert done.returncode == 0
    for words in ("phase load", "phase warmup", "phase measure", "finished: ", "output throughput", "TTFT", "kept as"):
        assert words in done.stdout


def test_a_terminal_gets_a_live_view_and_keeps_the_summary(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    slow = ("--engine", "simulator", "--iterations", "3", "--set", "engine.simulator.ttft_ms=300")
    process = subprocess.Popen(
        [sys.executable, "-m", "infertui", "run", *slow],
        cwd=tmp_path,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=clean_environment(TERM="xterm-256color", COLUMNS="80", LINES="24"),
    )
    os.close(slave)
    output = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        output += data
    os.close(master)
    assert process.wait(timeout=30) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output.decode())
    assert "[measure]" in text
    assert "tok/s" in text
    assert "Ctrl-C" in text
    assert "finished: " in text
    assert output.count(b"\x1b[?25l") == output.count(b"\x1b[?25h"), "the cursor is given back"


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "ALRM", "ABRT", "XCPU"])
def test_signals_keep_what_was_measured(tmp_path: Path, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    with measuring(*SLOW, cwd=tmp_path) as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"interrupted by SIG{name}; what was measured is in" in errors
    assert "Traceback" not in errors
    (result,) = results_of(tmp_path / "reports")
    assert result["state"] == "interrupted"
    assert result["ended_by"] == f"SIG{name} ended it"
    assert f"stopped early: SIG{name} ended it" in result["verdict"]["notes"]  # type: ignore[index]
    kept = (tmp_path / "reports" / str(result["id"]) / "requests.jsonl").read_text().splitlines()
    assert kept
    assert len(kept) == result["summary"]["iterations"]  # type: ignore[index]


def test_what_a_batch_system_sends_to_every_process_of_a_job_is_the_runners_to_act_on(tmp_path: Path) -> None:
    with measuring(*SLOW, cwd=tmp_path) as process:
        for member in psutil.Process(process.pid).children(recursive=True):
            member.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=30)
    (result,) = results_of(tmp_path / "reports")
    assert (result["state"], result["ended_by"]) == ("interrupted", "SIGUSR1 ended it")


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT"])
def test_what_was_started_to_ignore_a_signal_goes_on(tmp_path: Path, name: str) -> None:
    """As `nohup` does it for a terminal that closes, and shells for Ctrl-C and what they start in the background."""
    number = signal.Signals[f"SIG{name}"]
    before = signal.signal(number, signal.SIG_IGN)  # as what is started from here has it
    brief = ("--engine", "simulator", "--iterations", "60", "--osl", "2", "--warmup", "0")
    with measuring(*brief, cwd=tmp_path) as process:
        signal.signal(number, before)
        process.send_signal(number)
        process.communicate(timeout=30)
    (result,) = results_of(tmp_path / "reports")
    assert result["state"] == "finished"


def test_a_full_disk_ends_the_run_cleanly(tmp_path: Path) -> None:
    """A limit on file size stands in for the disk: the kernel refuses the write just the same."""
    limit = 32 << 10

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = infertui("run", *SLOW, cwd=tmp_path, preexec_fn=limited)
    assert done.returncode == 1
    assert "may not grow further" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    (folder,) = [path for path in (tmp_path / "reports").iterdir() if path.is_dir()]
    lines = (folder / "requests.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b"", "no torn line"
    assert all(json.loads(line)["tokens"] == 2 for line in lines)
    (result,) = results_of(tmp_path / "reports")
    assert result["state"] == "failed"


def test_two_processes_write_one_index(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infertui", "run", *SIMULATOR, "--batch-size", "1,2,3,4"]
    running = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, env=clean_environment()) for _ in range(3)
    ]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    results = results_of(tmp_path / "reports")
    assert len(results) == 12
    assert len({result["id"] for result in results}) == 12


def test_the_run_file_repeats_a_run(tmp_path: Path) -> None:
    infertui("run", *SIMULATOR, "--label", "owner=me", cwd=tmp_path)
    (first,) = results_of(tmp_path / "reports")
    done = infertui("run", f"reports/{first['id']}/run.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = results_of(tmp_path / "reports")[1]
    assert again["config"] == first["config"]
    assert again["summary"]["output_throughput"] == first["summary"]["output_throughput"]  # type: ignore[index]


def test_an_invalid_measurement_has_its_own_exit_code(tmp_path: Path) -> None:
    done = infertui("run", *SIMULATOR, "--set", "engine.simulator.short_by=1", cwd=tmp_path)
    assert done.returncode == 3
    assert "output length not reached" in done.stdout


def test_a_failed_run_fails(tmp_path: Path) -> None:
    done = infertui("run", *SIMULATOR, "--set", "engine.simulator.fault=crash", cwd=tmp_path)
    assert done.returncode == 1
    assert "SIGSEGV" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--batch-size", "four"), ["workload.batch_size", "four", "integer"]),
        (("--set", "workload.bach_size=4"), ["workload.batch_size"]),
        (("--engine", "transformer"), ["engine.name", "transformers"]),
        (("demoo",), ["demo"]),
        (("missing.toml",), ["missing.toml"]),
        (("--label", "owner"), ["--label", "KEY=VALUE"]),
        (("--num-prompts", "5", "--iterations", "9"), ["measurement.iterations"]),
    ],
)
def test_a_wrong_request_is_one_clear_error(tmp_path: Path, arguments: tuple[str, ...], told: list[str]) -> None:
    done = infertui("run", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for words in told:
        assert words in done.stderr
    assert not (tmp_path / "reports").exists()


def test_the_environment_counts(tmp_path: Path) -> None:
    environment = clean_environment(BATCH_SIZE="3", MAX_NEW_TOKENS="7", INFERTUI_WORKLOAD_BATCH_SIZE="5")
    infertui("run", *SIMULATOR, cwd=tmp_path, environment=environment)
    (result,) = results_of(tmp_path / "reports")
    assert result["summary"]["output_tokens"] == 3 * 5 * 7  # type: ignore[index]


def test_what_cannot_fit_is_refused_with_the_arithmetic(tmp_path: Path) -> None:
    huge = ("--model", "synthetic:llama-8b", "--device", "cpu", "--batch-size", "4096", "--isl", "4000")
    done = infertui("run", *huge, cwd=tmp_path)
    assert done.returncode == 1
    assert "KV cache" in done.stdout
    assert "--force" in done.stdout
    (result,) = results_of(tmp_path / "reports")
    assert result["state"] == "failed"


def test_num_prompts_decides_over_the_preset(tmp_path: Path) -> None:
    done = infertui("run", "cpu-baseline", *SIMULATOR[:-2], "--num-prompts", "8", "--batch-size", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = results_of(tmp_path / "reports")
    assert result["summary"]["requests"] == 8  # type: ignore[index]


def test_telemetry_of_the_gpu_gives_power_and_energy(tmp_path: Path, nvml_stub: Path) -> None:
    """The real binding over a driver library whose power is constant: energy is power times time."""
    uuid = _stub_uuid(tmp_path, nvml_stub)
    done = infertui(
        *("run", "--engine", "simulator", "--iterations", "4", "--osl", "4", "--json", "--ui", "none"),
        *("--set", "engine.simulator.ttft_ms=400", "--set", f"engine.simulator.gpu_uuid={uuid}"),
        cwd=tmp_path,
        environment=clean_environment(LD_LIBRARY_PATH=str(nvml_stub), NVML_STUB_POWER_W="350", NVML_STUB_THROTTLE="1"),
    )
    result = json.loads(done.stdout)
    power, device = result["power"], result["device"]
    assert power["source"] == "counter"
    assert power["mean_power_w"] == pytest.approx(350, rel=0.01)
    assert power["energy_j"] == pytest.approx(350 * power["window_s"], rel=0.01)
    assert power["idle_power_w"] == pytest.approx(350, rel=0.01)
    assert power["joules_per_token_above_idle"] == pytest.approx(0, abs=0.5)
    assert power["joules_per_token"] == pytest.approx(power["energy_j"] / 16)
    assert device["utilization_mean"] == pytest.approx(50)
    assert device["temperature_max"] == 40
    lines = (tmp_path / "reports" / result["id"] / "requests.jsonl").read_text().splitlines()
    for row in map(json.loads, lines):
        assert row["power_w"] == pytest.approx(350)
        assert row["energy_j"] == pytest.approx(350 * row["latency"], rel=0.01)


@pytest.mark.parametrize("file", ["NVML_STUB_LOST_FILE", "NVML_STUB_DEAD_FILE"])
def test_a_gpu_lost_in_mid_run_is_told_and_the_run_goes_on(tmp_path: Path, nvml_stub: Path, file: str) -> None:
    uuid = _stub_uuid(tmp_path, nvml_stub)
    trigger = tmp_path / "trigger"
    command = ["--engine", "simulator", "--iterations", "12", "--osl", "2", "--warmup", "0", "--json"]
    command += ["--set", "engine.simulator.ttft_ms=250", "--set", f"engine.simulator.gpu_uuid={uuid}"]
    stub = {"LD_LIBRARY_PATH": str(nvml_stub), "NVML_STUB_THROTTLE": "1", file: str(trigger)}
    with measuring(*command, cwd=tmp_path, **stub) as process:
        trigger.touch()
        output, errors = process.communicate(timeout=60)
    result = json.loads(output)
    assert process.returncode == 3
    assert result["state"] == "finished"
    assert len((tmp_path / "reports" / result["id"] / "requests.jsonl").read_text().splitlines()) == 12
    assert any("telemetry of the GPU was lost" in reason for reason in result["verdict"]["invalid"])
    assert "warning:" in errors
    assert result["power"]["energy_j"] is None, "not available is never a number"


def test_a_driver_that_hangs_in_mid_run_is_told_and_the_run_goes_on(tmp_path: Path, nvml_stub: Path) -> None:
    trigger = tmp_path / "trigger"
    command = ["--engine", "simulator", "--iterations", "8", "--osl", "2", "--warmup", "0", "--json"]
    command += ["--set", "engine.simulator.ttft_ms=250"]
    stub = {"LD_LIBRARY_PATH": str(nvml_stub), "NVML_STUB_THROTTLE": "1", "NVML_STUB_HANG_FILE": str(trigger)}
    with measuring(*command, cwd=tmp_path, **stub) as process:
        trigger.touch()
        output, errors = process.communicate(timeout=60)
    result = json.loads(output)
    assert result["state"] == "finished"
    assert result["summary"]["iterations"] == 8
    assert "did not answer" in errors


def test_two_signals_at_once_lose_nothing(tmp_path: Path) -> None:
    """A link that drops sends SIGHUP, and a service manager SIGTERM right behind it."""
    hanging = ("--set", "engine.simulator.fault=hang", "--set", "engine.simulator.fault_batch=3", "--warmup", "0")
    with measuring("--engine", "simulator", "--osl", "2", *hanging, cwd=tmp_path) as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    (result,) = results_of(tmp_path / "reports")
    assert result["state"] == "interrupted"


def test_a_reader_that_leaves_does_not_end_the_measurement(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "infertui", "run", *SIMULATOR],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=30)
    (result,) = results_of(tmp_path / "reports")
    assert result["state"] == "finished"


def test_closed_streams_are_no_error(tmp_path: Path) -> None:
    line = f"{sys.executable} -m infertui run {' '.join(SIMULATOR)} >&- 2>&- <&-"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=clean_environment(), check=False, timeout=60)
    assert done.returncode == 0
    assert results_of(tmp_path / "reports")[0]["state"] == "finished"


def test_save_json_never_destroys_what_it_cannot_replace(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "one"}\n')
    done = infertui(
        *("run", *SIMULATOR, "--prompts-file", "prompts.jsonl", "--save-json", "prompts.jsonl"), cwd=tmp_path
    )
    assert done.returncode == 2
    assert "prompts file itself" in done.stderr
    assert prompts.read_text() == '{"prompt": "one"}\n'
    older = tmp_path / "older.jsonl"
    older.write_text("kept\n")
    failing = ("--set", "engine.simulator.fault=crash", "--set", "engine.simulator.fault_batch=0")
    assert infertui("run", *SIMULATOR, *failing, "--save-json", "older.jsonl", cwd=tmp_path).returncode == 1
    assert older.read_text() == "kept\n"
    assert infertui("run", *SIMULATOR, "--save-json", "/dev/null", cwd=tmp_path).returncode == 2


def test_a_run_file_replays_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("one two three\n")
    infertui("run", *SIMULATOR, "--prompts-file", "p.txt", cwd=tmp_path)
    (first,) = results_of(tmp_path / "reports")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = infertui("run", str(tmp_path / "reports" / str(first["id"]) / "run.toml"), cwd=elsewhere)
    assert done.returncode == 0, done.stdout


def test_prompts_that_are_not_there_are_a_wrong_request(tmp_path: Path) -> None:
    done = infertui("run", *SIMULATOR, "--prompts-file", "nope.txt", cwd=tmp_path)
    assert done.returncode == 2
    assert "workload.prompts_file" in done.stderr
    assert not (tmp_path / "reports").exists()


def test_hostile_text_never_reaches_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("\x1b]0;owned\x07 hello \x9b31m [/foo] [@click=app.quit]x[/]\n")
    done = infertui(*("run", *SIMULATOR, "--prompts-file", "prompts.txt", "--label", "a=\x1b[2Jx"), cwd=tmp_path)
    assert done.returncode == 0
    listed = infertui("results", cwd=tmp_path)
    for text in (done.stdout, done.stderr, listed.stdout):
        assert "\x1b" not in text
        assert "\x9b" not in text


@pytest.fixture
def three_results(tmp_path: Path) -> Path:
    infertui("run", *SIMULATOR, "--batch-size", "1,2", "--label", "owner=me", cwd=tmp_path)
    infertui("run", *SIMULATOR, "--set", "engine.simulator.fault=exit", cwd=tmp_path)
    return tmp_path


def test_results_lists_filters_and_exports(three_results: Path) -> None:
    ask: Callable[..., subprocess.CompletedProcess[str]] = lambda *a: infertui("results", *a, cwd=three_results)  # noqa: E731
    assert len(ask("--json").stdout.splitlines()) == 3
    assert len(ask("--json", "workload.batch_size=2").stdout.splitlines()) == 1
    assert len(ask("--json", "labels.owner=me", "valid=yes").stdout.splitlines()) == 2
    assert len(ask("--json", "state=failed").stdout.splitlines()) == 1
    rows = list(csv.DictReader(io.StringIO(ask("--csv").stdout)))
    assert [row["batch_size"] for row in rows] == ["1", "2", "1"]
    assert rows[2]["output_throughput"] == ""
    table = ask().stdout.splitlines()
    assert len(table) == 4
    assert "failed" in table[3]
    assert ask("--json", "batch>=2 state:finished").stdout == ask("--json", "workload.batch_size=2").stdout
    wrong = ask("bacth=1")
    assert wrong.returncode == 2
    assert "batch" in wrong.stderr


def test_results_skip_a_torn_line_with_a_warning(three_results: Path) -> None:
    index = three_results / "reports" / "results.jsonl"
    index.write_bytes(index.read_bytes()[:-40])
    done = infertui("results", "--json", cwd=three_results)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 2
    assert "line 3" in done.stderr


def _stub_uuid(folder: Path, library: Path) -> str:
    answer = infertui(
        "gpus", "--json", cwd=folder, environment=clean_environment(LD_LIBRARY_PATH=str(library), NVML_STUB_GPUS="2")
    )
    return str(json.loads(answer.stdout)["gpus"][0]["info"]["uuid"])


def test_a_sweep_over_a_number_ends_in_a_curve(tmp_path: Path) -> None:
    done = infertui("run", *SIMULATOR, "--isl", "8", "--osl", "4", "-b", "1,2,4", "--ui", "plain", cwd=tmp_path)
    drawn = done.stdout.partition("output tok/s over bs")[2].splitlines()
    assert drawn[-1].split() == ["1", "2", "4", "bs"], done.stdout
    alone = infertui("run", *SIMULATOR, "--isl", "8", "--osl", "4", "-b", "1,2", "--ui", "plain", cwd=tmp_path)
    assert "output tok/s over" not in alone.stdout
