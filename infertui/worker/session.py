"""Inside the worker: the measuring loop, the same for every target.

The loop owns the order of things (warm up, wait for the runner's counters, measure) and the stamps; the target
only generates. Between the stamps of a batch nothing else happens on this thread. It also says which generated
tokens are kept with a run, and what out-of-memory looks like.
"""

import hashlib
import math
import re
import resource
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Literal

import psutil
from msgspec.structs import replace

from infertui.errors import ConfigError, EngineError
from infertui.load.batches import BatchSource, EncodedPrompt
from infertui.measure.clock import NS_PER_S, Clock
from infertui.measure.records import BatchRecord, Request
from infertui.measure.validity import warmup_state
from infertui.targets.base import Target
from infertui.targets.engine.contract import Batch, EffectiveSettings, Generated, GenerationPlan
from infertui.targets.engine.resident import resident
from infertui.targets.engine.verify import growth, while_measuring
from infertui.text import clean
from infertui.units import format_bytes
from infertui.worker.protocol import BatchDone, Event, Measure, MeasureDone, MeasureEnded, PhaseStarted, Ready
from infertui.worker.stamps import Cancelled, Progress, SequenceTimes, StampSink

MOST_PROMPTS = 64
MOST_TOKENS = 4096


def name_of(ids: Sequence[int]) -> str:
    """What a prompt goes by: the SHA-256 of its token ids in decimal with commas between, in hex digits."""
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()


class OutputPicker:
    """Picks the outputs of one run: of each prompt the first, of so many prompts and so many tokens at most."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, ...]] = set()
        self.kept: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        """Prompt and output of each, by the name of the prompt."""

    def pick(
        self, prompts: Sequence[tuple[int, ...]], counts: Sequence[int], read: Callable[[], list[list[int]]]
    ) -> list[tuple[int, ...]]:
        """The ids to keep of each sequence of a batch, none for those that are not; `read` only where some are.

        Raises EngineError for an engine whose ids are not as many as it said.
        """
        wanted: list[int] = []
        for sequence, prompt in enumerate(prompts):
            if len(self._seen) < MOST_PROMPTS and prompt not in self._seen:
                self._seen.add(prompt)
                wanted.append(sequence)
        if not wanted:
            return []
        ids = read()
        if [len(output) for output in ids] != list(counts):
            raise EngineError("the engine's outputs do not have as many tokens as it counted while it generated")
        kept: list[tuple[int, ...]] = [()] * len(prompts)
        for sequence in wanted:
            kept[sequence] = tuple(ids[sequence][:MOST_TOKENS])
            self.kept[name_of(prompts[sequence])] = prompts[sequence], kept[sequence]
        return kept


# Prompts of more different lengths than this are not all seen in warm-up.
MOST_WIDTHS = 64
MOST_FURTHER = 100_000
"""Batches measured for `min_seconds` beyond the iterations, whatever they take."""


class Session:
    """One `Measure` command on an open target."""

    def __init__(
        self,
        target: Target,
        command: Measure,
        *,
        clock: Clock,
        progress: Progress,
        emit: Callable[[Event], None],
        await_proceed: Callable[[], None],
        cancelled: Callable[[], bool],
        concluded: Callable[[], bool] = lambda: False,
    ) -> None:
        """`concluded` is asked between batches: whether to end with those that are measured."""
        self._target = target
        self._command = command
        self._clock = clock
        self._progress = progress
        self._emit = emit
        self._await_proceed = await_proceed
        self._cancelled = cancelled
        self._concluded = concluded
        self._loaded = target.loaded
        self.outputs = OutputPicker()
        self._good = False
        self._generated = False
        self._source = BatchSource(
            command.workload,
            command.prompts,
            encode=target.encode,
            vocabulary=target.loaded.vocabulary,
            special_ids=target.loaded.special_ids,
        )

    def run(self) -> None:
        """Get ready, warm up, measure, report. Raises what the target raises, and `Cancelled`."""
        self._progress.enter("prepare")
        self._target.release_memory()
        widths = self._widths()
        self._check_positions(max(widths))
        self._prepare(widths)
        steady, warmed = self._warm_up(widths)
        before = self._effective()
        unseen = bool(before.unseen)
        told = replace(before, counters={})
        self._emit(Ready(self._clock.now_ns(), warmup_batches=warmed, steady=steady, effective=told))
        self._await_proceed()
        stopped = self._measure(unseen=unseen)
        self._emit(MeasureEnded(self._clock.now_ns(), stopped=stopped))
        after = self._effective()
        grown = growth(before, after)
        if self._good:
            self._target.check_growth(grown, self._command.workload.output_len)
        self._emit(MeasureDone(self._clock.now_ns(), effective=while_measuring(after, grown)))

    def _prepare(self, widths: dict[int, int]) -> None:
        """Let the engine compile, capture and allocate, in phases of their own."""
        workload = self._command.workload
        plan = GenerationPlan(
            batch_size=workload.batch_size,
            widths=tuple(sorted(widths)),
            output_len=workload.output_len,
            temperature=workload.temperature,
            top_k=workload.top_k,
            top_p=workload.top_p,
        )
        if self._cancelled():
            raise Cancelled
        self._target.prepare(plan, self._enter)

    def _effective(self) -> EffectiveSettings:
        """What is in force. Raises EngineError when it is not what was asked for.

        Where no batch was generated yet, as before measuring without warm-up, some of it may not be seen.
        """
        return self._target.effective(seen=self._generated)

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

    def _warm_up(self, widths: dict[int, int]) -> tuple[bool | None, int]:
        self._enter("warmup")
        wanted = self._command.measurement.warmup
        count = None if wanted == "auto" else wanted
        if count != 0 and self._loaded.warms_by_shape:
            self._prime(widths)
        started = self._clock.now_ns()
        steps: list[float] = []
        while not (state := warmup_state(steps, (self._clock.now_ns() - started) / NS_PER_S, count=count)).done:
            if self._concluded():
                raise Cancelled
            # The widest batch first: it reaches every length of the KV cache that measuring will.
            chosen = (widths[max(widths)] + len(steps)) % self._looked_at
            batch = self._run_batch("warmup", len(steps), self._source.batch(chosen))
            steps.append(batch.tpot or batch.seconds)
        return state.steady, len(steps)

    @property
    def _looked_at(self) -> int:
        """How many batches the engine gets ready for; warm-up shows it no others."""
        wanted = self._command.iterations
        if self._command.measurement.min_seconds:  # it may go on through all the prompts
            wanted = max(wanted, math.ceil(len(self._command.prompts) / self._command.workload.batch_size))
        return min(wanted, MOST_WIDTHS)

    def _widths(self) -> dict[int, int]:
        """The padded prompt lengths that will be measured, each with the first batch that has it."""
        widths: dict[int, int] = {}
        # With a fixed input length the first batch speaks for all; making more of them would cost seconds.
        for index in range(1 if self._command.workload.input_len else self._looked_at):
            widths.setdefault(max(len(prompt.ids) for prompt in self._source.batch(index)), index)
        return widths

    def _prime(self, widths: dict[int, int]) -> None:
        """Run prefill and one decode step at each prompt length.

        On an H200, PyTorch's lazy loading of kernels made 45 ms of a 6 ms TTFT whenever a new length came.
        """
        for index in widths.values():
            prompts = self._source.batch(index)
            batch = self._batch(prompts, min(2, self._command.workload.output_len), index)
            self._generate(batch, self._sink(prompts))

    def _measure(self, *, unseen: bool) -> str:
        """Why it stopped early, if it did. `unseen`: what is in force is looked at once a batch has shown it."""
        self._target.reset_peak_memory()
        self._enter("measure")
        measurement, wanted = self._command.measurement, self._command.iterations
        limit = measurement.max_seconds
        started, measured_s, index = self._clock.now_ns(), 0.0, 0
        while index < wanted or (measured_s < measurement.min_seconds and index < wanted + MOST_FURTHER):
            if self._concluded():
                if not index:
                    raise Cancelled
                return ""
            if limit and index and (self._clock.now_ns() - started) / NS_PER_S >= limit:
                return f"max_seconds ({limit:g} s) after {index} of {wanted} iterations" if index < wanted else ""
            measured_s += self._run_batch("measure", index, self._source.batch(index)).seconds
            index += 1
            if unseen and self._generated:
                self._effective()
                unseen = False
        return ""

    def _enter(self, phase: Literal["compile", "capture", "warmup", "measure"]) -> None:
        self._progress.enter(phase)
        self._emit(PhaseStarted(self._clock.now_ns(), phase))

    def _run_batch(self, phase: Literal["warmup", "measure"], index: int, prompts: list[EncodedPrompt]) -> BatchRecord:
        generated, error = Generated((), list), ""
        batch, sink = self._batch(prompts, self._command.workload.output_len, index), self._sink(prompts)
        self._progress.batch, self._progress.step = index, 0
        self._target.synchronize()
        start = self._progress.progress_ns = self._clock.now_ns()
        try:
            generated = self._generate(batch, sink)
        except EngineError as failure:
            error = clean(failure.message)
        end = self._clock.now_ns()
        # From here to the next batch nothing is timed.
        counts: Sequence[int] = [0] * len(prompts)
        times: list[SequenceTimes] = []
        if not error:
            try:
                counts = list(generated.counts)
                sink.check(counts)
                times = sink.times()
            except EngineError as failure:
                counts, error = [0] * len(prompts), clean(failure.message)
        memory = self._target.memory()
        outputs: list[tuple[int, ...]] = []
        self._generated = self._generated or not error
        if phase == "measure" and not error:
            self._good = True
            outputs = self.outputs.pick([prompt.ids for prompt in prompts], counts, generated.read)
        workload = self._command.workload
        shared = SequenceTimes(sink.first_ns, sink.last_ns, None)
        record = BatchRecord(
            phase=phase,
            index=index,
            start_ns=start,
            first_ns=sink.first_ns,
            last_ns=sink.last_ns,
            end_ns=end,
            itl=None if error else sink.itl(times),
            requests=tuple(
                Request(
                    prompt=prompt.text,
                    prompt_tokens=len(prompt.ids),
                    tokens=count,
                    due_ns=start,
                    sent_ns=start,
                    end_ns=end,
                    first_ns=own.first_ns,
                    last_ns=own.last_ns,
                    itl=own.itl,
                    error=error,
                    asked_prompt_tokens=workload.input_len or None,
                    asked_tokens=workload.output_len,
                    output=output,
                    prompt_sha256=name_of(prompt.ids) if output else "",
                )
                for prompt, count, own, output in zip(
                    prompts, counts, times or repeat(shared), outputs or repeat(()), strict=False
                )
            ),
            memory=memory,
            error=error,
            own_times=bool(times),
            client_ns=sink.spent_ns,
            stretches_ns=() if error else sink.stretches(start, end),
        )
        self._emit(BatchDone(self._clock.now_ns(), record))
        return record

    def _sink(self, prompts: list[EncodedPrompt]) -> StampSink:
        return StampSink(len(prompts), self._clock, self._progress, self._cancelled)

    def _batch(self, prompts: list[EncodedPrompt], output_len: int, index: int) -> Batch:
        workload = self._command.workload
        return Batch(
            prompts=tuple(prompt.ids for prompt in prompts),
            output_len=output_len,
            temperature=workload.temperature,
            top_k=workload.top_k,
            top_p=workload.top_p,
            seed=workload.seed + index,
        )

    def _generate(self, batch: Batch, sink: StampSink) -> Generated:
        """Generate, telling `sink` of every token step; returns with the device synchronised."""
        if self._cancelled():
            raise Cancelled
        return self._target.generate(batch, sink)


# "Tried to allocate 2.00 GiB", "you tried to allocate 1073741824 bytes"
_ASKED = re.compile(r"tried to allocate ([\d.]+) ?(KiB|MiB|GiB|TiB|bytes)", re.IGNORECASE)
_UNITS = {"bytes": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


def out_of_memory_details(error: BaseException) -> dict[str, str] | None:
    """The figures behind an out-of-memory error of the host or of CUDA; None when it is another error.

    Recognised by type name (`torch.OutOfMemoryError`, `MemoryError`) and by the text of PyTorch's CPU allocator,
    which raises a plain RuntimeError; so this module imports no backend.
    """
    text = str(error)
    on_device = type(error).__name__ == "OutOfMemoryError" or "CUDA out of memory" in text
    on_host = isinstance(error, MemoryError) or "DefaultCPUAllocator" in text or "can't allocate memory" in text
    if not (on_device or on_host):
        return None
    details = {"where": "GPU" if on_device else "host"}
    if match := _ASKED.search(text):
        details["asked for"] = format_bytes(float(match[1]) * _UNITS[match[2].lower()])
    if on_device:
        details["backend says"] = clean(text)[:600]
        return details
    memory = psutil.virtual_memory()
    details["worker uses"] = format_bytes(resident())
    details["host has free"] = f"{format_bytes(memory.available)} of {format_bytes(memory.total)}"
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        details["address space limit"] = format_bytes(limit)
    return details
