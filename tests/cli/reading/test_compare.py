"""`infertui compare` as it is typed, over a reports folder that is already there."""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from support.results import make_results, write_folder

from infertui.analysis.bench import Bench
from infertui.analysis.compare import Comparison
from infertui.config.sweep import Place
from infertui.errors import UsageError

FOUR = [
    result
    for result in make_results(80, seed=2)
    if result.state == "finished" and result.verdict.valid and result.power
][:4]


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Four runs, and a bench of the first of them, in a folder."""
    place = Place("bench-1", "a", 0, 3, baseline=True, arms=("a", "b"))
    benched = [
        replace(FOUR[0], id=f"{arm}{number}", bench=replace(place, arm=arm, round=number, baseline=arm == "a"))
        for number in range(3)
        for arm in "ab"
    ]
    with (tmp_path / "results.jsonl").open("wb") as stream:
        stream.writelines(msgspec.json.encode(result) + b"\n" for result in [*FOUR, *benched])
        stream.write(b'{"id": "torn')
    for number, result in enumerate(FOUR):
        write_folder(tmp_path, result, seed=number)
    return tmp_path


class Said:
    """What a command printed, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], code: int) -> None:
        self.code = code
        self.out, self.err = capsys.readouterr()


Asked = Callable[..., Said]


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, out: Path, *arguments: str) -> Said:
    """The command in this process. Raises what a user would be told."""
    from infertui.cli.main import app

    monkeypatch.setattr(sys, "argv", ["infertui", "compare", "--out", str(out), *arguments])
    return Said(capsys, app(standalone_mode=False) or 0)


@pytest.fixture
def asked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, reports: Path) -> "Asked":
    return lambda *arguments: said(capsys, monkeypatch, reports, *arguments)


def test_two_runs_are_told_in_words(asked: Asked) -> None:
    shown = asked(FOUR[0].id, FOUR[1].id).out
    assert shown.startswith(f"{FOUR[1].id}  against  {FOUR[0].id}\n")
    assert "throughput, tok/s" in shown
    assert "energy, J/request" in shown
    assert "`infertui bench` repeats both" in " ".join(shown.split())


def test_more_are_one_table_of_eighty_columns(asked: Asked) -> None:
    shown = asked(*(result.id for result in FOUR)).out
    assert (
        max(map(len, (line for line in shown.splitlines() if "NOT COMPARABLE" not in line and "differs" not in line)))
        <= 80
    )
    assert shown.splitlines()[0] == f"A  {FOUR[0].id}  (baseline)"
    assert shown.splitlines()[3] == f"D  {FOUR[3].id}"


def test_programs_get_the_verdict_too(asked: Asked) -> None:
    text = asked(FOUR[0].id, FOUR[1].id, FOUR[2].id, "--json").out
    found = msgspec.json.decode(text, type=list[Comparison])
    assert [one.second for one in found] == [FOUR[1].id, FOUR[2].id]
    raw = msgspec.json.decode(text)
    assert raw[0]["figures"][0]["verdict"] == found[0].figures[0].verdict
    assert raw[0]["figures"][0]["key"] == "throughput"
    assert {figure["key"] for figure in raw[0]["figures"]} >= {"latency", "ttft", "tpot", "itl", "energy", "memory"}


def test_a_table_for_a_pull_request(asked: Asked) -> None:
    shown = asked(FOUR[0].id, FOUR[1].id, "--markdown").out
    assert "| | A | B |" in shown
    assert f"- A (baseline): {FOUR[0].id}".replace("_", "\\_") in shown


def test_a_bench_is_compared_again(asked: Asked) -> None:
    done = asked("--bench", "bench", "--json", "--fail-if", "throughput < -1%")
    found = msgspec.json.decode(done.out, type=Bench)
    assert done.code == 0
    assert found.used == (1, 2, 3)
    assert found.comparisons[0].figures[0].verdict == "equal within 2%: 0.0% (0.0% to 0.0%)"


def test_a_rule_that_holds_and_one_that_cannot_be_checked(asked: Asked) -> None:
    fast, slow = sorted(FOUR[:2], key=lambda result: -((result.summary.latency and result.summary.latency.mean) or 0))
    done = asked(slow.id, fast.id, "--fail-if", "latency > 1%", "--fail-if", "itl > 1%")
    assert done.code == 4
    assert "--fail-if holds" in done.err
    assert "latency > +1%: " in done.err
    assert "itl is not available, so the rule cannot be checked" not in done.err  # the summary has it


def test_a_rule_with_nothing_to_check_it_by_is_no_pass(asked: Asked, reports: Path) -> None:
    with (reports / "results.jsonl").open("ab") as stream:
        place = Place("lone-1", "a", 0, 3, baseline=True, arms=("a", "b"))
        stream.write(b"\n" + msgspec.json.encode(replace(FOUR[0], id="lone", bench=place)) + b"\n")
    assert asked("--bench", "lone").code == 0
    done = asked("--bench", "lone", "--fail-if", "throughput < -3%")
    assert done.code == 4
    assert "nothing was compared, so no rule can be checked" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "else"), "there is no run 'nothing'"),
        (("2026", "else"), "4 runs begin with '2026'"),
        (("one",), "a baseline and at least one other run"),
        ((), "a baseline and at least one other run"),
        (("a", "b", "--bench", "c"), "without ids of runs"),
        (("a", "b", "--with-invalid"), "goes with --bench"),
        (("--bench", "x"), "there is no bench 'x'"),
        (("a", "b", "--json", "--markdown"), "exclude each other"),
        (("a", "b", "--fail-if", "throughput = 3"), "is not understood"),
    ],
)
def test_wrong_requests_are_told(asked: Asked, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        asked(*arguments)
