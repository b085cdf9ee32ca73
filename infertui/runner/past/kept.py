"""What the machine and the runs did in the last two hours: samples, and marks of how far runs were.

Both are thinned as they come and as they age, and no value is made up: what is kept is what was read. With eight GPUs
two hours of samples are 10 MB, and as many marks as are kept 4 MB.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from infertui.errors import UsageError
from infertui.integers import Whole
from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import Gaps
from infertui.measure.records import Phase
from infertui.runner.events import LoadProgressed
from infertui.runner.execution.progress import RunProgress
from infertui.telemetry.readings import Sample

KEPT_S = 7200
"""Two hours."""
FINE_S = 600
"""So long samples are kept one a second, and after that one in COARSE_S."""
COARSE_S = 4.0
MARK_S = 2.0
"""Between two marks of a run in the same phase, at least."""
MOST_MARKS = 4000
MOST_POINTS = 2000
_SECOND_NS = int(0.95 * NS_PER_S)
T = TypeVar("T", "RunMark", Sample)


class RunMark(Struct, frozen=True):
    """How far a run was at `t_ns`; fields are those of RunProgress."""

    t_ns: Whole
    run: str
    phase: Phase | None
    loaded: bool = False
    """Whether its model was in memory."""
    step: Whole = 0
    batch: Whole = 0
    warmed_up: Whole = 0
    measured: Whole = 0
    measured_tokens: Whole = 0
    measured_seconds: float = 0.0
    tokens_per_s: float | None = None
    ttft: float | None = None
    itl: Gaps | None = None
    load: LoadProgressed | None = None


class RunnerPast(Struct, frozen=True):
    """A stretch of the past, oldest first. Stamps are the runner's monotonic nanoseconds."""

    oldest_ns: Whole
    """The oldest sample that is still kept; 0: there is none."""
    samples: tuple[Sample, ...] = ()
    marks: tuple[RunMark, ...] = ()
    """Of the stretch, and of each run the last one before it."""
    runs: dict[str, RunProgress] = {}
    """What does not change, of the runs that the marks are of, by id; without rates over time."""


class Past:
    """Keeps it. Nothing here waits or is slow: it is called with every sample and event."""

    def __init__(self, clock: Callable[[], int] = monotonic_ns) -> None:
        self._clock = clock
        self._fine: deque[Sample] = deque()
        self._coarse: deque[Sample] = deque()
        self._marks: deque[RunMark] = deque(maxlen=MOST_MARKS)
        self._last: dict[str, RunMark] = {}
        self._runs: dict[str, RunProgress] = {}

    def sampled(self, sample: Sample) -> None:
        """Take a sample, at whatever rate they come."""
        if self._fine and sample.t_ns - self._fine[-1].t_ns < _SECOND_NS:
            return
        self._fine.append(sample)
        while self._fine[0].t_ns < sample.t_ns - FINE_S * NS_PER_S:
            aged = self._fine.popleft()
            if not self._coarse or aged.t_ns - self._coarse[-1].t_ns >= COARSE_S * NS_PER_S:
                self._coarse.append(aged)
        while self._coarse and self._coarse[0].t_ns < sample.t_ns - KEPT_S * NS_PER_S:
            self._coarse.popleft()

    def progressed(self, run: str, progress: RunProgress) -> None:
        """A run went on: mark it where its phase is new, or the last mark is old enough."""
        now = self._clock()
        last = self._last.get(run)
        self._runs[run] = progress
        if last and last.phase == progress.phase and now - last.t_ns < MARK_S * NS_PER_S:
            return
        mark = self._last[run] = (
            RunMark(
                now, run, progress.phase, progress.loaded is not None, progress.step, progress.batch,
                progress.warmed_up, progress.measured, progress.measured_tokens, progress.measured_seconds,
                progress.tokens_per_s, progress.ttft, progress.itl, progress.load,
            )
        )  # fmt: skip
        self._marks.append(mark)

    def ended(self, run: str) -> None:
        """A run is over: what it was over time are its marks alone."""
        self._last.pop(run, None)
        if (progress := self._runs.get(run)) is not None:
            self._runs[run] = _timeless(progress)
        horizon = self._clock() - KEPT_S * NS_PER_S
        while self._marks and self._marks[0].t_ns < horizon:
            self._marks.popleft()
        marked = {mark.run for mark in self._marks}
        self._runs = {name: known for name, known in self._runs.items() if name in marked or name == run}

    def latest(self, count: int) -> tuple[Sample, ...]:
        """The last so many samples, one a second."""
        return tuple(self._fine)[-count:]

    def between(self, from_ns: int, to_ns: int, points: int) -> RunnerPast:
        """A stretch, thinned to so many samples, and marks of each run, at most. Raises UsageError for no stretch."""
        if not 2 <= points <= MOST_POINTS:
            raise UsageError(f"{points} points cannot be told: 2 to {MOST_POINTS:,}")
        if to_ns < from_ns:
            raise UsageError("a stretch of the past does not end before it begins")
        samples = [*self._coarse, *self._fine]
        stamps = [sample.t_ns for sample in samples]
        told = samples[bisect_left(stamps, from_ns) : bisect_right(stamps, to_ns)]
        marks = self._marks_between(from_ns, to_ns, points)
        runs = {run: _timeless(self._runs[run]) for run in {mark.run for mark in marks} if run in self._runs}
        return RunnerPast(stamps[0] if stamps else 0, tuple(_thinned(told, points)), tuple(marks), runs)

    def _marks_between(self, from_ns: int, to_ns: int, points: int) -> list[RunMark]:
        by_run: dict[str, list[RunMark]] = {}
        for mark in self._marks:
            if mark.t_ns > to_ns:
                break
            of_run = by_run.setdefault(mark.run, [])
            if mark.t_ns < from_ns:
                of_run.clear()
            of_run.append(mark)
        return sorted((mark for marks in by_run.values() for mark in _thinned(marks, points)), key=lambda one: one.t_ns)


def _timeless(progress: RunProgress) -> RunProgress:
    return replace(progress.copy(), rates=[], ttfts=[], sample=None)


def _thinned(values: Sequence[T], points: int) -> list[T]:
    """At most so many of them, evenly, among them the first and the last."""
    last = len(values) - 1
    if last < points:
        return list(values)
    return [values[round(place * last / (points - 1))] for place in range(points)]
