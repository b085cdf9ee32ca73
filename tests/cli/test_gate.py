"""The three answers of `--fail-if`, worked out by hand."""

import math
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer import Exit

from infertui.analysis import bench, compare
from infertui.analysis.compare import Comparison
from infertui.analysis.outcome import ComparedFigure, observations_needed
from infertui.cli.flags import band_of
from infertui.cli.reading.compare import FAILED, UNCLEAR, answer, enforce, rules_of
from infertui.errors import UsageError
from infertui.measure.comparison import Better, Ratio
from infertui.measure.statistics import Interval
from infertui.tui.terminal.early import settings_path


def figure(
    value: float, low: float | None = None, high: float | None = None, key: str = "throughput"
) -> ComparedFigure:
    interval = None if low is None or high is None else Interval(low, high)
    better: Better = "higher" if key == "throughput" else "lower"
    return ComparedFigure(key, 1.0, value, better, Ratio(value, interval), "number", key, "rounds", observations=5)


def comparison(*figures: ComparedFigure) -> Comparison:
    return Comparison("a", "b", (), (), figures)


@pytest.mark.parametrize(
    ("rule", "low", "high", "said"),
    [
        ("throughput < -3%", 0.90, 0.969, "holds"),
        ("throughput < -3%", 0.90, 0.98, "cannot tell"),
        ("throughput < -3%", 0.90, 1.05, "cannot tell"),
        ("throughput < -3%", 0.97, 1.05, "does not hold"),
        ("throughput < -3%", 0.98, 0.99, "does not hold"),
        ("latency > 3%", 1.031, 1.2, "holds"),
        ("latency > 3%", 1.02, 1.2, "cannot tell"),
        ("latency > 3%", 1.0, 1.03, "does not hold"),
        ("memory > +0%", 1.0, 1.0, "does not hold"),
        ("throughput > 10%", 1.2, 1.3, "holds"),
        ("ttft < 5%", 1.0, 1.04, "holds"),
    ],
)
def test_a_rule_is_answered_by_the_whole_interval(rule: str, low: float, high: float, said: str) -> None:
    (found,) = rules_of([rule])
    assert answer(found, figure(math.sqrt(low * high), low, high, found.key)) == said


@pytest.mark.parametrize("limit", ["-100", "-100.0", "-100.5", "-250", "-9999"])
@pytest.mark.parametrize("sign", "<>")
def test_a_limit_that_nothing_could_cross_is_refused(sign: str, limit: str) -> None:
    with pytest.raises(UsageError, match=r"no figure changes by -\d+(\.5)?%"):
        rules_of([f"throughput {sign} {limit}%"])
    assert rules_of([f"throughput {sign} -99.9%"])[0].limit == pytest.approx(0.001)


def test_every_figure_that_is_compared_can_be_ruled_on_and_no_other() -> None:
    assert [rule.key for rule in rules_of([f"{key} > 5%" for key in compare.KEYS])] == list(compare.KEYS)
    assert {"itl-p99", "energy-request", "memory"} < set(compare.KEYS)
    assert [rule.key for rule in rules_of([f"{key} > 5%" for key in bench.KEYS], rounds=True)] == list(bench.KEYS)
    for text, rounds in (("itl-p99 > 5%", True), ("itl-p98 > 5%", False), ("p99 > 5%", False)):
        with pytest.raises(UsageError, match="is not understood"):
            rules_of([text], rounds=rounds)


def test_a_ratio_without_an_interval_decides_nothing() -> None:
    (rule,) = rules_of(["throughput < -3%"])
    assert {answer(rule, figure(value)) for value in (0.1, 0.97, 1.0, 10.0)} == {"cannot tell"}


def code(*figures: ComparedFigure, rules: tuple[str, ...] = ("throughput < -3%",)) -> int:
    try:
        enforce([comparison(*figures)], rules_of(rules))
    except Exit as end:
        return end.exit_code
    return 0


def test_each_answer_has_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert code(figure(0.9, 0.85, 0.95)) == FAILED == 4
    assert capsys.readouterr().err == "--fail-if holds: b: throughput < -3%: 10% lower (-15% to -5%)\n"
    assert code(figure(1.0, 0.98, 1.02)) == 0
    assert capsys.readouterr().err == ""
    assert code(figure(0.94, 0.85, 1.04)) == UNCLEAR == 5
    said = capsys.readouterr().err
    assert said.startswith("--fail-if cannot tell: b: throughput < -3%: unclear: -6% (-15% to +4%); some ")
    assert said.endswith(" rounds would probably tell (there are 5)\n")
    # What holds for sure is not hidden by what cannot be told.
    slow = figure(1.2, 1.1, 1.3, "latency")
    assert code(figure(0.94, 0.85, 1.04), slow, rules=("throughput < -3%", "latency > 5%")) == 4


def test_what_cannot_be_checked_fails_as_before() -> None:
    assert code(replace(figure(1.0), ratio=None)) == 4
    with pytest.raises(Exit) as end:
        enforce([], rules_of(["throughput < -3%"]))
    assert end.value.exit_code == 4
    enforce([], [])


def test_without_an_interval_it_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert code(figure(0.9)) == 5
    assert "it takes 3 rounds at least" in capsys.readouterr().err
    assert code(replace(figure(1.2, key="memory"), basis="whole"), rules=("memory > 5%",)) == 5
    assert "`infertui bench` repeats the runs" in capsys.readouterr().err
    assert code(replace(figure(0.9), basis="iterations", wanting="not kept by iteration")) == 5
    assert "`infertui bench` repeats the runs" in capsys.readouterr().err


def test_a_reason_for_no_interval_is_none_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    near = replace(figure(0.971, 0.965, 0.977), wanting="of figures that allow no interval")
    assert code(near) == 5
    assert "rounds would probably tell (there are 5)" in capsys.readouterr().err


def test_the_rounds_that_it_would_take_by_hand() -> None:
    # Five rounds, ln interval 0 +- 0.05: s = 0.05 sqrt(5) / 2.7764 = 0.04027. The limit 0.97 is 0.03046 away.
    # (t + 0.8416) 0.04027 / sqrt(m): at 16 (2.1314 + 0.8416) 0.01007 = 0.02993, which is less; at 15 it is 0.03105.
    found = Ratio(1.0, Interval(math.exp(-0.05), math.exp(0.05)))
    assert observations_needed(found, 0.97, 5) == 16
    assert observations_needed(found, 0.9999999, 5) is None
    assert observations_needed(Ratio(1.0), 0.97, 5) is None
    assert observations_needed(found, 0.5, 5) == 6  # never fewer than there are


@pytest.mark.parametrize(
    ("value", "half", "rounds", "limit", "needed"),
    [
        (0.95, 0.10, 3, 0.97, 32), (1.02, 0.03, 10, 1.05, 19), (1.0, 0.2, 5, 0.97, 222), (1.0, 0.5, 5, 0.97, 1374),
        (0.98, 0.01, 300, 0.975, 2326),
    ],
)  # fmt: skip
def test_it_is_the_least_number_that_suffices(
    value: float, half: float, rounds: int, limit: float, needed: int
) -> None:
    # Found with SciPy's quantiles, by trying every number.
    found = Ratio(value, Interval(value * math.exp(-half), value * math.exp(half)))
    assert observations_needed(found, limit, rounds) == pytest.approx(needed, rel=0.01)


def test_without_a_flag_figures_are_equal_within_what_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert band_of("") == pytest.approx(0.02)
    kept = settings_path()
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("equal_within = 0.05\n", encoding="utf-8")
    assert tmp_path in kept.parents
    assert band_of("") == pytest.approx(0.05)
    assert band_of("1%") == pytest.approx(0.01)


def test_a_config_that_failed_cannot_pass_a_gate(capsys: pytest.CaptureFixture[str]) -> None:
    better = comparison(figure(1.5, 1.4, 1.6))
    rules = rules_of(["throughput < -3%"])
    enforce([better], rules)
    with pytest.raises(Exit) as ended:
        enforce([better], rules, [bench.FailedArm("third", "it broke")])
    assert ended.value.exit_code == FAILED
    assert "third failed, so no rule can be checked of it" in capsys.readouterr().err
    enforce([better], [], [bench.FailedArm("third", "it broke")])
