import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import infertui
from infertui.measure.validity import Reason, Verdict, verdict_of
from infertui.metrics.marks import MARKS, in_short, most_telling, remedy_of, short_words, telling

SOURCES = ("measure/validity.py", "measure/load/validity.py")


def marks_in_source() -> set[str]:
    """The words that stand as the mark of a Reason, as far as they stand there as words."""
    found: set[str] = set()
    for name in SOURCES:
        tree = ast.parse((Path(infertui.__file__).parent / name).read_text())
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Reason":
                words = (word.value for word in call.args[1:2] if isinstance(word, ast.Constant))
                found |= {word for word in words if isinstance(word, str) and word}
    return found


def test_what_can_be_against_a_run_has_words_or_is_its_own() -> None:
    found = marks_in_source()
    assert {"failures", "host-busy", "few", "client", "arrivals"} <= found
    without = {mark for mark in found if mark not in MARKS}
    assert without == {"late"}, "a note, and a word that people read"


@pytest.mark.parametrize("mark", MARKS)
def test_words_are_short_and_no_code(mark: str) -> None:
    assert 0 < len(short_words(mark)) <= 16
    assert "-" not in short_words(mark)


def test_a_mark_of_another_version_is_its_own_word() -> None:
    assert short_words("cosmic-rays") == "cosmic rays"
    assert most_telling(("cosmic-rays", "few", "host-busy")) == ("host-busy", "few", "cosmic-rays")
    assert in_short(("host-busy", "few")) == "host busy, few samples"


def test_the_remedy_is_that_of_what_explains_the_rest() -> None:
    assert remedy_of(("few", "foreign"), load=False).startswith("another process uses the GPU")
    assert "--iterations" in remedy_of(("few",), load=False)
    assert "--num-prompts" in remedy_of(("few",), load=True)
    assert remedy_of(("short-output",), load=False) == ""
    assert remedy_of((), load=True) == ""


@given(st.lists(st.tuples(st.sampled_from(["", *MARKS]), st.booleans()), max_size=8))
def test_a_verdict_knows_which_marks_count(found: list[tuple[str, bool]]) -> None:
    reasons = [Reason(f"{at}", mark, against) for at, (mark, against) in enumerate(found)]
    verdict = verdict_of(reasons)
    counted = {mark for mark, against in found if against and mark}
    assert set(telling(verdict)) == counted
    assert len(verdict.against) == len(verdict.invalid)


def test_an_old_verdict_takes_its_first_marks() -> None:
    assert telling(Verdict(invalid=("a", "b"), notes=("c",), marks=("few", "host-busy", "noisy"))) == (
        "host-busy",
        "few",
    )
    assert telling(Verdict(invalid=("a",))) == ()
    assert telling(Verdict(notes=("c",), marks=("noisy",))) == ()
