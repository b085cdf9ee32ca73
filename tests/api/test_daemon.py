"""The runner as a process: one to a user, there when needed, gone when not, and nothing lost in between."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from support.daemons import Home, answers, home, play, wait_until
from support.runs import HANG_S, simulated
from support.served import mirrored

from infertui.api.errors import RunnerUnavailableError
from infertui.api.runtime import Holder, Lock, bind, make_state_dir, prepare_socket_dir, queue_lock, socket_path
from infertui.api.spawn import ensure_running
from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import InfertuiError
from infertui.results.index import ResultQuery
from infertui.runner.control import EventEnvelope, Snapshot, Submission


@pytest.fixture(name="place")
def _place() -> Iterator[Home]:
    with home() as found:
        yield found


def endless() -> Config:
    return simulated(engine__simulator__virtual_time=False, measurement__iterations=1_000_000, workload__output_len=2)


async def submit(place: Home, *configs: Config) -> tuple[int, ...]:
    variants = tuple(Variant(f"n={number}", config, {}) for number, config in enumerate(configs))
    return await place.client.submit(Submission("test", variants, str(place.reports)))


async def measuring(place: Home) -> None:
    await mirrored(place.client, lambda client_state: any(run.measured > 1 for run in client_state.progress.values()))


async def states(place: Home) -> list[str]:
    return [entry.state for entry in (await place.client.snapshot()).entries]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_socket_is_its_users_alone(place: Home) -> None:
    with place.serving(umask=0):
        assert answers(place.client)
        assert mode(place.socket) == 0o600
        assert mode(place.socket.parent) == 0o700
        assert mode(place.state) == 0o700
        assert mode(place.state / "queue.sqlite") == 0o600


def test_a_second_runner_is_refused_by_name(place: Home) -> None:
    with place.serving() as first:
        second = place.command("serve", "--socket", str(place.folder / "other.sock"), code=1)
        assert f"alive already: process {first.pid}" in second.stderr
        assert "infertui stop" in second.stderr
        assert "Traceback" not in second.stderr
        assert answers(place.client)


def test_a_socket_that_another_runner_serves_is_left_alone(place: Home) -> None:
    """As when two runners have state directories of their own and one runtime directory."""
    with place.serving():
        place.environment["XDG_STATE_HOME"] = str(place.folder / "state2")
        refused = place.command("serve", code=1)
        assert "another runner serves at" in refused.stderr
        assert answers(place.client)
        place.environment["XDG_STATE_HOME"] = str(place.folder / "state")


def test_a_stale_socket_is_replaced(place: Home) -> None:
    prepare_socket_dir(place.socket, place.environment)
    bind(place.socket).close()
    with place.serving():
        assert answers(place.client)


def test_what_is_in_the_way_is_told(place: Home) -> None:
    prepare_socket_dir(place.socket, place.environment)
    place.socket.write_text("notes")
    assert "is there and is no socket" in place.command("serve", code=1).stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_end_keeps_what_was_measured(place: Home, number: signal.Signals) -> None:
    with place.serving() as process:
        play(submit(place, endless(), simulated()))
        play(measuring(place))
        process.send_signal(number)
        assert process.wait(HANG_S) == 0
        assert process.stdout is not None
        assert "Traceback" not in process.stdout.read()
        assert not place.socket.exists()
    with place.serving():

        async def after() -> None:
            await mirrored(
                place.client,
                lambda client_state: (
                    not client_state.running and all(entry.state != "queued" for entry in client_state.entries.values())
                ),
            )
            assert await states(place) == ["interrupted", "finished"]
            page = await place.client.results(ResultQuery(str(place.reports)))
            repeated = {row.state: (row.iterations or 0) > 1 for row in page.rows}
            assert repeated == {"interrupted": True, "finished": True}

        play(after())


def test_a_runner_that_was_killed_loses_nothing(place: Home) -> None:
    with place.serving() as process:
        play(submit(place, endless(), simulated()))
        play(measuring(place))
        workers = psutil.Process(process.pid).children(recursive=True)
        assert workers
        process.kill()
        process.wait(HANG_S)
        assert place.socket.exists()
        gone, alive = psutil.wait_procs(workers, timeout=HANG_S)
        assert gone
        assert not alive
    with place.serving():

        async def after() -> None:
            await mirrored(
                place.client,
                lambda client_state: (
                    not client_state.running and all(entry.state != "queued" for entry in client_state.entries.values())
                ),
            )
            told = await place.client.snapshot()
            assert [entry.state for entry in told.entries] == ["interrupted", "finished"]
            page = await place.client.results(ResultQuery(str(place.reports)))
            repeated = {row.state: (row.iterations or 0) > 1 for row in page.rows}
            assert repeated == {"interrupted": True, "finished": True}

        play(after())


def test_a_closed_terminal_changes_nothing(place: Home) -> None:
    with place.serving() as process:
        process.send_signal(signal.SIGHUP)
        play(submit(place, simulated()))
        play(
            mirrored(
                place.client,
                lambda client_state: [entry.state for entry in client_state.entries.values()] == ["finished"],
            )
        )
        assert process.poll() is None


def test_an_idle_runner_ends_by_itself_and_a_watched_one_does_not(place: Home) -> None:
    # Three seconds: time to connect on a busy machine.
    with place.serving("--idle-exit", "0.05") as process:

        async def watch() -> None:
            events = cast(Any, place.client.events(0))
            async with aclosing(cast(AsyncIterator[EventEnvelope | Snapshot], events)) as heard:  # type: ignore[type-var]
                for _ in range(5):  # a sample of the machine comes every second
                    await anext(heard)
                assert process.poll() is None

        play(watch())
        assert process.wait(HANG_S) == 0
        assert not place.socket.exists()


def test_a_runner_with_work_does_not_count_as_idle(place: Home) -> None:
    # It takes longer than the two seconds after which an idle one would end.
    long = simulated(engine__simulator__virtual_time=False, measurement__iterations=120, workload__output_len=2)
    with place.serving("--idle-exit", "0.033") as process:
        play(submit(place, long))
        assert process.wait(HANG_S) == 0
    with place.serving():
        assert play(states(place)) == ["finished"]


def test_screens_that_start_at_once_get_one_runner_that_outlives_them(place: Home) -> None:
    async def start() -> set[int]:
        clients = await asyncio.gather(*[ensure_running(environ=place.environment) for _ in range(3)])
        return {(await client.hello()).pid for client in clients}

    place.environment |= {"COLUMNS": "80", "LINES": "24"}
    (pid,) = play(start())
    runner = psutil.Process(pid)
    assert os.getsid(pid) == pid
    assert runner.cwd() == "/"
    assert not {"COLUMNS", "LINES"} & set(runner.environ())
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
    assert {Path(f"/proc/{pid}/fd/{number}").readlink() for number in (1, 2)} == {place.state / "runner.log"}
    assert play(start()) == {pid}
    assert "is ready at" in (place.state / "runner.log").read_text()


def test_processes_that_start_at_once_get_one_runner(place: Home) -> None:
    code = (
        "import asyncio\nfrom infertui.api.spawn import ensure_running\n"
        "async def main():\n    print((await (await ensure_running()).hello()).pid)\n"
        "asyncio.run(main())"
    )
    screens = [
        subprocess.Popen([sys.executable, "-c", code], env=place.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert len({screen.communicate(timeout=HANG_S)[0] for screen in screens}) == 1
    assert place.runner


def test_a_screen_that_is_killed_leaves_its_runner_alone(place: Home) -> None:
    code = (
        "import asyncio\nfrom infertui.api.spawn import ensure_running\n"
        "async def main():\n"
        "    print((await (await ensure_running()).hello()).pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, env=place.environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as screen:
        assert screen.stdout is not None
        pid = int(screen.stdout.readline())
        os.killpg(screen.pid, signal.SIGKILL)
    assert play(place.client.hello()).pid == pid


def test_a_runner_that_cannot_start_says_why(place: Home) -> None:
    make_state_dir(place.environment)
    (place.state / "queue.sqlite").mkdir()
    with pytest.raises(RunnerUnavailableError, match="could not be started: it ended at once") as error:
        play(ensure_running(environ=place.environment))
    assert "queue.sqlite" in error.value.remedy
    assert "runner.log" in error.value.remedy
    assert not place.runner


def test_a_runner_whose_log_takes_nothing_says_why_it_cannot_start(place: Home) -> None:
    make_state_dir(place.environment)
    (place.state / "queue.sqlite").mkdir()
    (place.state / "runner.log").symlink_to("/dev/full")
    with pytest.raises(RunnerUnavailableError, match="could not be started: it ended at once") as error:
        play(ensure_running(environ=place.environment))
    assert "queue.sqlite" in error.value.remedy
    assert not place.runner


def test_a_runner_that_is_there_and_does_not_answer_is_told(place: Home) -> None:
    make_state_dir(place.environment)
    with Lock(queue_lock(place.environment)) as lock:
        lock.acquire(Holder(4711, "1", str(place.socket), socket.gethostname()))
        with pytest.raises(RunnerUnavailableError, match=r"process 4711.* does not answer"):
            play(ensure_running(environ=place.environment, timeout_s=0.1))
        lock.release()
        lock.acquire(Holder(4711, "1", str(place.socket), "another-host"))
        with pytest.raises(InfertuiError, match="a runner on another-host"):
            play(ensure_running(environ=place.environment))


def test_a_runner_whose_directory_is_removed_comes_back_to_it(place: Home) -> None:
    with place.serving() as process:
        shutil.rmtree(place.socket.parent)
        client = play(ensure_running(environ=place.environment))
        assert play(client.hello()).pid == process.pid
        assert mode(place.socket.parent) == 0o700
        assert mode(place.socket) == 0o600
        process.terminate()
        assert process.wait(HANG_S) == 0
    wait_until(lambda: not place.runner)


def test_without_a_runtime_directory_a_runner_is_found_where_nobody_can_have_been_before(place: Home) -> None:
    del place.environment["INFERTUI_RUNTIME_DIR"]
    sockets = []
    for _ in range(2):
        with place.serving() as process:
            where = socket_path(place.environment)
            assert mode(where.parent) == 0o700
            assert where.parent.parent == Path("/tmp")  # noqa: S108 (what is tested)
            assert str(process.pid) in place.command("status").stdout
            place.command("stop")
            process.wait(HANG_S)
            sockets.append(where)
    assert sockets[0] == sockets[1]
    shutil.rmtree(sockets[0].parent)
