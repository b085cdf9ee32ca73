"""One run, from its folder to its line in the index: executed as its kind is, and finished as all are."""

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
from infertui.runner.blocking import finish_despite_cancel
from infertui.runner.endpoint.load_run import EndpointRun
from infertui.runner.events import AnyRunEvent, RunFinished, Sampled
from infertui.runner.execution.engine_run import EngineRun
from infertui.runner.execution.fingerprint import fingerprint
from infertui.runner.execution.finishing import keep, state_of
from infertui.runner.execution.kind import ConcludedError, LeftAtWork, RunContext, RunKind
from infertui.runner.execution.loading import WorkerSlot
from infertui.runner.execution.reporter import RunReporter
from infertui.runner.idle import IdlePower
from infertui.runner.telemetry import SampleRates
from infertui.telemetry.readings import Sample
from infertui.telemetry.sampler import Sampler

CONCLUDED = "it was ended before it measured"
KINDS: dict[str, Callable[[Result, RunContext], RunKind]] = {"engine": EngineRun, "endpoint": EndpointRun}


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
        left: LeftAtWork | None = None,
    ) -> None:
        config = self._config = variant.config
        self._store = store
        self._sampler = sampler
        marks = fingerprint(config, sampler.gpus)
        started, name = datetime.now().astimezone(), variant.name or _default_name(config)
        self._folder = store.create_run(name, started)
        self._reporter = RunReporter(self._folder.id, emit)
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
        context = RunContext(
            folder=self._folder,
            store=store,
            sampler=sampler,
            rates=rates,
            slot=slot,
            idle=idle,
            make_room=make_room,
            reporter=self._reporter,
            number=number,
            total=total,
            left=left,
        )
        self._kind = KINDS[config.target.kind](self._begun, context)
        self.ended_by = ""
        """Who or what cancels it, told before that."""
        self._full: StoreError | None = None
        self._over = False
        self._task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """The run's id."""
        return self._folder.id

    def conclude(self) -> None:
        """Let measuring end at the next boundary, with all that was measured; without any it is `interrupted`. What is
        loaded stays so."""
        self._kind.conclude()

    def rates(self) -> tuple[float, ...]:
        """As of its kind."""
        return self._kind.rates()

    async def run(self) -> Result:
        """Execute, and return the result: `interrupted` when this was cancelled, however often."""
        self._task = asyncio.current_task()
        ended: BaseException | None = None
        try:
            begun = self._begun
            self._folder.write_config(write(self._config))
            self._folder.write_begun(Begun(begun.name, begun.started, self._config, begun.fingerprint))
            await self._kind.execute()
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

    async def _finish(self, ended: BaseException | None) -> Result:
        """Settle what runs, sum up, keep. Nothing here waits for longer than a few seconds.

        Summing up does not wait: it computes, for a million batches half a minute, and events go on meanwhile.
        """
        kind, reporter = self._kind, self._reporter
        if isinstance(ended, ConcludedError):
            ended, self.ended_by = asyncio.CancelledError(), self.ended_by or CONCLUDED
        elif ended:
            self._full = await kind.settle() or self._full
        await kind.ended()
        state, error = state_of(
            self._full or ended, failure=kind.failure, complete=kind.complete, ended_by=self.ended_by
        )
        for fault in self._sampler.faults:
            reporter.note("warning", fault.message)
        ended_by = self.ended_by if state == "interrupted" else ""
        begun = replace(self._begun, state=state, error=error, ended_by=ended_by, phases=dict(reporter.seconds))
        result = await asyncio.to_thread(lambda: kind.result(begun)) if kind.heavy else kind.result(begun)
        result = await kind.judged(result)
        kept = keep(result, self._folder, self._store, reporter)
        self._over = True  # samples go on coming until the runner takes notice
        reporter.emit(RunFinished(self._folder.id, result, kept))
        self._folder.close()
        return result


def _default_name(config: Config) -> str:
    if config.target.kind == "endpoint":
        return " ".join(part for part in (config.target.model.rsplit("/", 1)[-1], "load") if part)
    return f"{config.model.id.rsplit('/', 1)[-1].removeprefix('synthetic:')} {config.engine.name}"
