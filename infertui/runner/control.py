"""What a screen or a command line may ask of a runner, and what it is told: one interface, in process or by socket.

`Runner` implements `Control` in its own process, `server.client.Client` through a unix socket; the same tests hold for
both. Everything that crosses it is a plain value of msgspec.

Numbered events, and readers of them that cannot slow their source.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from infertui.analysis.bench import Bench
from infertui.analysis.compare import Comparison
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.models.local import LocalModel
from infertui.results.details import RunDetails
from infertui.results.table import ResultPage, ResultQuery
from infertui.runner.events import AnyRunEvent
from infertui.runner.progress import RunProgress
from infertui.runner.queue_store import Entry
from infertui.targets.engine.base import Probe
from infertui.telemetry.readings import GpuInfo, GpuProcess, HostFacts, Sample

PROTOCOL = 4
"""Grows with every change that a client or a runner of another version would misread."""


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


AnyQueueEvent = EntryChanged | EntriesOrdered | PausedChanged | Measured | ResultsChanged
AnyEvent = AnyRunEvent | AnyQueueEvent


class Numbered(Struct, frozen=True):
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


class Control(Protocol):
    """A runner as seen by whoever steers or watches it. Every method raises InfertuiError for what cannot be."""

    async def snapshot(self) -> Snapshot:
        """Everything as it is now."""
        ...

    def events(self, since: int) -> AsyncIterator[Numbered | Snapshot]:
        """What happened after event `since`, then what happens.

        Whoever reads too slowly, or asks for what is no longer kept, gets a Snapshot in place of the backlog.
        """
        ...

    async def submit(self, submission: Submission) -> tuple[int, ...]:
        """Queue configs; the ids of their entries. What is known to be wrong with some of them ends those at once as
        `refused`; where none can run, or one of a bench cannot, that is raised and nothing is queued."""
        ...

    async def cancel(self, ids: Sequence[int]) -> None:
        """End running entries, keeping what they measured; take waiting ones out of the line, marked as cancelled."""
        ...

    async def skip(self, ids: Sequence[int]) -> None:
        """As `cancel`, marked as skipped: passed over without prejudice."""
        ...

    async def retry(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Queue ended entries once more, as new entries at the end; their ids. All of them have to be able to run."""
        ...

    async def duplicate(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Queue copies of entries, in whatever state, right behind them; their ids."""
        ...

    async def edit(self, entry: int, variant: Variant) -> None:
        """Put another config into a waiting entry."""
        ...

    async def move(self, ids: Sequence[int], by: int) -> None:
        """Move waiting entries by so many places among those that wait; negative is sooner."""
        ...

    async def remove(self, ids: Sequence[int]) -> None:
        """Forget entries that wait or have ended. Results stay."""
        ...

    async def clear(self) -> None:
        """Forget all entries that have ended. Results stay."""
        ...

    async def pause(self) -> None:
        """Let what runs end, and start nothing further."""
        ...

    async def resume(self) -> None:
        """Start runs again."""
        ...

    async def forecast(self, config: Config) -> Forecast:
        """Whether a config fits, and how long it will take."""
        ...

    async def models(self) -> tuple[LocalModel, ...]:
        """The models of this machine that need no download."""
        ...

    async def processes(self, uuid: str) -> tuple[GpuProcess, ...] | None:
        """The processes that compute on a GPU; None where the driver does not tell."""
        ...

    async def results(self, query: ResultQuery) -> ResultPage:
        """A page of the results of a reports folder."""
        ...

    async def details(self, out: str, run: str) -> RunDetails:
        """Everything about a run."""
        ...

    async def compare(self, out: str, runs: Sequence[str]) -> Compared:
        """Every run but the first against the first. Takes a while for runs of very many requests."""
        ...

    async def bench(self, out: str, bench: str) -> Bench:
        """The paired result of a bench, as far as it was measured."""
        ...

    async def delete(self, out: str, runs: Sequence[str]) -> None:
        """Delete runs that have ended: folder and line of the index."""
        ...

    async def stop(self, *, now: bool = False) -> None:
        """End the runner: only when nothing runs, or `now`, keeping what the runs under way have measured."""
        ...


BACKLOG = 1000
"""A reader further behind than this gets a snapshot instead."""


class Hub:
    """Publishes events to any number of readers. Publishing never waits; a reader that is slow skips ahead."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        """`snapshot` is asked when a reader has to skip ahead; its `number` is this hub's."""
        self.number = 0
        self.readers = 0
        self._snapshot = snapshot
        self._events: deque[AnyEvent] = deque(maxlen=BACKLOG)
        self._news = asyncio.Event()
        self._closed = False

    def publish(self, event: AnyEvent) -> None:
        """Number an event and let the readers know."""
        self.number += 1
        self._events.append(event)
        self._wake()

    def close(self) -> None:
        """End all readers once they have read what there is."""
        self._closed = True
        self._wake()

    async def events(self, since: int) -> AsyncIterator[Numbered | Snapshot]:
        """See `Control.events`."""
        self.readers += 1
        try:
            reached = since
            while True:
                if not self.number - len(self._events) <= reached <= self.number:
                    snapshot = self._snapshot()
                    reached = snapshot.number
                    yield snapshot
                elif reached < self.number:
                    reached += 1
                    yield Numbered(reached, self._events[reached - self.number - 1])
                elif self._closed:
                    return
                else:
                    await self._news.wait()
        finally:
            self.readers -= 1

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
