from support.pane_bench import Bench, act
from support.scenes import client_state, entry, sweep
from support.settled import settled
from textual.pilot import Pilot

from infertui.errors import UsageError
from infertui.runner.control import RunnerApi
from infertui.tui.queue.history import KEPT, History
from infertui.tui.queue.pane import QueuePane
from infertui.tui.widgets.dialogs import ChoiceScreen


async def nothing(_: RunnerApi) -> None:
    pass


def test_the_last_change_is_undone_first_and_others_up_to_a_place() -> None:
    history = History()
    assert history.undoable() == []
    history.did("first", nothing)
    history.did("second")
    history.did("third", nothing)
    assert [step.text for step in history.undoable()] == ["third"]
    assert [step.text for step in history.undoable(2)] == ["third"]
    assert [step.text for step in history.undoable(3)] == ["third", "first"]
    history.steps[0].undone = True
    assert [step.text for step in history.undoable()] == ["first"]
    assert [step.line[6:] for step in history.steps] == ["third  (undone)", "second  (cannot be undone)", "first"]
    for number in range(2 * KEPT):
        history.did(str(number), nothing)
    assert len(history.steps) == KEPT


async def press(bench: Bench, pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(bench)
        await pilot.pause()


def test_moves_pauses_and_copies_are_undone() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "J", "u")
        assert bench.calls == [("move", ((1,), 1)), ("move", ((1,), -1))]
        bench.calls.clear()
        await press(bench, pilot, "P", "u")
        assert bench.calls == [("pause", ()), ("resume", ())]
        bench.calls.clear()
        bench.fake.answers["duplicate"] = (2,)
        await press(bench, pilot, "d", "u")
        assert bench.calls == [("duplicate", ((1,),)), ("remove", ((2,),))]
        await press(bench, pilot, "u")
        assert bench.told[-1] == ("say", "There is nothing to undo.")

    act(Bench(QueuePane, client_state(entries=(entry(1), entry(2), entry(3)))), play)


def test_the_list_of_changes_undoes_down_to_the_one_that_is_chosen() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await press(bench, pilot, "U")
        assert bench.told[-1] == ("say", "Nothing was changed from this screen.")
        await press(bench, pilot, "J", "K", "X", "U")
        assert isinstance(bench.screen, ChoiceScreen)
        for words in (
            "took 1 ended run out  (cannot be undone)",
            "moved demo sweep bs=1 sooner",
            "moved demo sweep bs=1 later",
        ):
            assert words in bench.text
        bench.calls.clear()
        await press(bench, pilot, "j", "j", "j", "enter")
        assert bench.calls == [("move", ((1,), 1)), ("move", ((1,), -1))]
        assert bench.told[-1] == ("done", "Undone: 2 changes.")

    bench = Bench(QueuePane, client_state(entries=(*sweep(1, 1), entry(2), entry(9, "finished"))))
    act(bench, play)


def test_what_the_runner_refused_was_not_done() -> None:
    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        bench.fake.failures["move"] = UsageError("no")
        await press(bench, pilot, "J", "u")
        assert bench.told[-1] == ("say", "There is nothing to undo.")

    act(Bench(QueuePane, client_state(entries=(entry(1), entry(2)))), play)
