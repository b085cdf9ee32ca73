"""Helpers for tests that drive real load generators."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import WorkloadConfig
from infertui.measure.records import Request
from infertui.worker.loadgen.clients import LoadClients
from infertui.worker.loadgen.protocol import (
    AnyClientEvent,
    ClientDone,
    LoadAdjusted,
    LoadSnapshot,
    PreparePart,
    RequestsDone,
)


def part_command(
    url: str, *, count: int = 0, tokens: int = 6, target: dict[str, Any] | None = None, **load: Any
) -> PreparePart:
    """A load of short random prompts in the dialect of chat completions; `count` requests, 0: without end."""
    return PreparePart(
        target=TargetConfig(kind="endpoint", url=url, **(target or {})),
        load=LoadConfig(**load),
        workload=WorkloadConfig(input_len=4, output_len=tokens, num_prompts=count),
        api="openai-chat",
        model="mock",
    )


@dataclass
class Told:
    """What load generators told."""

    requests: list[Request] = field(default_factory=list)
    snapshots: list[LoadSnapshot] = field(default_factory=list)
    adjusted: list[LoadAdjusted] = field(default_factory=list)
    done: list[ClientDone] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def kinds(self) -> list[str]:
        """The classes of all ends, none for those in order."""
        return [request.error_kind for request in self.requests]

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait, while another task listens, until something holds."""
        async with self.changed:
            await self.changed.wait_for(true)

    async def hear(self, event: AnyClientEvent) -> None:
        if isinstance(event, RequestsDone):
            self.requests.extend(event.requests)
        elif isinstance(event, LoadSnapshot):
            self.snapshots.append(event)
        elif isinstance(event, LoadAdjusted):
            self.adjusted.append(event)
        elif isinstance(event, ClientDone):
            self.done.append(event)
        async with self.changed:
            self.changed.notify_all()


@asynccontextmanager
async def clients(log: Path, *, parts: int = 1, key: str = "") -> AsyncIterator[LoadClients]:
    async with await LoadClients.spawn(log / "load.log", dict(os.environ), parts=parts, key=key) as spawned:
        yield spawned


async def listen(spawned: LoadClients, told: Told, *, until: Callable[[], bool] = lambda: False) -> None:
    """Hear what they tell, until something holds or all are done."""
    async for _, event in spawned.events():
        await told.hear(event)
        if until():
            return


async def load(log: Path, command: PreparePart, *, parts: int = 1, spread_s: float = 0.0, key: str = "") -> Told:
    """A whole load, to the end of its plan."""
    told = Told()
    async with clients(log, parts=parts, key=key) as spawned:
        await spawned.prepare(command)
        await spawned.start(spread_s=spread_s)
        await listen(spawned, told)
    return told
