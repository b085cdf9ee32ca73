import pytest
from support.screens import entry

from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.queue.pane import ACTIONS
from infertui.tui.queue.reasons import reason
from infertui.tui.queue.view import lines_of

WAITS, RUNS, ENDED = entry(1), entry(2, "running"), entry(3, "finished")


def why(act: str, *targets: Entry, undoable: bool = False) -> str:
    line = next((line for line in lines_of(targets, set()) if line.entry is not None), None) if targets else None
    return reason(act, targets, line, targets, undoable=undoable)


@pytest.mark.parametrize(
    ("act", "works_on"),
    [
        ("cancel", (WAITS, RUNS, ENDED)),
        ("move_down", (WAITS,)),
        ("move_up", (WAITS,)),
        ("skip", (WAITS, RUNS)),
        ("retry", (ENDED,)),
        ("edit", (WAITS,)),
        ("duplicate", (WAITS, RUNS, ENDED)),
        ("clear", (ENDED,)),
        ("fold", ()),
    ],
)
def test_an_act_says_what_it_would_be_on(act: str, works_on: tuple[Entry, ...]) -> None:
    for one in (WAITS, RUNS, ENDED):
        assert bool(why(act, one)) == (one not in works_on), one.state
    assert why(act), "nothing is queued"


def test_undo_and_pause_are_on_no_entry() -> None:
    assert why("undo")
    assert not why("undo", undoable=True)
    assert not why("pause")


def test_every_reason_is_a_phrase() -> None:
    for action in ACTIONS:
        told = why(action.name)
        assert not told or (told[0].islower() and not told.endswith("."))
