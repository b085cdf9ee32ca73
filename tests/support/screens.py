"""The application over a runner in memory, for tests through Pilot."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from support.fake_control import FACTS, FakeControl
from textual.pilot import Pilot

from infertui.config.schema import Config
from infertui.runner.control import RunnerApi
from infertui.runner.events import PhaseEntered, RunStarted
from infertui.runner.execution.progress import RunProgress
from infertui.runner.scheduling.queue_store import Entry, EntryState
from infertui.targets.engine.base import Probe
from infertui.telemetry.readings import GpuInfo, GpuSample, HostFacts, HostSample, Sample
from infertui.tui.app import InfertuiApp
from infertui.tui.settings.stored import Settings
from infertui.tui.terminal.capabilities import Terminal

STAMP = "2026-01-01T00:00:00+00:00"
TERMINAL = Terminal(
    ascii_only=False, colours="truecolour", over_ssh=False, multiplexer="", stdin_is_terminal=True,
    stdout_is_terminal=True, stderr_is_terminal=True,
)  # fmt: skip


def entry(number: int, state: EntryState = "queued", **more: Any) -> Entry:
    run = f"run{number}" if state != "queued" else ""
    values: dict[str, Any] = {"group": 1, "title": "sweep", "name": f"bs={number}", "run": run, "lane": "gpu0"} | more
    return Entry(id=number, config=Config(), out="/reports", submitted=STAMP, state=state, **values)


def sample(gpus: int, t_ns: int = 1) -> Sample:
    readings = tuple(
        GpuSample(
            index=i, uuid=f"GPU-{i}", utilization=50.0 + i, memory_used=1 << 30, power_w=100.0, temperature_c=50.0
        )
        for i in range(gpus)
    )
    return Sample(t_ns, readings, HostSample(cpu_percent=10.0, memory_used=1 << 30, memory_total=8 << 30))


def machine(*, gpus: int = 2, entries: tuple[Entry, ...] = (), paused: bool = False) -> FakeControl:
    """A runner with so many GPUs and these entries; those that run are in their measuring phase."""
    infos = tuple(GpuInfo(index=i, uuid=f"GPU-{i}", name="NVIDIA H100", memory_total=80 << 30) for i in range(gpus))
    facts = replace(
        FACTS,
        host=HostFacts(hostname="gpu-box", kernel="6"),
        gpus=infos,
        gpus_unavailable="" if gpus else "no driver",
        engines=(Probe("transformers", True, "ready"), Probe("vllm", False, "vllm is not installed")),
    )
    fake = FakeControl(facts=facts)
    progress = {}
    for one in entries:
        if one.state == "running":
            progress[one.run] = RunProgress()
            progress[one.run].take(
                RunStarted(
                    run=one.run,
                    name=one.name,
                    folder="/r",
                    number=1,
                    total=1,
                    wanted=10,
                    output_len=8,
                    batch_size=1,
                )
            )
            progress[one.run].take(PhaseEntered(run=one.run, t_ns=0, phase="measure"))
    fake.told = replace(
        fake.told, entries=entries, paused=paused, progress=progress, samples=(sample(gpus, 1), sample(gpus, 2))
    )
    return fake


def app_over(fake: RunnerApi | None, tmp_path: Path, **more: Any) -> InfertuiApp:
    """The application, connected to `fake`; None: to nothing, for ever."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[RunnerApi]:
        if fake is None:
            await asyncio.Event().wait()
        assert fake is not None
        yield fake

    given: dict[str, Any] = {
        "terminal": TERMINAL,
        "settings": Settings(),
        "environ": {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_STATE_HOME": str(tmp_path)},
    }
    return InfertuiApp(connect, out=tmp_path / "reports", **(given | more))


def drive(
    app: InfertuiApp, steps: Callable[[Pilot[None]], Awaitable[None]], *, size: tuple[int, int] = (120, 40),
    linked: bool = True,
) -> None:  # fmt: skip
    """Run the application without a terminal, and `steps` once its panes are there and (`linked`) it is connected."""

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            async with asyncio.timeout(30):
                await app.furnished.wait()
                if linked:
                    await app.linked.wait()
            await pilot.pause()
            app.draw_all()
            await pilot.pause()
            await steps(pilot)

    asyncio.run(go())


def text_of(app: InfertuiApp) -> str:
    """What is on the screen now, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)
