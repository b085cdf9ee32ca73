"""The vLLM engine on a real GPU: what it is said to run as, with the compile cache empty, filled, and not used."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed")

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]

WORKLOAD = ["--isl", "100", "--osl", "40", "-b", "2", "-n", "3", "--warmup", "1", "--dtype", "bfloat16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def run(folder: Path, *options: str) -> dict[str, Any]:
    """A run in processes of its own, with the module's compile caches; its result."""
    caches = {"VLLM_CACHE_ROOT": str(folder / "vllm"), "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
    command = [sys.executable, "-m", "infertui", "run", "--model", "synthetic:tinyllama-1.1b", "--engine", "vllm"]
    done = subprocess.run(
        [*command, *WORKLOAD, "--json", "--ui", "none", "--out", str(folder / "out"), *options],
        env={**os.environ, **caches}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr[-3000:]  # 3: measured, and disturbed
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def facts(result: dict[str, Any]) -> tuple[str, str, str]:
    effective = result["evidence"]
    return effective["levers"]["mode"], effective.get("compiled", ""), effective.get("graphs", "")


def test_a_filled_cache_changes_where_code_comes_from_and_nothing_else(folder: Path) -> None:
    cold, warm, auto = (run(folder, "--mode", mode) for mode in ("compile", "compile", "auto"))
    assert facts(cold) == ("compile", "fresh", "replayed")
    assert facts(warm) == facts(auto) == ("compile", "cache", "replayed")
    # One graph a decode step at least; prefills are replayed in pieces.
    assert warm["evidence"]["counters"]["graph_replays"] >= 3 * 39


def test_eager_stays_eager_beside_a_filled_cache(folder: Path) -> None:
    eager = run(folder, "--mode", "eager")
    assert facts(eager) == ("eager", "no", "no")
    assert eager["evidence"]["counters"]["graph_replays"] == 0


def test_tables_say_compile_and_graphs(folder: Path) -> None:
    command = [sys.executable, "-m", "infertui", "results", "--csv", "--out", str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    words = [row["mode"] for row in csv.DictReader(done.stdout.splitlines())]
    assert sorted(words) == ["compile+graphs"] * 3 + ["eager"]
