"""What a run measures: its batches as they come from the worker, and what telemetry sees around them."""

from msgspec.structs import replace

from infertui.measure.records import BatchRecord, request_records, slim
from infertui.results.result import DeviceFigures, PowerFigures
from infertui.results.runs import RunFolder, outputs_of
from infertui.runner.blocking import call_with_timeout
from infertui.runner.events import BatchMeasured
from infertui.runner.execution.reporter import RunReporter
from infertui.runner.telemetry import RunTelemetry, SampleRates, window_of
from infertui.targets.engine.base import EffectiveSettings
from infertui.telemetry.readings import Counters
from infertui.telemetry.sampler import Sampler
from infertui.worker.process import WorkerProcess
from infertui.worker.protocol import AnyEvent, BatchDone, MeasureDone, MeasureEnded, Proceed, Ready

DRIVER_S = 2.0


class Measurement:
    """Of one run. Requests are written to its folder batch by batch, between two batches, and held for its figures."""

    def __init__(
        self, folder: RunFolder, *, sampler: Sampler, rates: SampleRates, sample_hz: float, reporter: RunReporter
    ) -> None:
        self._folder = folder
        self._sampler = sampler
        self._rates = rates
        self._sample_hz = sample_hz
        self._reporter = reporter
        self._before: Counters | None = None
        self._after: Counters | None = None
        self.telemetry = RunTelemetry(sampler)
        self.warmup: list[BatchRecord] = []
        self.batches: list[BatchRecord] = []
        self.effective: EffectiveSettings | None = None
        self.steady: bool | None = None
        self.stopped = ""

    async def take(self, worker: WorkerProcess, event: AnyEvent) -> None:
        """Take the worker's next event. Raises StoreError where it cannot be kept."""
        self._reporter.take(event)
        match event:
            case BatchDone():
                self.take_batch(event.batch)
            case Ready():
                self.steady, self.effective = event.steady, event.effective
                self._reporter.end(event.t_ns)
                self._rates.ask(self._reporter, self._sample_hz)
                await self._read_processes(worker)
                await self._read_worker_cpu(worker)
                self._before = await self._counters()
                await worker.send(Proceed())
            case MeasureEnded():
                self._reporter.end(event.t_ns)
                self._after = await self._counters()
                await self._read_worker_cpu(worker)
                self.stopped = event.stopped
                await self._read_processes(worker)
            case MeasureDone():
                self.effective = event.effective
                self._rates.release(self._reporter)
            case _:
                pass

    def take_batch(self, batch: BatchRecord) -> None:
        """Keep a batch, and tell of it. Raises StoreError."""
        # Who watches does not read what was generated, and figures need no texts: a long run would fill the memory.
        told = replace(batch, requests=tuple(replace(request, output=()) for request in batch.requests))
        if batch.phase == "measure":
            self.batches.append(slim(told))
            power = self.telemetry.mean_power(batch.start_ns, batch.end_ns)
            energy = None if power is None else power * batch.seconds
            origin = self.batches[0].start_ns
            self._folder.requests.append(*request_records(batch, origin_ns=origin, power_w=power, energy_j=energy))
            self._folder.outputs.append(*outputs_of(batch))
        else:
            self.warmup.append(batch)
        self._reporter.emit(BatchMeasured(self._reporter.run, told))

    async def ended(self) -> None:
        """It is over, be it cut off: missing counters are read, and nothing is sampled for it any more."""
        self._rates.release(self._reporter)
        if self._before and not self._after:
            self._after = await self._counters()

    @property
    def good(self) -> bool:
        """Whether a batch did not fail."""
        return any(not batch.error for batch in self.batches)

    def figures(self, *, tokens: int, idle: dict[str, float]) -> tuple[PowerFigures | None, DeviceFigures | None]:
        """What telemetry says of the measured batches, see `RunTelemetry.figures`."""
        return self.telemetry.figures(window_of(self.batches), self._before, self._after, tokens=tokens, idle=idle)

    async def _counters(self) -> Counters | None:
        counters = await call_with_timeout(self._sampler.counters, DRIVER_S)
        if counters is None:
            self._reporter.note("warning", f"the GPU driver did not answer within {DRIVER_S:g} s")
        return counters

    async def _read_processes(self, worker: WorkerProcess) -> None:
        await call_with_timeout(lambda: self.telemetry.read_processes(worker.pid), DRIVER_S)

    async def _read_worker_cpu(self, worker: WorkerProcess) -> None:
        await call_with_timeout(lambda: self.telemetry.read_worker_cpu(worker.pid), DRIVER_S)
