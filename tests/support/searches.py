"""Searches for a capacity as entries of a runner's queue."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from infertui.config.endpoint import CapacityConfig, LoadConfig, TargetConfig
from infertui.config.schema import Config, WorkloadConfig
from infertui.config.sweep import Variant
from infertui.runner.control import Snapshot, Submission
from infertui.runner.runner import Runner
from infertui.runner.scheduling.queue_store import Entry

ENDED = ("finished", "failed", "cancelled", "interrupted", "skipped")


def asked(url: str, *, slo: str = "itl.mean<=10ms", **capacity: float) -> Config:
    return Config(
        target=TargetConfig(kind="endpoint", url=url, model="mock", api="openai-chat"),
        load=LoadConfig(slo=slo),
        workload=WorkloadConfig(prompts="random", input_len=8, output_len=8),
        capacity=CapacityConfig(by="concurrency", stay_s=1.0, **{"start": 4.0, "most": 16.0, **capacity}),  # type: ignore[arg-type]
    )


async def until(runner: Runner, true: Callable[[Snapshot], bool]) -> Snapshot:
    async with asyncio.timeout(60):
        async for _ in runner.events(0):
            if true(now := await runner.snapshot()):
                return now
    raise AssertionError("the runner ended")


def entry_of(now: Snapshot, number: int) -> Entry:
    return next(entry for entry in now.entries if entry.id == number)


def queued(config: Config, out: Path) -> Submission:
    return Submission("capacity", (Variant("", config, {}),), str(out))
