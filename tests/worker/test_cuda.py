"""What only a real GPU shows: out-of-memory, and that nothing is left on it."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.workers import measure, play, started

from infertui.config.schema import DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.targets.engine.base import Loaded, LoadRequest
from infertui.telemetry.nvml import Nvml
from infertui.telemetry.visible import by_uuid
from infertui.worker.failure import WorkerError
from infertui.worker.process import WorkerProcess
from infertui.worker.protocol import LoadDone, LoadModel, Measure

pytestmark = pytest.mark.gpu
MIB = 1 << 20


@pytest.fixture
def nvml() -> Iterator[Nvml]:
    opened = Nvml.open()
    yield opened
    opened.close()


async def load_on_gpu(worker: WorkerProcess, model: str) -> Loaded:
    request = LoadRequest(ModelConfig(id=model), EngineConfig(dtype="float16"), DeviceConfig(name="cuda"))
    events = [event async for event in worker.load(LoadModel(request), timeout_s=300)]
    last = events[-1]
    assert isinstance(last, LoadDone)
    return last.loaded


def used(nvml: Nvml, uuid: str) -> int:
    gpu = by_uuid(uuid, nvml.devices())
    assert gpu is not None
    memory = nvml.sample(gpu).memory_used
    assert memory is not None
    return memory


def test_the_uuid_that_torch_reports_is_one_of_nvml(tmp_path: Path, nvml: Nvml) -> None:
    async def scenario() -> None:
        async with started(tmp_path / "log") as worker:
            loaded = await load_on_gpu(worker, "synthetic:nano")
            gpu = by_uuid(loaded.device_uuid, nvml.devices())
            assert gpu is not None
            assert gpu.name == loaded.device_name
            processes = nvml.processes(gpu)
            assert processes is None or any(os.getpgid(entry.pid) == worker.pid for entry in processes)

    play(scenario())


def test_running_out_of_gpu_memory_is_told_with_figures(tmp_path: Path) -> None:
    async def scenario() -> WorkerError:
        async with started(tmp_path / "log", PYTORCH_CUDA_ALLOC_CONF="") as worker:
            await load_on_gpu(worker, "synthetic:gpt2-124m")
            workload = WorkloadConfig(batch_size=60_000, input_len=900, output_len=4, prompts="random")
            with pytest.raises(WorkerError) as caught:
                await measure(worker, Measure(workload, MeasurementConfig(warmup=0), (), 1))
            return caught.value

    error = play(scenario())
    assert error.kind == "out-of-memory"
    assert error.details["where"] == "GPU"
    assert "asked for" in error.details


@pytest.mark.parametrize("end", ["close", "kill"])
def test_nothing_is_left_on_the_gpu(tmp_path: Path, nvml: Nvml, end: str) -> None:
    async def scenario() -> tuple[str, int, int]:
        async with started(tmp_path / "log") as worker:
            before = used(nvml, nvml.devices()[0].uuid)
            loaded = await load_on_gpu(worker, "synthetic:gpt2-124m")
            during = used(nvml, loaded.device_uuid)
            if end == "kill":
                os.kill(worker.pid, signal.SIGKILL)
            return loaded.device_uuid, before, during

    uuid, before, during = play(scenario())
    assert during > before + 200 * MIB
    deadline = time.monotonic() + 20
    while used(nvml, uuid) > before + 64 * MIB:
        assert time.monotonic() < deadline, "memory is still held"
        time.sleep(0.05)
