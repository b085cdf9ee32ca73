"""The queue at work: order, cancelling, pausing, several devices, what is left to the next runner."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from support.hanging import hanging_files
from support.runs import HANG_S, simulated

from infertui.config.schema import Config
from infertui.config.sweep import Variant
from infertui.errors import StoreError, UsageError
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.runner.control import EntryChanged, EventEnvelope, Snapshot, Submission
from infertui.runner.events import ModelLoaded
from infertui.runner.runner import Runner
from infertui.runner.scheduling.queue_store import ENDED, Entry, QueueStore
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.sampler import Sampler

ENDLESS = simulated(engine__simulator__virtual_time=False, measurement__iterations=100_000, workload__output_len=2)
QUICK = simulated()


def submission(out: Path, *configs: Config, title: str = "t", front: bool = False) -> Submission:
    return Submission(title, tuple(Variant("", config, {}) for config in configs), str(out), front)


async def until(runner: Runner, condition: Callable[[Snapshot], bool]) -> Sequence[Entry]:
    """Wait until the runner is as wanted; every change of it is an event."""
    snapshot = await runner.snapshot()
    if condition(snapshot):
        return snapshot.entries
    async for _ in runner.events(snapshot.number):
        snapshot = await runner.snapshot()
        if condition(snapshot):
            return snapshot.entries
    raise AssertionError("the runner ended first")


def states(entries: Sequence[Entry]) -> list[str]:
    return [entry.state for entry in entries]


def are(*wanted: str) -> Callable[[Snapshot], bool]:
    return lambda snapshot: states(snapshot.entries) == list(wanted)


def all_ended(snapshot: Snapshot) -> bool:
    return all(entry.state in ENDED for entry in snapshot.entries)


def has_measured(snapshot: Snapshot) -> bool:
    return any(progress.measured for progress in snapshot.progress.values())


@asynccontextmanager
async def hosted(path: Path | None = None) -> AsyncIterator[Runner]:
    async with asyncio.timeout(HANG_S), Runner(QueueStore(path)) as runner:
        yield runner


def results(out: Path) -> list[Result]:
    return Store(out).results(warn=lambda text: pytest.fail(text))


def test_entries_run_in_order_and_tell_what_became_of_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hosted() as runner:
            ids = await runner.submit(submission(tmp_path, QUICK, simulated(workload__batch_size=4)))
            entries = await until(runner, all_ended)
            assert tuple(entry.id for entry in entries) == ids
            assert states(entries) == ["finished", "finished"]
            assert [entry.run for entry in entries] == [result.id for result in results(tmp_path)]
            assert all(entry.throughput and entry.valid and entry.started and entry.ended for entry in entries)
            assert entries[0].group == entries[1].group == ids[0]

    asyncio.run(scenario())


def test_a_second_run_of_a_kind_is_foretold(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hosted() as runner:
            await runner.submit(submission(tmp_path, QUICK, simulated(workload__batch_size=2)))
            entries = await until(runner, all_ended)
            assert entries[0].estimate_s is None
            assert entries[1].estimate_s is not None
            forecast = await runner.forecast(QUICK)
            assert forecast.seconds is not None

    asyncio.run(scenario())


def test_of_a_load_on_a_server_nothing_has_to_fit_here() -> None:
    config = simulated(target__kind="endpoint", target__url="http://127.0.0.1:1", workload__batch_size=1)

    async def scenario() -> None:
        async with hosted() as runner:
            forecast = await runner.forecast(config)
            assert forecast.fits is None
            assert forecast.needed is None
            assert "nothing is loaded here" in forecast.lines[0]

    asyncio.run(scenario())


def test_cancelling_keeps_what_was_measured_and_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hosted() as runner:
            running, _, waiting = await runner.submit(submission(tmp_path, ENDLESS, QUICK, QUICK))
            await until(runner, has_measured)
            await runner.cancel([running, waiting])
            entries = await until(runner, all_ended)
            assert states(entries) == ["cancelled", "finished", "cancelled"]
            assert results(tmp_path)[0].state == "interrupted"
            assert results(tmp_path)[0].summary.iterations

    asyncio.run(scenario())


def test_a_run_cancelled_before_it_began_leaves_a_result(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hosted() as runner:
            (running,) = await runner.submit(submission(tmp_path, ENDLESS))
            await until(runner, are("running"))
            await runner.skip([running])
            assert states(await until(runner, all_ended)) == ["skipped"]
            assert [result.state for result in results(tmp_path)] == ["interrupted"]

    asyncio.run(scenario())


def test_pause_lets_what_runs_end_and_starts_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hosted() as runner:
            await runner.pause()
            await runner.submit(submission(tmp_path, QUICK))
            assert states((await runner.snapshot()).entries) == ["queued"]
            assert (await runner.snapshot()).paused
            await runner.resume()
            assert states(await until(runner, all_ended)) == ["finished"]

    asyncio.run(scenario())


def test_waiting_entries_are_moved_edited_copied_and_removed(tmp_path: Path) -> None:
    async def order(runner: Runner) -> list[int]:
        return [entry.id for entry in (await runner.snapshot()).entries]

    async def scenario() -> None:
        async with hosted() as runner:
            await runner.pause()
            a, b, c, d = await runner.submit(submission(tmp_path, QUICK, QUICK, QUICK, QUICK))
            await runner.move([c, d], -1)
            assert await order(runner) == [a, c, d, b]
            await runner.move([a], 99)
            assert await order(runner) == [c, d, b, a]
            await runner.move([c], -5)
            assert await order(runner) == [c, d, b, a]
            await runner.move([d, a], -(10**18))
            assert await order(runner) == [d, a, c, b]
            await runner.move([a, c], 1)
            assert await order(runner) == [d, b, a, c]
            await runner.move([c], -2)
            await runner.move([a], 1)
            await runner.move([d], 1)
            assert await order(runner) == [c, d, b, a]
            (copy,) = await runner.duplicate([d])
            assert await order(runner) == [c, d, copy, b, a]
            assert len({entry.group for entry in (await runner.snapshot()).entries}) == 1, "it belongs to the sweep"
            (first,) = await runner.submit(submission(tmp_path, QUICK, front=True))
            assert await order(runner) == [first, c, d, copy, b, a]
            await runner.edit(b, Variant("new", simulated(workload__batch_size=8), {}))
            entry = next(entry for entry in (await runner.snapshot()).entries if entry.id == b)
            assert (entry.name, entry.config.workload.batch_size) == ("new", 8)
            await runner.remove([a, first])
            assert await order(runner) == [c, d, copy, b]
            await runner.cancel([c])
            await runner.clear()
            assert await order(runner) == [d, copy, b]
            with pytest.raises(UsageError, match="no entry"):
                await runner.remove([a])
            with pytest.raises(UsageError, match="has not ended"):
                await runner.retry([b])

    asyncio.run(scenario())


def test_devices_run_side_by_side(
    tmp_path: Path, stub_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_settings(gpus=2)
    monkeypatch.setattr("infertui.runner.runner.Sampler", Sampler)

    def on(gpu: GpuInfo) -> Config:
        return simulated(
            engine__simulator__virtual_time=False,
            engine__simulator__gpu_uuid=gpu.uuid,
            measurement__iterations=100_000,
            workload__output_len=2,
        )

    async def scenario() -> None:
        async with hosted() as runner:
            first, second = (await runner.snapshot()).runner.gpus
            ids = await runner.submit(submission(tmp_path, on(first), on(second), on(first)))
            entries = await until(runner, are("running", "running", "queued"))
            assert [entry.lane for entry in entries] == ["gpu0", "gpu1", "gpu0"]
            await runner.cancel(ids[:1])
            await until(runner, are("cancelled", "running", "running"))
            await runner.cancel(ids)
            assert states(await until(runner, all_ended)) == ["cancelled"] * 3

    asyncio.run(scenario())


def test_a_runner_that_was_left_with_runs_under_way_interrupts_them(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"

    async def first() -> None:
        async with hosted(path) as runner:
            await runner.submit(submission(tmp_path, ENDLESS, QUICK))
            await until(runner, has_measured)

    async def second() -> Sequence[Entry]:
        async with hosted(path) as runner:
            (again,) = await runner.retry([(await runner.snapshot()).entries[0].id])
            await runner.cancel([again])
            return await until(runner, all_ended)

    asyncio.run(first())
    assert [result.state for result in results(tmp_path)] == ["interrupted"]
    assert states(asyncio.run(second())) == ["interrupted", "finished", "cancelled"]


def test_a_reports_folder_that_cannot_be_made_fails_its_entry_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def scenario() -> None:
        async with hosted() as runner:
            await runner.pause()
            await runner.submit(submission(tmp_path / "file", QUICK))
            await runner.submit(submission(tmp_path / "good", QUICK))
            await runner.resume()
            entries = await until(runner, all_ended)
            assert states(entries) == ["failed", "finished"]
            assert "file" in entries[0].reason

    asyncio.run(scenario())


def test_an_entry_that_cannot_be_begun_leaves_the_others_their_turn(tmp_path: Path) -> None:
    """As one that an earlier version has queued; nothing of the kind is taken any more."""
    path = tmp_path / "queue.sqlite"
    store = QueueStore(path)
    for number, out in enumerate(("/a\0b", str(tmp_path / "good")), start=1):
        store.put([Entry(number, 1, "t", "", QUICK, out, "2025-01-01T00:00:00+00:00")])
    store.close()

    async def scenario() -> None:
        async with hosted(path) as runner:
            assert states(await until(runner, all_ended)) == ["failed", "finished"]

    asyncio.run(scenario())


def test_what_another_version_queued_survives_every_change(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    QueueStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO entries VALUES(99, 99, '{\"id\": 99}')")

    async def scenario() -> None:
        async with hosted(path) as runner:
            assert "1 entries" in (await runner.snapshot()).faults[0]
            await runner.pause()
            a, b = await runner.submit(submission(tmp_path, QUICK, QUICK))
            await runner.move([b], -1)
            await runner.cancel([a])
            await runner.remove([b])
            await runner.clear()

    asyncio.run(scenario())
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT id FROM entries").fetchall() == [(99,)]


def test_the_runner_starts_though_a_reports_folder_is_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "queue.sqlite", tmp_path / "reports"
    (out / "r").mkdir(parents=True)
    (out / "r" / "result.json").touch()
    monkeypatch.setattr("infertui.runner.runner.RECOVERY_TIMEOUT_S", 0.05)
    monkeypatch.setattr("infertui.results.runs._MARKS", ("result.json",))
    store = QueueStore(path)
    store.put([Entry(1, 1, "t", "", QUICK, str(out), "2025-01-01T00:00:00+00:00", state="running", run="r")])
    store.close()

    async def scenario() -> None:
        async with hosted(path) as runner:
            told = await runner.snapshot()
            assert states(told.entries) == ["interrupted"]
            assert str(out) in told.faults[0]

    with hanging_files(monkeypatch, out):
        asyncio.run(scenario())


class FullDisk(QueueStore):
    """Keeps no entries while it is `full`."""

    full = False

    def put(self, entries: Iterable[Entry]) -> None:
        if self.full:
            raise StoreError("the disk is full")
        super().put(entries)


def test_a_full_disk_is_told_once_and_what_it_kept_out_is_written_later(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"

    async def scenario() -> None:
        store = FullDisk(path)
        async with asyncio.timeout(HANG_S), Runner(store) as runner:
            await runner.pause()
            first, *_ = await runner.submit(submission(tmp_path, ENDLESS, QUICK, QUICK))
            store.full = True
            await runner.resume()
            await until(runner, has_measured)
            await runner.cancel([first])
            await until(runner, all_ended)
            assert (await runner.snapshot()).faults == ("the disk is full",)
            with pytest.raises(StoreError):
                await runner.submit(submission(tmp_path, QUICK))
            assert states(QueueStore(path).entries()) == ["queued"] * 3
            store.full = False

    asyncio.run(scenario())
    assert states(QueueStore(path).entries()) == ["cancelled", "finished", "finished"]


def test_a_snapshot_is_of_its_moment(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hosted() as runner:
            await runner.submit(submission(tmp_path, ENDLESS))
            await until(runner, has_measured)
            (before,) = (await runner.snapshot()).progress.values()
            batches = before.measured
            await until(runner, lambda told: all(run.measured > batches for run in told.progress.values()))
            assert before.measured == batches

    asyncio.run(scenario())


def test_the_model_is_given_back_when_nothing_follows(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(HANG_S), Runner(keep_loaded_s=0) as runner:
            await runner.submit(submission(tmp_path, QUICK))
            await until(runner, lambda snapshot: bool(snapshot.progress) and bool(psutil.Process().children()))
            workers = psutil.Process().children()
            await until(runner, all_ended)
            _, alive = await asyncio.to_thread(psutil.wait_procs, workers, timeout=HANG_S)
            assert not alive

    asyncio.run(scenario())


def test_every_change_is_an_event(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hosted() as runner:
            since = (await runner.snapshot()).number
            await runner.submit(submission(tmp_path, QUICK))
            seen: list[str] = []
            loaded = False
            async for told in runner.events(since):
                assert isinstance(told, EventEnvelope)
                if isinstance(told.event, EntryChanged):
                    seen.append(told.event.entry.state)
                loaded |= isinstance(told.event, ModelLoaded)
                if seen and seen[-1] == "finished":
                    break
            assert seen == ["queued", "running", "finished"]
            assert loaded

    asyncio.run(scenario())
