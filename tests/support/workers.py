"""Helpers for tests that drive a real worker process."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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
from infertui.worker.protocol import AnyEvent, LoadModel, Measure, Proceed, Ready

HANG_S = 60


def load_command(**simulator: Any) -> LoadModel:
    engine = EngineConfig(name="simulator", simulator=SimulatorOptions(**simulator))
    return LoadModel(LoadRequest(ModelConfig(), engine, DeviceConfig()))


def measure_command(*, iterations: int = 3, batch_size: int = 1, output_len: int = 4, **measurement: Any) -> Measure:
    return Measure(
        WorkloadConfig(batch_size=batch_size, output_len=output_len),
        MeasurementConfig(**{"warmup": 1, **measurement}),
        ("one prompt", "another"),
        iterations,
    )


@asynccontextmanager
async def started(log: Path, **environment: str) -> AsyncIterator[WorkerProcess]:
    async with await WorkerProcess.spawn(log, {**os.environ, **environment}) as worker:
        await worker.hello()
        yield worker


async def load(worker: WorkerProcess, *, timeout_s: float = HANG_S, **simulator: Any) -> list[AnyEvent]:
    return [event async for event in worker.load(load_command(**simulator), timeout_s=timeout_s)]


async def measure(
    worker: WorkerProcess,
    command: Measure,
    *,
    deadline: float | None = None,
    on_event: Callable[[AnyEvent], Awaitable[None]] | None = None,
) -> list[AnyEvent]:
    events = []
    async for event in worker.measure(command, deadline=deadline):
        events.append(event)
        if isinstance(event, Ready):
            await worker.send(Proceed())
        if on_event:
            await on_event(event)
    return events


def play(scenario: Coroutine[Any, Any, Any]) -> Any:
    """Run a scenario to its end; one that hangs fails."""

    async def guarded() -> Any:
        async with asyncio.timeout(HANG_S):
            return await scenario

    return asyncio.run(guarded())
