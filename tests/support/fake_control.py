"""A runner in memory: what it answers is set by the test, what it was asked is recorded."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from infertui.analysis.bench import Bench
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import InfertuiError
from infertui.models.local import LocalModel
from infertui.results.details import RunDetails
from infertui.results.index import ResultPage, ResultQuery
from infertui.runner.control import (
    PROTOCOL,
    AnyEvent,
    Compared,
    Forecast,
    Numbered,
    RunnerFacts,
    Snapshot,
    Submission,
)
from infertui.telemetry.readings import GpuProcess, HostFacts

FACTS = RunnerFacts(
    version="0.0.test",
    protocol=PROTOCOL,
    pid=4711,
    host=HostFacts(hostname="box", kernel="6.0"),
    started="2026-01-01T00:00:00+00:00",
)


class FakeControl:
    """Implements Control. `told` is the snapshot, `push` makes events, `calls` holds (method, arguments).

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
            "processes": None,
            "results": ResultPage(total=0, matching=0, offset=0, rows=()),
            "compare": Compared(()),
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

    async def snapshot(self) -> Snapshot:
        self._ask("snapshot")
        return self.told

    async def events(self, since: int) -> AsyncIterator[Numbered | Snapshot]:
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
                    yield Numbered(reached, self._events[reached - last - 1])
                else:
                    await self._news.wait()
        finally:
            self.readers -= 1

    async def submit(self, submission: Submission) -> tuple[int, ...]:
        return self._ask("submit", submission)  # type: ignore[return-value]

    async def cancel(self, ids: Sequence[int]) -> None:
        self._ask("cancel", tuple(ids))

    async def skip(self, ids: Sequence[int]) -> None:
        self._ask("skip", tuple(ids))

    async def retry(self, ids: Sequence[int]) -> tuple[int, ...]:
        return self._ask("retry", tuple(ids))  # type: ignore[return-value]

    async def duplicate(self, ids: Sequence[int]) -> tuple[int, ...]:
        return self._ask("duplicate", tuple(ids))  # type: ignore[return-value]

    async def edit(self, entry: int, variant: Variant) -> None:
        self._ask("edit", entry, variant)

    async def move(self, ids: Sequence[int], by: int) -> None:
        self._ask("move", tuple(ids), by)

    async def remove(self, ids: Sequence[int]) -> None:
        self._ask("remove", tuple(ids))

    async def clear(self) -> None:
        self._ask("clear")

    async def pause(self) -> None:
        self._ask("pause")

    async def resume(self) -> None:
        self._ask("resume")

    async def forecast(self, config: Config) -> Forecast:
        return self._ask("forecast", config)  # type: ignore[return-value]

    async def models(self) -> tuple[LocalModel, ...]:
        return self._ask("models")  # type: ignore[return-value]

    async def processes(self, uuid: str) -> tuple[GpuProcess, ...] | None:
        return self._ask("processes", uuid)  # type: ignore[return-value]

    async def results(self, query: ResultQuery) -> ResultPage:
        return self._ask("results", query)  # type: ignore[return-value]

    async def details(self, out: str, run: str) -> RunDetails:
        return self._ask("details", out, run)  # type: ignore[return-value]

    async def compare(self, out: str, runs: Sequence[str]) -> Compared:
        return self._ask("compare", out, runs)  # type: ignore[return-value]

    async def bench(self, out: str, bench: str) -> Bench:
        return self._ask("bench", out, bench)  # type: ignore[return-value]

    async def delete(self, out: str, runs: Sequence[str]) -> None:
        self._ask("delete", out, tuple(runs))

    async def stop(self, *, now: bool = False) -> None:
        self._ask("stop", now)


def _replace(snapshot: Snapshot, number: int) -> Snapshot:
    from msgspec.structs import replace

    return replace(snapshot, number=number)
