"""Runs that are disturbed on purpose, as a user meets them: the exit code, the reasons, the marks in every table."""

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.runs import clean_environment, infertui, measuring

from infertui.results.index import ResultIndex, ResultQuery

SIMULATOR = ("--engine", "simulator", "--osl", "4", "--warmup", "1", "--json", "--ui", "none")
FAST = (*SIMULATOR, "--set", "engine.simulator.virtual_time=true", "--iterations", "3")


def measured(
    folder: Path, *arguments: str, code: int = 3, environment: Mapping[str, str] | None = None, **options: Any
) -> dict[str, Any]:
    done = infertui("run", *arguments, cwd=folder, environment=environment, **options)
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout))


def flags_of(folder: Path) -> tuple[str, ...]:
    index = ResultIndex(folder / "reports", cache=folder / "cache")
    (row,) = index.page(ResultQuery(str(folder / "reports"))).rows
    index.close()
    return row.flags


@pytest.fixture
def stub_uuid(tmp_path: Path, nvml_stub: Path) -> str:
    environment = clean_environment(LD_LIBRARY_PATH=str(nvml_stub))
    answer = infertui("gpus", "--json", cwd=tmp_path, environment=environment)
    return str(json.loads(answer.stdout)["gpus"][0]["info"]["uuid"])


@contextlib.contextmanager
def others(cpu: int) -> Iterator[None]:
    """Two processes that keep a CPU busy."""
    code = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nprint(flush=True)\nwhile True: pass"
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
        yield


def test_too_few_batches_mark_a_run_everywhere(tmp_path: Path) -> None:
    result = measured(tmp_path, *FAST[:-1], "2")
    reason = "too few samples: 2 measured batches, fewer than 3"
    assert result["verdict"]["invalid"] == [reason]
    assert flags_of(tmp_path)[:2] == ("invalid", "few")
    rows = list(csv.DictReader(io.StringIO(infertui("results", "--csv", cwd=tmp_path).stdout)))
    assert (rows[0]["valid"], rows[0]["reasons"]) == ("False", reason)
    assert f"no: {reason}" in infertui("results", "--markdown", cwd=tmp_path).stdout
    assert "invalid" in infertui("results", cwd=tmp_path).stdout
    assert json.loads(infertui("results", "valid=no", "--json", cwd=tmp_path).stdout)["id"] == result["id"]
    kept = json.loads((tmp_path / "reports" / result["id"] / "result.json").read_text())
    assert kept["verdict"]["invalid"] == [reason]


def test_thresholds_are_set_like_any_key(tmp_path: Path) -> None:
    result = measured(tmp_path, *FAST[:-1], "2", "--set", "validity.min_iterations=2", code=0)
    assert result["verdict"]["invalid"] == []
    assert result["config"]["validity"]["min_iterations"] == 2


def test_a_run_that_measured_its_own_measuring(tmp_path: Path) -> None:
    """Steps without length, on the real clock: the calls between them are always some of the time."""
    empty = [f"--set=engine.simulator.{key}=0" for key in ("ttft_ms", "step_ms")]
    result = measured(
        tmp_path, *SIMULATOR, "--iterations", "3", "--osl", "200", *empty, "--set=validity.max_client_share=0.000001"
    )
    (reason,) = result["verdict"]["invalid"]
    assert reason.startswith("infertui's own calls took at least ")
    assert flags_of(tmp_path)[:2] == ("invalid", "client")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind processes to a CPU")
def test_a_host_that_others_keep_busy(tmp_path: Path) -> None:
    """A run that has one CPU, and two processes that will not let go of it."""
    cpu = min(os.sched_getaffinity(0))
    slow = (*SIMULATOR, "--iterations", "8", "--set", "engine.simulator.ttft_ms=100")
    bound: dict[str, Any] = {"preexec_fn": lambda: os.sched_setaffinity(0, {cpu})}
    with others(cpu):
        result = measured(tmp_path, *slow, "--set", "validity.max_others_cpu=20", **bound)
    device = result["device"]
    assert device["cpu_busy"] > 90
    assert 50 < device["cpu_others"] <= device["cpu_busy"]
    (reason,) = result["verdict"]["invalid"]
    assert reason.startswith("other processes used")
    assert "more than 20 %, and none was left" in reason
    assert flags_of(tmp_path)[:2] == ("invalid", "host-busy")


@pytest.mark.parametrize(
    ("stub", "reason", "flags"),
    [
        ({"THROTTLE": "65"}, "the GPU was throttled: hw-thermal in 100 % of the samples", ("invalid", "thermal")),
        ({"THROTTLE": "129"}, "the GPU was throttled: hw-power-brake in 100 % of the samples", ("invalid", "throttle")),
    ],
)
def test_what_the_driver_tells_marks_a_run(
    tmp_path: Path, nvml_stub: Path, stub_uuid: str, stub: dict[str, str], reason: str, flags: tuple[str, ...]
) -> None:
    environment = clean_environment(
        LD_LIBRARY_PATH=str(nvml_stub), **{f"NVML_STUB_{name}": value for name, value in stub.items()}
    )
    command = [*SIMULATOR, "--iterations", "3", "--set", "engine.simulator.ttft_ms=150"]
    command += ["--set", f"engine.simulator.gpu_uuid={stub_uuid}"]
    result = measured(tmp_path, *command, environment=environment)
    assert result["verdict"]["invalid"] == [reason]
    assert flags_of(tmp_path)[:2] == flags


def test_another_process_on_the_gpu_marks_a_run(tmp_path: Path, nvml_stub: Path, stub_uuid: str) -> None:
    listed = tmp_path / "pids"
    command = ["--engine", "simulator", "--iterations", "8", "--osl", "2", "--warmup", "0", "--json"]
    command += ["--set", "engine.simulator.ttft_ms=250", "--set", f"engine.simulator.gpu_uuid={stub_uuid}"]
    stub = {"LD_LIBRARY_PATH": str(nvml_stub), "NVML_STUB_THROTTLE": "1", "NVML_STUB_PIDS_FILE": str(listed)}
    with measuring(*command, cwd=tmp_path, **stub) as process:
        own = [str(child.pid) for child in psutil.Process(process.pid).children()]
        partial = tmp_path / "partial"
        partial.write_text(",".join([*own, "4194000"]))
        partial.replace(listed)
        output, _ = process.communicate(timeout=60)
    verdict = json.loads(output)["verdict"]
    assert process.returncode == 3
    assert any(text.startswith("another process used the GPU: ") and "(4194000)" in text for text in verdict["invalid"])
    assert not any(f"({pid})" in text for pid in own for text in verdict["invalid"])
    assert "foreign" in flags_of(tmp_path)
