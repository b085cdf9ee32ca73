"""Searches as entries of a runner's queue: told of live, cancelled, taken up again, kept from two at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.mock_process import MockProcess, mock_process
from support.searches import ENDED, asked, entry_of, queued, until
from support.workers import play

from infertui.config.endpoint import CapacityConfig, LoadConfig
from infertui.config.schema import Config
from infertui.errors import ConfigError, InfertuiError, UsageError
from infertui.runner.capacity.folder import LEVELS, RECORD, TELEMETRY, CapacityFolder
from infertui.runner.capacity.host import view_of
from infertui.runner.capacity.state import CapacityView
from infertui.runner.control import Snapshot
from infertui.runner.runner import Runner
from infertui.runner.scheduling.queue_store import Entry
from infertui.telemetry.sampler import Sampler


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProcess]:
    with mock_process("--ttft", "20ms", "--itl", "6ms", "--itl-per-stream", "1ms") as process:
        yield process


def test_a_search_waits_in_the_queue_is_told_of_and_can_be_read_back(mock: MockProcess, tmp_path: Path) -> None:
    async def search() -> tuple[Entry, CapacityView, CapacityView, list[float]]:
        levels: list[float] = []
        async with Runner() as runner:
            (number,) = await runner.submit(queued(asked(mock.url), tmp_path))

            def looked(now: Snapshot) -> bool:
                levels.extend(view.live.level for view in now.capacities if view.live)
                return entry_of(now, number).state in ENDED

            now = await until(runner, looked)
            entry = entry_of(now, number)
            (listed,) = await runner.capacities(str(tmp_path))
            assert listed.id == entry.run
            assert (await runner.details(str(tmp_path), entry.run)).telemetry  # the Logs pane asks for it
            return entry, now.capacities[0], await runner.capacity(str(tmp_path), entry.run), levels

    entry, live, read, levels = play(search())
    assert entry.state == "finished", entry.reason
    assert "in flight" in entry.reason
    assert "itl.mean<=10ms binds" in entry.reason
    assert levels[0] == 4
    assert len(set(levels)) >= 2
    assert live == read
    assert live.status == "ended"
    assert live.outcome is not None
    assert live.outcome.capacity is not None
    assert abs(live.outcome.capacity - 5) <= 1
    assert [stay.number for stay in live.stays] == list(range(1, live.outcome.stays + 1))
    assert all(stay.figures.running is not None for stay in live.stays)  # the mock's own page
    assert (tmp_path / entry.run / TELEMETRY).exists()


def test_cancelled_and_retried_it_goes_on(mock: MockProcess, tmp_path: Path) -> None:
    async def search() -> tuple[Entry, Entry]:
        async with Runner() as runner:
            (number,) = await runner.submit(queued(asked(mock.url, max_stays=3), tmp_path))
            await until(runner, lambda now: any(view.stays for view in now.capacities))
            await runner.cancel([number])
            first = entry_of(await until(runner, lambda now: entry_of(now, number).state in ENDED), number)
            (again,) = await runner.retry([number])
            second = entry_of(await until(runner, lambda now: entry_of(now, again).state in ENDED), again)
            return first, second

    first, second = play(search())
    assert first.state == "cancelled"
    assert second.state == "finished"
    assert second.run == first.run
    folder = CapacityFolder.open(tmp_path, first.run)
    assert len(folder.stays(pytest.fail)) >= 2
    assert folder.record.outcome is not None
    assert folder.record.outcome.ending in ("found", "stays")


def test_two_cannot_go_on_with_one_search_at_once(mock: MockProcess, tmp_path: Path) -> None:
    async def search() -> tuple[Entry, Entry]:
        async with Runner() as one, Runner() as other:
            (number,) = await one.submit(queued(asked(mock.url), tmp_path))
            now = await until(one, lambda now: any(view.status == "searching" for view in now.capacities))
            name = now.capacities[0].id
            config = replace(asked(mock.url), capacity=replace(asked(mock.url).capacity, continues=name))
            (second,) = await other.submit(queued(config, tmp_path))
            refused = entry_of(await until(other, lambda now: entry_of(now, second).state in ENDED), second)
            await one.cancel([number])
            return refused, entry_of(await until(one, lambda now: entry_of(now, number).state in ENDED), number)

    refused, first = play(search())
    assert refused.state == "failed"
    assert "is under way" in refused.reason
    assert first.state == "cancelled"


def test_a_server_that_is_not_there_fails_the_entry_and_leaves_no_folder(tmp_path: Path) -> None:
    async def search() -> Entry:
        async with Runner() as runner:
            (number,) = await runner.submit(queued(asked("http://127.0.0.1:9"), tmp_path))
            return entry_of(await until(runner, lambda now: entry_of(now, number).state in ENDED), number)

    entry = play(search())
    assert entry.state == "failed"
    assert "127.0.0.1:9" in entry.reason
    assert not list(tmp_path.glob("capacity-*"))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (asked("http://127.0.0.1:9", slo=""), "load.slo: is empty"),
        (asked("http://127.0.0.1:9", start=32.0), "capacity.start: is 32"),
        (asked("http://127.0.0.1:9", least=1.5), "capacity.least: is 1.5"),
        (asked("http://127.0.0.1:9", least=32.0, start=0.0), "capacity.most: is 16"),
        (replace(asked("http://127.0.0.1:9"), load=LoadConfig(slo="ttft<1s", concurrency=2)), "load.concurrency"),
        (replace(asked("http://127.0.0.1:9"), capacity=CapacityConfig(max_stays=3)), "capacity.max_stays: is for"),
        (replace(Config(), capacity=CapacityConfig(by="rate")), "capacity.by: is for a server"),
    ],
)
def test_what_contradicts_itself_is_refused(config: Config, told: str, tmp_path: Path) -> None:
    async def submitted() -> None:
        async with Runner() as runner:
            await runner.submit(queued(config, tmp_path))

    with pytest.raises(ConfigError, match=told):
        play(submitted())


def test_one_that_was_killed_tells_what_its_stays_come_to(mock: MockProcess, tmp_path: Path) -> None:
    async def search() -> str:
        async with Runner() as runner:
            await runner.submit(queued(asked(mock.url, most=4.0), tmp_path))
            now = await until(runner, lambda now: any(view.status == "ended" for view in now.capacities))
            return now.capacities[0].id

    folder = CapacityFolder.open(tmp_path, play(search()))
    whole = view_of(folder)
    record = folder.path / RECORD
    record.write_bytes(record.read_bytes().replace(b'"outcome"', b'"other"'))
    killed = view_of(CapacityFolder.open(tmp_path, folder.path.name))
    assert killed.outcome is not None
    assert killed.outcome.ending == "interrupted"
    assert killed.outcome.levels == whole.outcome.levels if whole.outcome else False
    (folder.path / LEVELS).write_bytes(b"")
    assert view_of(CapacityFolder.open(tmp_path, folder.path.name)).stays == ()


@pytest.mark.parametrize("name", ["../x", "/etc", "never"])
def test_no_search_is_no_search(name: str, tmp_path: Path) -> None:
    async def read() -> None:
        async with Runner() as runner:
            await runner.capacity(str(tmp_path), name)

    with pytest.raises(UsageError):
        play(read())
    assert issubclass(UsageError, InfertuiError)


def test_power_of_the_gpu_that_the_server_computes_on_is_told_of_each_level(
    tmp_path: Path, stub_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infertui.runner.runner.Sampler", Sampler)

    async def search(url: str) -> CapacityView:
        async with Runner() as runner:
            (number,) = await runner.submit(queued(asked(url, slo="itl.mean<5s", most=4.0), tmp_path))
            await until(runner, lambda now: entry_of(now, number).state in ENDED)
            return (await runner.snapshot()).capacities[0]

    with mock_process("--ttft", "20ms", "--itl", "6ms") as server:
        stub_settings(power_w=250, pids=server.pid)
        view = play(search(server.url))
    assert view.outcome is not None
    (level,) = view.outcome.levels
    assert level.power_w == pytest.approx(250, rel=0.01)
    assert level.output_throughput is not None
    assert level.joules_per_token == pytest.approx(250 / level.output_throughput, rel=0.02)
