import pytest
from support.pane_bench import Bench, act, look_at, repaints
from support.scenes import HOSTILE, S, client_state, entry, gpus, progress, uuid
from textual.pilot import Pilot

from infertui.runner.control import EventEnvelope
from infertui.runner.events import Noted, Progressed
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.live.pane import LivePane
from infertui.tui.settings.stored import Settings
from infertui.tui.state import ALL_TOPICS
from infertui.tui.widgets.chart import LineChart

RUNNING = entry(5, "running", name="bs=4")


def bench(*entries: Entry, **options: object) -> Bench:
    return Bench(LivePane, client_state(gpus(2), entries), **options)  # type: ignore[arg-type]


def charts(bench: Bench) -> int:
    return sum(chart.display for chart in bench.query(LineChart))


@pytest.mark.parametrize(
    ("size", "count"), [((160, 40), 3), ((120, 20), 2), ((53, 20), 1), ((38, 14), 1), ((80, 8), 0), ((60, 6), 0)]
)
def test_figures_come_first_and_charts_where_there_is_room(size: tuple[int, int], count: int) -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        for words in ("#5 demo bs=4", "3/5", "1,931", "427", "182 ms", "8.3 ms"):
            assert words in bench.text
        assert charts(bench) == count

    act(bench(RUNNING), play, size=size)


def test_a_slow_link_gets_figures_only() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        assert charts(bench) == 0
        assert "1,931" in bench.text

    act(bench(RUNNING, settings=Settings(slow_link=True)), play, size=(160, 40))


def test_nothing_running_says_what_to_do_and_costs_nothing() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        assert "Last: demo: 1,932 tok/s" in bench.text
        assert "r in Config starts a run." in bench.text
        with repaints(bench) as found:
            bench.pane.show(ALL_TOPICS)
            bench.pane.show(frozenset({"live"}))
            await pilot.pause()
        assert found == []

    act(bench(entry(1, "finished")), play)


def test_the_same_mirror_twice_repaints_nothing() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        with repaints(bench) as found:
            bench.pane.show(ALL_TOPICS)
            await pilot.pause()
        assert found == []

    act(bench(RUNNING), play, size=(120, 40))


def test_the_next_rate_moves_figures_and_charts() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        beat = Progressed("run-5", 1090 * S, "measure", batch=3, step=40, tokens=160, tokens_per_s=1777.0, resident=0)
        bench.client_state.take(EventEnvelope(2, beat))
        with repaints(bench) as found:
            bench.pane.show(frozenset({"live"}))
        await pilot.pause()
        assert "1,777" in bench.text
        painted = sum(region.height for _, regions in found for region in regions)
        assert painted < 20

    act(bench(RUNNING), play, size=(120, 40))


def test_several_runs_take_turns() -> None:
    known = [RUNNING, entry(6, "running", lane="gpu1", name="other")]

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        assert "run 1 of 2" in bench.text
        await pilot.press("]")
        await pilot.pause()
        assert "#6 demo other" in bench.text
        await pilot.press("]")
        await pilot.pause()
        assert "#5 demo bs=4" in bench.text
        await pilot.press("[")
        await pilot.pause()
        assert "#6 demo other" in bench.text

    act(bench(*known), play)


def test_phases_that_were_seen_to_begin_are_marked_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10_000 * S]
    monkeypatch.setattr("infertui.tui.live.pane.monotonic_ns", lambda: now[0])
    starting = bench(RUNNING)
    known = starting.client_state.progress["run-5"] = progress("run-5", "spawn")
    newest = starting.client_state.sample
    assert newest is not None
    began = newest.t_ns  # the runner's clock, of which the samples tell
    known.entered = [(began, "spawn")]

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        now[0] += 5 * S
        known.phase = "load"
        known.entered.append((began + 5 * S, "load"))
        bench.pane.show(frozenset({"live"}))
        now[0] += 12 * S
        bench.pane.show(frozenset({"live"}))
        await pilot.pause()
        assert "[load]" in bench.text
        assert "for 0:12" in bench.text
        assert "┊load" in bench.text

    act(starting, play, size=(120, 40))


def test_notes_are_the_last_lines_and_harmless() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        bench.client_state.take(EventEnvelope(2, Noted("run-5", "warning", HOSTILE)))
        bench.pane.show(frozenset({"live"}))
        await pilot.pause()
        assert "! [/foo]" in bench.text.splitlines()[-2]
        assert "\x1b" not in bench.text

    act(bench(RUNNING), play, size=(100, 16))


def test_a_run_that_has_just_begun_is_shown_without_figures() -> None:
    just_begun = Bench(LivePane, client_state(gpus(2), [RUNNING], runs={}))
    assert "#5 demo bs=4" in look_at(just_begun)
    assert uuid(0) not in look_at(Bench(LivePane, client_state((), [RUNNING], runs={}, ticks=0)))


def test_resizing_storms_do_no_harm() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        for width, height in ((1, 1), (20, 5), (200, 60), (60, 20), (5, 50), (120, 30)):
            await pilot.resize_terminal(width, height)
        await pilot.pause()
        assert "1,931" in bench.text

    act(bench(RUNNING), play)
