"""Searches for a capacity on the screen: begun from a config, watched, ended, read back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace
from support.fake_control import FakeControl
from support.pane_bench import Bench
from support.stage import screen_of
from textual.pilot import Pilot

from infertui.analysis.capacity.boundary import Boundary
from infertui.analysis.capacity.curve import LevelFigures
from infertui.analysis.capacity.observed import objectives
from infertui.analysis.capacity.outcome import CapacityOutcome
from infertui.analysis.capacity.search import SearchPlan
from infertui.config.endpoint import CapacityConfig, LoadConfig, TargetConfig
from infertui.config.parse import flat_values
from infertui.config.schema import Config, WorkloadConfig
from infertui.measure.load.slo import parse_slo
from infertui.measure.statistics import Interval
from infertui.runner.capacity.folder import CapacityRecord
from infertui.runner.capacity.state import CapacityView, StayLive, StayShown
from infertui.runner.control import CapacityChanged, CapacityMeasured, EventEnvelope
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.capacity.begin import begin_search, choose_search
from infertui.tui.capacity.dialog import CapacityDialog, understood
from infertui.tui.capacity.screen import CapacityScreen
from infertui.tui.config.dialogs import PickerScreen
from infertui.tui.queue.pane import QueuePane
from infertui.tui.state import ClientState

NAME = "capacity-20260301-101500-3f9a"
SLO = "ttft.p95<500ms tpot.mean<30ms"
LEVELS = tuple(
    LevelFigures(
        level=float(level),
        seconds=10.0,
        requests=100 * level,
        request_throughput=level * 0.9,
        output_throughput=level * 100.0 / (1 + level / 32),
        ttft=0.02 * level,
        tpot=0.001 * level,
        e2e=0.1 * level,
        tps_user=1000.0 / level,
        power_w=None,
    )
    for level in (1, 2, 4, 8, 16, 32)
)
OUTCOME = CapacityOutcome(
    "found", 25.0, Boundary(25.4, Interval(24.0, 27.0), 16.0, 32.0, "ttft.p95<500ms", "smooth", 1.2),
    stays=2, seconds=27.0, levels=LEVELS, knee=8.0, pareto=tuple(each.level for each in LEVELS),
)  # fmt: skip
RECORD = CapacityRecord(
    NAME, "", "http://127.0.0.1:8000", SLO, 0.95, SearchPlan("concurrency", objectives(parse_slo(SLO))), 10.0,
    server="vllm 0.24", model="m\x1b[2J", outcome=OUTCOME,
)  # fmt: skip
STAYS = tuple(
    StayShown(number, each.level, each.level < 25, "ttft.p95<500ms", 0.9, "settled", 10.0, each)
    for number, each in enumerate(LEVELS, 1)
)
ENDED = CapacityView(NAME, f"/reports/{NAME}", RECORD, stays=STAYS, boundary=OUTCOME.boundary)
LIVE = StayLive(7, 24.0, "narrow", 3.0, 24, 40, "too few requests to tell")
UNDER_WAY = replace(ENDED, status="searching", live=LIVE)
SERVER = Config(
    target=TargetConfig(kind="endpoint", url="http://127.0.0.1:8000"),
    workload=WorkloadConfig(prompts="random", input_len=64, output_len=16, num_prompts=10),
    load=LoadConfig(concurrency=4),
)
Act = Callable[[Bench, Pilot[Any]], Awaitable[None]]


def entry(state: str = "running") -> Entry:
    config = replace(SERVER, capacity=CapacityConfig(by="concurrency"))
    return Entry(7, 7, "capacity", SLO, config, "/reports", "", state=state, lane="cpu", run=NAME)  # type: ignore[arg-type]


def play(
    act: Act,
    view: CapacityView | None = ENDED,
    *,
    state: str = "running",
    size: tuple[int, int] = (120, 40),
    ascii_only: bool = False,
) -> Bench:
    known = ClientState()
    if view is not None:
        known.capacities[NAME] = view
        known.entries[7] = entry(state)
    bench = Bench(QueuePane, known, control=FakeControl(), ascii_only=ascii_only)

    async def scenario() -> None:
        async with bench.run_test(size=size) as pilot:
            if view is not None:
                await bench.push_screen(CapacityScreen(bench, NAME))
            await pilot.pause()
            await pilot.pause()
            await act(bench, pilot)

    asyncio.run(scenario())
    return bench


def asked(bench: Bench) -> list[tuple[str, tuple[object, ...]]]:
    return [call for call in bench.calls if call[0] not in ("snapshot", "events")]


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("size", [(160, 48), (120, 40), (80, 24), (80, 15), (40, 10), (20, 5)])
@pytest.mark.parametrize("view", [ENDED, UNDER_WAY, replace(ENDED, stays=(), record=replace(RECORD, outcome=None))])
def test_it_is_drawn_at_every_size(view: CapacityView, size: tuple[int, int], ascii_only: bool) -> None:
    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        for _ in range(2):
            text = "\n".join(screen_of(bench))
            assert "\x1b" not in text
            if size[0] >= 80:
                assert "http://127.0.0.1:8000" in text
            await pilot.press("v")
            await pilot.pause()
        await pilot.press("y", "c", "escape")

    play(act, view, size=size, ascii_only=ascii_only)


def test_what_was_found_stands_above_its_curves() -> None:
    async def act(bench: Bench, _: Pilot[Any]) -> None:
        text = "\n".join(screen_of(bench))
        assert "25 in flight, boundary at 25.4 (95 %: 24.0 to 27.0)" in text
        assert "what binds: ttft.p95<500ms" in text
        assert "capacity 25" in text
        assert "knee 8" in text
        assert "n/a" in text  # watts of a server elsewhere are not known

    play(act)


def test_it_follows_what_the_runner_tells() -> None:
    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        assert any("24 in flight (between)" in line for line in screen_of(bench))
        later = replace(LIVE, level=26.0, requests=77)
        bench.client_state.take(EventEnvelope(1, CapacityMeasured(NAME, later, OUTCOME.boundary)))
        await pilot.pause(0.3)
        assert any("26 in flight" in line and "77 requests" in line for line in screen_of(bench))
        bench.client_state.take(EventEnvelope(2, CapacityChanged(replace(ENDED, error="the server went"))))
        await pilot.pause(0.3)
        assert any("the server went" in line for line in screen_of(bench))

    play(act, UNDER_WAY)


def test_it_is_ended_and_goes_on_by_its_entry() -> None:
    async def end(bench: Bench, pilot: Pilot[Any]) -> None:
        await pilot.press("x")
        bench.asked[-1][1]()
        await pilot.pause()

    assert ("cancel", ((7,),)) in asked(play(end, UNDER_WAY))

    async def go_on(_: Bench, pilot: Pilot[Any]) -> None:
        await pilot.press("c")
        await pilot.pause()

    cut = replace(ENDED, record=replace(RECORD, outcome=replace(OUTCOME, ending="interrupted")))
    assert ("retry", ((7,),)) in asked(play(go_on, cut, state="cancelled"))
    assert asked(play(go_on, ENDED, state="finished")) == []
    assert asked(play(go_on, UNDER_WAY)) == []


def test_enter_on_its_entry_opens_it() -> None:
    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(bench.screen, CapacityScreen)

    play(act)


def test_a_search_is_begun_with_what_was_typed() -> None:
    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        begin_search(bench, bench, SERVER)
        await pilot.pause()
        assert isinstance(bench.screen, CapacityDialog)
        bench.screen.query_one("#capacity-slo").value = "ttft<"  # type: ignore[attr-defined]
        await pilot.pause()
        await pilot.press("enter")
        assert isinstance(bench.screen, CapacityDialog)
        bench.screen.query_one("#capacity-slo").value = "ttft.p95<100ms"  # type: ignore[attr-defined]
        await pilot.press("tab", "tab", "tab")
        await pilot.press(*["backspace"] * 4, "6", "4")
        await pilot.press("enter")
        await pilot.pause()

    bench = play(act, None)
    ((name, (submission,)),) = [call for call in asked(bench) if call[0] == "submit"]
    assert name == "submit"
    (variant,) = submission.variants  # type: ignore[attr-defined]
    assert variant.config.capacity.by == "concurrency"
    assert variant.config.capacity.most == 64
    assert variant.config.load.slo == "ttft.p95<100ms"
    assert (variant.config.load.concurrency, variant.config.workload.num_prompts) == (0, 0)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({}, "begins at 1 in flight"),
        ({"by": "r"}, "begins at 1.00 req/s"),
        ({"by": "x"}, "concurrency (requests in flight) or rate"),
        ({"slo": ""}, "load.slo: is empty"),
        ({"most": "many"}, 'to: "many" is not allowed'),
        ({"most": "0.5"}, "to: "),
        ({"least": "1.5"}, "whole numbers"),
        ({"stay_s": "nan"}, "stay, s: "),
        ({"max_seconds": "0"}, "at most, s: "),
    ],
)
def test_every_line_is_told_what_it_comes_to(typed: dict[str, str], told: str) -> None:
    usual = {"slo": SLO, "by": "concurrency", "least": "1", "most": "64", "stay_s": "10", "max_seconds": "600"}
    server = replace(SERVER, load=LoadConfig(), workload=replace(SERVER.workload, num_prompts=0))
    assert told in understood(dict(flat_values(server)), usual | typed)[1]


def test_no_capacity_of_an_engine_is_searched() -> None:
    async def act(bench: Bench, _: Pilot[Any]) -> None:
        begin_search(bench, bench, Config())
        assert "target.kind = endpoint" in str(bench.told[-1])

    play(act, None)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_searches_of_a_folder_are_chosen_from(count: int) -> None:
    found = tuple(replace(ENDED, id=f"capacity-{number}", stays=()) for number in range(count))

    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        bench.fake.answers["capacities"] = found
        bench.fake.answers["capacity"] = ENDED
        choose_search(bench, bench)
        await bench.workers.wait_for_complete()
        await pilot.pause()
        if count > 1:
            assert isinstance(bench.screen, PickerScreen)
            await pilot.press("enter")
            await bench.workers.wait_for_complete()
            await pilot.pause()
        if count:
            assert isinstance(bench.screen, CapacityScreen)
        else:
            assert "No capacity was searched here" in str(bench.told[-1])

    play(act, None)
