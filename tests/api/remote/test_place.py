"""A runner behind a URL: what is said of it, the client that reaches it, and commands that ask it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from support.certificates import made
from support.daemons import Home, home, play
from support.fake_control import FACTS, FakeControl
from support.runs import HANG_S
from support.served import TOKENS, listening

from infertui.api.client import Client
from infertui.api.errors import AccessError, OtherVersionError, ReadOnlyError, RunnerUnavailableError
from infertui.api.remote.place import Remote, given, reports_there
from infertui.api.wire import RunnerHello
from infertui.errors import UsageError
from infertui.runner.control import EventEnvelope, ResultsChanged
from infertui.targets.endpoint.address import parse_url

FULL, WATCHING = TOKENS["full"], TOKENS["read-only"]


def client_of(url: str, token: str = FULL, authority: Path | None = None) -> Client:
    return Client(Remote(parse_url(url), token, authority), timeout_s=30)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_client_asks_over_tcp_as_over_the_socket(host: str) -> None:
    control = FakeControl()

    async def scenario() -> None:
        async with listening(control, host=host) as (url, presence):
            client = client_of(url)
            assert (await client.hello()).pid == FACTS.pid
            assert await client.snapshot() == control.told
            await client.cancel((1, 2))
            async with aclosing(cast(Any, client.events(0))) as events:
                first = asyncio.ensure_future(anext(events))
                while presence.streams != 1:  # noqa: ASYNC110 (nothing tells of it)
                    await asyncio.sleep(0.001)
                control.push(ResultsChanged("/x"))
                assert await first == EventEnvelope(1, ResultsChanged("/x"))
            assert not (await client.hello()).read_only
            watching = client_of(url, WATCHING)
            assert (await watching.hello()).read_only
            assert await watching.snapshot() == control.told
            with pytest.raises(ReadOnlyError, match="this token only watches: it cannot cancel runs"):
                await watching.cancel((1,))
            with pytest.raises(AccessError, match="the token is not known here"):
                await client_of(url, "x" * 20).hello()
        with pytest.raises(RunnerUnavailableError, match="no runner answers at http"):
            await client.hello()

    play(scenario())
    assert [call for call in control.calls if call[0] == "cancel"] == [("cancel", ((1, 2),))]


def test_certificates_are_held_against_an_authority(tmp_path: Path) -> None:
    files = made(tmp_path)
    control = FakeControl()

    async def scenario() -> None:
        async with listening(control, certificate=files.certificate, key=files.key) as (url, _):
            assert (await client_of(url, authority=files.authority).hello()).pid == FACTS.pid
            with pytest.raises(AccessError, match=r"the certificate of https://127.* is not believed"):
                await client_of(url).hello()
            with pytest.raises(AccessError, match="not believed"):
                await client_of(url.replace("127.0.0.1", "localhost"), authority=files.authority).hello()
            with pytest.raises(RunnerUnavailableError, match="the connection to it broke"):
                await client_of(url.replace("https", "http")).hello()
        async with listening(control) as (url, _):
            with pytest.raises(RunnerUnavailableError, match=r"does not speak TLS|no runner answers"):
                await client_of(url.replace("http", "https"), authority=files.authority).hello()

    play(scenario())
    assert {name for name, _ in control.calls} == {"snapshot"}


def test_a_server_that_is_no_runner_is_told_apart() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(OtherVersionError, match="cannot be read"):
                await client_of(f"http://127.0.0.1:{port}").hello()

    play(scenario())


@pytest.mark.parametrize(
    ("told", "protocol", "oldest", "understood"),
    [
        (RunnerHello("x", 10), 10, 10, True), (RunnerHello("x", 11), 10, 10, False),
        (RunnerHello("x", 11, oldest=10), 10, 10, True), (RunnerHello("x", 12, oldest=11), 10, 9, False),
        (RunnerHello("x", 9), 10, 9, True), (RunnerHello("x", 9), 10, 10, False),
        (RunnerHello("x", 9, oldest=3), 12, 9, True),
    ],
)  # fmt: skip
def test_a_protocol_in_common_is_enough(told: RunnerHello, protocol: int, oldest: int, understood: bool) -> None:
    assert told.understands(protocol, oldest) == understood


def test_the_environment_names_a_runner(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(FULL)
    token.chmod(0o600)
    with_token = {"INFERTUI_TOKEN_FILE": str(token)}
    assert given(with_token) is None
    found = given({"INFERTUI_CONNECT": "http://localhost:8322/", **with_token})
    assert found is not None
    assert str(found) == "http://localhost:8322"
    assert FULL not in repr(found) + str(found) + f"{found!r}"
    for url, why in (
        ("box", "is no URL of a server"), ("http://a:b@localhost", "has a login"),
        ("http://localhost/x", "no URL of a runner"),
        ("http://localhost/v1/chat/completions", "no URL of a runner"), ("unix:/tmp/x", "no URL of a runner"),
        ("http://box.example:8322", "where others can read it"), ("ftp://box", "is no URL"),
        ("http://[::1", "is no URL"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            given({"INFERTUI_CONNECT": url, **with_token})
    with pytest.raises(UsageError, match="takes a token"):
        given({"INFERTUI_CONNECT": "http://localhost:1"})
    with pytest.raises(UsageError, match="--ca-file"):
        given({"INFERTUI_CONNECT": "https://x", "INFERTUI_CA_FILE": str(token), **with_token})
    assert given({"INFERTUI_CONNECT": "http://box.example", "INFERTUI_INSECURE": "1", **with_token})
    assert given({"INFERTUI_CONNECT": "https://box.example", **with_token})


def test_a_folder_elsewhere_is_an_absolute_one() -> None:
    assert reports_there("", "/told") == "/told"
    assert reports_there("/named", "/told") == "/named"
    with pytest.raises(UsageError, match="absolute path"):
        reports_there("named", "/told")
    with pytest.raises(UsageError, match="tells no reports folder"):
        reports_there("", "")


@contextmanager
def served_elsewhere(place: Home) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A runner of another machine, and what is typed before a command that asks it."""
    for name, token in (("token", FULL), ("watching", WATCHING)):
        (place.folder / name).write_text(token)
        (place.folder / name).chmod(0o600)
    options = ["--token-file", "token", "--read-only-token-file", "watching", "--out", "their-reports"]
    with place.serving("--listen", "127.0.0.1:0", *options) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line.rpartition(" ")[2].strip(), process


def test_commands_ask_a_runner_elsewhere() -> None:
    with home() as there, home() as here, served_elsewhere(there) as (url, process):
        asking = ("--connect", url, "--token-file", str(there.folder / "token"))
        watching = ("--connect", url, "--token-file", str(there.folder / "watching"))
        assert f"process {process.pid}" in here.command(*asking, "status").stdout
        assert f'"socket": "{url}"' in here.command(*watching, "status", "--json").stdout
        run = ("run", "--model", "synthetic:nano", "--engine", "simulator", "-n", "1")
        assert "only watches: it cannot queue runs" in here.command(*watching, *run, "--queue", code=1).stderr
        assert "Add --queue" in here.command(*asking, *run, code=2).stderr
        assert "asks no runner" in here.command(*asking, "results", code=2).stderr
        assert "absolute path" in here.command(*asking, *run, "--queue", "--out", "x", code=2).stderr
        assert "#1" in here.command(*asking, *run, "--queue").stdout
        entry = play(there.client.snapshot()).entries[0]
        assert entry.out == str(there.folder / "their-reports")
        assert not here.runner, "none is started here"
        assert "it cannot stop the runner" in here.command(*watching, "stop", code=1).stderr
        assert "has ended" in here.command(*asking, "stop", "--now").stdout
        assert process.wait(HANG_S) == 0
        assert "no runner answers at" in here.command(*asking, "status", code=1).stderr
        assert "no runner answers at" in here.command(*asking, "stop", code=1).stderr
        assert "takes a token" in here.command("--connect", url, "status", code=2).stderr


def test_the_screen_shows_a_runner_elsewhere(tmp_path: Path) -> None:
    with home() as there, home() as here, served_elsewhere(there) as (url, _):
        picture = tmp_path / "screen.svg"
        asking = ("--connect", url, "--token-file", str(there.folder / "token"))
        done = subprocess.run(
            [sys.executable, "-m", "infertui", *asking, "--screenshot", str(picture)],
            env=here.environment, cwd=here.folder, capture_output=True, text=True, timeout=HANG_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert picture.exists()
        assert not here.runner
        wrong = here.command("--connect", url, "--token-file", "none", "--screenshot", "x.svg", code=2)
        assert "No such file" in wrong.stderr
