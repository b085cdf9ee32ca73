"""The screen of a tuning session, with keys: what it asks of the runner, and what it shows meanwhile."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace
from support.fake_control import FakeControl
from support.pane_bench import Bench
from support.runs import simulated
from support.stage import screen_of
from textual.pilot import Pilot

from infertui.analysis.tuning.segment import Segment
from infertui.runner.tuning.state import TuningLive, TuningPoint, TuningView
from infertui.tui.live.pane import LivePane
from infertui.tui.state import ClientState
from infertui.tui.tuning.screen import TuningScreen

NAME = "tuning-20260301-101500-3f9a"
FIGURES: dict[str, float | None] = {"throughput": 161.0, "low": 160.0, "high": 162.0}
SEGMENT = Segment(1, "run-1", "start", {}, "live", "finished", 0.0, 5.0, FIGURES)
VIEW = TuningView(
    NAME, "/reports/x", "demo", simulated(), phase="measure", segments=(SEGMENT,),
    live=TuningLive(2, "bs=2", 5.0, 7, 3.0, 320.0),
)  # fmt: skip
Act = Callable[[Bench, Pilot[Any]], Awaitable[None]]


def play(act: Act, view: TuningView = VIEW, *, size: tuple[int, int] = (120, 40), points: int = 8) -> Bench:
    state = ClientState()
    state.tunings[NAME] = view
    state.points[NAME] = deque(TuningPoint(float(at), 1 + at // 5, 160.0 + at, 0.02, 0.02) for at in range(points))
    bench = Bench(LivePane, state, control=FakeControl())

    async def scenario() -> None:
        async with bench.run_test(size=size) as pilot:
            await bench.push_screen(TuningScreen(bench, NAME))
            await pilot.pause()
            await pilot.pause()
            await act(bench, pilot)

    asyncio.run(scenario())
    return bench


def asked(bench: Bench) -> list[tuple[str, tuple[object, ...]]]:
    return [call for call in bench.calls if call[0] not in ("snapshot", "events")]


def test_turning_and_applying_asks_for_all_that_was_turned() -> None:
    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        await pilot.press("right", "l", "j", "l")
        await pilot.pause()
        assert any("1 → 4" in line for line in screen_of(bench))
        assert asked(bench) == []
        await pilot.press("enter")
        await pilot.pause()

    bench = play(act)
    assert asked(bench) == [("turn", (NAME, {"workload.batch_size": "4", "workload.output_len": "128"}))]


def test_undo_drops_what_is_not_applied_before_it_asks_the_runner() -> None:
    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        await pilot.press("l", "u")
        await pilot.pause()
        assert asked(bench) == []
        await pilot.press("u")
        await pilot.pause()

    assert asked(play(act)) == [("undo_turn", (NAME,))]


def test_the_keys_of_a_segment_mean_the_one_that_is_chosen() -> None:
    second = replace(SEGMENT, number=2, run="run-2", name="bs=2")

    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        await pilot.press("b", "p", "tab", "j", "p")
        await pilot.pause()

    live = TuningLive(3, "bs=4", 9.0, 7, 3.0, 320.0)
    bench = play(act, replace(VIEW, segments=(SEGMENT, second), live=live))
    assert asked(bench) == [("mark_segment", (NAME, 2)), ("pin_segment", (NAME, 3)), ("pin_segment", (NAME, 1))]


def test_a_value_is_typed_and_one_that_cannot_be_is_not_taken() -> None:
    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        await pilot.press("e", *"0", "enter")
        await pilot.pause()
        assert any("0 is not allowed here" in line for line in screen_of(bench))
        await pilot.press("backspace", *"48", "enter")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()

    assert asked(play(act)) == [("turn", (NAME, {"workload.batch_size": "48"}))]


def test_a_climb_asks_for_its_budget() -> None:
    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        await pilot.press("a", *"-5", "enter")
        await pilot.pause()
        assert asked(bench) == []
        await pilot.press("backspace", "backspace", *"30", "enter")
        await pilot.pause()

    assert asked(play(act)) == [("climb", (NAME, "workload.batch_size", 30.0))]


def test_ending_asks_first_and_leaving_does_not_end() -> None:
    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        await pilot.press("x")
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(bench.screen, TuningScreen)

    bench = play(act)
    assert asked(bench) == []
    ((question, _),) = bench.asked
    assert "End this tuning session?" in question


@pytest.mark.parametrize("size", [(160, 48), (120, 40), (80, 24), (60, 20), (20, 8)])
def test_it_is_drawn_at_every_size(size: tuple[int, int]) -> None:
    async def act(bench: Bench, pilot: Pilot[Any]) -> None:
        lines = screen_of(bench)
        assert len(lines) == size[1]
        if size[0] >= 80:
            text = "\n".join(lines)
            assert "2 bs=2: 320 tok/s" in text
            assert "161 (160 to 162)" in text

    async def nothing(bench: Bench, pilot: Pilot[Any]) -> None:
        assert len(screen_of(bench)) == size[1]

    play(act, size=size)
    play(nothing, replace(VIEW, segments=(), live=None, phase=None), size=size, points=0)
