"""`--dry-run` says what would run, where, how long, and what would fail; and runs nothing."""

import json
from pathlib import Path

import pytest
from support.runs import clean_environment, infertui

from infertui.models.resolve import resolve
from infertui.models.shapes import read_shape


def test_what_would_run_is_told_and_nothing_runs(tmp_path: Path) -> None:
    done = infertui("run", "demo", "--batch-size", "1,2", "--temperature", "0.7", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.split() == ["workload.temperature", "0.7", "(--temperature)"] for line in lines)
    names = [line for line in lines if line.startswith("demo")]
    assert names == ["demo bs=1", "demo bs=2"]
    assert "  device  CPU" in lines
    assert "4.00 M parameters" in done.stdout  # of the shipped shape, counted by hand: 3,999,744
    assert sum(1 for line in lines if line.startswith("  memory  ") and line.endswith(" free: fits")) == 2
    assert lines[-1].startswith("2 runs, roughly ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "code", "why"),
    [
        (("--model", "nobody/nothing"), 1, "nobody/nothing is not on this machine. Run `infertui models pull"),
        (("synthetic:llama-3-70b", "--isl", "8"), 1, "do not fit into memory. Use a smaller model"),
        (("synthetic:nano", "--isl", "99999"), 2, "99999"),
    ],
)
def test_what_would_fail_is_told_with_its_remedy(flags: tuple[str, ...], code: int, why: str, tmp_path: Path) -> None:
    done = infertui("run", *flags, "--dry-run", cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    failing = [line for line in done.stdout.splitlines() if line.startswith("  fails   ")]
    assert len(failing) == 1
    assert why in failing[0]
    assert done.stdout.splitlines()[-1] == "1 run; 1 would fail"


def test_as_json_for_a_machine(tmp_path: Path) -> None:
    done = infertui("run", "synthetic:nano", "--isl", "8", "--osl", "4", "--dry-run", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    (one,) = told["runs"]
    assert one["problem"] == ""
    assert one["fits"] is True
    assert one["rough"] is True  # there is no earlier run
    weights = read_shape(resolve("synthetic:nano").config).parameters * 4
    assert weights < one["memory_needed"] < one["memory_free"]
    assert told["settings"]["workload.input_len"] == ["8", "--input-len"]


def test_a_load_is_foretold_and_nothing_is_sent(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9"
    done = infertui("load", url, "--request-rate", "5", "--num-prompts", "50", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"  target  {url}" in done.stdout
    assert "  work    5 requests/s, poisson; 50 requests, 512 tokens in, 128 out" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 run, about 10 s"


def test_a_bench_that_cannot_run_says_so(tmp_path: Path) -> None:
    done = infertui(
        "bench", "demo", "--vary", "engine.name=transformers,tensorrt-llm", "--dry-run", cwd=tmp_path,
        environment=clean_environment(),
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 10
    assert "would fail: engine tensorrt-llm cannot be used" in done.stderr
    assert "5 would fail" in done.stderr
