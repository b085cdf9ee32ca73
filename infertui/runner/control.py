"""What a screen or a command line may ask of a runner, and what it is told: one interface, in process or by socket.

`RunnerApi` is the one list of operations: a method's name, parameters, reply and words, and the route that stands over
it. `Runner` implements it in its own process; `api/operations.py` makes of it what crosses the socket, and with that
come the routes, the client, the one that only watches and the page of the documentation.
"""

# mypy: disable-error-code="empty-body"
# (A method of `RunnerApi` has no body: `asks` and `changes` give it one.)

import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar

from msgspec import Struct

from infertui.analysis.bench import Bench
from infertui.analysis.capacity.boundary import Boundary
from infertui.analysis.compare import Comparison
from infertui.analysis.decision.sweep_curve import SweepCurve
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.integers import Whole
from infertui.models.hub.progress import PullView
from infertui.models.local import LocalModel
from infertui.results.details import RunDetails
from infertui.results.table import ResultPage, ResultQuery
from infertui.runner.blocking import MODEL_S
from infertui.runner.capacity.state import CapacityView, StayLive
from infertui.runner.events import AnyRunEvent
from infertui.runner.execution.progress import RunProgress
from infertui.runner.past.kept import RunnerPast
from infertui.runner.scheduling.queue_store import Entry
from infertui.runner.tuning.state import TuningLive, TuningPoint, TuningRequest, TuningView
from infertui.targets.engine.base import Probe
from infertui.telemetry.readings import GpuInfo, GpuProcess, HostFacts, Sample

PROTOCOL = 10
"""Grows with every change that a client or a runner of another version would misread."""
OLDEST = 10
"""The oldest protocol that this version understands as well."""


class QueueEvent(Struct, frozen=True, tag_field="event"):
    """Base of what happens to the queue or the runner as a whole."""


class EntryChanged(QueueEvent, frozen=True, tag="entry"):
    """An entry is new, or something about it is."""

    entry: Entry


class EntriesOrdered(QueueEvent, frozen=True, tag="order"):
    """The ids of all entries, in their order. An entry that is missing is gone."""

    ids: tuple[int, ...]


class PausedChanged(QueueEvent, frozen=True, tag="paused"):
    """The queue starts no further runs, or does so again."""

    paused: bool


class Measured(QueueEvent, frozen=True, tag="machine"):
    """A sample of the machine's devices, a few times a second at most."""

    sample: Sample


class ResultsChanged(QueueEvent, frozen=True, tag="results"):
    """The results of a reports folder are not what they were."""

    out: str


class TuningChanged(QueueEvent, frozen=True, tag="tuning"):
    """A tuning session is new, or something about it is."""

    tuning: TuningView


class TuningMeasured(QueueEvent, frozen=True, tag="tuning-point"):
    """A tuning session goes on: a point of its charts, and the segment under way."""

    tuning: str
    point: TuningPoint
    live: TuningLive


class CapacityChanged(QueueEvent, frozen=True, tag="capacity"):
    """A search for a capacity is new, or something about it is."""

    capacity: CapacityView


class CapacityMeasured(QueueEvent, frozen=True, tag="capacity-stay"):
    """A search goes on: the stay under way, and what is known from those before."""

    capacity: str
    live: StayLive
    boundary: Boundary


class PullChanged(QueueEvent, frozen=True, tag="pull"):
    """A download is new, or something about it is."""

    pull: PullView


AnyQueueEvent = (
    EntryChanged
    | EntriesOrdered
    | PausedChanged
    | Measured
    | ResultsChanged
    | TuningChanged
    | TuningMeasured
    | CapacityChanged
    | CapacityMeasured
    | PullChanged
)
AnyEvent = AnyRunEvent | AnyQueueEvent


class EventEnvelope(Struct, frozen=True):
    """An event with its place in the runner's history, counted from 1 without gaps."""

    number: int
    event: AnyEvent


class RunnerFacts(Struct, frozen=True):
    """The runner itself, and the machine that it measures on."""

    version: str
    protocol: int
    pid: int
    host: HostFacts
    started: str
    """ISO 8601 with offset."""
    gpus: tuple[GpuInfo, ...] = ()
    gpus_unavailable: str = ""
    """Why there are no GPU readings; empty where there are."""
    engines: tuple[Probe, ...] = ()


class Snapshot(Struct, frozen=True):
    """Everything that a screen shows, as of event `number`."""

    number: int
    runner: RunnerFacts
    paused: bool
    entries: tuple[Entry, ...]
    """In the order in which they run; ended ones stay where they were."""
    progress: dict[str, RunProgress] = {}
    """Of the runs under way, by run id."""
    samples: tuple[Sample, ...] = ()
    """The last minutes, oldest first, at most one a second."""
    faults: tuple[str, ...] = ()
    clients: int = 0
    tunings: tuple[TuningView, ...] = ()
    """Tuning sessions under way, and the last that ended."""
    points: dict[str, tuple[TuningPoint, ...]] = {}
    """Of these, by id, oldest first."""
    capacities: tuple[CapacityView, ...] = ()
    """Searches for a capacity under way, and the last that ended."""
    pulls: tuple[PullView, ...] = ()
    """Downloads of models under way, and the last that ended."""


class Submission(Struct, frozen=True):
    """Configs to queue together, in order: one run, or the variants of a sweep. `out` is an absolute folder."""

    title: str
    variants: tuple[Variant, ...]
    out: str
    front: bool = False
    """Before everything that waits, instead of after it."""


class Forecast(Struct, frozen=True):
    """What is known of a config before it runs."""

    lines: tuple[str, ...]
    """The memory estimate as arithmetic, or why there is none."""
    fits: bool | None
    """None: not known."""
    needed: int | None = None
    """Bytes."""
    free: int | None = None
    seconds: float | None = None
    """From earlier runs of the same kind; None where there are none."""


class Compared(Struct, frozen=True):
    """Runs against the first of them, in order; `bench` is the paired result where all are of one bench."""

    runs: tuple[Comparison, ...]
    bench: Bench | None = None


class StudyOutline(Struct, frozen=True):
    """What a study of a model's layers could measure: so many can be on the GPU of this name, the output layer counting
    as one where the engine has it so; or why none can be there."""

    layers: Whole
    gpu: str = ""
    why_none: str = ""


class StudyBegun(Struct, frozen=True):
    """A study by its name, which `infertui profile --continue` takes, and the entries of its runs."""

    study: str
    ids: tuple[int, ...]


CALL_TIMEOUT_S = 60.0
"""Ending runs and reading a large folder take a while; a runner that is well answers in milliseconds."""
FORECAST_TIMEOUT_S = CALL_TIMEOUT_S + MODEL_S
"""The runner may have to ask Transformers about a model first, and says itself when that does not answer."""
COMPARE_TIMEOUT_S = 600.0
"""Runs of millions of requests are read whole to be compared."""
F = TypeVar("F", bound=Callable[..., Any])


class Route(Struct, frozen=True):
    """Where an operation is on the wire, and what whoever calls it has to know."""

    verb: str
    path: str
    """Below the prefix; `{name}` takes a parameter that is an integer."""
    act: str = ""
    """What is refused to those who only watch, as in "cancel runs"; empty: it changes nothing."""
    reply: str = ""
    """The key under which the reply stands in an object; empty: it is the whole answer."""
    fixed: Mapping[str, bool] = {}
    """What the body holds besides the parameters. It tells operations of one path and verb apart."""
    timeout_s: float | None = None
    """How long a client waits; None: as it does for any operation."""
    only_while_heard: bool = False
    """The work ends when the client goes."""


def asks(
    verb: str, path: str, *, reply: str = "", timeout_s: float | None = None, only_while_heard: bool = False
) -> Callable[[F], F]:
    """Make a method an operation that changes nothing. What it takes is in the query for GET, else in the body."""
    return _operation(Route(verb, path, reply=reply, timeout_s=timeout_s, only_while_heard=only_while_heard))


def changes(verb: str, path: str, act: str, *, reply: str = "", **fixed: bool) -> Callable[[F], F]:
    """Make a method an operation that changes something: `act` says what, and those who only watch are refused it."""
    if not act:
        raise ValueError(f"{verb} {path} changes something: say what")
    return _operation(Route(verb, path, act, reply, fixed))


def _operation(route: Route) -> Callable[[F], F]:
    def made(method: Any) -> Any:
        @wraps(method)
        async def asked(self: "RunnerApi", *arguments: object, **named: object) -> Any:
            return await self.call(method.__name__, *arguments, **named)

        @wraps(method)
        def watched(*_arguments: object, **_named: object) -> Any:
            raise NotImplementedError(method.__name__)  # a stream is no call: who passes it on writes that out

        operation: Any = asked if inspect.iscoroutinefunction(method) else watched
        operation.route = route
        return operation

    return made


class RunnerApi:
    """A runner as seen by whoever steers or watches it. Every method raises InfertuiError for what cannot be.

    Who passes operations on implements `call` and `events`; the runner itself overrides every method.
    """

    async def call(self, operation: str, /, *arguments: object, **named: object) -> Any:
        """Have the operation of that name done."""
        raise NotImplementedError(operation)

    @asks("GET", "/snapshot")
    async def snapshot(self) -> Snapshot:
        """Everything as it is now."""

    @asks("GET", "/events")
    def events(self, since: int) -> AsyncIterator[EventEnvelope | Snapshot]:
        """What happened after event `since`, then what happens.

        Whoever reads too slowly, or asks for what is no longer kept, gets a Snapshot in place of the backlog.
        """

    @changes("POST", "/entries", "queue runs", reply="ids")
    async def submit(self, submission: Submission) -> tuple[int, ...]:
        """Queue configs; the ids of their entries. What is known to be wrong with some of them ends those at once as
        `refused`; where none can run, or one of a bench cannot, that is raised and nothing is queued."""

    @changes("POST", "/entries/cancel", "cancel runs")
    async def cancel(self, ids: Sequence[int]) -> None:
        """End running entries, keeping what they measured; take waiting ones out of the line, marked as cancelled."""

    @changes("POST", "/entries/skip", "skip runs")
    async def skip(self, ids: Sequence[int]) -> None:
        """As `cancel`, marked as skipped: passed over without prejudice."""

    @changes("POST", "/entries/retry", "queue runs again", reply="ids")
    async def retry(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Queue ended entries once more, as new entries at the end; their ids. All of them have to be able to run."""

    @changes("POST", "/entries/duplicate", "duplicate entries", reply="ids")
    async def duplicate(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Queue copies of entries, in whatever state, right behind them; their ids."""

    @changes("POST", "/entries/move", "move entries")
    async def move(self, ids: Sequence[int], by: int) -> None:
        """Move waiting entries by so many places among those that wait; negative is sooner."""

    @changes("PATCH", "/entries/{entry}", "edit entries")
    async def edit(self, entry: int, variant: Variant) -> None:
        """Put another config into a waiting entry."""

    @changes("DELETE", "/entries", "remove entries")
    async def remove(self, ids: Sequence[int]) -> None:
        """Forget entries that wait or have ended. Results stay."""

    @changes("DELETE", "/entries/ended", "clear the queue")
    async def clear(self) -> None:
        """Forget all entries that have ended. Results stay."""

    @changes("PATCH", "/queue", "pause the queue", paused=True)
    async def pause(self) -> None:
        """Let what runs end, and start nothing further."""

    @changes("PATCH", "/queue", "resume the queue", paused=False)
    async def resume(self) -> None:
        """Start runs again."""

    @asks("POST", "/forecast", timeout_s=FORECAST_TIMEOUT_S)
    async def forecast(self, config: Config) -> Forecast:
        """Whether a config fits, and how long it will take."""

    @asks("POST", "/studies/outline", timeout_s=FORECAST_TIMEOUT_S)
    async def study_outline(self, config: Config) -> StudyOutline:
        """How many layers of the model of a config can be on the GPU, for a study of that."""

    @changes("POST", "/studies", "begin a study")
    async def begin_study(self, config: Config, layers: Sequence[int], out: str) -> StudyBegun:
        """Queue a run of a config for each of these numbers of layers on the GPU; -1 stands for all of them."""

    @asks("GET", "/capacity")
    async def capacity(self, out: str, search: str) -> CapacityView:
        """A search for a capacity with its stays, by its name in a reports folder."""

    @asks("GET", "/capacities", reply="capacities")
    async def capacities(self, out: str) -> tuple[CapacityView, ...]:
        """The searches of a reports folder without their stays, the newest first."""

    @changes("POST", "/tuning", "begin a tuning session", reply="tuning")
    async def begin_tuning(self, request: TuningRequest) -> str:
        """Hold a device, load the model and measure on, segment by segment; the session's id. It takes a device that is
        free: it does not wait in the queue."""

    @changes("POST", "/tuning/turn", "turn knobs")
    async def turn(self, tuning: str, changes: dict[str, str]) -> None:
        """Change keys of a tuning session's config: the segment under way ends with its batch, and another begins."""

    @changes("POST", "/tuning/undo", "undo a change of knobs")
    async def undo_turn(self, tuning: str) -> None:
        """Go back to the setting before."""

    @changes("POST", "/tuning/mark", "mark a baseline")
    async def mark_segment(self, tuning: str, segment: int) -> None:
        """Hold segments against this one, too; 0: against none."""

    @changes("POST", "/tuning/climb", "climb along a knob")
    async def climb(self, tuning: str, key: str, budget_s: float) -> None:
        """Let a tuning session try values of a key by itself, for so many seconds, and stay at the best."""

    @changes("POST", "/tuning/pin", "pin a segment", reply="run")
    async def pin_segment(self, tuning: str, segment: int) -> str:
        """Make a segment an ordinary run, whose config repeats it; its id. The one under way ends, and the next has the
        same setting."""

    @changes("POST", "/tuning/gpu", "let settings of a GPU be changed")
    async def allow_gpu_settings(self, tuning: str) -> None:
        """Let a tuning session change the power limit and the clocks of its GPUs, which are put back when it ends."""

    @changes("POST", "/tuning/end", "end a tuning session")
    async def end_tuning(self, tuning: str) -> None:
        """End it with the batch under way."""

    @changes("POST", "/pulls", "download models")
    async def pull(self, model: str, revision: str = "") -> None:
        """Download a model from the hub, or go on with what was cut off; events tell how far it is."""

    @changes("POST", "/pulls/cancel", "cancel downloads")
    async def cancel_pull(self, model: str, revision: str = "") -> None:
        """End a download, keeping what has arrived."""

    @asks("GET", "/models")
    async def models(self) -> tuple[LocalModel, ...]:
        """The models of this machine that need no download."""

    @asks("GET", "/processes", reply="processes")
    async def processes(self, gpu: str) -> tuple[GpuProcess, ...] | None:
        """The processes that compute on the GPU of a UUID; None where the driver does not tell."""

    @asks("GET", "/history")
    async def history(self, from_ns: int, to_ns: int, points: int) -> RunnerPast:
        """What the machine and the runs did between two moments of the runner's monotonic clock, two hours back at
        most: so many samples, and marks of each run, at most."""

    @asks("GET", "/results")
    async def results(self, query: ResultQuery) -> ResultPage:
        """A page of the results of a reports folder."""

    @asks("GET", "/runs")
    async def details(self, out: str, run: str) -> RunDetails:
        """Everything about a run."""

    @asks("POST", "/compare", timeout_s=COMPARE_TIMEOUT_S, only_while_heard=True)
    async def compare(self, out: str, runs: Sequence[str]) -> Compared:
        """Every run but the first against the first. Takes a while for runs of very many requests; a client that
        leaves ends it."""

    @asks("GET", "/benches")
    async def bench(self, out: str, bench: str) -> Bench:
        """The paired result of a bench, as far as it was measured."""

    @asks("POST", "/curves", reply="curves")
    async def curves(self, out: str, runs: Sequence[str], *, fewest: int = 3) -> tuple[SweepCurve, ...]:
        """Throughput, TTFT and memory of runs over each number that sets them apart, all else being equal; none where
        no number does, over the fewest values asked for, two at least."""

    @changes("DELETE", "/runs", "delete runs")
    async def delete(self, out: str, runs: Sequence[str]) -> None:
        """Delete runs that have ended: folder and line of the index."""

    @changes("POST", "/stop", "stop the runner")
    async def stop(self, *, now: bool = False) -> None:
        """End the runner: only when nothing runs, or `now`, keeping what the runs under way have measured."""
