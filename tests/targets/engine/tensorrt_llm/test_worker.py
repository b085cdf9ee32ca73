"""The engine where it lives: in a worker process, whose output is the log that it looks at."""

import os
from pathlib import Path
from typing import Any

import pytest
from support import trtllm, workers

from infertui.config.schema import DeviceConfig, EngineConfig, ModelConfig
from infertui.targets.engine.base import Capacity, LoadRequest
from infertui.worker.failure import WorkerError
from infertui.worker.protocol import BatchDone, LoadDone, LoadModel, MeasureDone

# There is no GPU where tests run: NVML's answer is put in its place, and nothing else.
SITE = """
import sys
sys.path.append({tests!r})
from support import trtllm
from infertui.targets.engine import gpus
gpus.read = lambda: trtllm.H200
"""


def environment(folder: Path, **does: Any) -> dict[str, str]:
    site = folder / "site"
    trtllm.write(site, **does)
    (site / "sitecustomize.py").write_text(SITE.format(tests=str(Path(__file__).parents[3])))
    (folder / "libmpi.so.40").touch()
    return {"PYTHONPATH": f"{site}:{os.environ.get('PYTHONPATH', '')}", "LD_LIBRARY_PATH": str(folder)}


def command(**engine: Any) -> LoadModel:
    return LoadModel(
        LoadRequest(
            ModelConfig(),
            EngineConfig(name="tensorrt-llm", **engine),
            DeviceConfig(),
            capacity=Capacity(sequences=2, prompt_tokens=16, output_tokens=8),
        )
    )


def test_a_worker_loads_measures_and_finds_its_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with workers.started(tmp_path / "log", **environment(tmp_path)) as worker:
            events = [event async for event in worker.load(command(mode="cudagraph"), timeout_s=workers.HANG_S)]
            loaded = events[-1]
            assert isinstance(loaded, LoadDone)
            assert loaded.loaded.memory_policy.endswith("512 MiB, reserved at load")
            measured = await workers.measure(worker, workers.measure_command(batch_size=2, output_len=8))
            batches = [event.batch for event in measured if isinstance(event, BatchDone)]
            assert all([part.tokens for part in batch.requests] == [8, 8] for batch in batches)
            assert not any(batch.error for batch in batches)
            assert isinstance(measured[-1], MeasureDone)

    workers.play(scenario())


def test_an_option_that_is_not_in_force_ends_the_run(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with workers.started(tmp_path / "log", **environment(tmp_path, no_capture=True)) as worker:
            async for _ in worker.load(command(mode="cudagraph"), timeout_s=workers.HANG_S):
                pass
            with pytest.raises(WorkerError, match=r"mode = cudagraph was asked of tensorrt-llm, but eager"):
                await workers.measure(worker, workers.measure_command(batch_size=2, output_len=8))

    workers.play(scenario())
