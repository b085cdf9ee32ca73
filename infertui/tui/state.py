"""What the screen knows of the runner: a snapshot, kept up to date by events. Pure state, drawn elsewhere."""

from collections import deque

from msgspec import Struct
from msgspec.structs import replace

from infertui.models.hub.progress import PullView
from infertui.results.details import BatchPoint
from infertui.results.result import Result
from infertui.runner.capacity.state import CapacityView
from infertui.runner.control import (
    CapacityChanged,
    CapacityMeasured,
    EntriesOrdered,
    EntryChanged,
    EventEnvelope,
    Measured,
    PausedChanged,
    PullChanged,
    ResultsChanged,
    RunnerFacts,
    Snapshot,
    TuningChanged,
    TuningMeasured,
)
from infertui.runner.events import AnyRunEvent, RunFinished
from infertui.runner.execution.progress import RunProgress
from infertui.runner.scheduling.queue_store import ENDED, Entry
from infertui.runner.tuning.state import TuningPoint, TuningView
from infertui.telemetry.readings import Sample
from infertui.tui.frame.topics import ALL_TOPICS, Topic

__all__ = ["ALL_TOPICS", "HISTORY", "ClientState", "Topic"]

HISTORY = 600
"""Samples that are kept for charts."""
TUNING_POINTS = 1200
"""Points of a tuning session that are kept for its charts."""
TOLD = 3
"""Runs whose end is announced at once: after a while of not looking nobody reads more."""
OUTCOMES = 8
"""Runs that ended while this looked on, whose result and course are kept."""


class RunOutcome(Struct, frozen=True):
    """A run that has ended: its result, and its course as far as that was seen; else what its batches tell of it."""

    result: Result
    progress: RunProgress | None = None
    batches: tuple[BatchPoint, ...] = ()


class ClientState:
    """The runner's state as of event `number`. `take` says which topics it touched, so that only those are drawn."""

    def __init__(self) -> None:
        self.number = 0
        self.connected = False
        self.runner: RunnerFacts | None = None
        """None until the first snapshot."""
        self.paused = False
        self.entries: dict[int, Entry] = {}
        """By id, in the order in which they run."""
        self.progress: dict[str, RunProgress] = {}
        """Of the runs under way, by run id."""
        self.samples: deque[Sample] = deque(maxlen=HISTORY)
        self.faults: tuple[str, ...] = ()
        self.results_version = 0
        """Grows whenever results changed."""
        self.ended: deque[Entry] = deque(maxlen=TOLD)
        """The last entries that ended since someone emptied this."""
        self.outcomes: dict[str, RunOutcome] = {}
        """Of the last runs that ended, by run id, the last one last."""
        self.tunings: dict[str, TuningView] = {}
        """Tuning sessions by id, the last begun one last."""
        self.points: dict[str, deque[TuningPoint]] = {}
        """Of these, for their charts."""
        self.capacities: dict[str, CapacityView] = {}
        """Searches for a capacity by id."""
        self.moment_ns: int | None = None
        """The moment of the runner's monotonic clock that this is the state of; None: of now, and it goes on."""
        self.moment_s: float | None = None
        """The same in Unix seconds."""

        self.pulls: dict[str, PullView] = {}
        """Downloads of models, by the model, the last begun one last."""
        self.pulled: deque[PullView] = deque(maxlen=TOLD)
        """The last downloads that ended since someone emptied this."""

    @property
    def sample(self) -> Sample | None:
        """The newest sample."""
        return self.samples[-1] if self.samples else None

    @property
    def running(self) -> list[Entry]:
        """The entries under way."""
        return [entry for entry in self.entries.values() if entry.state == "running"]

    @property
    def tuning(self) -> TuningView | None:
        """The tuning session under way that began last: it holds its device, and what is queued for that waits."""
        return next((view for view in reversed(self.tunings.values()) if view.status != "ended"), None)

    def keep_outcome(self, run: str, outcome: RunOutcome) -> None:
        """Keep how a run ended, as the last one."""
        self.outcomes.pop(run, None)
        self.outcomes[run] = outcome
        while len(self.outcomes) > OUTCOMES:
            del self.outcomes[next(iter(self.outcomes))]

    def take(self, told: EventEnvelope | Snapshot) -> frozenset[Topic]:
        """Take in what the runner told; the topics that it touched."""
        if isinstance(told, Snapshot):
            return self._restart(told)
        self.number = told.number
        match told.event:
            case Measured(sample=sample):
                self.samples.append(sample)
                return frozenset({"machine"})
            case EntryChanged(entry=entry):
                self._take_entry(entry)
                return frozenset({"queue", "live"})
            case EntriesOrdered(ids=ids):
                self.entries = {entry: self.entries[entry] for entry in ids if entry in self.entries}
                return frozenset({"queue"})
            case PausedChanged(paused=paused):
                self.paused = paused
                return frozenset({"queue", "runner"})
            case ResultsChanged():
                self.results_version += 1
                return frozenset({"results"})
            case PullChanged(pull=pull):
                self._take_pull(pull)
                return frozenset({"pulls"})
            case TuningChanged(tuning=tuning):
                self.tunings[tuning.id] = tuning
                return frozenset({"tuning"})
            case TuningMeasured(tuning=name, point=point, live=live):
                self.points.setdefault(name, deque(maxlen=TUNING_POINTS)).append(point)
                if (known := self.tunings.get(name)) is not None and known.status != "ended":
                    self.tunings[name] = replace(known, live=live)
                return frozenset({"tuning"})
            case CapacityChanged(capacity=capacity):
                self.capacities[capacity.id] = capacity
                return frozenset({"capacity"})
            case CapacityMeasured(capacity=name, live=live, boundary=boundary):
                if (search := self.capacities.get(name)) is not None and search.status != "ended":
                    self.capacities[name] = replace(search, live=live, boundary=boundary)
                return frozenset({"capacity"})
            case event:
                return self._of_run(event)

    def _take_entry(self, entry: Entry) -> None:
        before = self.entries.get(entry.id)
        if entry.state in ENDED and before is not None and before.state not in ENDED:
            self.ended.append(entry)
        self.entries[entry.id] = entry
        if entry.state in ENDED:
            self.progress.pop(entry.run, None)  # a search for a capacity ends without a result

    def _take_pull(self, pull: PullView) -> None:
        before = self.pulls.pop(pull.model, None)
        self.pulls[pull.model] = pull
        if pull.state != "running" and (before is None or before.state == "running"):
            self.pulled.append(pull)

    def _restart(self, snapshot: Snapshot) -> frozenset[Topic]:
        self.number, self.runner, self.paused = snapshot.number, snapshot.runner, snapshot.paused
        self.entries = {entry.id: entry for entry in snapshot.entries}
        self.progress = dict(snapshot.progress)
        self.samples.clear()
        self.samples.extend(snapshot.samples)
        self.faults = snapshot.faults
        self.tunings = {tuning.id: tuning for tuning in snapshot.tunings}
        self.pulls = {pull.model: pull for pull in snapshot.pulls}
        self.points = {name: deque(points, maxlen=TUNING_POINTS) for name, points in snapshot.points.items()}
        self.capacities = {search.id: search for search in snapshot.capacities}
        self.results_version += 1
        return ALL_TOPICS

    def _of_run(self, event: AnyRunEvent) -> frozenset[Topic]:
        if isinstance(event, RunFinished):
            self.keep_outcome(event.run, RunOutcome(event.result, self.progress.pop(event.run, None)))
            return frozenset({"live", "queue"})
        progress = self.progress.setdefault(event.run, RunProgress())
        progress.take(event)
        return frozenset({"live"})
