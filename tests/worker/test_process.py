"""Real worker processes: what they do, and everything that can happen to them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.workers import load, load_command, measure, measure_command, play, started

from infertui.worker.failure import WorkerError
from infertui.worker.process import WorkerProcess
from infertui.worker.protocol import (
    AnyEvent,
    BatchDone,
    Conclude,
    Heartbeat,
    LoadDone,
    Measure,
    MeasureDone,
    PhaseStarted,
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


def ended(pid: int) -> bool:
    """Gone, or dead and waiting for init to notice."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_ended(*pids: int) -> None:
    deadline = time.monotonic() + 30
    while not all(map(ended, pids)):
        assert time.monotonic() < deadline, "a process survived"
        time.sleep(0.01)


def group_of(leader: int) -> list[int]:
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader:
                members.append(process.pid)
        except ProcessLookupError:
            continue
    return members


def test_it_loads_warms_up_and_measures(log: Path) -> None:
    async def scenario() -> None:
        async with started(log) as worker:
            loaded = [event for event in await load(worker) if isinstance(event, LoadDone)]
            assert loaded[0].loaded.engine == "simulator"
            events = await measure(worker, measure_command(iterations=3, batch_size=2))
        batches = [event.batch for event in events if isinstance(event, BatchDone)]
        assert [(batch.phase, batch.index) for batch in batches] == [
            ("warmup", 0), ("measure", 0), ("measure", 1), ("measure", 2),
        ]  # fmt: skip
        assert [part.prompt for part in batches[1].requests] == ["one prompt", "another"]
        assert isinstance(events[-1], MeasureDone)

    play(scenario())


def test_it_tells_how_long_its_own_calls_took(log: Path) -> None:
    """Steps that take no time, on the real clock: the calls take some of it, and never more than all."""

    async def scenario() -> None:
        async with started(log) as worker:
            await load(worker, ttft_ms=0.0, step_ms=0.0)
            events = await measure(worker, measure_command(iterations=3, output_len=200))
        for batch in (event.batch for event in events if isinstance(event, BatchDone)):
            assert batch.client_ns is not None
            assert 0 < batch.client_ns < batch.end_ns - batch.start_ns

    play(scenario())


def test_a_loaded_worker_measures_again(log: Path) -> None:
    async def scenario() -> None:
        async with started(log) as worker:
            await load(worker)
            for output_len in (2, 5):
                events = await measure(worker, measure_command(output_len=output_len))
                batches = [event.batch for event in events if isinstance(event, BatchDone)]
                assert {part.tokens for batch in batches for part in batch.requests} == {output_len}

    play(scenario())


def test_heartbeats_tell_progress(log: Path) -> None:
    async def scenario() -> None:
        async with started(log) as worker:
            await load(worker)
            command = measure_command(iterations=1, output_len=200)
            beats = [event for event in await measure(worker, command) if isinstance(event, Heartbeat)]
        steps = [beat.step for beat in beats if beat.phase == "measure"]
        assert steps == sorted(steps)
        assert steps[-1] > 0
        assert all(beat.resident > 0 for beat in beats)

    play(scenario())


@pytest.mark.parametrize("phase", ["load", "warmup", "measure"])
def test_cancel_in_any_phase(log: Path, phase: str) -> None:
    async def scenario() -> None:
        slow_load = {"load_ms": 3_600_000.0} if phase == "load" else {}
        async with started(log) as worker:
            reached = asyncio.Event()

            async def watch(event: AnyEvent) -> None:
                if isinstance(event, PhaseStarted) and event.phase == phase:
                    reached.set()

            async def live() -> None:
                async for event in worker.load(load_command(**slow_load), timeout_s=60):
                    await watch(event)
                await measure(worker, measure_command(iterations=1000, output_len=1000), on_event=watch)

            task = asyncio.create_task(live())
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await worker.cancel()
            if phase == "load":
                assert not worker.alive, "loading cannot be interrupted: the worker is killed"
            else:
                assert worker.alive, "a cancelled measurement leaves the model loaded"
                events = await measure(worker, measure_command(iterations=1))
                assert isinstance(events[-1], MeasureDone)
        assert not worker.alive

    play(scenario())


def test_conclude_ends_at_a_batch_and_keeps_all_of_them(log: Path) -> None:
    async def scenario() -> None:
        async with started(log) as worker:
            await load(worker, ttft_ms=1.0, step_ms=1.0)
            batches: list[BatchDone] = []

            async def watch(event: AnyEvent) -> None:
                if isinstance(event, BatchDone) and event.batch.phase == "measure":
                    batches.append(event)
                    if len(batches) == 3:
                        await worker.send(Conclude())

            events = await measure(worker, measure_command(iterations=1_000_000), on_event=watch)
            assert isinstance(events[-1], MeasureDone)
            assert 3 <= len(batches) < 1_000_000
            assert all(done.batch.tokens == 4 and not done.batch.error for done in batches)
            assert [done.batch.index for done in batches] == list(range(len(batches)))
            # One that comes too late changes nothing.
            await worker.send(Conclude())
            assert isinstance((await measure(worker, measure_command(iterations=1)))[-1], MeasureDone)

    play(scenario())


def test_conclude_before_a_batch_is_measured_leaves_the_model_loaded(log: Path) -> None:
    async def scenario() -> None:
        async with started(log) as worker:
            await load(worker, ttft_ms=1.0, step_ms=1.0)

            async def watch(event: AnyEvent) -> None:
                if isinstance(event, BatchDone):
                    assert event.batch.phase == "warmup"
                    await worker.send(Conclude())

            with pytest.raises(WorkerError) as failure:
                await measure(worker, measure_command(iterations=1, warmup=100_000), on_event=watch)
            assert failure.value.kind == "cancelled"
            assert isinstance((await measure(worker, measure_command(iterations=1)))[-1], MeasureDone)

    play(scenario())


def test_cancel_kills_a_worker_that_does_not_answer(log: Path) -> None:
    async def scenario() -> None:
        async with started(log) as worker:
            await load(worker, fault="hang", fault_batch=1)
            hangs = asyncio.Event()

            async def watch(event: AnyEvent) -> None:
                # Before it hangs it would still answer.
                if isinstance(event, Heartbeat) and event.phase != "idle" and event.t_ns - event.progress_ns > 3e8:
                    hangs.set()

            command = measure_command(output_len=1)  # hangs before its first step
            task = asyncio.create_task(measure(worker, command, on_event=watch))
            await hangs.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await worker.cancel()
            assert not worker.alive

    play(scenario())


def test_cancel_returns_batches_that_were_complete(log: Path) -> None:
    async def scenario() -> None:
        async with started(log) as worker:
            await load(worker)
            seen = 0
            async for event in worker.measure(measure_command(warmup=100_000), deadline=None):
                seen += isinstance(event, BatchDone)
                if seen == 2:
                    break
            late = [event for event in await worker.cancel() if isinstance(event, BatchDone)]
            indexes = [event.batch.index for event in late]
            assert indexes == list(range(2, 2 + len(indexes))), "no batch between them was lost"

    play(scenario())


@pytest.mark.parametrize("fault_batch", [0, 1, 3], ids=["load", "warmup", "measure"])
def test_a_crash_reports_signal_and_log_tail(log: Path, tmp_path: Path, fault_batch: int) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os; os.write(2, b'last words \\x1b]0;pwned\\x07of the backend\\n')"
    )

    async def scenario() -> WorkerError:
        async with started(log, PYTHONPATH=_path_with(tmp_path)) as worker:
            with pytest.raises(WorkerError) as caught:
                await _load_and_measure(worker, fault="crash", fault_batch=fault_batch)
            return caught.value

    error = play(scenario())
    assert error.kind == "crash"
    assert error.details["signal"] == "SIGSEGV"
    assert ("load", "warmup", "measure")[min(fault_batch, 2)] in error.message
    assert "last words of the backend" in error.log_tail
    assert "\x1b" not in error.log_tail


def test_an_exit_reports_its_status(log: Path) -> None:
    error = play(_failure(log, fault="exit"))
    assert error.kind == "crash"
    assert "status 7" in error.message


def test_an_error_of_the_engine_fails_its_batch_and_not_the_run(log: Path) -> None:
    async def scenario() -> None:
        async with started(log) as worker:
            await load(worker, fail_every=2)
            events = await measure(worker, measure_command(warmup=0, iterations=4))
            errors = [event.batch.error for event in events if isinstance(event, BatchDone)]
            assert [bool(error) for error in errors] == [False, True, False, True]

    play(scenario())


def test_running_out_of_host_memory_is_told_with_figures(log: Path) -> None:
    error = play(_failure(log, fault="out-of-memory"))
    assert error.kind == "out-of-memory"
    assert error.details["where"] == "host"
    assert "host has free" in error.details
    assert "MemoryError" in log.read_text()


def test_a_kill_from_outside_is_told_apart_from_a_crash(log: Path) -> None:
    error = play(_failure(log, fault="oom-kill"))
    assert error.kind == "killed"
    assert error.details["signal"] == "SIGKILL"


def test_loading_times_out(log: Path) -> None:
    async def scenario() -> WorkerError:
        async with started(log) as worker:
            with pytest.raises(WorkerError) as caught:
                await load(worker, timeout_s=0.3, load_ms=3_600_000.0)
            return caught.value

    error = play(scenario())
    assert error.kind == "timeout"
    assert "load_timeout_s" in error.message


def test_a_hanging_step_times_out_although_heartbeats_come(log: Path) -> None:
    error = play(_failure(log, measure_command(step_timeout_s=0.5), fault="hang"))
    assert error.kind == "timeout"
    assert "step_timeout_s" in error.message


def test_a_stopped_worker_times_out(log: Path) -> None:
    async def scenario() -> WorkerError:
        async with started(log) as worker:
            await load(worker)

            async def stop(event: AnyEvent) -> None:
                if isinstance(event, PhaseStarted):
                    os.kill(worker.pid, signal.SIGSTOP)

            with pytest.raises(WorkerError) as caught:
                await measure(worker, measure_command(iterations=100, step_timeout_s=0.5), on_event=stop)
            return caught.value

    assert play(scenario()).kind == "timeout"


def test_the_whole_run_times_out(log: Path) -> None:
    async def scenario() -> WorkerError:
        async with started(log) as worker:
            await load(worker)
            command = measure_command(iterations=100_000, total_timeout_s=0.5)
            with pytest.raises(WorkerError) as caught:
                await measure(worker, command, deadline=time.monotonic() + 0.5)
            return caught.value

    error = play(scenario())
    assert error.kind == "timeout"
    assert "total_timeout_s" in error.message


def test_closing_ends_the_whole_group(log: Path, tmp_path: Path) -> None:
    """What a backend started, and the watchdog, go with the worker."""
    pids = tmp_path / "grandchild"
    _write_grandchild(tmp_path, pids)

    async def scenario() -> list[int]:
        async with started(log, PYTHONPATH=_path_with(tmp_path)) as worker:
            members = group_of(worker.pid)
            assert int(pids.read_text()) in members
            assert len(members) == 3
            return members

    wait_until_ended(*play(scenario()))


@pytest.mark.parametrize("phase", ["spawn", "load", "measure"])
def test_the_death_of_the_parent_ends_the_whole_group(tmp_path: Path, phase: str) -> None:
    """kill -9 of the runner, whatever the worker is at, even with an interpreter that never lets go."""
    pids = tmp_path / "grandchild"
    _write_grandchild(tmp_path, pids)
    script = tmp_path / "parent.py"
    script.write_text(
        f"""
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.workers import started, load, measure, measure_command
from infertui.worker.protocol import PhaseStarted

async def main():
    async with started(Path({str(tmp_path / "worker.log")!r})) as worker:
        print(worker.pid, flush=True)
        if {phase!r} == "load":
            await load(worker, load_ms=3_600_000.0)
        if {phase!r} == "measure":
            await load(worker, fault="hang", fault_batch=1)
            await measure(worker, measure_command())
        await asyncio.sleep(3600)

asyncio.run(main())
"""
    )
    environment = {**os.environ, "PYTHONPATH": _path_with(tmp_path)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        members = group_of(worker)
        assert len(members) == 3
        parent.kill()
    wait_until_ended(*members)


def test_a_worker_that_cannot_start_says_why(log: Path, tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("raise ImportError('this installation is broken')")

    async def scenario() -> WorkerError:
        async with await WorkerProcess.spawn(log, {**os.environ, "PYTHONPATH": _path_with(tmp_path)}) as worker:
            with pytest.raises(WorkerError) as caught:
                await worker.hello()
            return caught.value

    error = play(scenario())
    assert error.kind == "crash"
    assert "this installation is broken" in error.log_tail


async def _load_and_measure(worker: WorkerProcess, **simulator: Any) -> None:
    await load(worker, **simulator)
    await measure(worker, measure_command())


async def _failure(log: Path, command: Measure | None = None, **simulator: Any) -> WorkerError:
    async with started(log) as worker:
        await load(worker, **simulator)
        with pytest.raises(WorkerError) as caught:
            await measure(worker, command or measure_command())
        return caught.value


def _path_with(folder: Path) -> str:
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def _write_grandchild(folder: Path, pids: Path) -> None:
    """A sitecustomize that makes each worker start a process of its own, as a backend may."""
    (folder / "sitecustomize.py").write_text(
        "import pathlib, subprocess, sys\n"
        "if 'infertui.worker.child' in sys.orig_argv:\n"
        f"    child = subprocess.Popen(['sleep', '3600'])\n"
        f"    pathlib.Path({str(pids)!r}).write_text(str(child.pid))\n"
    )
