"""The Runner: owns the queue, the workers, the telemetry and the store; everything else watches its events."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import infertui
from infertui.analysis.bench import Bench
from infertui.analysis.capacity.plan import is_search
from infertui.analysis.decision.sweep_curve import SweepCurve
from infertui.analysis.offload.layers import chosen
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import InfertuiError, StoreError, UsageError
from infertui.measure.clock import NS_PER_S
from infertui.models.local import LocalModel, local_models
from infertui.results.details import RunDetails
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.results.table import ResultPage, ResultQuery
from infertui.runner.blocking import MODEL_S, call_with_timeout, finish_despite_cancel, run_blocking
from infertui.runner.capacity.host import CapacitySearches, going_on
from infertui.runner.capacity.operations import CapacityOperations
from infertui.runner.control import (
    PROTOCOL,
    AnyQueueEvent,
    Compared,
    EventEnvelope,
    Forecast,
    Measured,
    ResultsChanged,
    RunnerFacts,
    Snapshot,
    StudyBegun,
    StudyOutline,
    Submission,
)
from infertui.runner.events import AnyRunEvent, RunFinished, RunRefused, Sampled
from infertui.runner.execution.fingerprint import git_revision
from infertui.runner.execution.finishing import error_of
from infertui.runner.execution.progress import RunProgress
from infertui.runner.hooks import Hooks
from infertui.runner.hub import EventHub
from infertui.runner.offloading import TITLE, begun, outline_of
from infertui.runner.past.kept import Past, RunnerPast
from infertui.runner.pulls.host import PullOperations, Pulls
from infertui.runner.queries import Reports, abandonable, benched, compared, curves_of_runs, folder
from infertui.runner.recovery import REASON, recover
from infertui.runner.scheduling.forecasting import forecast_of
from infertui.runner.scheduling.placement import Placement, duration_of
from infertui.runner.scheduling.queue import Queue, accepted, accepted_variant, in_a_line, settled, stamp
from infertui.runner.scheduling.queue_store import Entry, EntryState, QueueStore
from infertui.runner.scheduling.scheduler import Dispatcher
from infertui.runner.scheduling.vetting import LIMIT_S, vetted
from infertui.runner.tuning.host import TuningSessions
from infertui.runner.tuning.operations import TuningOperations
from infertui.targets.engine.environments import probe_all, probe_known
from infertui.telemetry.gpu_settings import restore_left
from infertui.telemetry.host import host_facts
from infertui.telemetry.processes import owned
from infertui.telemetry.readings import GpuProcess, Sample
from infertui.telemetry.sampler import Sampler
from infertui.text import clean

READY_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 2.0
DRIVER_TIMEOUT_S = 2.0
RECOVERY_TIMEOUT_S = 10.0
KEEP_LOADED_S = 60.0
SHOWN_HZ = 4
"""Samples that watchers are told at most, a second; a run's telemetry has them all."""
HISTORY_SAMPLES = 180
"""Seconds of history that a snapshot holds."""


class Runner(TuningOperations, CapacityOperations, PullOperations):
    """The runner itself, in this process. Use as an async context manager: leaving it leaves no process behind.

    Runs start as soon as they are submitted, one at a time on a device. Whoever leaves while runs are under way
    interrupts them; what they measured is kept.
    """

    def __init__(
        self,
        queue: QueueStore | None = None,
        *,
        on_event: Callable[[AnyRunEvent], None] = lambda _: None,
        keep_loaded_s: float = KEEP_LOADED_S,
        cpu_exclusive: bool = True,
        hooks: Hooks | None = None,
    ) -> None:
        """`on_event` is called on the event loop, in order. Without `queue` nothing outlives the Runner.

        `keep_loaded_s` is how long a model stays loaded when nothing follows. With `cpu_exclusive` a run on the CPU
        has the machine to itself. `hooks` are told what has ended.
        """
        self._store = queue or QueueStore()
        self._on_event = on_event
        self._sampler = Sampler(on_sample=self._from_sampler_thread)
        self._placing = Placement(lambda: self._sampler.gpus, self._store.durations)
        self._queue = Queue(self._store, place=self._placing.placed, tell=self._tell)
        self._hub = EventHub(self._snapshot)
        self._reports = Reports()
        self._searches = CapacitySearches(self._sampler, emit=self._emit, tell=self._tell)
        self._dispatcher = Dispatcher(
            self._queue,
            sampler=self._sampler,
            emit=self._emit,
            searches=self._searches,
            ended=self._ended,
            keep_loaded_s=keep_loaded_s,
            cpu_exclusive=cpu_exclusive,
        )
        super().__init__(TuningSessions(self._dispatcher, self._sampler, self._tell))
        self._hooks = hooks or Hooks(tuple)
        self._hooks.fault = self._queue.fault
        self._pulls = Pulls(self._tell)
        self._progress: dict[str, RunProgress] = {}
        self._past = Past()
        self._shown_ns = 0
        self._looking = 0
        self._waited_for: dict[int, asyncio.Future[Result | None]] = {}
        self._facts: RunnerFacts | None = None
        self._loop: asyncio.AbstractEventLoop
        self.ended_by = "its runner was stopped"
        """What is said of the runs that are under way when this is left."""
        self.stopping = asyncio.Event()
        """Set when someone asked the runner to end; whoever hosts it then leaves."""

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._sampler.start()
        await asyncio.gather(
            call_with_timeout(lambda: self._sampler.wait_ready(READY_TIMEOUT_S), READY_TIMEOUT_S),
            call_with_timeout(git_revision, READY_TIMEOUT_S),  # it is remembered, and no run has to wait for it
            call_with_timeout(probe_all, READY_TIMEOUT_S),  # remembered, too
        )
        await self._take_up()
        for text in await call_with_timeout(restore_left, READY_TIMEOUT_S) or ():
            self._queue.fault(text)
        self._dispatcher.kick()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await finish_despite_cancel(self._pulls.close())
        await finish_despite_cancel(self._dispatcher.close(self.ended_by))
        await finish_despite_cancel(self._hooks.close())
        self._hub.close()
        await finish_despite_cancel(call_with_timeout(lambda: self._sampler.stop(STOP_TIMEOUT_S), STOP_TIMEOUT_S))
        self._queue.note()  # what could not be kept when it happened
        self._store.close()

    @property
    def busy(self) -> bool:
        """Whether a run is under way, or would be if the queue were not paused, or is being looked at to be queued; or
        a model is being downloaded."""
        beginning = self._looking + self._tunings.beginning + len(self._pulls.under_way)
        return self._dispatcher.busy or bool(self._queue.waiting) or beginning > 0

    async def run_all(self, variants: Sequence[Variant], out: Path) -> list[Result]:
        """Run the variants in order. A failed or refused one does not stop the rest; cancelling this ends none of them.

        Raises what `submit` does, and StoreError when not even a run's folder can be made.
        """
        ids = await self._submit(Submission("", tuple(variants), str(out)), MODEL_S)
        going = [number for number in ids if self._queue.get(number).state != "refused"]
        waits = [self._waited_for.setdefault(number, self._loop.create_future()) for number in going]
        results = [await wait for wait in waits]
        return [result for result in results if result is not None]

    async def snapshot(self) -> Snapshot:
        return self._snapshot()

    def events(self, since: int) -> AsyncIterator[EventEnvelope | Snapshot]:
        return self._hub.events(since)

    async def submit(self, submission: Submission) -> tuple[int, ...]:
        return await self._submit(submission, LIMIT_S)

    async def _submit(self, submission: Submission, limit_s: float) -> tuple[int, ...]:
        with self._being_looked_at():
            submission = await run_blocking(lambda: accepted(submission))
            variants = submission.variants
            found = await vetted(variants, self._sampler.gpus, limit_s)
            await self._placing.learn(
                variant.config for variant, error in zip(variants, found, strict=True) if error is None
            )
        refused = {position: error for position, error in enumerate(found) if error is not None}
        ids = self._queue.submit(submission, {position: in_a_line(error) for position, error in refused.items()})
        for position, error in refused.items():
            self._emit(RunRefused("", variants[position].name, position + 1, len(variants), error_of(error)))
        self._loop.call_soon(self._dispatcher.kick)
        return ids

    async def cancel(self, ids: Sequence[int]) -> None:
        self._end(ids, "cancelled")

    async def skip(self, ids: Sequence[int]) -> None:
        self._end(ids, "skipped")

    async def retry(self, ids: Sequence[int]) -> tuple[int, ...]:
        for number in ids:
            if self._queue.get(number).state in ("queued", "running"):
                raise UsageError(f"entry {number} has not ended: only an ended one can be retried")
        await self._vet_again(ids)
        ended = [self._queue.get(number) for number in ids]
        new = self._queue.copy(ids, behind=False, configs=await run_blocking(lambda: going_on(ended)))
        self._dispatcher.kick()
        return new

    async def duplicate(self, ids: Sequence[int]) -> tuple[int, ...]:
        await self._vet_again(ids)
        new = self._queue.copy(ids, behind=True)
        self._dispatcher.kick()
        return new

    async def edit(self, entry: int, variant: Variant) -> None:
        with self._being_looked_at():
            variant = await run_blocking(lambda: accepted_variant(variant))
            await vetted([variant], self._sampler.gpus)
        await self._placing.learn([variant.config])
        self._queue.edit(entry, variant)
        self._dispatcher.kick()

    async def move(self, ids: Sequence[int], by: int) -> None:
        self._queue.move(ids, by)

    async def remove(self, ids: Sequence[int]) -> None:
        self._queue.remove(ids)
        self._dispatcher.kick()

    async def clear(self) -> None:
        self._queue.clear()

    async def pause(self) -> None:
        self._queue.paused = True

    async def resume(self) -> None:
        self._queue.paused = False
        self._dispatcher.kick()

    async def forecast(self, config: Config) -> Forecast:
        return await forecast_of(config, self._sampler.gpus, self._sampler.latest, self._store.durations)

    async def study_outline(self, config: Config) -> StudyOutline:
        return await run_blocking(lambda: outline_of(config), MODEL_S)

    async def begin_study(self, config: Config, layers: Sequence[int], out: str) -> StudyBegun:
        def begin() -> tuple[str, list[Variant]]:
            study = begun(config, lambda most: chosen(layers, most), folder(out))
            return study.plan.study, study.for_queue()

        name, variants = await run_blocking(begin, MODEL_S)
        return StudyBegun(name, await self.submit(Submission(TITLE, tuple(variants), out)))

    async def models(self) -> tuple[LocalModel, ...]:
        return tuple(await run_blocking(local_models))

    async def processes(self, gpu: str) -> tuple[GpuProcess, ...] | None:
        found = next((one for one in self._sampler.gpus if one.uuid == gpu), None)
        if found is None:
            raise UsageError(f"there is no GPU {clean(gpu)}")
        groups = self._dispatcher.process_groups
        return await call_with_timeout(lambda: owned(self._sampler.processes(found), groups), DRIVER_TIMEOUT_S)

    async def history(self, from_ns: int, to_ns: int, points: int) -> RunnerPast:
        return self._past.between(from_ns, to_ns, points)

    async def results(self, query: ResultQuery) -> ResultPage:
        return await run_blocking(lambda: self._reports.page(query))

    async def details(self, out: str, run: str) -> RunDetails:
        return await run_blocking(lambda: self._reports.details(out, run))

    async def compare(self, out: str, runs: Sequence[str]) -> Compared:
        return await abandonable(lambda stop: compared(self._reports, out, runs, stop))

    async def bench(self, out: str, bench: str) -> Bench:
        return await run_blocking(lambda: benched(out, bench))

    async def curves(self, out: str, runs: Sequence[str], *, fewest: int = 3) -> tuple[SweepCurve, ...]:
        return await run_blocking(lambda: curves_of_runs(out, runs, fewest))

    async def delete(self, out: str, runs: Sequence[str]) -> None:
        await run_blocking(lambda: self._reports.delete(out, runs))
        self._queue.forget_runs(out, runs)
        self._tell(ResultsChanged(out))

    async def stop(self, *, now: bool = False) -> None:
        running = [entry.label for entry in self._queue.entries if entry.state == "running"]
        running += [*self._tunings.under_way, *self._pulls.under_way]
        if running and not now:
            raise UsageError(
                f"{len(running)} under way: {', '.join(running)}",
                remedy="Wait for it, cancel it, or stop the runner now: what was measured is kept.",
            )
        self.stopping.set()

    async def _take_up(self) -> None:
        """Find what a runner before this one left: places on this machine's devices, and runs that were cut off."""
        await self._placing.learn(entry.config for entry in self._queue.waiting)
        self._queue.note(*self._placing.placed(self._queue.waiting))
        cut = [entry for entry in self._queue.entries if entry.state == "running"]

        def found(out: str) -> dict[str, Result | None]:
            recover(Store(Path(out)))
            runs = [entry.run for entry in cut if entry.out == out and not is_search(entry.config)]
            return {run: self._reports.result(out, run) for run in runs}

        results: dict[str, Result | None] = {}
        for out in {entry.out for entry in cut}:
            try:
                results |= await run_blocking(lambda out=out: found(out), RECOVERY_TIMEOUT_S)  # type: ignore[misc]
            except (InfertuiError, OSError, ValueError) as error:
                # A folder that is out of reach must not keep the runner from starting.
                self._queue.fault(f"what was measured in {clean(out)} was not looked at: {clean(str(error))}")
        for entry in cut:
            known = results.get(entry.run)
            reason = known.ended_by or REASON if known else REASON
            self._queue.note(settled(entry, known, state=known.state if known else "interrupted", reason=reason))

    async def _vet_again(self, ids: Sequence[int]) -> None:
        """Raise the first of what is known to be wrong with entries that are to be queued once more."""
        entries = [self._queue.get(number) for number in ids]
        variants = [Variant(entry.label, entry.config, {}) for entry in entries]
        with self._being_looked_at():
            for error in await vetted(variants, self._sampler.gpus):
                if error is not None:
                    raise error

    @contextmanager
    def _being_looked_at(self) -> Iterator[None]:
        self._looking += 1
        try:
            yield
        finally:
            self._looking -= 1

    def _end(self, ids: Sequence[int], state: EntryState) -> None:
        entries = [self._queue.get(number) for number in ids]
        for entry in entries:
            if entry.state == "running":
                self._dispatcher.cancel(entry.id, state)
        waiting = [entry.id for entry in entries if entry.state == "queued"]
        self._queue.end_waiting(waiting, state)
        self._hooks.ended(self._queue.entries, *waiting)
        self._dispatcher.kick()

    def _ended(self, entry: Entry, result: Result | None, error: Exception | None) -> None:
        duration = duration_of(result, entry.lane) if result else None
        if duration is not None:
            self._queue.learn(duration)
            try:
                self._queue.note(*self._placing.foreseen_anew(self._queue.waiting, duration))
            except StoreError as unread:
                self._queue.fault(unread.message)
        self._progress.pop(entry.run, None)  # a run that failed by a bug did not say that it ended
        self._tell(ResultsChanged(entry.out))
        self._hooks.ended(self._queue.entries, entry.id)
        wait = self._waited_for.pop(entry.id, None)
        if wait and not wait.done():
            if error is not None:
                wait.set_exception(error)
            else:
                wait.set_result(result)

    def _emit(self, event: AnyRunEvent) -> None:
        if isinstance(event, RunRefused):
            self._on_event(event)  # its entry tells everybody else
            return
        if isinstance(event, RunFinished):
            self._progress.pop(event.run, None)
            self._past.ended(event.run)
        else:
            progress = self._progress.setdefault(event.run, RunProgress())
            progress.take(event)
            self._past.progressed(event.run, progress)
        self._on_event(event)
        if not isinstance(event, Sampled):  # `Measured` tells the same once for all runs
            self._hub.publish(event)

    def _tell(self, event: AnyQueueEvent) -> None:
        self._hub.publish(event)

    def _from_sampler_thread(self, sample: Sample) -> None:
        self._loop.call_soon_threadsafe(self._on_sample, sample)

    def _on_sample(self, sample: Sample) -> None:
        self._dispatcher.sampled(sample, watched=self._hub.readers > 0)
        self._past.sampled(sample)
        if sample.t_ns - self._shown_ns >= 0.95 * NS_PER_S / SHOWN_HZ:
            self._shown_ns = sample.t_ns
            self._tell(Measured(sample))

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            number=self._hub.number,
            runner=self._runner_facts(),
            paused=self._queue.paused,
            entries=self._queue.entries,
            # Copies: what goes on afterwards is told by events, and would else be counted twice.
            progress={run: progress.copy() for run, progress in self._progress.items()},
            samples=self._past.latest(HISTORY_SAMPLES),
            faults=(*(fault.message for fault in self._sampler.faults), *self._queue.faults),
            clients=self._hub.readers,
            tunings=self._tunings.views,
            points=self._tunings.points,
            pulls=self._pulls.views,
            capacities=self._searches.views,
        )

    def _runner_facts(self) -> RunnerFacts:
        if self._facts is None:
            unavailable = self._sampler.unavailable
            self._facts = RunnerFacts(
                version=infertui.__version__,
                protocol=PROTOCOL,
                pid=os.getpid(),
                host=host_facts(),
                started=stamp(),
                gpus=self._sampler.gpus,
                gpus_unavailable=str(unavailable) if unavailable else "",
                engines=probe_known(),
            )
        return self._facts
