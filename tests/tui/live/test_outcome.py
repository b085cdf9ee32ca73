import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.pane_bench import Bench, act
from support.results import make_results
from support.scenes import HOSTILE, client_state, entry, gpus, sweep
from textual.pilot import Pilot

from infertui.measure.validity import Verdict
from infertui.results.result import Error, Result
from infertui.runner.control import EventEnvelope
from infertui.runner.events import RunFinished
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.live.outcome import EndedRun, head_lines, key_line, outcome_figures
from infertui.tui.live.pane import LivePane
from infertui.tui.state import ALL_TOPICS
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

LOOK = RenderContext(DEFAULT_PALETTE)
RESULTS = tuple(make_results(60))
GOOD = next(one for one in RESULTS if one.state == "finished" and one.verdict.valid and not one.imported)
BUSY = Verdict(("other processes used 82 % of the CPUs",), marks=("host-busy",), against=("host-busy",))


def told(result: Result, width: int = 100, height: int = 10, **more: object) -> str:
    return "\n".join(line.plain for line in head_lines(EndedRun(result, **more), width, height, LOOK))  # type: ignore[arg-type]


def test_a_good_run_is_told_with_its_interval() -> None:
    text = told(GOOD)
    assert "valid" in text
    assert "tok/s  95 %" in text


def test_the_reason_stands_in_words_with_what_to_do() -> None:
    text = told(replace(GOOD, verdict=BUSY))
    assert "! invalid: other processes used 82 % of the CPUs" in text
    assert "close it, or wait, and run again" in text


@pytest.mark.parametrize(
    ("state", "words"),
    [("failed", "FAILED: it broke"), ("interrupted", "! interrupted")],
)
def test_other_ends_are_told(state: str, words: str) -> None:
    ended = replace(GOOD, state=state, error=Error("crash", "it broke", "mend it") if state == "failed" else None)
    assert words in told(ended)
    assert ("mend it" in told(ended)) == (state == "failed")


def test_who_ended_it_is_known_to_the_queue() -> None:
    cancelled = entry(1, "cancelled", run=GOOD.id)
    assert "! cancelled; what it measured is kept" in told(replace(GOOD, state="interrupted"), entry=cancelled)


def test_the_others_of_a_sweep_stand_with_it() -> None:
    text = told(GOOD, study=(*sweep(1, 2, running=2), entry(3, "finished", group=77, valid=False)))
    assert "demo sweep, 3 runs: 2 ok, 1 invalid; fastest bs=2 1,933 tok/s" in text


def test_whoever_watches_is_offered_no_more_than_looking() -> None:
    assert "again" in key_line(EndedRun(GOOD), 80, LOOK, read_only=False).plain
    assert key_line(EndedRun(GOOD), 80, LOOK, read_only=True).plain == "enter details  c compare"
    assert key_line(EndedRun(replace(GOOD, imported="x.json")), 80, LOOK, read_only=False).plain.count("  ") == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 59), st.integers(1, 160), st.integers(1, 12))
def test_any_result_fits_and_is_harmless(number: int, width: int, height: int) -> None:
    hostile = replace(RESULTS[number], name=HOSTILE, verdict=Verdict((HOSTILE * 9,)))
    lines = head_lines(EndedRun(hostile), width, height, LOOK)
    assert len(lines) <= height
    for line in (*lines, key_line(EndedRun(hostile), width, LOOK, read_only=False)):
        assert line.cell_len <= width
        assert not {"\x1b", "\n"} & set(line.plain)
    assert all(figure.value for figure in outcome_figures(EndedRun(hostile)))


def over(*entries: Entry, result: Result = GOOD) -> Bench:
    bench = Bench(LivePane, client_state(gpus(2), entries))
    bench.client_state.take(EventEnvelope(2, RunFinished(result.id, result)))
    return bench


def test_the_pane_keeps_how_it_ended_and_leads_on() -> None:
    ended = entry(1, "finished", run=GOOD.id)

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        assert "#1 demo" in bench.text
        assert "valid" in bench.text
        assert "enter details" in bench.text
        await pilot.press("enter", "R")
        await pilot.pause()
        assert ("details", (GOOD.id, "/reports")) in bench.told
        assert ("retry", ((1,),)) in bench.calls
        await pilot.press("x")
        assert bench.asked == []

    act(over(ended), play)


def test_what_runs_next_takes_its_place_and_says_how_to_go_back() -> None:
    ended = entry(1, "finished", run=GOOD.id, name="bs=1", valid=False)

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        assert "#5 demo" in bench.text
        assert "before: bs=1" in bench.text
        assert "invalid" in bench.text
        await pilot.press("[")
        await pilot.pause()
        assert "#1 demo bs=1" in bench.text
        assert "1 back" in bench.text
        bench.pane.show(ALL_TOPICS)
        assert "#1 demo bs=1" in bench.text
        await pilot.press("]")
        await pilot.pause()
        assert "#5 demo" in bench.text
        await pilot.press("x")
        (question, yes) = bench.asked[0]
        assert question.startswith("Cancel demo?")
        yes()
        await pilot.pause()
        assert ("cancel", ((5,),)) in bench.calls

    act(over(ended, entry(5, "running"), result=replace(GOOD, verdict=BUSY)), play)


@pytest.mark.parametrize("size", [(160, 48), (40, 14), (30, 6), (20, 5), (12, 4), (5, 3)])
def test_every_size_is_drawn(size: tuple[int, int]) -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await pilot.pause()
        assert "#1" in bench.text or size[0] < 12

    act(over(entry(1, "finished", run=GOOD.id)), play, size=size)
