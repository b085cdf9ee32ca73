"""A search on a live server of which the capacity is known in closed form: found, kept, ended early, continued."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.mock_process import MockProcess, mock_process
from support.workers import play

from infertui.analysis.capacity.observed import objectives
from infertui.analysis.capacity.search import LevelKind, SearchPlan
from infertui.config.schema import Config
from infertui.errors import EngineError, UsageError
from infertui.measure.load.slo import parse_slo
from infertui.mock.options import MockOptions
from infertui.mock.truth import capacity
from infertui.runner.capacity.folder import LEVELS, RECORD, CapacityFolder, CapacityRecord
from infertui.runner.capacity.searching import CapacitySearch, EndpointFound, StayOver, Told
from infertui.worker.failure import WorkerError

SLO, TOKENS = "itl.mean<=10ms", 8
FOUND = EndpointFound("openai-chat", "mock", token_s=0.005)
TRUTH = capacity(MockOptions(ttft_s=0.02, itl_s=0.006, itl_per_stream_s=0.001), output_tokens=TOKENS, itl_slo_s=0.010)


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProcess]:
    with mock_process("--ttft", "20ms", "--itl", "6ms", "--itl-per-stream", "1ms") as process:
        yield process


def begun(
    tmp_path: Path, url: str, *, kind: LevelKind = "concurrency", slo: str = SLO, **plan: float
) -> CapacityFolder:
    config = Config()
    config = replace(
        config,
        target=replace(config.target, kind="endpoint", url=url, model="mock", api="openai-chat"),
        load=replace(config.load, slo=slo),
        workload=replace(config.workload, input_len=8, output_len=TOKENS, num_prompts=0),
    )
    wanted = SearchPlan(kind, objectives(parse_slo(slo)), **{"most": 64.0, "most_stays": 14, **plan})  # type: ignore[arg-type]
    record = CapacityRecord("capacity-x", "2026-03-01T00:00:00+00:00", url, slo, 0.95, wanted, 1.0)
    return CapacityFolder.begin(tmp_path, config, record)


def test_the_capacity_of_a_server_with_a_known_one_is_found_and_kept(tmp_path: Path, mock: MockProcess) -> None:
    assert TRUTH == 5
    folder = begun(tmp_path, mock.url, start=4.0)
    told: list[Told] = []
    outcome = play(CapacitySearch(folder, FOUND, tell=told.append).run())
    assert outcome.capacity is not None
    # Other work on the machine makes tokens late: by a level, and no more.
    assert abs(outcome.capacity - TRUTH) <= 1
    assert outcome.boundary.binding == "itl.mean<=10ms"
    assert outcome.boundary.interval is not None
    kept = CapacityFolder.open(tmp_path, "capacity-x")
    assert kept.record.outcome == outcome
    stays = kept.stays(pytest.fail)
    assert [each.stay for each in told if isinstance(each, StayOver)] == stays
    assert outcome.stays == len(stays)
    assert {each.level for each in outcome.levels} == {each.observation.level for each in stays}
    assert folder.log.exists()


def test_cancelled_it_keeps_what_was_measured_and_goes_on_with_other_prompts(tmp_path: Path, mock: MockProcess) -> None:
    folder = begun(tmp_path, mock.url, most=2.0)

    async def interrupted() -> None:
        task: asyncio.Task[object] | None = None

        def told(what: Told) -> None:
            if isinstance(what, StayOver) and task is not None:
                task.cancel()

        task = asyncio.create_task(CapacitySearch(folder, FOUND, tell=told).run())
        with pytest.raises(asyncio.CancelledError):
            await task

    play(interrupted())
    again = CapacityFolder.open(tmp_path, str(folder.path))
    assert again.record.outcome is not None
    assert again.record.outcome.ending == "interrupted"
    before = again.stays(pytest.fail)
    assert len(before) == 1
    outcome = play(CapacitySearch(again, FOUND, stays=before).run())
    assert outcome.at_least
    assert outcome.capacity == 2.0
    after = again.stays(pytest.fail)
    assert after[0] == before[0]
    assert after[1].seed != after[0].seed
    assert outcome.seconds == pytest.approx(sum(stay.took_s for stay in after))


def test_a_rate_beyond_the_slots_of_a_server_is_found_to_be_too_much(tmp_path: Path) -> None:
    """One slot of 20 ms + 7 x 10 ms: 11 requests a second, and no more."""
    with mock_process("--ttft", "20ms", "--itl", "10ms", "--slots", "1") as server:
        folder = begun(tmp_path, server.url, kind="rate", slo="e2e.p90<2s", start=4.0, most_stays=4.0, tolerance=0.5)
        outcome = play(CapacitySearch(folder, FOUND).run())
    levels = [stay.observation.level for stay in folder.stays(pytest.fail)]
    assert levels[0] == 4
    assert outcome.boundary.failing is not None
    assert 6 < outcome.boundary.failing <= 32


def test_a_server_that_is_not_there_says_nothing_of_a_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infertui.runner.capacity.searching.BACK_S", 0.5)
    folder = begun(tmp_path, "http://127.0.0.1:9", most_stays=2.0)
    with pytest.raises(EngineError, match="nobody listens"):
        play(CapacitySearch(folder, FOUND).run())
    assert folder.stays(pytest.fail) == []
    assert folder.record.outcome is not None
    assert folder.record.outcome.ending == "interrupted"


def test_a_client_that_cannot_begin_is_told_and_what_was_known_is_kept(tmp_path: Path, mock: MockProcess) -> None:
    folder = begun(tmp_path, mock.url)
    wrong = replace(folder.config, target=replace(folder.config.target, body="{"))
    search = CapacitySearch(CapacityFolder(folder.path, folder.record, wrong), FOUND)
    with pytest.raises(WorkerError):
        play(search.run())
    assert CapacityFolder.open(tmp_path, "capacity-x").record.outcome is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"search": 1}', b"\xff\xfe", b'{"schema": 99}'])
def test_a_record_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / RECORD).write_bytes(content)
    with pytest.raises(UsageError, match=RECORD):
        CapacityFolder.open(tmp_path, "x")


def test_no_search_is_no_search(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no search"):
        CapacityFolder.open(tmp_path, "never\x1b[2J")


def test_a_torn_line_of_a_stay_is_left_out_and_told(tmp_path: Path) -> None:
    folder = begun(tmp_path, "http://127.0.0.1:9")
    (folder.path / LEVELS).write_bytes(b'{"observation": {"level"')
    told: list[str] = []
    assert folder.stays(told.append) == []
    assert "torn" in told[0]


def test_objectives_of_which_no_request_says_anything_end_a_search(tmp_path: Path, mock: MockProcess) -> None:
    folder = begun(tmp_path, mock.url, slo="ttft<1s e2e<1s")
    at_once = replace(folder.config, target=replace(folder.config.target, streaming=False))
    with pytest.raises(UsageError, match=r"no request says anything of ttft<1s\n"):
        play(CapacitySearch(CapacityFolder(folder.path, folder.record, at_once), FOUND).run())
