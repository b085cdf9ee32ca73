"""What is left of load generators when one end of the pipe dies, or does not listen: nothing, and everything."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from support.loads import Told, clients, listen, part_command
from support.raw_servers import raw_server, say_hello
from support.workers import play

from infertui.mock.options import MockOptions
from infertui.mock.server import MockServer
from infertui.worker.loadgen.link import ClientLink
from infertui.worker.loadgen.protocol import (
    AdjustLoad,
    AnyClientCommand,
    AnyClientEvent,
    LoadAdjusted,
    LoadSnapshot,
    RequestsDone,
    decode_event,
    encode,
)

PARENT = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from support.loads import Told, clients, listen, part_command

async def main():
    async with clients(Path(sys.argv[2]), parts=2) as spawned:
        await spawned.prepare(part_command(sys.argv[1], concurrency=int(sys.argv[4])))
        await spawned.start()
        print(*spawned.pids, flush=True)
        await listen(spawned, Told())

asyncio.run(main())
"""


@contextmanager
def parent(url: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that runs a load without end, and the groups of its load generators."""
    tests = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", PARENT, url, str(folder), tests, "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, [int(pid) for pid in process.stdout.readline().split()]
        finally:
            process.kill()


def members(groups: list[int]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) in groups:
                found.append(process)
        except ProcessLookupError:
            continue
    return found


def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    with MockServer(MockOptions(ttft_s=0.01)) as server, parent(server.url, tmp_path) as (process, groups):
        left = members(groups)
        assert len(left) == 4  # each with its watchdog
        process.kill()
        _, alive = psutil.wait_procs(left, timeout=20)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_nothing_outlives_a_parent_whose_client_is_stopped(tmp_path: Path) -> None:
    with MockServer(MockOptions(ttft_s=0.01)) as server, parent(server.url, tmp_path) as (process, groups):
        left = members(groups)
        os.kill(groups[0], signal.SIGSTOP)
        process.kill()
        _, alive = psutil.wait_procs(left, timeout=20)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_more_connections_than_the_system_allows_are_refused_before_any(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[2])
    with MockServer(MockOptions()) as server:
        limited = ["bash", "-c", 'ulimit -n 100; exec "$0" "$@"', sys.executable, "-c", PARENT]
        command = [*limited, server.url, str(tmp_path), tests, "200"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert server.stats()["peak_connections"] == 0
    assert "load.concurrency: needs 100 connections" in ended.stderr
    assert "ulimit -n" in ended.stderr


def test_leaving_ends_all_of_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with raw_server(say_hello) as server:
            async with clients(tmp_path, parts=3) as spawned:
                await spawned.prepare(part_command(server.url, concurrency=3))
                await spawned.start()
                await listen(spawned, told := Told(), until=lambda: len(told.requests) > 10)
                groups = list(spawned.pids)
                await spawned.close()
            # Killed they are, and the watchdogs, which are nobody's to wait for, go a moment later.
            _, left = psutil.wait_procs(members(groups), timeout=5)
            assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []

    play(scenario())


def test_signals_that_are_for_the_runner_do_not_end_a_client(tmp_path: Path) -> None:
    async def scenario() -> None:
        told = Told()
        async with raw_server(say_hello) as server, clients(tmp_path) as spawned:
            await spawned.prepare(part_command(server.url, concurrency=1))
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                os.kill(spawned.pids[0], number)
            await spawned.start()
            await listen(spawned, told, until=lambda: len(told.requests) > 3)
            await spawned.stop(drain=True)
            await listen(spawned, told)
        assert set(told.kinds) == {""}

    play(scenario())


def test_a_runner_that_does_not_read_stops_nothing_and_misses_nothing() -> None:
    """More than a pipe holds: the events wait, in their order, but for snapshots, of which the next has all."""

    async def scenario() -> None:
        events_read, events_write = os.pipe()
        commands_read, commands_write = os.pipe()
        link = ClientLink(asyncio.get_running_loop(), events_write, commands_read, heard=print, unreadable=print)
        for number in range(100_000):
            link.emit(LoadAdjusted(number))
            if number % 100 == 0:
                link.emit(LoadSnapshot(number, 0, 0, 0, 0, 0, 0, 0, 0.0))
        link.emit(RequestsDone(100_000, ()))
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(events_read, "rb", 0)
        )
        told: list[AnyClientEvent] = []
        while not (told and isinstance(told[-1], RequestsDone)):
            told.append(decode_event(await reader.readline()))
        assert [event.t_ns for event in told if isinstance(event, LoadAdjusted)] == list(range(100_000))
        assert 0 < sum(isinstance(event, LoadSnapshot) for event in told) < 1000
        asyncio.get_running_loop().remove_reader(commands_read)  # its end would end this process
        os.close(commands_write)

    play(scenario())


def test_commands_come_whole_however_they_are_cut() -> None:
    async def scenario() -> None:
        events_read, events_write = os.pipe()
        commands_read, commands_write = os.pipe()
        heard: asyncio.Queue[AnyClientCommand | str] = asyncio.Queue()
        link = ClientLink(
            asyncio.get_running_loop(),
            events_write,
            commands_read,
            heard=heard.put_nowait,
            unreadable=heard.put_nowait,
        )
        sent = [AdjustLoad(concurrency=number) for number in range(50)]
        data = b"".join(map(encode, sent)) + b"{no}\n"
        for begin in range(0, len(data), 7):
            os.write(commands_write, data[begin : begin + 7])
            await asyncio.sleep(0)
        assert [await heard.get() for _ in sent] == sent
        assert "cannot be read" in str(await heard.get())
        link.emit(LoadAdjusted(1))
        assert os.read(events_read, 100) == encode(LoadAdjusted(1))
        asyncio.get_running_loop().remove_reader(commands_read)
        for descriptor in (events_read, events_write, commands_read, commands_write):
            os.close(descriptor)

    play(scenario())
