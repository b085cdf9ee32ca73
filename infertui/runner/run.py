"""One run, from its folder to its line in the index.

How long each phase of a run took.
"""

import asyncio
import contextlib
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec.structs import replace

from infertui.analysis.energy import with_short_energy
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.config.toml import write
from infertui.errors import InfertuiError, StoreError
from infertui.load.batches import iterations_of
from infertui.load.prompts import load_prompts
from infertui.measure.clock import NS_PER_S
from infertui.measure.records import BatchRecord, Phase, request_records, slim
from infertui.measure.summary import summarise
from infertui.measure.validity import Verdict, judge
from infertui.models.asking import telling
from infertui.results.jsonl import refusal
from infertui.results.result import Error, Result, State
from infertui.results.runs import Begun, Store, outputs_of
from infertui.runner.blocking import MODEL_S, answered, bounded, undisturbed
from infertui.runner.circumstances import circumstances
from infertui.runner.events import (
    AnyRunEvent,
    BatchMeasured,
    Estimated,
    ModelLoaded,
    Noted,
    PhaseEntered,
    Progressed,
    RunFinished,
    RunStarted,
    Sampled,
)
from infertui.runner.fingerprint import fingerprint
from infertui.runner.idle import IdlePower
from infertui.runner.loading import (
    Choice,
    WorkerSlot,
    as_asked,
    as_the_worker_sees,
    check_fit,
    choose,
    hidden_gpus,
    load_request,
    planned_gpus,
    require_usable,
    worker_environment,
)
from infertui.runner.peaks import Known, look_up, with_limits
from infertui.runner.quality import QualityGuard
from infertui.runner.telemetry import RunTelemetry, SampleRates
from infertui.targets.engine.base import Evidence, Loaded
from infertui.targets.engine.environments import interpreter_for
from infertui.telemetry.readings import Counters, GpuInfo, Sample
from infertui.telemetry.sampler import Sampler
from infertui.telemetry.usable import hindrance
from infertui.text import clean
from infertui.worker.failure import WorkerError
from infertui.worker.process import WorkerProcess
from infertui.worker.protocol import (
    AnyEvent,
    BatchDone,
    Heartbeat,
    Load,
    LoadDone,
    Measure,
    MeasureDone,
    MeasureEnded,
    PhaseStarted,
    Proceed,
    Ready,
    Scored,
)


class PhaseTimer:
    """One phase at a time; stamps are monotonic nanoseconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.current: Phase | None = None
        self._started_ns = 0

    def enter(self, phase: Phase, t_ns: int) -> None:
        """End the current phase, if there is one, and begin another."""
        self.end(t_ns)
        self.current, self._started_ns = phase, t_ns

    def end(self, t_ns: int) -> None:
        """End the current phase, if there is one."""
        if self.current:
            # An engine may compile and capture by turns.
            self.seconds[self.current] = self.seconds.get(self.current, 0.0) + (t_ns - self._started_ns) / NS_PER_S
            self.current = None


REST_HZ = 10.0
REST_S = 6.0
DRIVER_S = 2.0
MANY_BATCHES = 1000
LOOK_UP_S = 5.0
RATE_WINDOW_NS = 3 * NS_PER_S


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
        self._config: Config = variant.config
        self._place = variant.place
        self._store = store
        self._marks = fingerprint(self._config, sampler.gpus)
        self._sampler = sampler
        self._rates = rates
        self._slot = slot
        self._idle = idle
        self._make_room = make_room
        self._emit = emit
        self._number, self._total = number, total
        self._telemetry = RunTelemetry(sampler)
        self._quality = QualityGuard(self._config, store)
        self._warmup: list[BatchRecord] = []
        self._batches: list[BatchRecord] = []
        self._phases = PhaseTimer()
        self._loaded: Loaded | None = None
        self._known = Known()
        self._evidence: Evidence | None = None
        self._steady: bool | None = None
        self._stopped = ""
        self.ended_by = ""
        """Who or what cancels it, told before that."""
        self._before: Counters | None = None
        self._after: Counters | None = None
        self._recent: deque[tuple[int, int]] = deque()
        self._full: StoreError | None = None
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._started = datetime.now().astimezone()
        self._name = variant.name or _default_name(self._config)
        self._folder = store.create_run(self._name, self._started)

    @property
    def _stamp(self) -> str:
        return self._started.isoformat(timespec="milliseconds")

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
        self._phases.end(time.monotonic_ns())
        return await undisturbed(self._finish(ended))

    async def _finish(self, ended: BaseException | None) -> Result:
        """Settle the worker, sum up, keep. Nothing here waits for longer than a few seconds.

        Summing up does not wait: it computes, for a million batches half a minute, and events go on meanwhile.
        """
        if ended:
            await self._settle()
        self._rates.release(self)
        if self._before and not self._after:
            self._after = await self._counters()
        state, error = self._state(ended)
        for fault in self._sampler.faults:
            self._emit(Noted(self._folder.id, "warning", fault.message))
        if len(self._batches) > MANY_BATCHES:
            result = await asyncio.to_thread(self._result, state, error)
        else:
            result = self._result(state, error)
        result = await self._quality.judged(result)
        if again := self._quality.resaid:
            text = f"{len(again)} earlier run(s) are held against this one now, which is nearer to the model: "
            self._emit(Noted(self._folder.id, "info", text + ", ".join(again[:4])))
        kept = self._keep(result)
        self._over = True  # samples go on coming until the runner takes notice
        self._emit(RunFinished(self._folder.id, result, kept))
        self._folder.close()
        return result

    def _state(self, ended: BaseException | None) -> tuple[State, Error | None]:
        if self._full:
            return "failed", error_of(self._full)
        if isinstance(ended, asyncio.CancelledError):
            return ("finished" if self._quality.scoring else "interrupted"), None
        if self.ended_by and isinstance(ended, WorkerError) and "signal" in ended.details:
            return "interrupted", None  # what ends the runner was sent to the worker, too
        if isinstance(ended, InfertuiError):
            return "failed", error_of(ended)
        if isinstance(ended, Exception):
            return "failed", _internal_error(ended)
        if self._batches and all(batch.error for batch in self._batches):
            return "failed", Error("error", f"every batch failed: {self._batches[0].error}")
        return "finished", None

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
        self._emit(Sampled(self._folder.id, sample))

    async def _execute(self) -> None:
        config = self._config
        self._folder.write_config(write(config))
        self._folder.write_begun(Begun(self._name, self._stamp, config, self._marks))
        prompts = await answered(lambda: load_prompts(config.workload))
        await self._quality.ready()
        iterations = iterations_of(config.workload, config.measurement, len(prompts))
        workload = config.workload
        self._emit(
            RunStarted(
                self._folder.id,
                name=self._name,
                folder=str(self._folder.path),
                number=self._number,
                total=self._total,
                iterations=iterations,
                output_len=workload.output_len,
                batch_size=workload.batch_size,
                min_seconds=config.measurement.min_seconds,
            )
        )
        # Batches beyond the iterations go on through the prompts.
        needed = prompts if config.measurement.min_seconds else prompts[: iterations * workload.batch_size]
        deadline = _deadline(config.measurement.total_timeout_s)
        choice = await answered(lambda: choose(config.engine))
        if choice.requested:
            self._emit(Noted(self._folder.id, "warning", f"FALLBACK: {_fallback(choice.engine.name, choice)}"))
        require_usable(choice)
        if config.device.name == "auto" and (hindered := hindrance(choice.status, self._sampler.gpus)):
            self._emit(Noted(self._folder.id, "warning", f"{hindered.reason}. {hindered.remedy}"))
        elif hidden := hidden_gpus(config.device, self._sampler.gpus):
            self._emit(Noted(self._folder.id, "warning", hidden))
        worker, self._loaded = loaded = await self._loaded_worker(choice, needed, deadline)
        self._known = await bounded(lambda: look_up(config, loaded[1], self._marks), LOOK_UP_S) or Known()
        planned = planned_gpus(config, self._sampler.gpus, choice)
        self._telemetry.device_is(self._loaded, planned if len(planned) > 1 else ())
        command = Measure(workload, config.measurement, needed, iterations)
        loading_s = self._phases.seconds.get("load", 0.0)
        async for event in worker.measure(command, deadline=deadline, loading_s=loading_s):
            await self._on_measure_event(worker, event)
        self._rates.release(self)
        reusable = True
        if any(not batch.error for batch in self._batches):
            reusable = await self._quality.score(worker, self._loaded, deadline, self._on_scoring)
            reusable = reusable and await self._quality.look_closer(worker, self._so_far())
        if config.measurement.fresh_process or not reusable:
            await self._slot.clear()

    async def _loaded_worker(
        self, choice: Choice, prompts: tuple[str, ...], deadline: float | None
    ) -> tuple[WorkerProcess, Loaded]:
        """A worker with the model loaded: the one there is, or a new one."""
        request = load_request(self._config, choice, prompts)
        other = await answered(lambda: interpreter_for(choice.engine))
        python = str(other or sys.executable)
        planned = planned_gpus(self._config, self._sampler.gpus, choice)
        gpu = next(iter(planned), None)
        held = None if self._config.measurement.fresh_process else self._slot.holding(request, python)
        if held is None:
            await self._make_room()
            await self._slot.clear()
            await self._come_to_rest(gpu)
        latest = self._sampler.latest
        really = replace(self._config, engine=choice.engine)
        with telling(self._waits()):
            lines = await answered(lambda: check_fit(really, prompts, gpu, latest, loaded=held is not None), MODEL_S)
        self._emit(Estimated(self._folder.id, lines))
        if held:
            self._emit(ModelLoaded(self._folder.id, held[1], seconds=0.0, reused=True))
            return held
        self._enter("spawn", time.monotonic_ns())
        environment = worker_environment(request.device, self._sampler.gpus, os.environ, other, planned)
        seen = replace(request, device=as_the_worker_sees(request.device, planned))
        worker = await self._slot.spawn(self._folder.log, environment, python)
        await worker.hello()
        limit, name = self._config.measurement.load_timeout_s, "load_timeout_s"
        if deadline is not None and deadline - time.monotonic() < limit:
            limit, name = deadline - time.monotonic(), "total_timeout_s"
        async for event in worker.load(Load(seen), timeout_s=limit, limit=name):
            match event:
                case PhaseStarted():
                    self._enter(event.phase, event.t_ns)
                case Heartbeat():
                    self._on_heartbeat(event)
                case LoadDone(loaded=loaded):
                    self._phases.end(event.t_ns)
                    loaded = replace(loaded, device=as_asked(loaded.device, request.device, planned))
                    self._slot.keep(request, loaded)
                    self._emit(ModelLoaded(self._folder.id, loaded, seconds=self._phases.seconds["load"], reused=False))
                    return worker, loaded
                case _:
                    pass
        raise AssertionError("loading ends with LoadDone or an error")

    async def _come_to_rest(self, gpu: GpuInfo | None) -> None:
        """Learn what the device draws idle, before our worker takes it."""
        self._rates.ask(self, REST_HZ)
        if not await self._idle.settle(gpu, REST_S / 4) and gpu is not None:
            self._emit(Noted(self._folder.id, "info", "waiting for the GPU to come to rest"))
            if not await self._idle.settle(gpu, REST_S):
                self._emit(
                    Noted(self._folder.id, "info", "it did not: something else uses it, so idle power is unknown")
                )
        self._rates.release(self)

    async def _on_measure_event(self, worker: WorkerProcess, event: AnyEvent) -> None:
        match event:
            case PhaseStarted():
                self._enter(event.phase, event.t_ns)
            case Heartbeat():
                self._on_heartbeat(event)
            case BatchDone():
                self._on_batch(event.batch)
            case Ready():
                self._steady, self._evidence = event.steady, event.evidence
                self._phases.end(event.t_ns)
                self._rates.ask(self, self._config.measurement.sample_hz)
                await self._read_processes(worker)
                await self._read_worker_cpu(worker)
                self._before = await self._counters()
                await worker.send(Proceed())
            case MeasureEnded():
                self._phases.end(event.t_ns)
                self._after = await self._counters()
                await self._read_worker_cpu(worker)
                self._stopped = event.stopped
                await self._read_processes(worker)
            case MeasureDone():
                self._evidence = event.evidence
            case _:
                pass

    async def _on_scoring(self, event: AnyEvent) -> None:
        match event:
            case PhaseStarted():
                self._enter(event.phase, event.t_ns)
            case Heartbeat():
                self._on_heartbeat(event)
            case Scored():
                self._phases.end(event.t_ns)
            case _:
                pass

    async def _counters(self) -> Counters | None:
        counters = await bounded(self._sampler.counters, DRIVER_S)
        if counters is None:
            self._emit(Noted(self._folder.id, "warning", f"the GPU driver did not answer within {DRIVER_S:g} s"))
        return counters

    async def _read_processes(self, worker: WorkerProcess) -> None:
        await bounded(lambda: self._telemetry.read_processes(worker.pid), DRIVER_S)

    async def _read_worker_cpu(self, worker: WorkerProcess) -> None:
        await bounded(lambda: self._telemetry.read_worker_cpu(worker.pid), DRIVER_S)

    def _on_batch(self, batch: BatchRecord) -> None:
        # Who watches does not read what was generated, and figures need no texts: a long run would fill the memory.
        told = replace(batch, requests=tuple(replace(request, output=()) for request in batch.requests))
        if batch.phase == "measure":
            self._batches.append(slim(told))
            power = self._telemetry.mean_power(batch.start_ns, batch.end_ns)
            energy = None if power is None else power * batch.seconds
            origin = self._batches[0].start_ns
            self._folder.requests.append(*request_records(batch, origin_ns=origin, power_w=power, energy_j=energy))
            self._folder.outputs.append(*outputs_of(batch))
        else:
            self._warmup.append(batch)
        self._emit(BatchMeasured(self._folder.id, told))

    def _on_heartbeat(self, beat: Heartbeat) -> None:
        if beat.phase == "idle" or beat.phase == "prepare" or self._phases.current is None:
            return
        if beat.tokens < (self._recent[-1][1] if self._recent else 0):
            self._recent.clear()
        self._recent.append((beat.t_ns, beat.tokens))
        while len(self._recent) > 2 and self._recent[1][0] <= beat.t_ns - RATE_WINDOW_NS:
            self._recent.popleft()
        since, before = self._recent[0]
        elapsed = beat.t_ns - since
        rate = (beat.tokens - before) * NS_PER_S / elapsed if elapsed >= NS_PER_S else None
        self._emit(
            Progressed(
                self._folder.id,
                t_ns=beat.t_ns,
                phase=beat.phase,
                batch=beat.batch,
                step=beat.step,
                tokens=beat.tokens,
                tokens_per_s=rate,
                resident=beat.resident,
            )
        )

    def _waits(self) -> Callable[[str], None]:
        """Tells from any thread what is waited for."""
        loop = asyncio.get_running_loop()

        def tell(text: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(self._emit, Noted(self._folder.id, "info", text))

        return tell

    def _enter(self, phase: Phase, t_ns: int) -> None:
        self._recent.clear()
        self._phases.enter(phase, t_ns)
        self._emit(PhaseEntered(self._folder.id, t_ns, phase))

    async def _settle(self) -> None:
        """Stop the worker at once, keep the batches that it had finished, and let it go: what failed is not reused."""
        worker = self._slot.current
        if worker is not None:
            for event in await worker.cancel():
                if isinstance(event, BatchDone) and not self._full:
                    try:
                        self._on_batch(event.batch)
                    except StoreError as error:
                        self._full = error
        await self._slot.clear()

    def _result(self, state: State, error: Error | None) -> Result:
        summary = summarise(self._batches)
        ended_by = self.ended_by if state == "interrupted" else ""
        power, device = self._telemetry.figures(
            self._batches, self._before, self._after, tokens=summary.output_tokens, idle=self._idle.watts()
        )
        verdict = judge(
            self._batches,
            replace(
                circumstances(self._config, self._loaded, device, power),
                warmup_steady=self._steady,
                warmup=tuple(self._warmup),
                foreign_processes=self._telemetry.foreign_processes,
                lost_gpus=self._telemetry.lost(),
                stopped=self._stopped or ended_by,
                fallback=_fallback(self._loaded.engine, self._loaded) if self._loaded else "",
            ),
            self._config.validity,
        )
        result = Result(
            id=self._folder.id,
            name=self._name,
            state=state,
            started=self._stamp,
            config=self._config,
            fingerprint=self._marks,
            verdict=verdict if self._batches else Verdict(verdict.invalid, marks=verdict.marks),
            summary=summary,
            phases={phase: round(seconds, 6) for phase, seconds in self._phases.seconds.items()},
            loaded=self._loaded,
            power=power,
            device=device,
            warmup_batches=len(self._warmup),
            warmup_steady=self._steady,
            sample_hz=self._config.measurement.sample_hz,
            error=error,
            evidence=self._evidence,
            bench=self._place,
            ended_by=ended_by,
        )
        return with_short_energy(with_limits(result, self._known))

    def _so_far(self) -> Result:
        """What the run is, without what it measured."""
        return Result(
            id=self._folder.id, name=self._name, state="finished", started=self._stamp, config=self._config,
            fingerprint=self._marks, verdict=Verdict(), summary=summarise([]), phases={}, loaded=self._loaded,
            evidence=self._evidence,
        )  # fmt: skip

    def _keep(self, result: Result) -> bool:
        """Write the result; False where that fails. Its figures are still in the event that follows."""
        kept = True
        for write_it in (self._folder.write_result, self._store.append):
            try:
                write_it(result)
            except StoreError as error:
                kept = False
                self._folder.note_end(f"its result could not be kept: {error.message}")
                self._emit(Noted(self._folder.id, "warning", f"{error.message}. {error.remedy}"))
        if kept:
            self._folder.settled()
        return kept


def _default_name(config: Config) -> str:
    return f"{config.model.id.rsplit('/', 1)[-1].removeprefix('synthetic:')} {config.engine.name}"


def _fallback(used: str, told: Choice | Loaded) -> str:
    """What is said of a fallback; nothing where there was none."""
    asked, reason = (
        (told.requested, told.reason) if isinstance(told, Choice) else (told.engine_requested, told.fallback_reason)
    )
    if not asked or asked == used:
        return ""
    return f"{used} is measured, not {asked}, which cannot be used: {clean(reason) or 'no reason is known'}"


def _deadline(total_timeout_s: float) -> float | None:
    return time.monotonic() + total_timeout_s if total_timeout_s else None


def error_of(failure: InfertuiError) -> Error:
    """An error as it is kept."""
    if isinstance(failure, WorkerError):
        return Error(failure.kind, failure.message, failure.remedy, failure.details, failure.log_tail)
    return Error(failure.kind, failure.message, failure.remedy)


def _internal_error(failure: Exception) -> Error:
    # From a place that keeps nothing, such as a log's, or of a process that may not start.
    if isinstance(failure, OSError) and (refused := refusal(failure)):
        return error_of(refused)
    return Error(
        "internal",
        f"{type(failure).__name__}: {clean(str(failure))}",
        remedy="This is a bug in infertui; the lines below belong in its report.",
        log_tail=clean("".join(traceback.format_exception(failure)[-6:]), lines=True),
    )
