"""The Runner: owns the runs, the worker, the telemetry and the store; everything else watches its events."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from infertui.config.sweep import Variant
from infertui.gpu.readings import Sample
from infertui.gpu.sampler import Sampler
from infertui.runner.events import AnyRunEvent
from infertui.runner.execution import Execution
from infertui.runner.idle import IdlePower
from infertui.runner.patience import bounded, undisturbed
from infertui.runner.workers import WorkerSlot
from infertui.store.result import Result
from infertui.store.runs import Store

READY_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 2.0


class Runner:
    """Runs variants one after another. Use as an async context manager: leaving it leaves no process behind."""

    def __init__(self, store: Store, *, on_event: Callable[[AnyRunEvent], None]) -> None:
        """`on_event` is called on the event loop, in order."""
        self._store = store
        self._on_event = on_event
        self._slot = WorkerSlot()
        self._execution: Execution | None = None
        self._idle = IdlePower()
        self._loop: asyncio.AbstractEventLoop
        self._sampler = Sampler(on_sample=self._from_sampler_thread)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._sampler.start()
        await bounded(lambda: self._sampler.wait_ready(READY_TIMEOUT_S), READY_TIMEOUT_S)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await undisturbed(self._slot.clear())
        await undisturbed(bounded(lambda: self._sampler.stop(STOP_TIMEOUT_S), STOP_TIMEOUT_S))

    async def run_all(self, variants: Sequence[Variant]) -> list[Result]:
        """Run the variants in order. A failed one does not stop the rest; cancellation does, after its run is kept."""
        results = []
        for number, variant in enumerate(variants, start=1):
            self._execution = Execution(
                variant,
                store=self._store,
                sampler=self._sampler,
                slot=self._slot,
                emit=self._on_event,
                number=number,
                total=len(variants),
                idle=self._idle,
            )
            try:
                results.append(await self._execution.run())
            finally:
                self._execution = None
        return results

    def _from_sampler_thread(self, sample: Sample) -> None:
        self._loop.call_soon_threadsafe(self._on_sample, sample)

    def _on_sample(self, sample: Sample) -> None:
        if self._slot.current is None:
            self._idle.add(sample, self._sampler.gpus)
        if self._execution:
            self._execution.sampled(sample)
