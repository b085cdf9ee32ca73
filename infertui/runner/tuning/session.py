"""The tuning session: measures one segment after another on the device that it holds, as it is told.

A segment is a run whose length is open (`Execution`), in the folder of the session: it has its own warm-up, requests,
telemetry and result, so nothing is averaged over a change, and what a killed runner leaves is recovered as for any run.
A change waits for the end of the batch under way.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from infertui.analysis.tuning.knobs import further_settings, turned
from infertui.analysis.tuning.segment import Segment
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import InfertuiError, UsageError
from infertui.measure.comparison import Totals
from infertui.measure.records import BatchRecord, Phase
from infertui.results.result import Result
from infertui.runner.blocking import finish_despite_cancel
from infertui.runner.events import AnyRunEvent, BatchMeasured, LoadProgressed, ModelLoaded, Noted, PhaseEntered
from infertui.runner.tuning.course import SegmentPlan, TuningCourse
from infertui.runner.tuning.earlier import name_of, read_earlier
from infertui.runner.tuning.folder import TuningFolder
from infertui.runner.tuning.gathering import Gathering
from infertui.runner.tuning.segments import as_measured, ended_segment, refused_segment
from infertui.runner.tuning.settings import Changeable
from infertui.runner.tuning.state import TuningLive, TuningPoint, TuningStatus, TuningView
from infertui.telemetry.readings import Sample
from infertui.text import clean

_log = logging.getLogger(__name__)
MOST_TOLD = 300
"""Segments that whoever watches is told at a time: the last ones; all are in the session's folder."""


class Measuring(Protocol):
    """A run under way."""

    ended_by: str

    @property
    def id(self) -> str: ...
    async def run(self) -> Result: ...
    def conclude(self) -> None: ...
    def rates(self) -> tuple[float, ...]: ...
    def sampled(self, sample: Sample) -> None: ...


Executing = Callable[[Variant, Path, Callable[[AnyRunEvent], None]], Measuring]
Readings = Callable[[Sample], tuple[int | None, float | None]]
"""Bytes of the device's memory in use, and the watts that it draws, of a sample."""


class TuningSession:
    """One session. `vet` says what is known to be wrong with a config; `told` is called when something changed,
    `pointed` with each point of the charts. All of it lives on the event loop."""

    def __init__(
        self,
        folder: TuningFolder,
        *,
        vet: Callable[[Config], Awaitable[InfertuiError | None]],
        readings: Readings,
        told: Callable[[TuningView], None],
        pointed: Callable[[TuningPoint, TuningLive], None],
    ) -> None:
        """Raises ConfigError and StoreError for a folder that cannot be read."""
        self._ended_by = ""
        self.folder = folder
        self._start = folder.config
        self._vet, self._readings, self._told, self._pointed = vet, readings, told, pointed
        self._segments: list[Segment] = []
        self._observed: dict[int, Totals] = {}
        self._course = TuningCourse(folder.kept, self._start)
        self._taken_up: Config | None = None
        self._gpu: Changeable | None = None
        self._marked = 0
        self._execution: Measuring | None = None
        self._gathering: Gathering | None = None
        self._plan: SegmentPlan | None = None
        self._phase: Phase | None = None
        self._sample: Sample | None = None
        self._process = 0
        self._status: TuningStatus = "measuring"
        self._origin = time.monotonic()
        self._earlier = 0.0

    @property
    def id(self) -> str:
        """The session's id, which is the folder's name."""
        return self.folder.kept.id

    @property
    def ended_by(self) -> str:
        """Who or what cancels it, told before that."""
        return self._ended_by

    @ended_by.setter
    def ended_by(self, why: str) -> None:
        self._ended_by = why
        if self._execution:
            self._execution.ended_by = why

    @property
    def view(self) -> TuningView:
        """As it is shown."""
        return TuningView(
            id=self.id,
            folder=str(self.folder.path),
            title=self.folder.kept.title,
            config=self._course.config,
            status=self._status,
            phase=self._phase,
            wanted=dict(self._course.wanted),
            segments=tuple(self._segments[-MOST_TOLD:]),
            live=self._gathering.live() if self._gathering else None,
            marked=self._marked,
            climbing=self._course.climbing,
            note=self._course.note,
            error=self._course.error,
            gpu=self._course.gpu,
        )

    def allow(self, gpu: Changeable) -> None:
        """Let it change settings of its GPUs, or of its server; who gave them takes them back."""
        self._gpu, self._course.gpu = gpu, gpu.settings
        self._tell()

    @property
    def allowed(self) -> bool:
        """Whether it may change settings of its GPUs."""
        return self._gpu is not None

    # What it is told

    async def change(self, changes: Mapping[str, str]) -> None:
        """Turn knobs: the segment under way ends, and one with these begins. Raises ConfigError, or what else is known
        to be wrong with it; then everything stays as it is."""
        self._must_be_live()
        wanted, config = self._course.with_changes(changes)
        if wrong := await self._vet(config):
            raise wrong
        self._must_be_live()
        self._course.change(wanted)
        self._conclude()

    def undo(self) -> None:
        """Go back to the setting before. Raises UsageError where there is none."""
        self._must_be_live()
        self._course.undo()
        self._conclude()

    def mark(self, number: int) -> None:
        """Make a segment the baseline; 0: none is."""
        if number and number not in [segment.number for segment in self._segments]:
            raise UsageError(f"there is no segment {number} that ended")
        self._marked = number
        if self._gathering:
            self._gathering.baseline = number
        self._tell()

    def climb(self, key: str, budget_s: float) -> None:
        """Climb by itself along a knob, for so many seconds at most. Raises UsageError for what cannot be climbed."""
        self._must_be_live()
        self._course.climb(key, budget_s, self.now)
        self._tell()

    def stop(self) -> None:
        """End with the batch under way; what was measured is a segment."""
        self._course.stopping = True
        self._conclude()

    def pin(self, number: int) -> Result:
        """Make a segment an ordinary run. Raises UsageError and StoreError. It reads and writes files."""
        segment = next((segment for segment in self._segments if segment.number == number), None)
        if segment is None:
            raise UsageError(f"there is no segment {number} that ended")
        return self.folder.pin(segment, self._start)

    async def ended_of(self, number: int) -> None:
        """End the segment under way where it is that one, and go on with the same setting in the next.

        Raises UsageError in a session that follows a script, whose steps have their lengths.
        """
        if self._gathering is None or self._gathering.number != number:
            return
        if self._course.scripted:
            raise UsageError(f"segment {number} has not ended, and its script says how long it takes")
        self._conclude()
        await self._gathering.over.wait()

    def pinned(self, number: int, run: str) -> None:
        """Note that a segment is an ordinary run now. Raises StoreError."""
        at = next(at for at, segment in enumerate(self._segments) if segment.number == number)
        if self._segments[at].pinned != run:
            self._segments[at] = replace(self._segments[at], pinned=run)
            self.folder.keep(self._segments[at])
        self._tell()

    def sampled(self, sample: Sample) -> None:
        """Take a telemetry sample."""
        self._sample = sample
        if self._execution:
            self._execution.sampled(sample)

    @property
    def now(self) -> float:
        """Seconds of the session so far; one that is continued goes on where it ended."""
        return self._earlier + time.monotonic() - self._origin

    def _must_be_live(self) -> None:
        if self._status == "ended" or self._course.stopping:
            raise UsageError("that tuning session has ended")

    def _conclude(self) -> None:
        if self._execution:
            self._execution.conclude()
        self._tell()

    # What it does

    def take_up(self) -> None:
        """Read what an earlier session of this folder left, and recover what it was cut off in. Reads files.

        Raises ConfigError and StoreError.
        """
        earlier = read_earlier(self.folder, self._start)
        self._segments, self._observed = list(earlier.segments), dict(earlier.observed)
        self._taken_up, self._process, self._earlier = earlier.good, earlier.process, earlier.ended

    async def work(self, execute: Executing, take_back: Callable[[], Coroutine[Any, Any, list[str]]]) -> None:
        """Measure segments until it is told to stop, the script is at its end, or nothing works any more.

        Cancelled, it keeps what was measured. In the end settings are put back by `take_back`, which tells what could
        not be.
        """
        self._origin, course = time.monotonic(), self._course
        try:
            plan = course.begin(self._segments, self._taken_up)
            while plan is not None and not course.stopping:
                await self._measured(plan, execute)
                if self._ended_by:
                    break
                plan = course.following(plan, self._segments, self._observed, self.now)
        except InfertuiError as error:
            course.error = error.message
        except Exception as bug:  # noqa: BLE001 (what was measured is kept, and whoever watches is told)
            course.error = f"a bug in infertui: {type(bug).__name__}"
            _log.exception("a tuning session ended with a bug")
        finally:
            if self._gathering:
                self._gathering.over.set()
            left = await finish_despite_cancel(take_back())
            self._status, self._phase, self._execution, self._gathering = "ended", None, None, None
            course.end()
            course.error = course.error or clean(self._ended_by)
            if left:
                course.error = "; ".join(filter(None, (course.error, f"not put back: {', '.join(left)}")))
            self.folder.release()
            self._tell()

    async def _measured(self, plan: SegmentPlan, execute: Executing) -> None:
        """The segment of a plan, kept; one that is refused is kept as well."""
        number = max((segment.number for segment in self._segments), default=0) + 1
        course, began, changes = self._course, self.now, plan.changes
        before, config = course.config, plan.config
        self._plan = plan
        wrong: InfertuiError | None
        try:
            config = course.config = turned(plan.config, changes, course.gpu) if changes else plan.config
            wrong = await self._vet(config)
            if wrong is None and self._gpu is not None:
                await self._gpu.apply(further_settings(config))
        except InfertuiError as error:
            wrong = error
        if wrong is not None:
            course.config = before
            self._keep(refused_segment(number, plan, began, self.now, wrong), Totals((), ()))
            return
        name = name_of(self._start, config)
        gathering = Gathering(number, name, began, tuple(self._segments), self._observed)
        gathering.baseline, gathering.process = self._marked, self._process
        gathering.versus, gathering.among = plan.versus, plan.among
        course.begun(before, plan, first=not self._segments)
        self._gathering = gathering
        self._execution = execute(Variant(name, as_measured(config, plan), {}), self.folder.path, self._take)
        self._execution.ended_by = self._ended_by
        if course.asked:  # it was asked for while the config was looked at
            self._execution.conclude()
        self._tell()
        result = await self._execution.run()
        gathering.over_with(self._execution.rates())
        self._point(gathering, last=True)
        self._keep(ended_segment(gathering, plan, before, config, result, self.now), gathering.observed)

    def _keep(self, segment: Segment, observed: Totals) -> None:
        self._segments.append(segment)
        self._observed[segment.number] = observed
        over = self._gathering
        self._execution, self._gathering, self._phase = None, None, None
        self.folder.keep(segment)
        if over is not None:
            over.over.set()
        self._tell()

    def _take(self, event: AnyRunEvent) -> None:
        gathering = self._gathering
        if gathering is None:
            return
        match event:
            case PhaseEntered():
                self._phase = event.phase
                self._tell()
            case ModelLoaded():
                if not event.reused or not self._process:
                    self._process += 1
                gathering.process = self._process
            case BatchMeasured(batch=batch) if batch.phase == "measure":
                self._batch(gathering, batch)
            case LoadProgressed():
                self._progressed(gathering, event)
            case Noted():
                self._course.note = event.text
            case _:
                pass

    def _progressed(self, gathering: Gathering, event: LoadProgressed) -> None:
        gathering.progressed(event)
        self._look(gathering)

    def _batch(self, gathering: Gathering, batch: BatchRecord) -> None:
        gathering.take(batch)
        self._look(gathering)

    def _look(self, gathering: Gathering) -> None:
        plan, execution = self._plan, self._execution
        climbs = self._course.begins_climb
        if plan is not None and execution is not None and gathering.look(plan, execution.rates, begins_climb=climbs):
            execution.conclude()
        self._point(gathering)

    def _point(self, gathering: Gathering, *, last: bool = False) -> None:
        vram, power = self._readings(self._sample) if self._sample else (None, None)
        if (point := gathering.point(self.now, vram=vram, power=power, last=last)) is not None:
            self._pointed(point, gathering.live())

    def _tell(self) -> None:
        self._told(self.view)
