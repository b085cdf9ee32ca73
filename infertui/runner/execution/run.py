"""One run, from its folder to its line in the index: prepared, measured, finished."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec.structs import replace

from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.config.toml import write
from infertui.errors import StoreError
from infertui.measure.summary import summarise
from infertui.measure.validity import Verdict
from infertui.results.result import Result
from infertui.results.runs import Begun, Store
from infertui.runner.blocking import call_with_timeout, finish_despite_cancel
from infertui.runner.events import AnyRunEvent, RunFinished, RunStarted, Sampled
from infertui.runner.execution.fingerprint import fingerprint
from infertui.runner.execution.finishing import keep, result_of, state_of
from infertui.runner.execution.loading import WorkerSlot
from infertui.runner.execution.measuring import Measurement
from infertui.runner.execution.preparing import Preparation, what_to_measure
from infertui.runner.execution.quality import QualityGuard
from infertui.runner.execution.reporter import RunReporter
from infertui.runner.idle import IdlePower
from infertui.runner.peaks import KnownLimits, look_up
from infertui.runner.telemetry import SampleRates
from infertui.telemetry.readings import Sample
from infertui.telemetry.sampler import Sampler
from infertui.worker.protocol import BatchDone, Measure

MANY_BATCHES = 1000
LOOK_UP_S = 5.0


class Execution:
    """Executes one variant, once. Raises StoreError when not even its folder can be made."""

    def __init__(
        self,
        variant: Variant,
        *,
        store: Store,
        sampler: Sampler,
        rates: SampleRates,
        slot: WorkerSlot,
        emit: Callable[[AnyRunEvent], None],
        number: int,
        total: int,
        idle: IdlePower,
        make_room: Callable[[], Awaitable[None]],
    ) -> None:
        config = self._config = variant.config
        self._store = store
        self._sampler = sampler
        self._slot = slot
        self._idle = idle
        self._number, self._total = number, total
        marks = fingerprint(config, sampler.gpus)
        started, name = datetime.now().astimezone(), variant.name or _default_name(config)
        self._folder = store.create_run(name, started)
        self._reporter = RunReporter(self._folder.id, emit)
        self._preparation = Preparation(
            config, sampler=sampler, rates=rates, slot=slot, idle=idle, make_room=make_room,
            reporter=self._reporter, log=self._folder.log,
        )  # fmt: skip
        self._measurement = Measurement(
            self._folder, sampler=sampler, rates=rates, sample_hz=config.measurement.sample_hz, reporter=self._reporter
        )
        self._quality = QualityGuard(config, store)
        self._begun = Result(
            id=self._folder.id,
            name=name,
            state="finished",
            started=started.isoformat(timespec="milliseconds"),
            config=config,
            fingerprint=marks,
            verdict=Verdict(),
            summary=summarise([]),
            phases={},
            sample_hz=config.measurement.sample_hz,
            bench=variant.place,
        )
        """The run as far as it is known without being measured."""
        self._known = KnownLimits()
        self.ended_by = ""
        """Who or what cancels it, told before that."""
        self._full: StoreError | None = None
        self._over = False
        self._task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """The run's id."""
        return self._folder.id

    async def run(self) -> Result:
        """Execute, and return the result: `interrupted` when this was cancelled, however often."""
        self._task = asyncio.current_task()
        ended: BaseException | None = None
        try:
            await self._execute()
        except (asyncio.CancelledError, Exception) as reason:  # noqa: BLE001 (a bug of ours must not lose a run either)
            ended = reason
        self._task = None
        self._reporter.end(time.monotonic_ns())
        return await finish_despite_cancel(self._finish(ended))

    def sampled(self, sample: Sample) -> None:
        """Take a telemetry sample; called on the event loop."""
        if self._full or self._over:
            return
        try:
            self._folder.telemetry.append(sample)
        except StoreError as error:
            self._full = error
            if self._task:
                self._task.cancel()
            return
        self._reporter.emit(Sampled(self._folder.id, sample))

    async def _execute(self) -> None:
        config, begun, measured = self._config, self._begun, self._measurement
        self._folder.write_config(write(config))
        self._folder.write_begun(Begun(begun.name, begun.started, config, begun.fingerprint))
        command = await what_to_measure(config)
        await self._quality.ready()
        self._tell_of(command)
        deadline = _deadline(config.measurement.total_timeout_s)
        ready = await self._preparation.worker_for(command.prompts, deadline)
        self._begun = begun = replace(begun, loaded=ready.loaded)
        self._known = (
            await call_with_timeout(lambda: look_up(config, ready.loaded, begun.fingerprint), LOOK_UP_S)
            or KnownLimits()
        )
        several = ready.gpus if len(ready.gpus) > 1 else ()
        measured.telemetry.device_is(ready.loaded, several, self._idle.degrees())
        loading_s = self._reporter.seconds.get("load", 0.0)
        async for event in ready.worker.measure(command, deadline=deadline, loading_s=loading_s):
            await measured.take(ready.worker, event)
        reusable = True
        if measured.good:
            so_far = replace(begun, effective=measured.effective)
            reusable = await self._quality.score(ready.worker, ready.loaded, deadline, self._reporter)
            reusable = reusable and await self._quality.look_closer(ready.worker, so_far)
        if config.measurement.fresh_process or not reusable:
            await self._slot.clear()

    def _tell_of(self, command: Measure) -> None:
        self._reporter.emit(
            RunStarted(
                self._folder.id,
                name=self._begun.name,
                folder=str(self._folder.path),
                number=self._number,
                total=self._total,
                wanted=command.iterations,
                output_len=command.workload.output_len,
                batch_size=command.workload.batch_size,
                min_seconds=command.measurement.min_seconds,
            )
        )

    async def _finish(self, ended: BaseException | None) -> Result:
        """Settle the worker, sum up, keep. Nothing here waits for longer than a few seconds.

        Summing up does not wait: it computes, for a million batches half a minute, and events go on meanwhile.
        """
        measured, reporter = self._measurement, self._reporter
        if ended:
            await self._settle()
        await measured.ended()
        state, error = state_of(self._full or ended, measured, scored=self._quality.scoring, ended_by=self.ended_by)
        for fault in self._sampler.faults:
            reporter.note("warning", fault.message)
        ended_by = self.ended_by if state == "interrupted" else ""
        begun = replace(self._begun, state=state, error=error, ended_by=ended_by, phases=dict(reporter.seconds))
        known, idle = self._known, self._idle.watts()
        if len(measured.batches) > MANY_BATCHES:
            result = await asyncio.to_thread(lambda: result_of(begun, measured, known=known, idle=idle))
        else:
            result = result_of(begun, measured, known=known, idle=idle)
        result = await self._quality.judged(result)
        if again := self._quality.resaid:
            text = f"{len(again)} earlier run(s) are held against this one now, which is nearer to the model: "
            reporter.note("info", text + ", ".join(again[:4]))
        kept = keep(result, self._folder, self._store, reporter)
        self._over = True  # samples go on coming until the runner takes notice
        reporter.emit(RunFinished(self._folder.id, result, kept))
        self._folder.close()
        return result

    async def _settle(self) -> None:
        """Stop the worker at once, keep the batches that it had finished, and let it go: what failed is not reused."""
        worker = self._slot.current
        if worker is not None:
            for event in await worker.cancel():
                if isinstance(event, BatchDone) and not self._full:
                    try:
                        self._measurement.take_batch(event.batch)
                    except StoreError as error:
                        self._full = error
        await self._slot.clear()


def _default_name(config: Config) -> str:
    return f"{config.model.id.rsplit('/', 1)[-1].removeprefix('synthetic:')} {config.engine.name}"


def _deadline(total_timeout_s: float) -> float | None:
    return time.monotonic() + total_timeout_s if total_timeout_s else None
