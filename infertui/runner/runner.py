"""The Runner: owns the runs, the worker, the telemetry and the store; everything else watches its events."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from infertui.config.sweep import Variant
from infertui.gpu.readings import Sample
from infertui.gpu.sampler import Sampler
from infertui.runner.events import AnyRunEvent
from infertui.runner.execution import Execution
from infertui.runner.telemetry import power_of
from infertui.runner.workers import WorkerSlot
from infertui.store.result import Result
from infertui.store.runs import Store

IDLE_HZ = 10.0
IDLE_SAMPLES = 4
IDLE_TIMEOUT_S = 5.0


class Runner:
    """Runs variants one after another. Use as an async context manager: leaving it leaves no process behind."""

    def __init__(self, store: Store, *, on_event: Callable[[AnyRunEvent], None]) -> None:
        """`on_event` is called on the event loop, in order."""
        self._store = store
        self._on_event = on_event
        self._slot = WorkerSlot()
        self._execution: Execution | None = None
        self._idle_power: dict[str, float] = {}
        self._sampled = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._sampler = Sampler(on_sample=self._from_sampler_thread)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._sampler.start()
        await asyncio.to_thread(self._sampler.wait_ready, IDLE_TIMEOUT_S)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._slot.clear()
        await asyncio.to_thread(self._sampler.stop)

    async def run_all(self, variants: Sequence[Variant]) -> list[Result]:
        """Run the variants in order. A failed one does not stop the rest; cancellation does, after its run is kept."""
        results = []
        for number, variant in enumerate(variants, start=1):
            if self._slot.current is None:
                await self._observe_idle()
            self._execution = Execution(
                variant,
                store=self._store,
                sampler=self._sampler,
                slot=self._slot,
                emit=self._on_event,
                number=number,
                total=len(variants),
                idle_power=self._idle_power,
            )
            try:
                results.append(await self._execution.run())
            finally:
                self._execution = None
        return results

    async def _observe_idle(self) -> None:
        """Read the power of all devices while no worker of ours lives."""
        samples: list[Sample] = []
        self._sampler.set_rate(IDLE_HZ)
        try:
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                while len(samples) < IDLE_SAMPLES:
                    self._sampled.clear()
                    await self._sampled.wait()
                    if latest := self._sampler.latest:
                        samples.append(latest)
        except TimeoutError:
            return  # the driver hangs: no idle power, and the run's own telemetry will say why
        for gpu in (*self._sampler.gpus, None):
            watts = [value for sample in samples if (value := power_of(sample, gpu)) is not None]
            if watts:
                self._idle_power[gpu.uuid if gpu else ""] = sum(watts) / len(watts)

    def _from_sampler_thread(self, sample: Sample) -> None:
        self._loop.call_soon_threadsafe(self._on_sample, sample)

    def _on_sample(self, sample: Sample) -> None:
        self._sampled.set()
        if self._execution:
            self._execution.sampled(sample)
