import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scenes import HOSTILE, entry, sweep
from support.structs import values_of

from infertui.runner.scheduling.queue_store import Entry
from infertui.runner.scheduling.studies import Study, best, fate, fates, study_of, told


def test_a_finished_run_whose_figures_do_not_count_is_no_success() -> None:
    assert [fate(entry(1, "finished", valid=valid)) for valid in (True, None, False)] == ["ok", "ok", "invalid"]


def test_a_study_is_told_once_with_all_that_became_of_it() -> None:
    runs = (
        *sweep(1, 2, running=2),
        entry(3, "finished", group=77, title="demo sweep", name="bs=4", valid=False, throughput=9e9,
              marks=("host-busy", "few")),
        entry(4, "failed", group=77, title="demo sweep", name="bs=8", marks=("out-of-memory",), reason="no memory"),
    )  # fmt: skip
    study = study_of((*runs, entry(9)), runs[0])
    assert study.entries == runs
    assert study.over
    assert study.severity == "error"
    assert study.text == (
        "demo sweep is over, 4 runs: 2 ok, 1 failed (OOM), 1 invalid (host busy). Fastest: bs=2, 1,933 tok/s."
    )
    assert not Study((*runs, entry(5, "running"))).over


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (entry(1, "finished"), "demo finished: 1,932 tok/s"),
        (entry(1, "finished", valid=False, reason="x"), "demo finished: 1,932 tok/s, but is invalid: x"),
        (entry(1, "finished", valid=False), "demo finished: 1,932 tok/s, but is invalid"),
        (entry(1, "failed", reason="it broke"), "demo failed: it broke"),
        (entry(1, "failed", reason="none left", marks=("out-of-memory",)), "demo failed (OOM): none left"),
        (entry(1, "refused", reason="no such mode"), "#1 demo is refused: no such mode"),
        (entry(1, "interrupted"), "demo was interrupted; what it measured is kept"),
        (entry(1, "cancelled"), "demo was cancelled"),
        (entry(1, "finished", title=""), "run finished: 1,932 tok/s"),
    ],
)
def test_one_run_is_told_with_the_reason(one: Entry, words: str) -> None:
    assert told(one) == words == Study((one,)).text


def test_severity_says_how_much_it_matters() -> None:
    assert Study((entry(1, "finished"),)).severity == "information"
    assert Study((entry(1, "finished"), entry(2, "cancelled"))).severity == "warning"
    assert Study((entry(1, "finished", valid=False),)).severity == "warning"
    assert Study((entry(1, "refused"), entry(2, "finished"))).severity == "error"


@given(st.lists(values_of(Entry), min_size=1, max_size=5))
def test_whatever_they_are_called_it_is_one_harmless_line(entries: list[Entry]) -> None:
    study = Study(tuple(entries))
    assert sum(fates(entries).values()) == len(entries)
    for text in (study.text, study.label):
        assert "\x1b" not in text
        assert "\n" not in text
    fastest = best(entries)
    assert fastest is None or fastest.valid is not False


def test_hostile_names_are_cleaned() -> None:
    assert "\x1b" not in Study((entry(1, "finished", title=HOSTILE, name=HOSTILE),)).text
