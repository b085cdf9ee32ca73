"""Everything of a run before it is measured: its prompts, which engine runs it, whether it fits, a worker that has it.

What is known to be wrong was refused before there was a run, see `vetting`: this is for what has changed since.
"""

import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from infertui.config.schema import Config
from infertui.load.batches import iterations_of
from infertui.load.prompts import load_prompts
from infertui.models.hub.asking import telling
from infertui.runner.blocking import MODEL_S, run_blocking
from infertui.runner.events import Estimated, ModelLoaded
from infertui.runner.execution.loading import (
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
from infertui.runner.execution.reporter import RunReporter
from infertui.runner.idle import IdlePower
from infertui.runner.telemetry import SampleRates
from infertui.targets.engine.base import Loaded, LoadRequest
from infertui.targets.engine.environments import interpreter_for
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.sampler import Sampler
from infertui.telemetry.usable import hindrance
from infertui.text import clean
from infertui.worker.process import WorkerProcess
from infertui.worker.protocol import AdaptModel, LoadDone, LoadModel, Measure

REST_HZ = 10.0
REST_S = 6.0


async def what_to_measure(config: Config) -> Measure:
    """What a worker will be asked for. Raises ConfigError for prompts that cannot be read."""
    workload, measurement = config.workload, config.measurement
    prompts = await run_blocking(lambda: load_prompts(workload))
    iterations = iterations_of(workload, measurement, len(prompts))
    # Batches beyond the iterations go on through the prompts.
    needed = prompts if measurement.min_seconds else prompts[: iterations * workload.batch_size]
    return Measure(workload, measurement, needed, iterations)


class LoadedWorker(Struct, frozen=True):
    """A worker that has the model, and the GPUs that it was planned to use, none of the CPU."""

    worker: WorkerProcess
    loaded: Loaded
    gpus: tuple[GpuInfo, ...]


class Preparation:
    """Of one run, whose worker writes to `log`. `make_room` ends idle workers that hold memory of its devices."""

    def __init__(
        self,
        config: Config,
        *,
        sampler: Sampler,
        rates: SampleRates,
        slot: WorkerSlot,
        idle: IdlePower,
        make_room: Callable[[], Awaitable[None]],
        reporter: RunReporter,
        log: Path,
        adapts: bool = False,
    ) -> None:
        """`adapts`: a loaded model may take options anew where its engine can do that."""
        self._config = config
        self._sampler = sampler
        self._rates = rates
        self._slot = slot
        self._idle = idle
        self._make_room = make_room
        self._reporter = reporter
        self._log = log
        self._adapts = adapts

    async def worker_for(self, prompts: tuple[str, ...], deadline: float | None) -> LoadedWorker:
        """A worker with the model loaded, by the `deadline` (monotonic seconds): the one there is, or a new one.

        Raises InfertuiError for an engine that cannot be used, a model that does not fit, and a worker that fails.
        """
        config, gpus = self._config, self._sampler.gpus
        choice = await run_blocking(lambda: choose(config.engine))
        if choice.requested:
            self._reporter.note("warning", f"FALLBACK: {fallback_text(choice.engine.name, choice)}")
        require_usable(choice)
        if config.device.name == "auto" and (hindered := hindrance(choice.status, gpus)):
            self._reporter.note("warning", f"{hindered.reason}. {hindered.remedy}")
        elif hidden := hidden_gpus(config.device, gpus):
            self._reporter.note("warning", hidden)
        request = load_request(config, choice, prompts)
        other = await run_blocking(lambda: interpreter_for(choice.engine))
        python = str(other or sys.executable)
        planned = tuple(planned_gpus(config, gpus, choice))
        gpu = next(iter(planned), None)
        held = None if config.measurement.fresh_process else self._slot.holding(request, python)
        adaptable = self._slot.adaptable(request, python) if self._adapts and held is None else None
        if adaptable is not None:
            await self._estimate(choice, prompts, gpu, loaded=True)
            loaded = await self._load(adaptable, request, planned, deadline, adapted=True)
            return LoadedWorker(adaptable, loaded, planned)
        if held is None:
            await self._make_room()
            await self._slot.clear()
            await self._come_to_rest(gpu)
        await self._estimate(choice, prompts, gpu, loaded=held is not None)
        if held:
            worker, loaded = held
            self._reporter.emit(ModelLoaded(self._reporter.run, loaded, seconds=0.0, reused=True))
            return LoadedWorker(worker, loaded, planned)
        self._reporter.enter("spawn", time.monotonic_ns())
        environment = worker_environment(request.device, gpus, os.environ, other, planned)
        worker = await self._slot.spawn(self._log, environment, python)
        await worker.hello()
        return LoadedWorker(worker, await self._load(worker, request, planned, deadline), planned)

    async def _load(
        self,
        worker: WorkerProcess,
        request: LoadRequest,
        planned: tuple[GpuInfo, ...],
        deadline: float | None,
        *,
        adapted: bool = False,
    ) -> Loaded:
        limit, name = self._config.measurement.load_timeout_s, "load_timeout_s"
        if deadline is not None and deadline - time.monotonic() < limit:
            limit, name = deadline - time.monotonic(), "total_timeout_s"
        seen = replace(request, device=as_the_worker_sees(request.device, planned))
        command = AdaptModel(seen) if adapted else LoadModel(seen)
        async for event in worker.load(command, timeout_s=limit, limit=name):
            self._reporter.take(event)
            if isinstance(event, LoadDone):
                self._reporter.end(event.t_ns)
                loaded = replace(event.loaded, device=as_asked(event.loaded.device, request.device, planned))
                self._slot.keep(request, loaded)
                took = self._reporter.seconds["load"]
                self._reporter.emit(ModelLoaded(self._reporter.run, loaded, seconds=took, reused=adapted))
                return loaded
        raise AssertionError("loading ends with LoadDone or an error")

    async def _estimate(self, choice: Choice, prompts: tuple[str, ...], gpu: GpuInfo | None, *, loaded: bool) -> None:
        """Say what memory it will take. Raises InfertuiError where that is more than there is."""
        latest = self._sampler.latest
        really = replace(self._config, engine=choice.engine)
        with telling(self._reporter.note_from_any_thread()):
            lines = await run_blocking(lambda: check_fit(really, prompts, gpu, latest, loaded=loaded), MODEL_S)
        self._reporter.emit(Estimated(self._reporter.run, lines))

    async def _come_to_rest(self, gpu: GpuInfo | None) -> None:
        """Learn what the device draws idle, before our worker takes it."""
        self._rates.ask(self._reporter, REST_HZ)
        if not await self._idle.settle(gpu, REST_S / 4) and gpu is not None:
            self._reporter.note("info", "waiting for the GPU to come to rest")
            if not await self._idle.settle(gpu, REST_S):
                self._reporter.note("info", "it did not: something else uses it, so idle power is unknown")
        self._rates.release(self._reporter)


def fallback_text(used: str, told: Choice | Loaded) -> str:
    """What is said of a fallback; nothing where there was none."""
    asked, reason = (
        (told.requested, told.reason) if isinstance(told, Choice) else (told.engine_requested, told.fallback_reason)
    )
    if not asked or asked == used:
        return ""
    return f"{used} is measured, not {asked}, which cannot be used: {clean(reason) or 'no reason is known'}"
