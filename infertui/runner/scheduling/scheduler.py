"""Starts what may start, one run a device; knows what is under way and how each run ended."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from infertui.analysis.capacity.plan import is_search
from infertui.config.sweep import Variant
from infertui.errors import InfertuiError, UsageError
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.runner.blocking import MODEL_S, finish_despite_cancel
from infertui.runner.capacity.host import CapacitySearches
from infertui.runner.capacity.run import CapacityRun, SearchEnd
from infertui.runner.events import AnyRunEvent, RunRefused
from infertui.runner.execution.finishing import error_of
from infertui.runner.execution.kind import LeftAtWork
from infertui.runner.execution.loading import WorkerSlot
from infertui.runner.execution.run import Execution
from infertui.runner.idle import IdlePower
from infertui.runner.scheduling.device_slots import CPU, devices_of, is_free, slot_name, startable
from infertui.runner.scheduling.queue import Queue, in_a_line, settled, stamp
from infertui.runner.scheduling.queue_store import Entry, EntryState
from infertui.runner.scheduling.vetting import refusals
from infertui.runner.telemetry import SampleRates
from infertui.telemetry.readings import Sample
from infertui.telemetry.sampler import Sampler
from infertui.text import clean

_log = logging.getLogger(__name__)

Ended = Callable[[Entry, Result | None, Exception | None], None]
"""Told when an entry has ended: with its result, or why there is none."""


class Occupant(Protocol):
    """What is under way on a device: a run, or what measures several there."""

    ended_by: str
    """Who or what cancels it, told before that."""

    def sampled(self, sample: Sample) -> None:
        """Take a telemetry sample."""
        ...


Executing = Callable[[Variant, Path, Callable[[AnyRunEvent], None]], Execution]
"""Makes a run of a config, kept in that folder and told in that way, for the device that is held."""


@dataclass
class Lane:
    """One device: its worker, and the run that is under way on it."""

    slot: WorkerSlot = field(default_factory=WorkerSlot)
    entry: int | None = None
    begun: Entry | None = None
    """That entry as it was when its turn came; the queue may know another by now, or none."""
    execution: Occupant | None = None
    task: asyncio.Task[Result | SearchEnd | None] | None = None
    ending: EntryState | None = None
    """How a run that is being cancelled will be called."""
    unloading: asyncio.TimerHandle | None = None
    clearing: asyncio.Task[None] | None = None
    """Held so that it is not collected before it ends."""

    def end(self, state: EntryState, why: str) -> None:
        """Cancel the run under way, which will go by `state`, ended by `why`; the first call decides."""
        if self.task and not self.ending:
            self.ending = state
            if self.execution:
                self.execution.ended_by = why
            # Not at once: a task that has not begun would end without a word, and its run without a result.
            asyncio.get_running_loop().call_soon(self.task.cancel)


class Dispatcher:
    """Runs the queue's entries. `kick` after every change of the queue."""

    def __init__(
        self,
        queue: Queue,
        *,
        sampler: Sampler,
        emit: Callable[[AnyRunEvent], None],
        searches: CapacitySearches,
        ended: Ended,
        keep_loaded_s: float,
        cpu_exclusive: bool,
    ) -> None:
        self._queue = queue
        self._sampler = sampler
        self._rates = SampleRates(sampler)
        self._idle = IdlePower()
        self._emit = emit
        self._searches = searches
        self._ended = ended
        self._keep_loaded_s = keep_loaded_s
        self._cpu_exclusive = cpu_exclusive
        self._lanes: dict[str, Lane] = {}
        self._closing = False

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return any(lane.task for lane in self._lanes.values())

    @property
    def process_groups(self) -> dict[int, str]:
        """Which process groups are this runner's workers, and what each is for in words."""
        return {
            worker.pid: f"#{lane.begun.id} {lane.begun.label}".strip()
            if lane.begun and lane.task
            else "tuning" if lane.task else "kept loaded"
            for lane in self._lanes.values()
            if (worker := lane.slot.current)
        }  # fmt: skip

    def kick(self) -> None:
        """Start what may start, once nothing looks any longer at what has left the line meanwhile."""
        for lane in self._lanes.values():
            if lane.task and lane.begun and not lane.execution and not self._queue.awaits(lane.begun):
                lane.task.cancel()
        # Again and again, since one that fails at once leaves its device to the next.
        while not (self._closing or self._queue.paused) and (entries := self._startable()):
            for entry in entries:
                self._start(entry)

    def cancel(self, entry: int, state: EntryState) -> None:
        """End a running entry; what it measured is kept and the entry goes by `state`."""
        for lane in self._lanes.values():
            if lane.entry == entry:
                lane.end(state, f"it was {state}")

    def require_free(self, name: str) -> None:
        """Raise UsageError while a device, or a part of it, is in use."""
        busy = {other for other, lane in self._lanes.items() if lane.task}
        if self._closing or not is_free(name, busy, cpu_exclusive=self._cpu_exclusive):
            under_way = [lane.begun.label for lane in self._lanes.values() if lane.task and lane.begun]
            raise UsageError(
                f"{name} is not free" + (f": {clean(', '.join(under_way))} is under way" if under_way else ""),
                remedy="Wait for what uses it, or cancel that.",
            )

    def occupy(
        self, name: str, occupant: Occupant, work: Callable[[Executing], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        """Hold a device for `occupant` as long as its `work` lasts, which is given what makes runs there.

        No entry of the queue starts there meanwhile. Raises UsageError as `require_free` does.
        """
        self.require_free(name)
        lane = self._lanes.setdefault(name, Lane())
        if lane.unloading:
            lane.unloading.cancel()
        lane.entry, lane.begun, lane.ending, lane.execution = None, None, None, occupant
        left = LeftAtWork()

        def execution(variant: Variant, out: Path, emit: Callable[[AnyRunEvent], None]) -> Execution:
            return self._execution(name, lane, variant, out, emit, left=left)

        async def run() -> None:
            try:
                await work(execution)
            finally:
                await finish_despite_cancel(left.close())

        task = asyncio.create_task(run())
        lane.task = task
        task.add_done_callback(lambda _: self._vacated(lane))
        return task

    def vacate(self, occupant: Occupant, why: str) -> None:
        """Cancel what an occupant does; what it measured is kept."""
        for lane in self._lanes.values():
            if lane.execution is occupant:
                lane.end("cancelled", why)

    def sampled(self, sample: Sample, *, watched: bool) -> None:
        """Take a sample of the machine; `watched`: somebody looks on, and gets them more often."""
        self._rates.watched(watched)
        held = {device for name, lane in self._lanes.items() if lane.slot.occupied for device in devices_of(name)}
        ours = [gpu for gpu in self._sampler.gpus if held & {CPU, slot_name(gpu)}]
        free = [gpu for gpu in self._sampler.gpus if gpu not in ours]
        self._idle.add(sample, free, held=ours, host=not held)
        for lane in self._lanes.values():
            if lane.execution:
                lane.execution.sampled(sample)

    async def close(self, why: str) -> None:
        """End what runs, keeping what it measured, and every worker."""
        self._closing = True
        for lane in self._lanes.values():
            lane.end("interrupted", why)
        await asyncio.gather(*(lane.task for lane in self._lanes.values() if lane.task), return_exceptions=True)
        await asyncio.gather(*(self._clear(lane) for lane in self._lanes.values()))

    def _startable(self) -> list[Entry]:
        busy = {name for name, lane in self._lanes.items() if lane.task}
        benches = {lane.begun.place.bench for lane in self._lanes.values() if lane.begun and lane.begun.place}
        return startable(self._queue.waiting, busy, cpu_exclusive=self._cpu_exclusive, benches=benches)

    def _start(self, entry: Entry) -> None:
        lane = self._lanes.setdefault(entry.lane, Lane())
        if lane.unloading:
            lane.unloading.cancel()
        lane.entry, lane.begun, lane.ending = entry.id, entry, None
        lane.task = asyncio.create_task(self._run(lane, entry))
        lane.task.add_done_callback(lambda task: self._done(lane, entry.id, task))

    async def _run(self, lane: Lane, entry: Entry) -> Result | SearchEnd | None:
        """Look once more whether it can be, then measure it. None: it cannot, or is not to be any more.

        While that is looked at, the entry waits: it may be changed or taken out of the line.
        """
        (wrong,) = await refusals([entry.config], self._sampler.gpus, MODEL_S)
        if self._closing or self._queue.paused or not self._queue.awaits(entry):
            return None
        entry = self._queue.get(entry.id)  # it may have been moved and foreseen anew
        group = [other.id for other in self._queue.entries if other.group == entry.group]
        number = group.index(entry.id) + 1
        if wrong is not None:
            self._queue.note(replace(entry, state="refused", reason=in_a_line(wrong), ended=stamp()))
            self._emit(RunRefused("", entry.label, number, len(group), error_of(wrong)))
            self._ended(self._queue.get(entry.id), None, None)
            return None
        variant = Variant(entry.label, entry.config, {}, entry.place)
        out, total = Path(entry.out), len(group)
        execution: Execution | CapacityRun
        if is_search(entry.config):
            execution = self._searches.make(variant, out, self._rates, number=number, total=total)
        else:
            execution = self._execution(entry.lane, lane, variant, out, self._emit, number=number, total=total)
        lane.execution = execution
        self._queue.note(replace(entry, state="running", run=execution.id, started=stamp()))
        return await execution.run()

    def _execution(
        self,
        name: str,
        lane: Lane,
        variant: Variant,
        out: Path,
        emit: Callable[[AnyRunEvent], None],
        *,
        number: int = 1,
        total: int = 1,
        left: LeftAtWork | None = None,
    ) -> Execution:
        return Execution(
            variant,
            store=Store(out),
            sampler=self._sampler,
            rates=self._rates,
            slot=lane.slot,
            emit=emit,
            number=number,
            total=total,
            idle=self._idle,
            make_room=lambda: self._make_room(name),
            left=left,
        )

    async def _make_room(self, name: str) -> None:
        """End the idle workers that hold memory of this lane's devices for another lane."""
        devices = devices_of(name)
        shared = [lane for other, lane in self._lanes.items() if other != name and devices & devices_of(other)]
        await asyncio.gather(*(lane.slot.clear() for lane in shared))

    def _done(self, lane: Lane, number: int, task: asyncio.Task[Result | SearchEnd | None]) -> None:
        ending, lane.ending = lane.ending, None
        begun = lane.execution is not None
        lane.entry, lane.begun, lane.execution, lane.task = None, None, None, None
        error = None if task.cancelled() else task.exception()
        result = None if task.cancelled() or error else task.result()
        if begun or error:
            self._settle(self._queue.get(number), result, error if isinstance(error, Exception) else None, ending)
        self._follow(lane)

    def _vacated(self, lane: Lane) -> None:
        lane.ending, lane.execution, lane.task = None, None, None
        self._follow(lane)

    def _follow(self, lane: Lane) -> None:
        """A device is free: keep what is loaded there for a while, and start what waits."""
        if not self._closing:
            loop = asyncio.get_running_loop()
            lane.unloading = loop.call_later(self._keep_loaded_s, self._unload, lane)
            self.kick()

    def _settle(
        self, entry: Entry, found: Result | SearchEnd | None, error: Exception | None, ending: EntryState | None
    ) -> None:
        state: EntryState = ending or "interrupted"
        result = found if isinstance(found, Result) else None
        reason = result.ended_by if result is not None else ""
        if error is not None:
            state, reason = "failed", clean(str(error))
            if not isinstance(error, InfertuiError):
                _log.error("entry %d ended with a bug", entry.id, exc_info=error)
        elif result is not None and result.state != "interrupted":
            state = result.state
        if isinstance(found, SearchEnd):
            state = found.state if found.state == "finished" else state
            ended = replace(entry, state=state, reason=found.found, ended=stamp(), valid=found.valid)
        else:
            ended = settled(entry, result, state=state, reason=reason)
        self._queue.note(ended)
        self._ended(ended, result, error)

    def _unload(self, lane: Lane) -> None:
        if lane.task is None and lane.slot.current:
            lane.clearing = asyncio.create_task(lane.slot.clear())

    async def _clear(self, lane: Lane) -> None:
        if lane.unloading:
            lane.unloading.cancel()
        await finish_despite_cancel(lane.slot.clear())
