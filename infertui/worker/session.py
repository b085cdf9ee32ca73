"""Inside the worker: the measuring loop, the same for every engine.

The loop owns the order of things (warm up, wait for the runner's counters, measure) and the stamps; the engine
only generates. Between the stamps of a batch nothing else happens on this thread.
"""

from collections.abc import Callable
from typing import Literal

from infertui.engines.base import Batch, Engine, Loaded
from infertui.errors import ConfigError, EngineError
from infertui.measure.clock import NS_PER_S, Clock
from infertui.measure.gaps import summarise_gaps
from infertui.measure.records import BatchRecord, EngineMemory, RequestPart
from infertui.measure.warmup import warmup_state
from infertui.terminal_text import clean
from infertui.worker.memory import reset_resident_peak, resident_peak
from infertui.worker.protocol import BatchDone, Event, Measure, MeasureDone, PhaseStarted, Ready
from infertui.workloads.batches import BatchSource, Request

# Prompts of more different lengths than this are not all seen in warm-up.
MOST_WIDTHS = 64


class Cancelled(BaseException):
    """Raised at a token step after the runner asked to stop; no engine swallows it as one of its own errors."""


class Progress:
    """What the heartbeat tells: written by the measuring thread, read by another. Plain assignments, no lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.phase: Literal["spawn", "load", "warmup", "measure", "idle"] = "spawn"
        self.batch = 0
        self.step = 0
        self.tokens = 0
        self.progress_ns = clock.now_ns()

    def enter(self, phase: Literal["load", "warmup", "measure", "idle"]) -> None:
        """A phase begins; its counts start at zero."""
        self.phase, self.batch, self.step, self.tokens = phase, 0, 0, 0
        self.progress_ns = self._clock.now_ns()


class Session:
    """One `Measure` command on a loaded engine."""

    def __init__(
        self,
        engine: Engine,
        loaded: Loaded,
        command: Measure,
        *,
        clock: Clock,
        progress: Progress,
        emit: Callable[[Event], None],
        await_proceed: Callable[[], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._command = command
        self._clock = clock
        self._progress = progress
        self._emit = emit
        self._await_proceed = await_proceed
        self._cancelled = cancelled
        self._loaded = loaded
        self._source = BatchSource(
            command.workload,
            command.prompts,
            encode=engine.encode,
            vocabulary=loaded.vocabulary,
            special_ids=loaded.special_ids,
        )

    def run(self) -> None:
        """Warm up, measure, report. Raises what the engine raises, and `Cancelled`."""
        self._engine.release_memory()
        steady, warmed = self._warm_up()
        self._emit(Ready(self._clock.now_ns(), warmup_batches=warmed, steady=steady))
        self._await_proceed()
        stopped = self._measure()
        self._emit(MeasureDone(self._clock.now_ns(), stopped=stopped))

    def _check_positions(self, widest: int) -> None:
        """A model generates garbage, or fails on the device, past its last position: refuse before starting."""
        limit = self._loaded.max_positions
        wanted = self._command.workload.output_len
        if limit is not None and widest + wanted > limit:
            raise ConfigError(
                "workload.output_len",
                f"{widest} prompt and {wanted} generated tokens exceed the model's {limit} positions",
                allowed=f"at most {max(0, limit - widest)} after this prompt",
            )

    def _warm_up(self) -> tuple[bool | None, int]:
        self._enter("warmup")
        widths = self._widths()
        self._check_positions(max(widths))
        wanted = self._command.measurement.warmup
        count = None if wanted == "auto" else wanted
        if count != 0 and self._loaded.warms_by_shape:
            self._prime(widths)
        started = self._clock.now_ns()
        steps: list[float] = []
        while not (state := warmup_state(steps, (self._clock.now_ns() - started) / NS_PER_S, count=count)).done:
            # The widest batch first: it reaches every length of the KV cache that measuring will.
            batch = self._run_batch("warmup", len(steps), self._source.batch(widths[max(widths)] + len(steps)))
            steps.append(batch.tpot or batch.seconds)
        return state.steady, len(steps)

    def _widths(self) -> dict[int, int]:
        """The padded prompt lengths that will be measured, each with the first batch that has it."""
        widths: dict[int, int] = {}
        # With a fixed input length the first batch speaks for all; making more of them would cost seconds.
        batches = 1 if self._command.workload.input_len else min(self._command.iterations, MOST_WIDTHS)
        for index in range(batches):
            widths.setdefault(max(len(request.ids) for request in self._source.batch(index)), index)
        return widths

    def _prime(self, widths: dict[int, int]) -> None:
        """Run prefill and one decode step at each prompt length.

        On an H200, PyTorch's lazy loading of kernels made 45 ms of a 6 ms TTFT whenever a new length came.
        """
        for index in widths.values():
            self._generate(self._source.batch(index), min(2, self._command.workload.output_len), index, [])

    def _measure(self) -> str:
        self._engine.reset_peak_memory()
        reset_resident_peak()
        self._enter("measure")
        limit = self._command.measurement.max_seconds
        started = self._clock.now_ns()
        for index in range(self._command.iterations):
            if limit and index and (self._clock.now_ns() - started) / NS_PER_S >= limit:
                return f"max_seconds ({limit:g} s) after {index} of {self._command.iterations} iterations"
            self._run_batch("measure", index, self._source.batch(index))
        return ""

    def _enter(self, phase: Literal["warmup", "measure"]) -> None:
        self._progress.enter(phase)
        self._emit(PhaseStarted(self._clock.now_ns(), phase))

    def _run_batch(self, phase: Literal["warmup", "measure"], index: int, requests: list[Request]) -> BatchRecord:
        counts, error = [0] * len(requests), ""
        stamps: list[int] = []
        self._progress.batch, self._progress.step = index, 0
        self._engine.synchronize()
        start = self._progress.progress_ns = self._clock.now_ns()
        try:
            counts = self._generate(requests, self._command.workload.output_len, index, stamps)
        except EngineError as failure:
            error = clean(failure.message)
        end = self._clock.now_ns()
        record = BatchRecord(
            phase=phase,
            index=index,
            start_ns=start,
            first_ns=stamps[0] if stamps else None,
            last_ns=stamps[-1] if stamps else None,
            end_ns=end,
            itl=summarise_gaps(stamps),
            requests=_parts(requests, counts),
            memory=self._memory(),
            error=error,
        )
        self._emit(BatchDone(self._clock.now_ns(), record))
        return record

    def _generate(self, requests: list[Request], output_len: int, index: int, stamps: list[int]) -> list[int]:
        """Generate, noting the time of every token step in `stamps`; returns with the device synchronised."""
        workload = self._command.workload
        batch = Batch(
            prompts=tuple(request.ids for request in requests),
            output_len=output_len,
            temperature=workload.temperature,
            top_k=workload.top_k,
            top_p=workload.top_p,
            seed=workload.seed + index,
        )
        now, progress, cancelled, size = self._clock.now_ns, self._progress, self._cancelled, len(requests)

        def on_step(tokens: int) -> None:
            stamp = now()
            stamps.append(stamp)
            progress.step += 1
            progress.tokens += tokens * size
            progress.progress_ns = stamp
            if cancelled():
                raise Cancelled

        if cancelled():
            raise Cancelled
        counts = list(self._engine.generate(batch, on_step))
        self._engine.synchronize()
        return counts

    def _memory(self) -> EngineMemory:
        known = self._engine.memory()
        return EngineMemory(known.allocated_peak, known.reserved_peak, resident_peak())


def _parts(requests: list[Request], counts: list[int]) -> tuple[RequestPart, ...]:
    return tuple(
        RequestPart(prompt=request.text, prompt_tokens=len(request.ids), tokens=count)
        for request, count in zip(requests, counts, strict=True)
    )
