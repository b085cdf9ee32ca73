"""A run of an engine in a worker: loaded, measured batch by batch, scored."""

import asyncio
import time

from msgspec.structs import replace

from infertui.errors import StoreError
from infertui.results.result import Result
from infertui.runner.blocking import call_with_timeout
from infertui.runner.events import RunStarted
from infertui.runner.execution.finishing import result_of
from infertui.runner.execution.kind import ConcludedError, RunContext
from infertui.runner.execution.measuring import Measurement
from infertui.runner.execution.preparing import Preparation, what_to_measure
from infertui.runner.execution.quality import QualityGuard
from infertui.runner.peaks import KnownLimits, look_up
from infertui.worker.failure import WorkerError
from infertui.worker.process import WorkerProcess
from infertui.worker.protocol import BatchDone, Conclude, Measure

MANY_BATCHES = 1000
LOOK_UP_S = 5.0


class EngineRun:
    """One run. `begun` is the run as far as it is known without being measured."""

    def __init__(self, begun: Result, context: RunContext) -> None:
        config = self._config = begun.own_config
        self._begun = begun
        self._context = context
        self._reporter = context.reporter
        self._preparation = Preparation(
            config, sampler=context.sampler, rates=context.rates, slot=context.slot, idle=context.idle,
            make_room=context.make_room, reporter=context.reporter, log=context.folder.log,
            adapts=context.adapts,
        )  # fmt: skip
        self._measurement = Measurement(
            context.folder,
            sampler=context.sampler,
            rates=context.rates,
            sample_hz=config.measurement.sample_hz,
            reporter=context.reporter,
        )
        self._quality = QualityGuard(config, context.store)
        self._known = KnownLimits()
        self._concluding = asyncio.Event()

    def conclude(self) -> None:
        self._concluding.set()

    async def execute(self) -> None:
        config, measured = self._config, self._measurement
        command = await what_to_measure(config)
        await self._quality.ready()
        self._tell_of(command)
        deadline = _deadline(config.measurement.total_timeout_s)
        ready = await self._preparation.worker_for(command.prompts, deadline)
        self._begun = begun = replace(self._begun, loaded=ready.loaded)
        self._known = (
            await call_with_timeout(lambda: look_up(config, ready.loaded, begun.fingerprint), LOOK_UP_S)
            or KnownLimits()
        )
        several = ready.gpus if len(ready.gpus) > 1 else ()
        measured.telemetry.device_is(ready.loaded, several, self._context.idle.degrees())
        await self._measure(ready.worker, command, deadline)
        reusable = True
        if measured.good:
            so_far = replace(begun, effective=measured.effective)
            reusable = await self._quality.score(ready.worker, ready.loaded, deadline, self._reporter)
            reusable = reusable and await self._quality.look_closer(ready.worker, so_far)
        if config.measurement.fresh_process or not reusable:
            await self._context.slot.clear()

    async def _measure(self, worker: WorkerProcess, command: Measure, deadline: float | None) -> None:
        """Raises ConcludedError where it was to end before it measured, and WorkerError."""
        if self._concluding.is_set():
            raise ConcludedError
        told, loading_s = False, self._reporter.seconds.get("load", 0.0)
        try:
            async for event in worker.measure(command, deadline=deadline, loading_s=loading_s):
                await self._measurement.take(worker, event)
                if self._concluding.is_set() and not told:  # not before `Measure` was sent: a heartbeat comes soon
                    told = True
                    await worker.send(Conclude())
        except WorkerError as error:
            if told and error.kind == "cancelled":
                raise ConcludedError from error
            raise

    def rates(self) -> tuple[float, ...]:
        return ()

    async def settle(self) -> StoreError | None:
        """Stop the worker at once, keep the batches that it had finished, and let it go: what failed is not reused."""
        full: StoreError | None = None
        worker = self._context.slot.current
        if worker is not None:
            for event in await worker.cancel():
                if isinstance(event, BatchDone) and not full:
                    try:
                        self._measurement.take_batch(event.batch)
                    except StoreError as error:
                        full = error
        await self._context.slot.clear()
        return full

    async def ended(self) -> None:
        await self._measurement.ended()

    @property
    def complete(self) -> bool:
        return self._quality.scoring

    @property
    def failure(self) -> str:
        measured = self._measurement
        return f"every batch failed: {measured.batches[0].error}" if measured.batches and not measured.good else ""

    @property
    def heavy(self) -> bool:
        return len(self._measurement.batches) > MANY_BATCHES

    def result(self, begun: Result) -> Result:
        begun = replace(begun, loaded=self._begun.loaded)
        return result_of(begun, self._measurement, known=self._known, idle=self._context.idle.watts())

    async def judged(self, result: Result) -> Result:
        result = await self._quality.judged(result)
        if again := self._quality.resaid:
            text = f"{len(again)} earlier run(s) are held against this one now, which is nearer to the model: "
            self._reporter.note("info", text + ", ".join(again[:4]))
        return result

    def _tell_of(self, command: Measure) -> None:
        self._reporter.emit(
            RunStarted(
                self._begun.id,
                name=self._begun.name,
                folder=str(self._context.folder.path),
                number=self._context.number,
                total=self._context.total,
                wanted=command.iterations,
                output_len=command.workload.output_len,
                batch_size=command.workload.batch_size,
                min_seconds=command.measurement.min_seconds,
            )
        )


def _deadline(total_timeout_s: float) -> float | None:
    return time.monotonic() + total_timeout_s if total_timeout_s else None
