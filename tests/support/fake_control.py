"""A runner in memory: what it answers is set by the test, what it was asked is recorded."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from infertui.analysis.bench import Bench
from infertui.api.operations import operations
from infertui.errors import InfertuiError
from infertui.results.details import RunDetails
from infertui.results.index import ResultPage
from infertui.runner.control import (
    PROTOCOL,
    AnyEvent,
    Compared,
    EventEnvelope,
    Forecast,
    RunnerApi,
    RunnerFacts,
    Snapshot,
    StudyBegun,
    StudyOutline,
)
from infertui.runner.past.kept import RunnerPast
from infertui.telemetry.readings import HostFacts

FACTS = RunnerFacts(
    version="0.0.test",
    protocol=PROTOCOL,
    pid=4711,
    host=HostFacts(hostname="box", kernel="6.0"),
    started="2026-01-01T00:00:00+00:00",
)


class FakeControl(RunnerApi):
    """`told` is the snapshot, `push` makes events, `calls` holds (method, arguments).

    `answers` are the values of methods by name; `failures` are raised instead, by name, each time.
    """

    def __init__(self, *, facts: RunnerFacts = FACTS, backlog: int = 1000) -> None:
        self.told = Snapshot(number=0, runner=facts, paused=False, entries=())
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.answers: dict[str, object] = {
            "submit": (1,),
            "retry": (2,),
            "duplicate": (3,),
            "forecast": Forecast(lines=("fits",), fits=True),
            "models": (),
            "study_outline": StudyOutline(23, "NVIDIA Stub"),
            "begin_study": StudyBegun("profile-20260101-000000-abcd", (1, 2)),
            "processes": None,
            "history": RunnerPast(0),
            "results": ResultPage(total=0, matching=0, offset=0, rows=()),
            "compare": Compared(()),
            "curves": (),
            "bench": Bench("bench", 0, 0, (), (), (), ()),
            "details": RunDetails(id="run", folder="/run", toml=""),
        }
        self.failures: dict[str, InfertuiError] = {}
        self.readers = 0
        self.skipped = 0
        """How often a reader was sent a snapshot instead of a backlog."""
        self._events: deque[AnyEvent] = deque(maxlen=backlog)
        self._news = asyncio.Event()

    def push(self, *events: AnyEvent) -> None:
        """Let events happen."""
        for event in events:
            self._events.append(event)
            number = self.told.number + 1
            self.told = _replace(self.told, number)
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _ask(self, method: str, *arguments: object) -> object:
        self.calls.append((method, arguments))
        if method in self.failures:
            raise self.failures[method]
        return self.answers.get(method)

    async def call(self, operation: str, /, *arguments: object, **named: object) -> Any:
        given = operations(type(self))[operation].bound(*arguments, **named).values()
        return self._ask(operation, *(tuple(value) if isinstance(value, list) else value for value in given))

    async def snapshot(self) -> Snapshot:
        self._ask("snapshot")
        return self.told

    async def events(self, since: int) -> AsyncIterator[EventEnvelope | Snapshot]:
        self._ask("events", since)
        self.readers += 1
        reached = since
        try:
            while True:
                last = self.told.number
                if not last - len(self._events) <= reached <= last:
                    self.skipped += 1
                    reached = last
                    yield self.told
                elif reached < last:
                    reached += 1
                    yield EventEnvelope(reached, self._events[reached - last - 1])
                else:
                    await self._news.wait()
        finally:
            self.readers -= 1


def _replace(snapshot: Snapshot, number: int) -> Snapshot:
    from msgspec.structs import replace

    return replace(snapshot, number=number)
