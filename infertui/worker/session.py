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
from infertui.worker.memory import resident_peak
from infertui.worker.protocol import BatchDone, Event, Measure, MeasureDone, PhaseStarted, Ready
from infertui.workloads.batches import BatchSource, Request


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
        self._check_positions()
        steady, warmed = self._warm_up()
        self._emit(Ready(self._clock.now_ns(), warmup_batches=warmed, steady=steady))
        self._await_proceed()
        stopped = self._measure()
        self._emit(MeasureDone(self._clock.now_ns(), stopped=stopped))

    def _check_positions(self) -> None:
        """A model generates garbage, or fails on the device, past its last position: refuse before starting."""
        limit = self._loaded.max_positions
        if limit is None:
            return
        workload = self._command.workload
        pool = max(1, len(self._command.prompts))
        batches = range(-(-pool // workload.batch_size)) if self._command.prompts else range(1)
        longest = max(len(request.ids) for index in batches for request in self._source.batch(index))
        if longest + workload.output_len > limit:
            raise ConfigError(
                "workload.output_len",
                f"{longest} prompt and {workload.output_len} generated tokens exceed the model's {limit} positions",
                allowed=f"at most {max(0, limit - longest)} after this prompt",
            )

    def _warm_up(self) -> tuple[bool | None, int]:
        self._enter("warmup")
        wanted = self._command.measurement.warmup
        count = None if wanted == "auto" else wanted
        started = self._clock.now_ns()
        steps: list[float] = []
        while not (state := warmup_state(steps, (self._clock.now_ns() - started) / NS_PER_S, count=count)).done:
            batch = self._run_batch("warmup", len(steps))
            steps.append(batch.tpot or batch.seconds)
        return state.steady, len(steps)

    def _measure(self) -> str:
        self._engine.reset_peak_memory()
        self._enter("measure")
        limit = self._command.measurement.max_seconds
        started = self._clock.now_ns()
        for index in range(self._command.iterations):
            if limit and index and (self._clock.now_ns() - started) / NS_PER_S >= limit:
                return f"max_seconds ({limit:g} s) after {index} of {self._command.iterations} iterations"
            self._run_batch("measure", index)
        return ""

    def _enter(self, phase: Literal["warmup", "measure"]) -> None:
        self._progress.enter(phase)
        self._emit(PhaseStarted(self._clock.now_ns(), phase))

    def _run_batch(self, phase: Literal["warmup", "measure"], index: int) -> BatchRecord:
        workload = self._command.workload
        requests = self._source.batch(index)
        batch = Batch(
            prompts=tuple(request.ids for request in requests),
            output_len=workload.output_len,
            temperature=workload.temperature,
            top_k=workload.top_k,
            top_p=workload.top_p,
            seed=workload.seed + index,
        )
        stamps: list[int] = []
        now, progress, cancelled, size = self._clock.now_ns, self._progress, self._cancelled, len(requests)

        def on_step(tokens: int) -> None:
            stamp = now()
            stamps.append(stamp)
            progress.step += 1
            progress.tokens += tokens * size
            progress.progress_ns = stamp
            if cancelled():
                raise Cancelled

        progress.batch, progress.step = index, 0
        if cancelled():
            raise Cancelled
        error = ""
        counts = [0] * size
        self._engine.synchronize()
        start = progress.progress_ns = now()
        try:
            counts = list(self._engine.generate(batch, on_step))
            self._engine.synchronize()
        except EngineError as failure:
            error = clean(failure.message)
        end = now()
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
        self._emit(BatchDone(now(), record))
        return record

    def _memory(self) -> EngineMemory:
        known = self._engine.memory()
        return EngineMemory(known.allocated_peak, known.reserved_peak, resident_peak())


def _parts(requests: list[Request], counts: list[int]) -> tuple[RequestPart, ...]:
    return tuple(
        RequestPart(prompt=request.text, prompt_tokens=len(request.ids), tokens=count)
        for request, count in zip(requests, counts, strict=True)
    )
