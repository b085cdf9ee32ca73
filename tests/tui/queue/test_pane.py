import asyncio

import pytest
from msgspec.structs import replace
from support.pane_bench import Bench, act, look_at, repaints
from support.runs import simulated
from support.scenes import HOSTILE, client_state, entry, sweep
from support.settled import settled
from textual.pilot import Pilot

from infertui.analysis.decision.sweep_curve import SweepCurve, SweepPoint
from infertui.config.schema import Config
from infertui.config.sources import load
from infertui.config.sweep import Variant
from infertui.errors import InfertuiError
from infertui.runner.control import EntriesOrdered, EntryChanged, EventEnvelope, Submission
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.config.command import config_command
from infertui.tui.queue.pane import QueuePane
from infertui.tui.queue.view import entry_key
from infertui.tui.results.curve.dialog import CurveScreen
from infertui.tui.state import ALL_TOPICS
from infertui.tui.widgets.rowlist import RowList


def bench(*entries: Entry, **options: object) -> Bench:
    return Bench(QueuePane, client_state(entries=entries), **options)  # type: ignore[arg-type]


async def press(bench: Bench, pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settled(bench)
    await pilot.pause()


def test_the_title_counts_and_an_empty_queue_says_what_to_do() -> None:
    assert "12 runs, 1 running" in look_at(bench(*sweep(1, 12, running=3)))
    assert "Empty: r in Config adds a run." in look_at(bench())


@pytest.mark.parametrize("size", [(160, 20), (80, 20), (38, 20)])
def test_every_run_is_there_at_every_size(size: tuple[int, int]) -> None:
    text = look_at(bench(entry(1, "finished"), *sweep(2, 5, running=1), entry(40, "failed", reason="OOM")), size=size)
    for word in ("ok", "RUN 70%", "queued", "FAILED", "OOM", "bs=16", "demo sweep  1/5"):
        assert word in text


def test_lines_out_of_view_are_told_of() -> None:
    assert "5 of 13" in look_at(bench(*sweep(1, 12, running=3)), size=(40, 8))


def test_the_cursor_goes_on_with_what_runs_unless_somebody_took_it_elsewhere() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        rows = bench.pane.query_one(RowList)

        async def goes_on(ended: int, running: int) -> None:
            entries = bench.client_state.entries
            entries[ended] = replace(entries[ended], state="finished", ended="2026-05-01T10:00:00+00:00")
            entries[running] = replace(entries[running], state="running", run=f"run-{running}")
            bench.pane.show(ALL_TOPICS)
            await pilot.pause()

        assert rows.current_key == entry_key(2)
        await goes_on(2, 3)
        assert rows.current_key == entry_key(3)
        await press(bench, pilot, "j", "j")
        await goes_on(3, 4)
        assert rows.current_key == entry_key(5)
        await press(bench, pilot, "k")
        bench.pane.show(ALL_TOPICS)
        await goes_on(4, 5)
        assert rows.current_key == entry_key(5), "back at what runs it follows again"

    act(bench(*sweep(1, 6, running=1)), play)


def test_groups_fold_and_unfold() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        assert "bs=1" in bench.text
        await press(bench, pilot, "enter")
        assert "bs=1" not in bench.text
        await press(bench, pilot, "right")
        await press(bench, pilot, "j", "left")
        assert "bs=1" not in bench.text
        await press(bench, pilot, "enter")
        assert "bs=1" in bench.text

    act(bench(*sweep(1, 3)), play)


def test_enter_opens_the_details_of_a_run_in_its_own_folder() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "enter")
        assert bench.told == [("details", ("run-1", "/elsewhere"))]
        await press(bench, pilot, "j", "enter")
        assert "has not begun" in str(bench.told[-1][1])

    act(bench(entry(1, "finished", out="/elsewhere"), entry(2)), play)


def test_cancelling_asks_only_where_something_measured_is_lost() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "g", "x")
        assert bench.asked == []
        assert bench.calls == [("remove", ((1,),))]
        await press(bench, pilot, "j", "x")
        assert bench.calls[1:] == []
        question, then = bench.asked[0]
        assert "being measured" in question
        then()
        await press(bench, pilot)
        assert bench.calls[1:] == [("cancel", ((2,),))]

    act(bench(entry(1), entry(2, "running")), play)


def test_a_group_is_cancelled_as_a_whole() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "g", "x")
        bench.asked[0][1]()
        await press(bench, pilot)
        assert bench.calls == [("cancel", ((2,),)), ("remove", ((1, 3),))]

    act(bench(*sweep(1, 3, running=1)), play)


def test_marked_lines_are_what_acts_are_on() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "space", "j", "space", "d")
        assert bench.calls == [("duplicate", ((1, 3),))]

    act(bench(entry(1), entry(2), entry(3)), play)


def test_what_was_taken_out_can_be_put_back() -> None:
    one, two = sweep(5, 2, out="/elsewhere")

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "x", "u")
        variants = (Variant("bs=1", one.config, {}), Variant("bs=2", two.config, {}))
        assert bench.calls == [
            ("remove", ((5, 6),)),
            ("submit", (Submission("demo sweep", variants, "/elsewhere"),)),
        ]
        await press(bench, pilot, "u")
        assert "nothing to undo" in str(bench.told[-1][1])

    act(bench(one, two), play)


def test_moving_is_for_what_waits_and_takes_a_group_past_its_neighbour() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "J")
        assert "Only what waits" in str(bench.told[-1][1])
        await press(bench, pilot, "j", "J")
        await press(bench, pilot, "j", "K")
        assert bench.calls == [("move", ((2,), 1)), ("move", ((3, 4, 5), -1))]
        await press(bench, pilot, "J")
        assert len(bench.calls) == 2

    act(bench(entry(1, "running"), entry(2), *sweep(3, 3)), play)


@pytest.mark.parametrize(
    ("key", "call"),
    [
        ("s", ("skip", ((1,),))),
        ("d", ("duplicate", ((1,),))),
        ("P", ("pause", ())),
        ("X", ("clear", ())),
    ],
)
def test_acts_reach_the_runner(key: str, call: tuple[str, tuple[object, ...]]) -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, key)
        assert bench.calls == [call]

    act(bench(entry(1), entry(2, "finished")), play)


def test_retry_is_for_what_has_ended() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "R")
        assert bench.calls == []
        await press(bench, pilot, "j", "R")
        assert bench.calls == [("retry", ((2,),))]

    act(bench(entry(1), entry(2, "failed")), play)


def test_a_paused_queue_goes_on() -> None:
    waiting = bench(entry(1))
    waiting.client_state.paused = True

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        assert "PAUSED" in bench.text
        await press(bench, pilot, "P")
        assert bench.calls == [("resume", ())]

    act(waiting, play)


def test_only_what_waits_can_be_edited() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "g", "e", "j", "e")
        assert bench.told[0] == ("edit", 1)
        assert "Only a single run" in str(bench.told[1][1])

    act(bench(entry(1), entry(2, "running")), play)


def test_the_command_line_repeats_the_config() -> None:
    config = simulated(model__id="/models/it's here", labels__owner="me", workload__temperature=0.5)

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "y")
        assert bench.told == [("copy", config_command(config))]

    act(bench(entry(1, config=config)), play)
    assert _parsed(config_command(config)) == config
    assert config_command(Config()) == "infertui run"


def _parsed(line: str) -> Config:
    import shlex

    words = shlex.split(line)
    assert words[:2] == ["infertui", "run"]
    assert set(words[2::2]) == {"--set"}
    pairs = (word.partition("=") for word in words[3::2])
    return load(None, environ={}, flags={key: ("--set", value) for key, _, value in pairs}).config


def test_the_same_mirror_twice_repaints_nothing() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        with repaints(bench) as found:
            bench.pane.show(ALL_TOPICS)
            await pilot.pause()
        assert found == []

    act(bench(*sweep(1, 12), entry(20, "finished")), play)


def test_one_entry_that_changes_repaints_one_line() -> None:
    entries = [entry(number) for number in range(1, 8)]

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        bench.client_state.take(EventEnvelope(2, EntryChanged(replace(entries[3], state="skipped"))))
        with repaints(bench) as found:
            bench.pane.show(frozenset({"queue"}))
        assert [region.y for _, regions in found for region in regions] == [3]

    act(bench(*entries), play)


def test_the_cursor_stays_with_its_run_when_others_go() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "j", "j")
        bench.client_state.take(EventEnvelope(2, EntriesOrdered((2, 3))))
        bench.pane.show(frozenset({"queue"}))
        await press(bench, pilot, "d")
        assert bench.calls == [("duplicate", ((3,),))]

    act(bench(entry(1), entry(2), entry(3)), play)


def test_hostile_names_and_reasons_stay_text() -> None:
    text = look_at(bench(entry(1, "failed", title=HOSTILE, reason=HOSTILE), entry(2, lane=HOSTILE)), size=(160, 8))
    assert text.count("[/foo]") >= 2
    assert "\x1b" not in text


def test_a_key_that_is_quicker_than_the_answer_takes_a_run_out_once() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "x", "x")
        assert [call for call in bench.calls if call[0] == "remove"] == [("remove", ((1,),))]
        bench.client_state.take(EventEnvelope(bench.client_state.number + 1, EntriesOrdered((2,))))
        bench.pane.show(ALL_TOPICS)
        await press(bench, pilot, "u", "u")
        assert len([call for call in bench.calls if call[0] == "submit"]) == 1

    act(bench(entry(1, group=1), entry(2, group=2)), play)


def test_what_could_not_be_taken_out_can_be_tried_again_and_is_not_put_back() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        bench.fake.failures["remove"] = InfertuiError("no connection")
        await press(bench, pilot, "x")
        del bench.fake.failures["remove"]
        await press(bench, pilot, "u")
        assert not [call for call in bench.calls if call[0] == "submit"]
        await press(bench, pilot, "x")
        assert len([call for call in bench.calls if call[0] == "remove"]) == 2

    act(bench(entry(1)), play)


def test_esc_takes_the_marks_away() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "space")
        assert bench.pane.step_back()
        assert not bench.pane.step_back()
        assert bench.pane._targets()[0].id == 2

    act(bench(entry(1, group=1), entry(2, group=2)), play)


def test_what_no_command_line_can_say_is_told() -> None:
    config = Config(labels={"a": "two\nlines"})

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "y")
        assert "cannot be written on a command line" in str(bench.told[-1][1])

    act(bench(entry(1, config=config)), play)


def test_the_curve_of_a_group_grows_with_the_runs_that_end() -> None:
    entries = sweep(1, 4, running=0)

    def points(*batches: int) -> tuple[SweepPoint, ...]:
        return tuple(SweepPoint(batch, f"run-{batch}", 100.0 * batch) for batch in batches)

    def asked(bench: Bench) -> list[object]:
        return [arguments[1] for name, arguments in bench.calls if name == "curves"]

    async def until(bench: Bench, pilot: Pilot[None], text: str) -> None:
        async with asyncio.timeout(20):
            while text not in bench.text:
                await pilot.pause(0.05)

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "v")
        assert isinstance(bench.screen, CurveScreen)
        await until(bench, pilot, "no run has ended so far")
        for count in (1, 2, 3):
            bench.fake.answers["curves"] = (SweepCurve("workload.batch_size", "bs", points(*range(1, count + 1))),)
            ended = replace(entries[count - 1], state="finished", run=f"run-{count}")
            bench.client_state.entries[ended.id] = ended
            await until(bench, pilot, f"most {100 * count} tok/s" if count > 1 else "1 run ended so far")
        assert asked(bench) == [("run-1", "run-2"), ("run-1", "run-2", "run-3")]
        before = bench.screen
        await press(bench, pilot, "escape")
        assert bench.screen is not before

    act(bench(*entries), play)
