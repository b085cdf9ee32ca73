"""`infertui load` as a user meets it: a process of its own against the mock server, signals, half-typed flags."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mock_process import MockProcess, mock_process
from support.runs import clean_environment, infertui
from support.sample_gguf import write_sample

QUICK = ("--isl", "16", "--osl", "8")


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProcess]:
    with mock_process("--ttft", "10ms", "--itl", "2ms") as server:
        yield server


def results_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_level_each_is_a_run_each_with_a_column_of_its_own(mock: MockProcess, tmp_path: Path) -> None:
    done = infertui(
        *("load", mock.url, "--concurrency", "1,4", "--num-prompts", "40", *QUICK, "--slo", "ttft<5s"), cwd=tmp_path
    )
    assert done.returncode in (0, 3), done.stderr  # 3: this machine was too busy for it to be valid
    one, four = results_of(tmp_path / "reports")
    assert [run["config"]["load"]["concurrency"] for run in (one, four)] == [1, 4]  # type: ignore[index]
    assert all(run["load"]["attainment"] == 1 for run in (one, four))  # type: ignore[index]
    assert "requests/s" in done.stdout
    assert "SLO ttft<5s" in done.stdout
    table = infertui("results", "--columns", "concurrency,req/s,goodput,TTFT", cwd=tmp_path)
    assert table.returncode == 0, table.stderr
    assert len([line for line in table.stdout.splitlines() if line.strip()]) >= 3
    found = infertui("results", "c>=4 goodput>1", "--json", cwd=tmp_path)
    assert [json.loads(line)["id"] for line in found.stdout.splitlines()] == [four["id"]]
    compared = infertui("compare", str(one["id"]), str(four["id"]), cwd=tmp_path)
    assert compared.returncode == 0, compared.stderr
    told = infertui("report", "--all", "--out", "told", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    written = (tmp_path / "told" / "report.md").read_text()
    assert "concurrency 1," in written
    assert "batch 1" not in written
    again = infertui("load", f"reports/{one['id']}/run.toml", "--dry-run", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_a_trace_is_all_that_has_to_be_given(mock: MockProcess, tmp_path: Path) -> None:
    lines = [{"timestamp": 50 * at, "input_length": 20, "output_length": 3 + at} for at in range(4)]
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    foreseen = infertui("load", mock.url, "--trace", "trace.jsonl", "--dry-run", cwd=tmp_path)
    assert foreseen.returncode == 0, foreseen.stdout
    assert "lengths as it has them" in foreseen.stdout
    done = infertui("load", mock.url, "--trace", "trace.jsonl", cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr
    (result,) = results_of(tmp_path / "reports")
    kept = (tmp_path / "reports" / str(result["id"]) / "requests.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["tokens"] for line in kept) == [3, 4, 5, 6]
    again = infertui("load", f"reports/{result['id']}/run.toml", "--dry-run", cwd=tmp_path)
    assert again.returncode == 0, again.stdout
    both = infertui("load", mock.url, "--trace", "trace.jsonl", "--isl", "9", cwd=tmp_path)
    assert both.returncode == 2
    assert "workload.input_len" in both.stderr


def test_ctrl_c_keeps_what_had_ended(mock: MockProcess, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infertui", "load", mock.url, "--max-seconds", "600", *QUICK, "--ui", "plain"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "tok/s" in line:
                break
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    (kept,) = results_of(tmp_path / "reports")
    assert kept["state"] == "interrupted"
    assert kept["summary"]["requests"] > 0  # type: ignore[index]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--slo", "ttft.p99<"], "load.slo"),
        (["--slo", "speed<3ms"], "load.slo"),
        (["--header", "nothing"], "--header"),
        (["--concurrency", "many"], "load.concurrency"),
        (["--request-rate", "-1"], "load.request_rate"),
        (["--steps", "10"], "load.steps"),
        (["--trace", "/no/such/file"], "load.trace"),
        (["--api", "openai"], "target.api"),
        (["--set", "workload.batch_size=4"], "workload.batch_size"),
        (["--set", "engine.mode=eager"], "engine.mode"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(tmp_path: Path, flags: list[str], named: str) -> None:
    done = infertui("load", "http://127.0.0.1:9", *flags, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("reports/2*"))


def test_a_server_takes_the_options_of_its_engine_by_itself(tmp_path: Path) -> None:
    model = str(write_sample(tmp_path / "model.gguf"))
    flags = ("--serve", "llama-server", "--set", "engine.llama_cpp.n_ctx=4096")
    (tmp_path / "bin").mkdir()
    done = infertui("load", model, *flags, cwd=tmp_path, environment=clean_environment(PATH=str(tmp_path / "bin")))
    assert done.returncode == 1
    assert "llama-server cannot be started" in done.stderr
    done = infertui("load", model, *flags, "--set", "engine.name=vllm", cwd=tmp_path)
    assert done.returncode == 2
    assert "engine.name: is vllm" in done.stderr


def test_an_engine_takes_no_load(tmp_path: Path) -> None:
    done = infertui("run", "--engine", "simulator", "--set", "load.request_rate=4", cwd=tmp_path)
    assert done.returncode == 2
    assert "load.request_rate" in done.stderr
