"""One run, from its folder to its line in the index."""

import asyncio
import os
import time
import traceback
from collections.abc import Callable
from datetime import datetime

from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.config.toml import write
from infertui.engines.base import Loaded, LoadRequest, probe
from infertui.errors import EngineError, InfertuiError, StoreError
from infertui.gpu.readings import Counters, Sample
from infertui.gpu.sampler import IDLE_HZ, Sampler
from infertui.measure.clock import NS_PER_S
from infertui.measure.records import BatchRecord, Phase, request_records
from infertui.measure.summary import summarise
from infertui.measure.validity import Circumstances, Verdict, judge
from infertui.runner.environment import planned_gpu, worker_environment
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
from infertui.runner.fitting import check_fit
from infertui.runner.idle import IdlePower
from infertui.runner.phases import PhaseTimer
from infertui.runner.telemetry import RunTelemetry
from infertui.runner.workers import WorkerSlot
from infertui.store.result import Error, Fingerprint, Result, State
from infertui.store.runs import Store
from infertui.terminal_text import clean
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
    PhaseStarted,
    Proceed,
    Ready,
)
from infertui.workloads.batches import iterations_of
from infertui.workloads.prompts import load_prompts

REST_HZ = 10.0
REST_S = 6.0


class Execution:
    """Executes one variant, once. Raises StoreError when not even its folder can be made."""

    def __init__(
        self,
        variant: Variant,
        *,
        store: Store,
        sampler: Sampler,
        slot: WorkerSlot,
        emit: Callable[[AnyRunEvent], None],
        number: int,
        total: int,
        idle: IdlePower,
    ) -> None:
        self._variant = variant
        self._config: Config = variant.config
        self._store = store
        self._sampler = sampler
        self._slot = slot
        self._idle = idle
        self._emit = emit
        self._number, self._total = number, total
        self._telemetry = RunTelemetry(sampler)
        self._warmup: list[BatchRecord] = []
        self._batches: list[BatchRecord] = []
        self._phases = PhaseTimer()
        self._loaded: Loaded | None = None
        self._steady: bool | None = None
        self._stopped = ""
        self._before: Counters | None = None
        self._after: Counters | None = None
        self._last_beat: Heartbeat | None = None
        self._full: StoreError | None = None
        self._task: asyncio.Task[None] | None = None
        self._started = datetime.now().astimezone()
        self._name = variant.name or _default_name(self._config)
        self._folder = store.create_run(self._name, self._started)

    async def run(self) -> Result:
        """Execute. Raises CancelledError after an interruption was recorded."""
        state: State = "finished"
        error: Error | None = None
        interrupted: asyncio.CancelledError | None = None
        marks = fingerprint(self._config, self._sampler.gpus)
        self._task = asyncio.current_task()
        try:
            await self._execute()
        except asyncio.CancelledError as cancellation:
            await self._settle()
            if self._full:
                state, error = "failed", _error_of(self._full)
            else:
                state, interrupted = "interrupted", cancellation
        except InfertuiError as failure:
            if isinstance(failure, StoreError):
                await self._settle()
            state, error = "failed", _error_of(failure)
        except Exception as failure:  # noqa: BLE001 (a bug of ours must not lose what was measured)
            await self._settle()
            state, error = "failed", _internal_error(failure)
        self._sampler.set_rate(IDLE_HZ)
        if self._before and not self._after:
            self._after = await asyncio.to_thread(self._sampler.counters)
        self._phases.end(time.monotonic_ns())
        result = self._result(state, marks, error)
        self._keep(result)
        self._emit(RunFinished(self._folder.id, result))
        self._folder.close()
        if interrupted:
            raise interrupted
        return result

    def sampled(self, sample: Sample) -> None:
        """Take a telemetry sample; called on the event loop."""
        if self._full:
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
        prompts = load_prompts(config.workload)
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
            )
        )
        request = LoadRequest(config.model, config.engine, config.device)
        deadline = _deadline(config.measurement.total_timeout_s)
        worker, self._loaded = await self._loaded_worker(request, prompts, deadline)
        self._telemetry.device_is(self._loaded)
        needed = prompts[: iterations * workload.batch_size]
        command = Measure(workload, config.measurement, needed, iterations)
        async for event in worker.measure(command, deadline=deadline):
            await self._on_measure_event(worker, event)
        if config.measurement.fresh_process:
            await self._slot.clear()

    async def _loaded_worker(
        self, request: LoadRequest, prompts: tuple[str, ...], deadline: float | None
    ) -> tuple[WorkerProcess, Loaded]:
        """A worker with the model loaded: the one there is, or a new one."""
        status = probe(request.engine.name)
        if not status.available:
            raise EngineError(f"engine {request.engine.name} cannot be used: {status.reason}", remedy=status.remedy)
        held = None if self._config.measurement.fresh_process else self._slot.holding(request)
        if held:
            self._emit(ModelLoaded(self._folder.id, held[1], seconds=0.0, reused=True))
            return held
        await self._slot.clear()
        await self._come_to_rest()
        gpu = planned_gpu(request.device, self._sampler.gpus, status)
        self._emit(Estimated(self._folder.id, check_fit(self._config, prompts, gpu, self._sampler.latest)))
        self._enter("spawn", time.monotonic_ns())
        environment = worker_environment(request.device, self._sampler.gpus, os.environ)
        worker = await self._slot.spawn(self._folder.log, environment)
        await worker.hello()
        limit = self._config.measurement.load_timeout_s
        if deadline is not None:
            limit = min(limit, deadline - time.monotonic())
        async for event in worker.load(Load(request), timeout_s=limit):
            match event:
                case PhaseStarted():
                    self._enter(event.phase, event.t_ns)
                case Heartbeat():
                    self._on_heartbeat(event)
                case LoadDone(loaded=loaded):
                    self._phases.end(event.t_ns)
                    self._slot.keep(request, loaded)
                    self._emit(ModelLoaded(self._folder.id, loaded, seconds=self._phases.seconds["load"], reused=False))
                    return worker, loaded
                case _:
                    pass
        raise AssertionError("loading ends with LoadDone or an error")

    async def _come_to_rest(self) -> None:
        """Learn what the devices draw idle, before our worker takes one."""
        self._sampler.set_rate(REST_HZ)
        if not await self._idle.settle(REST_S / 4) and self._sampler.gpus:
            self._emit(Noted(self._folder.id, "info", "waiting for the GPU to come to rest"))
            if not await self._idle.settle(REST_S):
                self._emit(
                    Noted(self._folder.id, "info", "it did not: something else uses it, so idle power is unknown")
                )
        self._sampler.set_rate(IDLE_HZ)

    async def _on_measure_event(self, worker: WorkerProcess, event: AnyEvent) -> None:
        match event:
            case PhaseStarted():
                self._enter(event.phase, event.t_ns)
            case Heartbeat():
                self._on_heartbeat(event)
            case BatchDone():
                self._on_batch(event.batch)
            case Ready():
                self._steady = event.steady
                self._phases.end(event.t_ns)
                self._sampler.set_rate(self._config.measurement.sample_hz)
                self._before = await asyncio.to_thread(self._sampler.counters)
                await worker.send(Proceed())
            case MeasureDone():
                self._phases.end(event.t_ns)
                self._after = await asyncio.to_thread(self._sampler.counters)
                self._stopped = event.stopped
                await asyncio.to_thread(self._telemetry.read_processes, worker.pid)
            case _:
                pass

    def _on_batch(self, batch: BatchRecord) -> None:
        if batch.phase == "measure":
            self._batches.append(batch)
            power = self._telemetry.mean_power(batch.start_ns, batch.end_ns)
            energy = None if power is None else power * batch.seconds
            origin = self._batches[0].start_ns
            for record in request_records(batch, origin_ns=origin, power_w=power, energy_j=energy):
                self._folder.requests.append(record)
        else:
            self._warmup.append(batch)
        self._emit(BatchMeasured(self._folder.id, batch))

    def _on_heartbeat(self, beat: Heartbeat) -> None:
        if beat.phase == "idle" or self._phases.current is None:
            return
        before, self._last_beat = self._last_beat, beat
        rate = None
        if before and before.phase == beat.phase and beat.t_ns > before.t_ns and beat.tokens >= before.tokens:
            rate = (beat.tokens - before.tokens) * NS_PER_S / (beat.t_ns - before.t_ns)
        self._emit(
            Progressed(
                self._folder.id,
                phase=beat.phase,
                batch=beat.batch,
                step=beat.step,
                tokens=beat.tokens,
                tokens_per_s=rate,
                resident=beat.resident,
            )
        )

    def _enter(self, phase: Phase, t_ns: int) -> None:
        self._phases.enter(phase, t_ns)
        self._emit(PhaseEntered(self._folder.id, phase))

    async def _settle(self) -> None:
        """Stop the worker at once, and keep the batches that it had finished."""
        worker = self._slot.current
        if worker is None or not worker.alive:
            return
        for event in await asyncio.shield(worker.cancel()):
            if isinstance(event, BatchDone) and not self._full:
                self._on_batch(event.batch)

    def _result(self, state: State, marks: Fingerprint, error: Error | None) -> Result:
        summary = summarise(self._batches)
        power, device = self._telemetry.figures(
            self._batches, self._before, self._after, tokens=summary.output_tokens, idle=self._idle.watts()
        )
        for fault in self._sampler.faults:
            self._emit(Noted(self._folder.id, "warning", fault.message))
        verdict = judge(
            self._batches,
            Circumstances(
                output_len=self._config.workload.output_len,
                warmup_steady=self._steady,
                throttles=device.throttles if device else None,
                foreign_processes=self._telemetry.foreign_processes,
                lost_gpus=self._telemetry.lost(),
                stopped=self._stopped,
                random_weights=bool(self._loaded and self._loaded.random_weights),
            ),
        )
        return Result(
            id=self._folder.id,
            name=self._name,
            state=state,
            started=self._started.isoformat(timespec="milliseconds"),
            config=self._config,
            fingerprint=marks,
            verdict=verdict if self._batches else Verdict(verdict.invalid),
            summary=summary,
            phases={phase: round(seconds, 6) for phase, seconds in self._phases.seconds.items()},
            loaded=self._loaded,
            power=power,
            device=device,
            warmup_batches=len(self._warmup),
            warmup_steady=self._steady,
            sample_hz=self._config.measurement.sample_hz,
            error=error,
        )

    def _keep(self, result: Result) -> None:
        """Write the result. Where even that fails, say so: the figures are still in the event that follows."""
        for write_it in (self._folder.write_result, self._store.append):
            try:
                write_it(result)
            except StoreError as error:
                self._emit(Noted(self._folder.id, "warning", str(error)))


def _default_name(config: Config) -> str:
    return f"{config.model.id.rsplit('/', 1)[-1].removeprefix('synthetic:')} {config.engine.name}"


def _deadline(total_timeout_s: float) -> float | None:
    return time.monotonic() + total_timeout_s if total_timeout_s else None


def _error_of(failure: InfertuiError) -> Error:
    if isinstance(failure, WorkerError):
        return Error(failure.kind, failure.message, failure.remedy, failure.details, failure.log_tail)
    return Error(type(failure).__name__.removesuffix("Error").lower(), failure.message, failure.remedy)


def _internal_error(failure: Exception) -> Error:
    return Error(
        "internal",
        f"{type(failure).__name__}: {clean(str(failure))}",
        remedy="This is a bug in infertui; the lines below belong in its report.",
        log_tail=clean("".join(traceback.format_exception(failure)[-6:]), lines=True),
    )
