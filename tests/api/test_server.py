"""The HTTP server, over the inside of uvicorn and as uvicorn comes: it answers, at a new socket too, and it stops."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from support.daemons import Home, answers, home, play
from support.fake_control import FACTS, FakeControl
from support.runs import HANG_S
from support.served import served

from infertui.api import server
from infertui.api.client import Client
from infertui.api.errors import RunnerUnavailableError
from infertui.api.http import create_app
from infertui.api.stream import Presence
from infertui.errors import UsageError
from infertui.runner.control import EventEnvelope, ResultsChanged, Snapshot

UNTESTED = "99.0.1"


@pytest.fixture(params=["as tested", "as it comes"])
def stock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether uvicorn is of a version whose inside is not known."""
    if request.param == "as it comes":
        monkeypatch.setattr(uvicorn, "__version__", UNTESTED)
    return bool(request.param == "as it comes")


@pytest.fixture(name="place")
def _place() -> Iterator[Home]:
    with home() as found:
        yield found


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("0.30.0", True), ("0.30.6", True), ("0.54.0", True), ("0.29.9", False), ("0.55.0", False), ("1.0.0", False),
        ("1.31.0", False), ("0.54.0.dev1", True), ("", False), ("unknown", False), (UNTESTED, False),
    ],
)  # fmt: skip
def test_the_inside_of_uvicorn_is_known_in_tested_versions_alone(version: str, known: bool) -> None:
    assert server.is_tested(version) == known


def test_the_installed_version_is_a_tested_one() -> None:
    assert server.is_tested(uvicorn.__version__), "run tests/api with it, and raise TESTED in api/server.py"


def test_a_version_that_is_not_known_is_noted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def made() -> None:
        server.server_of(create_app(FakeControl(), Presence(), identity="one"))

    asyncio.run(made())
    assert not caplog.text
    monkeypatch.setattr(uvicorn, "__version__", UNTESTED)
    asyncio.run(made())
    assert "uvicorn 99.0.1 was not tested" in caplog.text


def test_it_answers_streams_and_stops(stock: bool, tmp_path: Path) -> None:
    control = FakeControl()
    control.failures["pause"] = UsageError("not now")

    async def scenario() -> None:
        async with served(control, tmp_path) as (client, presence):
            assert (await client.snapshot()).runner.pid == FACTS.pid
            with pytest.raises(UsageError, match="not now"):
                await client.pause()
            heard: list[EventEnvelope | Snapshot] = []

            async def listen() -> None:
                async with aclosing(cast(Any, client.events(0))) as events:
                    async for told in events:
                        heard.append(told)

            listening = asyncio.create_task(listen())
            control.push(ResultsChanged("/x"))
            while not heard:  # noqa: ASYNC110 (the other end of a socket raises no event here)
                await asyncio.sleep(0.001)
            assert presence.streams == 1
        with pytest.raises(RunnerUnavailableError):
            await listening
        assert heard == [EventEnvelope(1, ResultsChanged("/x"))]
        assert presence.streams == 0
        with pytest.raises(RunnerUnavailableError):
            await Client(client.place).hello()

    play(scenario())


def test_it_answers_at_a_second_socket_and_ends_while_somebody_does_not_read(stock: bool, tmp_path: Path) -> None:
    control = FakeControl()

    def bound(path: Path) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        return listening

    async def scenario() -> None:
        presence = Presence()
        answering = server.server_of(create_app(control, presence, identity="one"))
        first, second = tmp_path / "first.sock", tmp_path / "second.sock"
        with bound(first) as one, bound(second) as other:
            await answering.answer_at(one)
            assert (await Client(first).hello()).pid == FACTS.pid
            await answering.answer_at(other)
            assert (await Client(second).hello()).pid == FACTS.pid
            reader, writer = await asyncio.open_unix_connection(second, limit=1)
            writer.write(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
            while presence.streams != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            control.push(*[ResultsChanged("/" + "x" * 2000)] * 500)
            answering.turn_away()
            presence.ending.set()
            await answering.stop()
        with suppress(ConnectionError):
            writer.close()
        assert reader is not None
        assert presence.streams == 0

    play(scenario())


def test_one_that_was_never_started_stops(stock: bool) -> None:
    async def scenario() -> None:
        await server.server_of(create_app(FakeControl(), Presence(), identity="one")).stop()

    play(scenario())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_runner_over_an_unknown_uvicorn_answers_and_ends_politely(place: Home, number: signal.Signals) -> None:
    program = f"import uvicorn; uvicorn.__version__ = {UNTESTED!r}; from infertui.entry import main; main()"
    place.program = ("-c", program)
    with place.serving() as process:
        assert answers(place.client)
        process.send_signal(number)
        assert process.wait(HANG_S) == 0
        assert process.stdout is not None
        assert "Traceback" not in process.stdout.read()
    assert not place.socket.exists()
    with place.serving() as process:
        place.command("stop")
        assert process.wait(HANG_S) == 0
