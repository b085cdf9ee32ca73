"""The client against a runner in memory behind a real socket, and against servers that misbehave."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import msgspec
import pytest
from support.fake_control import FACTS, FakeControl
from support.filters import DOCUMENTED, KEY_NAMES, prefixes
from support.runs import HANG_S, simulated
from support.served import mirrored, served

from infertui import __version__
from infertui.api.client import Client, exchange
from infertui.api.errors import OtherVersionError, RunnerUnavailableError, UntrustedSocketError
from infertui.api.stream import BUFFER, Presence, event_stream
from infertui.api.wire import KEEP_ALIVE, RunnerHello
from infertui.config.sweep import Variant
from infertui.errors import ConfigError, InfertuiError, ModelError, UsageError
from infertui.results.index import ResultPage, ResultQuery
from infertui.runner.control import (
    OLDEST,
    PROTOCOL,
    Compared,
    EventEnvelope,
    Measured,
    PausedChanged,
    ResultsChanged,
    Snapshot,
    Submission,
)
from infertui.runner.queries import open_table
from infertui.telemetry.readings import GpuProcess, Sample

VARIANT = Variant("bs=4", simulated(workload__batch_size=4), {"workload.batch_size": 4, "labels.ü": "x\n"})
CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("submit", (Submission("ünï ☃", (VARIANT,), "/reports", front=True),)),
    ("cancel", ((1, 2),)),
    ("skip", ((3,),)),
    ("retry", ((4,),)),
    ("duplicate", ((5,),)),
    ("edit", (6, VARIANT)),
    ("move", ((7, 8), -3)),
    ("remove", ((9,),)),
    ("clear", ()),
    ("pause", ()),
    ("resume", ()),
    ("forecast", (VARIANT.config,)),
    ("models", ()),
    ("processes", ("MIG-GPU-1/2 3?&=#",)),
    ("results", (ResultQuery("/re ports/ü&?", "bs>2 !x", "ttft", descending=False, offset=5, limit=7),)),
    ("details", ("/reports/ü", "run 1/2")),
    ("compare", ("/reports/ü", ("run 1/2", "b"))),
    ("bench", ("/re ports/ü&?", "bench 1/2")),
    ("delete", ("/reports", ("a", "b"))),
    ("snapshot", ()),
]


def play(scenario: Coroutine[Any, Any, object]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(HANG_S):
            await scenario

    asyncio.run(guarded())


async def watched_by(presence: Presence, count: int) -> None:
    while presence.streams != count:  # noqa: ASYNC110 (the other end of a socket raises no event here)
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("name", "arguments"), CALLS)
def test_a_call_arrives_as_it_was_made_and_so_does_its_answer(
    name: str, arguments: tuple[Any, ...], tmp_path: Path
) -> None:
    control = FakeControl()
    control.answers["processes"] = (GpuProcess(12, "x", None),)

    async def scenario() -> None:
        async with served(control, tmp_path) as (client, _):
            answer = await getattr(client, name)(*arguments)
            assert control.calls == [(name, arguments)]
            assert answer == (control.told if name == "snapshot" else control.answers.get(name))

    play(scenario())


@pytest.mark.parametrize("now", [False, True])
def test_stop_says_whether_now(now: bool, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(FakeControl(), tmp_path) as (client, _):
            await client.stop(now=now)

    play(scenario())


def test_errors_of_the_runner_are_raised_again(tmp_path: Path) -> None:
    control = FakeControl()
    control.failures = {
        "pause": ModelError("no such model", remedy="pull it"),
        "forecast": ConfigError("device.name", "is odd", allowed="cpu"),
        "resume": cast(InfertuiError, ValueError("a bug")),
    }

    async def scenario() -> None:
        async with served(control, tmp_path) as (client, _):
            with pytest.raises(ModelError) as model:
                await client.pause()
            assert (model.value.message, model.value.remedy) == ("no such model", "pull it")
            with pytest.raises(ConfigError) as config:
                await client.forecast(simulated())
            assert (config.value.path, config.value.allowed) == ("device.name", "cpu")
            with pytest.raises(InfertuiError, match="failed at this: ValueError: a bug"):
                await client.resume()

    play(scenario())


def test_no_prefix_of_a_filter_makes_the_runner_fail(tmp_path: Path) -> None:
    class Stored(FakeControl):
        async def results(self, query: ResultQuery) -> ResultPage:
            return table.page(query)

    typed = prefixes([*DOCUMENTED, *(f"{name}<" for name in KEY_NAMES)])
    table = open_table(tmp_path, cache=tmp_path / "cache")

    async def scenario() -> None:
        async with served(Stored(), tmp_path) as (client, _):
            for text in typed:
                target = f"/v1/results?{urlencode({'out': str(tmp_path), 'filter': text})}"
                async with exchange(client.place, timeout_s=5) as connection:
                    answer = await connection.ask("GET", target, None)
                    assert answer.status in (200, 400), text

    play(scenario())
    assert len(typed) > 300


@pytest.mark.parametrize(
    ("method", "target", "body", "complaint"),
    [
        ("POST", "/v1/entries/cancel", b'{"ids": ["x"]}', "ids"),
        ("POST", "/v1/entries/cancel", b'{"ids": ', "cannot be"),
        ("POST", "/v1/entries/cancel", b"", "cannot be"),
        ("POST", "/v1/forecast", b'{"workload": {"batch_size": 0}}', "batch_size"),
        ("POST", "/v1/entries", b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
        ("POST", "/v1/entries", b'{"title": "\xff\xfe"}', "utf-8"),
        ("GET", "/v1/results?out=/x&limit=many", None, "cannot be read"),
        ("GET", "/v1/results?out=/x&sort=%1b%5b2J%0aevil", None, "evil"),
        ("GET", "/v1/details", None, "Not Found"),
        ("GET", "/v1/runs?out=/x", None, "run"),
        ("PUT", "/v1/queue", b"{}", "Method Not Allowed"),
    ],
)
def test_a_request_that_makes_no_sense_gets_one_clear_error(
    method: str, target: str, body: bytes | None, complaint: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with served(FakeControl(), tmp_path) as (client, _), exchange(client.place, timeout_s=5) as connection:
            answer = await connection.ask(method, target, body)
            assert 400 <= answer.status < 500
            problem = msgspec.json.decode(await answer.body())
            assert problem["kind"] == "usage"
            assert complaint in problem["message"]
            assert problem["message"].isprintable()

    play(scenario())


def test_a_fault_is_logged_with_nothing_that_acts_on_a_terminal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    control = FakeControl()
    control.failures = {"processes": cast(InfertuiError, ValueError("\x1b]0;owned\x07\x1b[2J"))}

    async def scenario() -> None:
        async with served(control, tmp_path) as (client, _):
            with pytest.raises(InfertuiError, match="failed at this"):
                await client.processes("\x1b[31m")

    play(scenario())
    assert "Traceback" in caplog.text
    assert "\x1b" not in caplog.text


def test_names_that_are_not_text_are_refused_before_they_are_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(FakeControl(), tmp_path) as (client, _):
            for call in (client.details("/re\udcffports", "run"), client.delete("/re\udcffports", ["run"])):
                with pytest.raises(UsageError, match="UTF-8"):
                    await call

    play(scenario())


def test_without_a_runner_every_call_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        client = Client(tmp_path / "nothing.sock")
        with pytest.raises(RunnerUnavailableError, match="no runner is running") as error:
            await client.snapshot()
        assert error.value.remedy
        with pytest.raises(RunnerUnavailableError):
            await anext(client.events(0))

    play(scenario())


def test_the_stream_ends_with_the_runner(tmp_path: Path) -> None:
    control = FakeControl()

    async def scenario() -> None:
        async with served(control, tmp_path) as (client, presence):
            heard = asyncio.create_task(_all(client.events(0)))
            await watched_by(presence, 1)
            control.push(PausedChanged(True))
        with pytest.raises(RunnerUnavailableError, match="gone"):
            await heard
        assert control.readers == 0
        assert presence.streams == 0

    play(scenario())


async def _all(events: AsyncIterator[EventEnvelope | Snapshot]) -> None:
    async for _ in events:
        pass


def test_who_watches_is_counted_until_it_leaves(tmp_path: Path) -> None:
    control = FakeControl()
    control.push(PausedChanged(True))

    async def scenario() -> None:
        async with served(control, tmp_path) as (client, presence):
            async with aclosing(cast(Any, client.events(0))) as one, aclosing(cast(Any, client.events(0))) as other:
                assert await anext(one) == control.told
                assert await anext(other)
                assert presence.streams == 2
            await watched_by(presence, 0)

    play(scenario())


def test_numbers_of_a_runner_that_was_replaced_mean_nothing(tmp_path: Path) -> None:
    first, second = FakeControl(), FakeControl()
    first.push(PausedChanged(True), PausedChanged(False))
    second.push(*[ResultsChanged("/x")] * 5)

    async def scenario() -> None:
        async with served(first, tmp_path, identity="first") as (client, _):
            number = (await client.snapshot()).number
        async with served(second, tmp_path, identity="second"):
            await client.pause()
            async with aclosing(cast(Any, client.events(number))) as events:
                assert await anext(events) == second.told
            # Now it knows this one.
            async with aclosing(cast(Any, client.events(4))) as events:
                assert await anext(events) == EventEnvelope(5, ResultsChanged("/x"))

    play(scenario())


def test_a_client_that_stops_reading_holds_up_nobody_and_skips_ahead(tmp_path: Path) -> None:
    control = FakeControl(backlog=100)
    heavy = ResultsChanged("/" + "x" * 2000)

    async def scenario() -> None:
        async with served(control, tmp_path) as (client, presence):
            await client.snapshot()
            async with aclosing(cast(Any, client.events(0))) as stuck:
                control.push(heavy)
                await anext(stuck)
                for _ in range(2000):  # 4 MB: more than all buffers on the way
                    control.push(heavy)
                    await asyncio.sleep(0)
                assert (await client.greet()).protocol == PROTOCOL
                assert (await mirrored(client, lambda _: True)).number == 2001
                told = await anext(stuck)
                while not isinstance(told, Snapshot):
                    told = await anext(stuck)
                assert told.number == 2001
                assert control.skipped == 1
                assert presence.streams == 1

    play(scenario())


def test_what_waits_for_a_client_is_bounded() -> None:
    control = FakeControl(backlog=100)
    size = 1000

    async def scenario() -> None:
        async with aclosing(cast(Any, event_stream(control, 0, Presence()))) as stream:
            assert await anext(stream) == KEEP_ALIVE
            for _ in range(1000):
                control.push(ResultsChanged("x" * size))
                await asyncio.sleep(0)
            piece = await anext(stream)
            assert BUFFER <= len(piece) < BUFFER + 2 * size
            assert piece.startswith(b"id: 1\n")
            assert (await anext(stream)).startswith(b"id: 1000\nevent: snapshot\n")

    play(scenario())


def test_what_tells_how_a_run_gets_on_is_gathered_and_anything_else_is_not() -> None:
    control, ages = FakeControl(), 3600.0
    sample = Measured(Sample(0))

    async def scenario() -> None:
        async with aclosing(cast(Any, event_stream(control, 0, Presence(), gather_s=ages))) as stream:
            assert await anext(stream) == KEEP_ALIVE
            control.push(sample)
            assert (await anext(stream)).startswith(b"id: 1\n")
            following = asyncio.ensure_future(anext(stream))
            for _ in range(5):
                control.push(sample)
                await asyncio.sleep(0)
            assert not following.done()
            control.push(ResultsChanged("/out"))
            piece = await following
            told = [line for line in piece.split(b"\n") if line.startswith(b"id: ")]
            assert told == [b"id: %d" % number for number in range(2, 8)]

    play(scenario())


class TwoEvents(FakeControl):
    """Tells of two samples, and after the second of nothing more: `last` lets it come."""

    def __init__(self) -> None:
        super().__init__()
        self.last = asyncio.Event()

    async def events(self, since: int) -> AsyncIterator[EventEnvelope | Snapshot]:
        yield EventEnvelope(1, Measured(Sample(0)))
        await self.last.wait()
        yield EventEnvelope(2, Measured(Sample(1)))


@pytest.mark.parametrize("ends", ["events", "runner"])
def test_a_stream_that_ends_while_it_gathers_ends_at_once(ends: str) -> None:
    async def scenario() -> None:
        control = TwoEvents() if ends == "events" else FakeControl()
        presence = Presence()
        stream = event_stream(control, 0, presence, gather_s=3600.0)
        async with aclosing(cast(Any, stream)), asyncio.timeout(10):
            assert await anext(stream) == KEEP_ALIVE
            control.push(Measured(Sample(0)))
            assert (await anext(stream)).startswith(b"id: 1\n")
            following = asyncio.ensure_future(anext(stream, b""))
            await asyncio.sleep(0)
            if isinstance(control, TwoEvents):
                control.last.set()
            else:
                control.push(Measured(Sample(0)))
                presence.ending.set()
            assert (await following).startswith(b"id: 2\n")
            assert await anext(stream, b"") == b""
        assert presence.streams == 0

    play(scenario())


def test_a_client_that_leaves_while_its_events_are_gathered_is_gone_at_once() -> None:
    async def scenario() -> None:
        control, presence = FakeControl(), Presence()
        stream = event_stream(control, 0, presence, gather_s=3600.0)
        assert await anext(stream) == KEEP_ALIVE
        control.push(Measured(Sample(0)))
        assert (await anext(stream)).startswith(b"id: 1\n")
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        following.cancel()
        async with asyncio.timeout(10):
            await asyncio.wait([following])
        assert following.cancelled()
        assert presence.streams == 0

    play(scenario())


def test_a_runner_that_ends_says_its_last_events_and_is_not_held_up_by_who_does_not_read(tmp_path: Path) -> None:
    control = FakeControl()

    async def scenario() -> None:
        async with served(control, tmp_path) as (client, presence):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "runner.sock", limit=1)
            writer.write(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
            await watched_by(presence, 1)
            control.push(*[ResultsChanged("/" + "x" * 2000)] * 500)
            async with aclosing(cast(Any, client.events(0))) as events:
                await anext(events)
        assert presence.streams == 0
        assert reader is not None
        writer.close()

    play(scenario())


def test_a_stream_that_has_nothing_to_say_says_that_it_is_there() -> None:
    async def scenario() -> None:
        control = FakeControl()
        async with aclosing(cast(Any, event_stream(control, 0, Presence(), keep_alive_s=0.001))) as stream:
            assert [await anext(stream) for _ in range(3)] == [KEEP_ALIVE] * 3

    play(scenario())


def test_a_stream_whose_source_fails_ends() -> None:
    control = FakeControl()
    control.failures["events"] = InfertuiError("no")

    async def scenario() -> None:
        assert [piece async for piece in event_stream(control, 0, Presence())] == [KEEP_ALIVE]

    play(scenario())


@asynccontextmanager
async def canned(folder: Path, answer: bytes | None) -> AsyncIterator[Client]:
    """A server that answers everything with the same bytes; None: with nothing, ever."""
    leaving = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await leaving.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(handle, folder / "canned.sock")
    try:
        yield Client(folder / "canned.sock", timeout_s=10 if answer is not None else 0.05)
    finally:
        leaving.set()
        server.close()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


@pytest.mark.parametrize(
    ("answer", "error", "complaint"),
    [
        (None, RunnerUnavailableError, "does not answer within 0.05 s"),
        (b"", RunnerUnavailableError, "broke"),
        (b"SSH-2.0-OpenSSH\r\n", RunnerUnavailableError, "broke"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", RunnerUnavailableError, "broke"),
        (ok(b"\x1b[31m not json"), OtherVersionError, "cannot be read"),
        (ok(b'{"number": 1}'), OtherVersionError, "cannot be read"),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno", OtherVersionError, "cannot be read"),
    ],
)
def test_a_server_that_misbehaves_is_an_error_with_a_name(
    answer: bytes | None, error: type[InfertuiError], complaint: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with canned(tmp_path, answer) as client:
            with pytest.raises(error, match=complaint):
                await client.snapshot()

    play(scenario())


@pytest.mark.parametrize(
    ("hello", "busy"),
    [
        (RunnerHello("9.9.9", PROTOCOL, pid=77), False),
        (RunnerHello(__version__, PROTOCOL + 1, pid=77, running=1, queued=2), True),
    ],
)
def test_a_runner_of_another_version_is_told_with_the_way_out(hello: RunnerHello, busy: bool, tmp_path: Path) -> None:
    async def scenario() -> None:
        later = msgspec.json.encode({**msgspec.to_builtins(hello), "field of the future": [1]})
        async with canned(tmp_path, ok(later)) as client:
            assert await client.greet() == hello
            with pytest.raises(OtherVersionError) as error:
                await client.hello()
            assert (error.value.version, error.value.busy) == (hello.version, busy)
            assert f"process 77) is infertui {hello.version}, protocol {hello.protocol}" in error.value.message
            assert ("1 under way and 2 waiting" in error.value.message) == busy
            assert error.value.remedy.startswith("Once its runs have ended") == busy
            assert "infertui stop" in error.value.remedy

    play(scenario())


def test_a_runner_of_this_version_is_greeted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(FakeControl(), tmp_path) as (client, _):
            assert await client.hello() == RunnerHello(__version__, PROTOCOL, FACTS.pid, FACTS.started, 0, 0, OLDEST)

    play(scenario())


def test_the_client_is_light() -> None:
    code = "import sys, infertui.api.client, infertui.api.spawn, infertui.api.readonly; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG_S)
    heavy = {"litestar", "uvicorn", "anyio", "typer", "rich", "textual", "psutil", "pynvml", "infertui.runner.runner"}
    assert not heavy & set(done.stdout.split())


@pytest.fixture
def free_folder() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="ift-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def being(user: int) -> Iterator[None]:
    """Act as another user, real and effective; only root can."""
    os.setresuid(user, user, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can listen as somebody else")
@pytest.mark.parametrize("me", [0, 1234])
@pytest.mark.parametrize("listener", [0, 1234, 4242])
@pytest.mark.parametrize("of_directory", [0, 1234, 4242])
@pytest.mark.parametrize("of_socket", [0, 1234, 4242])
def test_only_what_this_user_or_root_has_put_there_is_talked_to(
    me: int, listener: int, of_directory: int, of_socket: int, free_folder: Path
) -> None:
    path = free_folder / "place" / "runner.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o666)
        os.chown(path, of_socket, 0)
        os.chown(path.parent, of_directory, 0)
        with being(listener):  # the kernel tells clients who called listen()
            listening.listen()
        listening.setblocking(False)
        believed = {listener, of_directory, of_socket} <= {me, 0}
        with being(me), pytest.raises(RunnerUnavailableError if believed else UntrustedSocketError) as caught:
            play(Client(path, timeout_s=0.05).snapshot())  # believed, it is asked and does not answer
        if not believed:
            assert "user" in caught.value.message
            assert "sudo -u" in caught.value.remedy
            with suppress(BlockingIOError):  # where no connection was made at all
                assert listening.accept()[0].recv(1) == b""


def test_a_socket_in_a_directory_that_others_can_change_is_not_talked_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(FakeControl(), tmp_path) as (client, _):
            assert (await client.hello()).pid == FACTS.pid
            os.chmod(tmp_path, 0o777)  # noqa: PTH101, S103
            with pytest.raises(UntrustedSocketError, match="changed by others"):
                await client.hello()
            os.chmod(tmp_path, 0o1777)  # noqa: PTH101, S103 (as /tmp: what is ours there stays ours)
            assert (await client.hello()).pid == FACTS.pid

    play(scenario())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a link away")
def test_a_link_of_somebody_else_to_a_socket_of_ours_is_not_followed(free_folder: Path) -> None:
    free_folder.chmod(0o1777)
    link = free_folder / "runner.sock"

    async def scenario() -> None:
        async with served(FakeControl(), free_folder / "real"):
            link.symlink_to(free_folder / "real" / "runner.sock")
            assert (await Client(link).hello()).pid == FACTS.pid
            os.chown(link, 4242, 4242, follow_symlinks=False)
            with pytest.raises(UntrustedSocketError, match="belongs to user 4242"):
                await Client(link).hello()

    play(scenario())


def test_a_client_that_gives_up_a_comparison_ends_the_work_on_it(tmp_path: Path) -> None:
    class Slow(FakeControl):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.given_up = asyncio.Event(), asyncio.Event()

        async def compare(self, out: str, runs: Sequence[str]) -> Compared:
            self.begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up.set()
            raise AssertionError

    async def scenario() -> None:
        slow = Slow()
        async with served(slow, tmp_path) as (client, _):
            asking = asyncio.create_task(client.compare("/reports", ("a", "b")))
            await slow.begun.wait()
            asking.cancel()
            await slow.given_up.wait()
            assert (await client.hello()).pid == FACTS.pid  # the runner answers as before

    play(scenario())
