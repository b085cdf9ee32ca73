"""Tuning sessions for tests: begun in this process, steered, and watched by their events."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from support.runs import HANG_S

from infertui.config.schema import Config
from infertui.runner.control import EventEnvelope, TuningChanged
from infertui.runner.runner import Runner
from infertui.runner.tuning.state import TuningRequest, TuningStep, TuningView

Steering = Callable[[Runner, str], Awaitable[None]]


async def until(runner: Runner, name: str, holds: Callable[[TuningView], bool]) -> TuningView:
    """Wait until that holds of a session; how it is then. One that ends before that fails."""
    since = (snapshot := await runner.snapshot()).number
    for view in snapshot.tunings:
        if view.id == name and holds(view):
            return view
    async for told in runner.events(since):
        if isinstance(told, EventEnvelope):
            if not isinstance(told.event, TuningChanged) or told.event.tuning.id != name:
                continue
            view = told.event.tuning
        else:
            view = next(view for view in told.tunings if view.id == name)
        if holds(view):
            return view
        assert view.status != "ended", f"it ended: {view.error or view.segments}"
    raise AssertionError("the runner ended")


async def measured(runner: Runner, name: str, batches: int = 3) -> TuningView:
    """Wait until so many batches of the segment under way are measured."""
    while True:
        view = next(view for view in (await runner.snapshot()).tunings if view.id == name)
        if view.live is not None and view.live.batches >= batches and not view.wanted:
            return view
        assert view.status != "ended", f"it ended: {view.error or view.segments}"
        await asyncio.sleep(0.01)


def tune(
    config: Config,
    out: Path,
    *steps: dict[str, str],
    seconds: float = 1.0,
    until_clear: bool = False,
    most_seconds: float = 0.0,
    steer: Steering | None = None,
) -> TuningView:
    """A session by its steps, or as `steer` has it; how it ended."""
    request = TuningRequest(
        config, str(out), seconds=seconds if steps else 0.0, until_clear=until_clear,
        most_seconds=most_seconds,
        steps=tuple(TuningStep(step) for step in steps),
    )  # fmt: skip
    return asyncio.run(_played(request, steer))


def go_on(config: Config, out: Path, name: str, steer: Steering | None = None) -> TuningView:
    """Continue a session; how it ended."""
    return asyncio.run(_played(TuningRequest(config, str(out), continues=name), steer))


async def _played(request: TuningRequest, steer: Steering | None) -> TuningView:
    async with asyncio.timeout(HANG_S), Runner() as runner:
        name = await runner.begin_tuning(request)
        if steer is not None:
            await steer(runner, name)
            await runner.end_tuning(name)
        return await until(runner, name, lambda view: view.status == "ended")
