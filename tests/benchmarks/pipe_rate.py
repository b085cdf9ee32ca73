"""Messages per second from a worker to its parent, through the real pipe, encoder and decoder.

python tests/benchmarks/pipe_rate.py [MESSAGES]
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from infertui.config.engines.simulator import SimulatorOptions
from infertui.config.schema import (
    DeviceConfig,
    EngineConfig,
    MeasurementConfig,
    ModelConfig,
    WorkloadConfig,
)
from infertui.targets.engine.base import LoadRequest
from infertui.worker.process import WorkerProcess
from infertui.worker.protocol import BatchDone, LoadModel, Measure, Proceed, Ready


async def main(messages: int) -> None:
    """Time batches of one token on the virtual clock: each is one message and little else."""
    with tempfile.TemporaryDirectory() as folder:
        async with await WorkerProcess.spawn(Path(folder) / "log", os.environ) as worker:
            await worker.hello()
            engine = EngineConfig(name="simulator", simulator=SimulatorOptions(virtual_time=True))
            async for _ in worker.load(LoadModel(LoadRequest(ModelConfig(), engine, DeviceConfig())), timeout_s=60):
                pass
            command = Measure(WorkloadConfig(output_len=2), MeasurementConfig(warmup=0), ("a prompt",), messages)
            seen, start = 0, 0.0
            async for event in worker.measure(command, deadline=None):
                if isinstance(event, Ready):
                    start = time.perf_counter()
                    await worker.send(Proceed())
                seen += isinstance(event, BatchDone)
            seconds = time.perf_counter() - start
    print(f"{seen} messages in {seconds:.2f} s: {seen / seconds:,.0f} a second")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
