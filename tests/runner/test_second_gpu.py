"""Every way of executing steps on the second of two GPUs, where nothing but the first is a library's own choice."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pynvml
import pytest

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]

MODEL = ("--model", "synthetic:tinyllama-1.1b", "--dtype", "bfloat16")
WORK = ("--isl", "20", "--osl", "8", "-n", "2", "--warmup", "1", "--json", "--ui", "none")
WAYS: dict[str, tuple[str, ...]] = {
    **{mode: ("--mode", mode) for mode in ("eager", "static", "compile", "continuous")},
    **{
        f"cudagraph-{step}": ("--mode", "cudagraph", "--set", f"engine.transformers.graph_step={step}")
        for step in ("model", "compiled", "fused")
    },
    "int8": ("--mode", "cudagraph", "--set", "engine.transformers.graph_step=fused", "--quantization", "int8"),
    "vllm": ("--engine", "vllm"),
    "vllm-process": ("--engine", "vllm", "--set", "engine.vllm.engine_core=process"),
    "llama-cpp": ("--engine", "llama-cpp", "--quantization", "q8_0", "--dtype", "auto"),
}
NEEDS = {"int8": "torchao", "vllm": "vllm", "vllm-process": "vllm", "llama-cpp": "llama_cpp"}


@pytest.fixture(scope="module")
def uuids() -> list[str]:
    pynvml.nvmlInit()
    count = pynvml.nvmlDeviceGetCount()
    if count < 2:
        pytest.skip(f"needs two GPUs, and there {'is' if count == 1 else 'are'} {count}")
    return [pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count)]


def started(out: Path, device: str, way: str, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "infertui", "run", *MODEL, *WAYS[way], *WORK, "--device", device]
    return subprocess.Popen(
        [*command, "--out", str(out)], env={**os.environ, **environment}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process: "subprocess.Popen[str]") -> dict[str, Any]:
    told, complaint = process.communicate(timeout=500)
    assert process.returncode in (0, 3), complaint[-3000:]  # 3: measured, and disturbed
    result: dict[str, Any] = json.loads(told.splitlines()[-1])
    assert result["state"] == "finished"
    return result


def where(result: dict[str, Any]) -> tuple[str, str]:
    return result["loaded"]["device"], result["loaded"]["device_uuid"]


@pytest.mark.parametrize("way", WAYS)
def test_it_runs_on_the_second_gpu_and_stays_off_the_first(way: str, uuids: list[str], tmp_path: Path) -> None:
    if way in NEEDS and find_spec(NEEDS[way]) is None:
        pytest.skip(f"{NEEDS[way]} is not installed")
    first = pynvml.nvmlDeviceGetHandleByIndex(0)
    before = {process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(first)}
    process = started(tmp_path, "cuda:1", way)
    seen = set()
    while process.poll() is None:
        seen |= {found.pid for found in pynvml.nvmlDeviceGetComputeRunningProcesses(first)} - before
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    result = ended(process)
    assert where(result) == ("cuda:1", uuids[1])
    assert not seen, "processes with a context on the first GPU"
    assert result["device"]["vram_process"] > 0


def test_two_at_once_each_keep_to_their_own(uuids: list[str], tmp_path: Path) -> None:
    pair = [started(tmp_path / str(index), f"cuda:{index}", "cudagraph-fused") for index in (0, 1)]
    assert [where(ended(process)) for process in pair] == [(f"cuda:{index}", uuids[index]) for index in (0, 1)]


def test_the_users_own_variable_numbers_what_is_left(uuids: list[str], tmp_path: Path) -> None:
    result = ended(started(tmp_path, "cuda:0", "cudagraph-model", CUDA_VISIBLE_DEVICES="1"))
    assert where(result) == ("cuda:0", uuids[1])


def test_divided_layers_say_which_gpu_holds_what(uuids: list[str], tmp_path: Path) -> None:
    """Each rank half of the weights: what one was before they were divided was given back."""
    WAYS["tp"] = ("--mode", "eager", "--tensor-parallel", "2")
    result = ended(started(tmp_path, "auto", "tp"))
    parts = result["device"]["vram_process_by_gpu"]
    assert set(parts) == {"0", "1"}
    assert sum(parts.values()) == result["device"]["vram_process"]
    assert max(parts.values()) < 1.2 * min(parts.values())
