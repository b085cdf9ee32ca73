"""What is said first of a run that was disturbed."""

import pytest
from msgspec.structs import replace
from support.results import make_results

from infertui.analysis.summary_text import remedy
from infertui.cli.running.plain import summary_lines
from infertui.measure.load.figures import LoadFigures, Steadiness, Window
from infertui.measure.validity import Verdict
from infertui.results.result import Result

FINISHED = next(one for one in make_results(50) if one.state == "finished" and one.summary.output_throughput)


def judged(*marks: str, invalid: tuple[str, ...] = ("it varied",)) -> Result:
    return replace(FINISHED, verdict=Verdict(invalid, (), marks))


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        (("noisy",), "close it, or wait, and run again"),
        (("drift", "synthetic"), "close it, or wait"),
        (("noisy", "foreign"), "another process uses the GPU"),
        (("host-busy",), "something else used this machine"),
        (("few",), "--iterations 5"),
        (("thermal", "noisy"), "too hot"),
    ],
)
def test_the_first_line_of_a_disturbed_run_says_what_to_do(marks: tuple[str, ...], said: str) -> None:
    result = judged(*marks, invalid=tuple(f"it was {mark}" for mark in marks))
    assert said in remedy(result)
    first = summary_lines(result, kept=True)[0]
    assert first.startswith("DISTURBED: ")
    assert said in first


def test_what_is_only_a_note_is_not_advised_of() -> None:
    """Marks of reasons come first; a result of before does not say how many of them are."""
    kept = judged("noisy", "foreign", invalid=("it varied",))
    assert "close it, or wait" in remedy(kept)
    both = replace(kept, verdict=replace(kept.verdict, invalid=("it varied", "shared"), against=("noisy", "foreign")))
    assert "another process uses the GPU" in remedy(both)


def test_a_valid_run_and_one_without_advice_begin_as_ever() -> None:
    for result in (judged("drift", invalid=()), judged("failures"), replace(judged("noisy"), state="failed")):
        assert remedy(result) == ""
        assert summary_lines(result, kept=True)[0].startswith(result.state)


def test_a_load_is_not_told_of_batches_and_iterations() -> None:
    load = LoadFigures(Window(0, 1), Steadiness(None, "too few"))
    run = replace(FINISHED, load=load, verdict=Verdict(("too little",), (), ("few",)))
    assert "--max-seconds" in remedy(run)
    assert "iterations" not in remedy(run)
    late = replace(run, verdict=Verdict(("late",), (), ("client", "few")))
    assert "batches" not in remedy(late)
    assert "client" in remedy(late)
