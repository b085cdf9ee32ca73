"""Searches on servers that die, come back, refuse, or keep everything or nothing; and on processes that are killed."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.mock_process import mock_process
from support.searches import ENDED, asked, entry_of, queued, until
from support.workers import play

from infertui.config.schema import Config
from infertui.runner.capacity.folder import LEVELS, CapacityFolder
from infertui.runner.capacity.state import CapacityView
from infertui.runner.runner import Runner
from infertui.runner.scheduling.queue_store import Entry, QueueStore

FAST = ("--ttft", "10ms", "--itl", "2ms")


def searched(config: Config, out: Path) -> tuple[Entry, CapacityView]:
    async def search() -> tuple[Entry, CapacityView]:
        async with Runner() as runner:
            (number,) = await runner.submit(queued(config, out))
            now = await until(runner, lambda now: entry_of(now, number).state in ENDED)
            return entry_of(now, number), now.capacities[0]

    found: tuple[Entry, CapacityView] = play(search())
    return found


def test_a_server_that_always_keeps_them_has_at_least_the_most_that_was_tried(tmp_path: Path) -> None:
    with mock_process(*FAST) as server:
        entry, view = searched(asked(server.url, slo="itl.mean<5s", start=4.0, most=4.0, least=4.0), tmp_path)
    assert entry.state == "finished"
    assert entry.reason.startswith("4 in flight or more")
    assert view.outcome is not None
    assert (view.outcome.ending, view.outcome.at_least, view.outcome.knee) == ("most", True, None)


def test_a_server_that_never_keeps_them_has_no_capacity(tmp_path: Path) -> None:
    with mock_process(*FAST) as server:
        entry, view = searched(asked(server.url, slo="e2e<1ms ttft.p99<1ms", start=1.0, max_stays=8), tmp_path)
    assert entry.state == "finished"
    assert "none is known below 1 in flight" in entry.reason
    assert view.outcome is not None
    assert (view.outcome.ending, view.outcome.capacity) == ("least", None)


def test_one_that_fails_each_request_does_too(tmp_path: Path) -> None:
    with mock_process(*FAST, "--fault", "rate-limited", "--fault-every", "2") as server:
        entry, view = searched(asked(server.url, slo="ttft.mean<1s", start=1.0, max_stays=6), tmp_path)
    assert entry.state == "finished"
    assert view.outcome is not None
    assert view.outcome.capacity is None
    assert view.outcome.boundary.binding == "errors"


def test_a_server_that_dies_ends_the_search_in_words_and_keeps_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infertui.runner.capacity.searching.BACK_S", 0.5)

    async def search(url: str, pid: int) -> tuple[Entry, CapacityView]:
        async with Runner() as runner:
            (number,) = await runner.submit(queued(asked(url, slo="itl.mean<5s"), tmp_path))
            await until(runner, lambda now: any(view.stays for view in now.capacities))
            os.kill(pid, signal.SIGKILL)
            now = await until(runner, lambda now: entry_of(now, number).state in ENDED)
            return entry_of(now, number), now.capacities[0]

    with mock_process(*FAST) as server:
        entry, view = play(search(server.url, server.pid))
    assert entry.state == "failed"
    assert "nobody listens at http://127.0.0.1" in entry.reason
    assert len(view.stays) >= 1
    assert all(stay.keeps for stay in view.stays)  # its death is no level's failure
    assert view.outcome is not None
    assert view.outcome.ending == "interrupted"
    assert "nobody listens" in view.error


def test_a_server_that_comes_back_is_searched_on(tmp_path: Path) -> None:
    async def search(port: int, pid: int) -> tuple[Entry, CapacityView]:
        async with Runner() as runner:
            config = asked(f"http://127.0.0.1:{port}", slo="itl.mean<5s", start=4.0, most=8.0)
            (number,) = await runner.submit(queued(config, tmp_path))
            await until(runner, lambda now: any(view.live and view.live.requests for view in now.capacities))
            os.kill(pid, signal.SIGKILL)
            command = [sys.executable, "-m", "infertui", "mock-server", "--port", str(port), *FAST]
            again = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                now = await until(runner, lambda now: entry_of(now, number).state in ENDED)
            finally:
                again.kill()
                await again.wait()
            return entry_of(now, number), now.capacities[0]

    with mock_process(*FAST) as server:
        entry, view = play(search(int(server.url.rpartition(":")[2]), server.pid))
    assert entry.state == "finished", entry.reason
    assert view.outcome is not None
    assert view.outcome.capacity == 8


def test_one_that_refuses_beyond_its_slots_is_a_cliff_of_errors(tmp_path: Path) -> None:
    """Connections beyond a number are refused with 429: by a server of a few lines, as the mock has no such fault."""
    with refusing(beyond=5) as url:
        entry, view = searched(asked(url, slo="e2e.mean<5s", start=2.0, most=16.0), tmp_path)
    assert entry.state == "finished", entry.reason
    assert view.outcome is not None
    assert view.outcome.capacity == 5
    assert view.outcome.boundary.binding == "errors"
    assert view.outcome.boundary.shape == "cliff"


def test_killed_it_goes_on_where_it_was(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; from infertui.entry import main; sys.argv[0] = 'infertui'; main()"]
    flags = ("--slo", "itl.mean<5s", "--isl", "8", "--osl", "4", "--stay", "1", "--max", "4", "--out", str(tmp_path))
    with mock_process(*FAST) as server:
        with subprocess.Popen([*command, "capacity", server.url, *flags], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert "1 in flight" in process.stdout.readline()
            process.kill()
        (path,) = tmp_path.glob("capacity-*")
        before = len((path / LEVELS).read_bytes().splitlines())
        done = subprocess.run(
            [*command, "capacity", "--continue", str(path), "--ui", "none"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    assert "4 in flight or more" in done.stdout
    folder = CapacityFolder.open(tmp_path, path.name)
    stays = folder.stays(pytest.fail)
    assert len(stays) > before >= 1
    assert len({stay.seed for stay in stays}) == 2


class refusing:  # noqa: N801 (a context manager)
    """An OpenAI chat server that answers at most `beyond` requests at a time, each in 50 ms, and refuses the others."""

    def __init__(self, *, beyond: int) -> None:
        self._most, self._now = beyond, 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        return f"http://127.0.0.1:{starting.result(10).sockets[0].getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        for task in asyncio.all_tasks(self._loop):
            self._loop.call_soon_threadsafe(task.cancel)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(length[0].partition(b":")[2]) if length else 0)
                writer.write(await self._answer(head))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        if b"/chat/completions" not in head:
            return _reply("200 OK", b'{"object":"list","data":[{"id":"mock"}]}', "application/json")
        if self._now >= self._most:
            await asyncio.sleep(0.05)
            return _reply("429 Too Many Requests", b'{"error":{"message":"too many"}}', "application/json")
        self._now += 1
        try:
            await asyncio.sleep(0.05)
        finally:
            self._now -= 1
        chunk = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":%s}]}\n\n'
        usage = b'data: {"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":2}}\n\n'
        return _reply("200 OK", chunk % b"null" + chunk % b'"stop"' + usage + b"data: [DONE]\n\n", "text/event-stream")


def _reply(status: str, body: bytes, kind: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_search_whose_runner_was_killed_waits_to_go_on(tmp_path: Path) -> None:
    """Of the queue's file alone, as a killed runner leaves it: the entry says that it runs."""
    out, store = tmp_path / "out", QueueStore(tmp_path / "queue.sqlite")
    with mock_process(*FAST) as server:
        config = asked(server.url, slo="itl.mean<5s", start=2.0, most=4.0)

        async def killed() -> Entry:
            async with Runner(QueueStore()) as runner:
                (number,) = await runner.submit(queued(config, out))
                await until(runner, lambda now: any(view.stays for view in now.capacities))
                return entry_of(await runner.snapshot(), number)

        entry = play(killed())
        assert entry.state == "running"
        store.put([entry])
        store.close()

        async def again() -> tuple[Entry, Entry, tuple[str, ...]]:
            async with Runner(QueueStore(tmp_path / "queue.sqlite")) as runner:
                now = await runner.snapshot()
                (more,) = await runner.retry([entry.id])
                ended = await until(runner, lambda now: entry_of(now, more).state in ENDED)
                return entry_of(now, entry.id), entry_of(ended, more), now.faults

        first, second, faults = play(again())
    assert first.state == "interrupted"
    assert not [fault for fault in faults if "was not looked at" in fault]
    assert (second.state, second.run) == ("finished", entry.run)


def test_ended_while_the_server_is_looked_at_nothing_is_left(tmp_path: Path) -> None:
    async def search(url: str) -> Entry:
        async with Runner() as runner:
            (number,) = await runner.submit(queued(asked(url), tmp_path))
            await until(runner, lambda now: any(view.status == "probing" for view in now.capacities))
            await runner.cancel([number])
            return entry_of(await until(runner, lambda now: entry_of(now, number).state in ENDED), number)

    with mock_process("--ttft", "30s", "--itl", "1s") as server:
        entry = play(search(server.url))
    assert entry.state == "cancelled"
    assert not list(tmp_path.glob("capacity-*"))
