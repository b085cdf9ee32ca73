from hypothesis import given
from hypothesis import strategies as st

from infertui.tui.live.choice import RunChoice, ring


def test_what_runs_is_shown_and_between_runs_the_last_one() -> None:
    choice = RunChoice()
    choice.follow([], [])
    assert choice.run == ""
    choice.follow([], ["a", "b"])
    assert choice.run == "a"
    choice.follow(["a"], ["b"])
    assert choice.run == "b"
    choice.follow(["a", "b"], [])
    assert choice.run == "b"
    choice.follow(["a", "b"], ["c"])
    assert choice.run == "c"


def test_whoever_went_back_stays_there_until_it_is_gone() -> None:
    choice = RunChoice()
    choice.follow(["a", "b"], ["c"])
    assert choice.step(-1, ["a", "b"], ["c"])
    choice.follow(["a", "b", "c"], ["d"])
    assert choice.run == "b"
    assert choice.behind(["a", "b", "c"], ["d"]) == 2
    choice.step(1, ["a", "b", "c"], ["d"])
    choice.step(1, ["a", "b", "c"], ["d"])
    assert choice.run == "d"
    choice.follow(["a", "b", "c", "d"], ["e"])
    assert choice.run == "e"
    choice.step(-1, ["d"], ["e"])
    choice.follow([], ["e"])
    assert choice.run == "e"


def test_one_run_has_no_other() -> None:
    choice = RunChoice()
    choice.follow(["a"], [])
    assert not choice.step(1, ["a"], [])
    assert choice.run == "a"


@given(st.lists(st.sampled_from("abcd"), unique=True), st.lists(st.sampled_from("cdef"), unique=True), st.data())
def test_a_run_that_is_there_is_shown(ended: list[str], running: list[str], data: st.DataObject) -> None:
    choice = RunChoice()
    for _ in range(4):
        choice.follow(ended, running)
        runs = ring(ended, running)
        assert (choice.run in runs) if runs else not choice.run
        choice.step(data.draw(st.sampled_from([-1, 1])), ended, running)
