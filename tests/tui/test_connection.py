import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.fake_control import FakeControl
from support.screens import entry, machine, sample

from infertui.errors import InfertuiError
from infertui.runner.control import EntryChanged, EventEnvelope, Measured, RunnerApi, Snapshot
from infertui.tui import connection as connection_module
from infertui.tui.connection import ABSENT, Connect, RunnerConnection
from infertui.tui.state import ALL_TOPICS, ClientState, Topic


class Noted(RunnerConnection):
    """Writes down what it tells, and what it is told of each attempt."""

    def __init__(self, connect: Connect, client_state: ClientState) -> None:
        self.topics: list[frozenset[Topic]] = []
        self.connections = 0
        self.troubles: list[tuple[str, str]] = []
        self.client_state = client_state
        self.said: list[str] = []
        self.news = asyncio.Event()
        app_context: Any = self
        super().__init__(connect, app_context, changed=self.note, reached=lambda: None)

    def note(self, topics: frozenset[Topic]) -> None:
        self.topics.append(topics)
        self.news.set()

    def say(self, text: str, _severity: str = "information") -> None:
        self.said.append(text)

    def connected(self) -> None:
        self.connections += 1
        super().connected()

    def trouble(self, summary: str, error: Exception | None) -> None:
        self.troubles.append((summary, str(error)))
        super().trouble(summary, error)

    async def until(self, condition: object) -> None:
        assert callable(condition)
        async with asyncio.timeout(10):
            while not condition():
                self.news.clear()
                await self.news.wait()


class Mortal(FakeControl):
    """A runner that can go."""

    def __init__(self) -> None:
        super().__init__()
        self.told = machine().told
        self.gone = asyncio.Event()

    async def events(self, since: int) -> AsyncIterator[EventEnvelope | Snapshot]:
        yield EventEnvelope(since + 1, EntryChanged(entry(1)))
        await self.gone.wait()
        raise InfertuiError("the connection broke")


def connecting(*controls: RunnerApi | Exception) -> Connect:
    """Each attempt gets the next; the last one stays."""
    left = list(controls)

    @asynccontextmanager
    async def connect() -> AsyncIterator[RunnerApi]:
        control = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(control, Exception):
            raise control
        yield control

    return connect


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(connection_module, "LONGEST_WAIT_S", 0.002)


def test_a_snapshot_then_events() -> None:
    async def go() -> None:
        fake, client_state = machine(), ClientState()
        connection = Noted(connecting(fake), client_state)
        task = asyncio.create_task(connection.run())
        await connection.until(lambda: connection.connections == 1)
        assert connection.topics == [ALL_TOPICS, {"runner"}]
        assert client_state.connected
        assert connection.control is fake
        fake.push(Measured(sample(2, 3)))
        await connection.until(lambda: len(connection.topics) == 3)
        assert connection.topics[2] == {"machine"}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert fake.readers == 0
        assert connection.control is ABSENT

    asyncio.run(go())


def test_a_runner_that_goes_is_tried_until_there_is_one_again() -> None:
    async def go() -> None:
        first, second, client_state = Mortal(), machine(), ClientState()
        broken = InfertuiError("no runner answers")
        connection = Noted(connecting(broken, OSError("refused"), first, broken, second), client_state)
        task = asyncio.create_task(connection.run())
        await connection.until(lambda: 1 in client_state.entries)
        assert [summary for summary, _ in connection.troubles] == ["no runner, trying again"] * 2
        first.gone.set()
        await connection.until(lambda: connection.connections == 2)
        assert connection.troubles[2:] == [
            ("runner gone, trying again", "the connection broke"),
            ("runner gone, trying again", "no runner answers"),
        ]
        assert connection.control is second
        assert connection.said == ["no runner answers", "the connection broke", "no runner answers"]
        assert client_state.entries == {}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(go())


def test_without_a_runner_every_method_says_so() -> None:
    for name in ("snapshot", "pause", "models"):
        with pytest.raises(InfertuiError, match="no connection to the runner"):
            getattr(ABSENT, name)()


def test_a_flood_leaves_turns_to_others() -> None:
    class Flood(FakeControl):
        async def events(self, since: int) -> AsyncIterator[EventEnvelope | Snapshot]:
            for number in range(since + 1, since + 5001):
                yield EventEnvelope(number, Measured(sample(1, number)))
            await asyncio.Event().wait()

    async def go() -> None:
        client_state = ClientState()
        turns = 0

        async def others() -> None:
            nonlocal turns
            while client_state.number < 5000:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(Noted(connecting(Flood()), client_state).run())
        await others()
        assert turns > 5000 / connection_module.EVENTS_IN_A_ROW / 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(go())
