"""Kept results derived anew: what is right by hand, what stays, what is kept of before."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from support.kept import RUNS
from support.runs import run, simulated

from infertui.config.schema import ValidityConfig
from infertui.errors import StoreError
from infertui.measure.validity import Verdict
from infertui.results.result import Recomputed, Result
from infertui.results.runs import SUPERSEDED, Store
from infertui.runner.recompute import NOTHING_COUNTS, TODAY, Outcome, Recomputation

EAGER = "20261120-225910-eager-7-7-8b4c"
FIRST, SECOND = "20261120-193836-bs-1-7df3", "20261120-193910-bs-8-7f2e"


def keep(out: Path, run_id: str, **power: object) -> Result:
    """A copy of a kept run, with figures of its power as an earlier version had them."""
    shutil.copytree(RUNS / run_id, out / run_id)
    result = msgspec.json.decode((out / run_id / "result.json").read_bytes(), type=Result)
    assert result.power is not None
    usual: dict[str, object] = {"span_s": None, "error_j": None, "idle_from": ""}
    result = replace(result, power=replace(result.power, **{**usual, **power}), recomputed=None)
    (out / run_id / "result.json").write_bytes(msgspec.json.encode(result))
    Store(out).append(result)
    return result


def recomputed(out: Path, *runs: str) -> list[Outcome]:
    return list(Recomputation(Store(out), lambda: datetime(2026, 11, 30, tzinfo=UTC)).outcomes(runs))


def test_idle_power_and_what_rests_on_it(tmp_path: Path) -> None:
    """(1661.93 - 80.1 x 11.801) / 600 = 1.194 J/token above idle, where 0.981 was kept."""
    old = keep(
        tmp_path, EAGER, window_s=11.801486, energy_j=1661.933, idle_power_w=90.934,
        joules_per_token_above_idle=0.981,
    )  # fmt: skip
    (outcome,) = recomputed(tmp_path)
    assert outcome.result is not None and outcome.result.power is not None  # noqa: PT018
    power = outcome.result.power
    assert power.idle_power_w == pytest.approx(80.1, abs=0.05)
    assert power.joules_per_token_above_idle == pytest.approx(1.194, abs=0.001)
    assert power.idle_from == ""
    assert power.error_j == pytest.approx(1661.9 * 0.1 / 11.8, rel=1e-3)
    assert {change.key for change in outcome.changes} >= {"power.idle_power_w", "power.joules_per_token_above_idle"}
    assert outcome.old == old
    assert outcome.result.summary.memory == old.summary.memory
    assert outcome.result.quality == old.quality
    assert outcome.result.recomputed == Recomputed(
        "0.1.0", outcome.result.recomputed.git_revision if outcome.result.recomputed else "",
        "2026-11-30T00:00:00+00:00", tuple(change.key for change in outcome.changes),
    )  # fmt: skip


def test_a_run_without_rest_takes_that_of_the_run_before_it_and_one_window_counts(tmp_path: Path) -> None:
    """Its worker had the model from the run before. 13,054 tok/s at 235.7 W are 55.4 tok/s/W, where 53.2 was kept."""
    keep(tmp_path, FIRST)
    keep(
        tmp_path, SECOND, window_s=0.382921385, energy_j=90.256, mean_power_w=235.704,
        tokens_per_s_per_w=53.18, idle_power_w=82.98,
    )  # fmt: skip
    second = recomputed(tmp_path, SECOND)[0].result
    assert second is not None and second.power is not None  # noqa: PT018
    assert second.power.idle_from == FIRST
    assert second.power.idle_power_w == pytest.approx(81.4, abs=0.05)
    assert second.power.tokens_per_s_per_w == pytest.approx(55.4, abs=0.05)
    assert "short-energy" in second.verdict.marks
    alone = tmp_path / "alone"
    alone.mkdir()
    keep(alone, SECOND, idle_power_w=82.98)
    (outcome,) = recomputed(alone)
    assert outcome.result is not None and outcome.result.power is not None  # noqa: PT018
    assert outcome.result.power.idle_power_w == 82.98, "nothing is made up"
    assert any("its idle power stays" in text for text in outcome.left)


def test_what_was_there_is_kept_and_the_second_time_changes_nothing(tmp_path: Path) -> None:
    old = keep(tmp_path, EAGER, idle_power_w=90.934)
    before = keep(tmp_path, FIRST)
    store = Store(tmp_path)
    outcome = recomputed(tmp_path, EAGER)[0]
    assert outcome.old is not None and outcome.result is not None  # noqa: PT018
    store.supersede(outcome.old, outcome.result)
    assert store.results(warn=pytest.fail) == [outcome.result, before]
    kept = msgspec.json.decode((tmp_path / EAGER / "result.json").read_bytes(), type=Result)
    assert kept == outcome.result
    (line,) = (tmp_path / EAGER / SUPERSEDED).read_bytes().splitlines()
    assert msgspec.json.decode(line, type=Result) == old
    assert recomputed(tmp_path, EAGER)[0].changes == ()


def test_what_this_program_does_not_know_is_kept_to_the_byte(tmp_path: Path) -> None:
    keep(tmp_path, EAGER, idle_power_w=90.934)
    store = Store(tmp_path)
    line = store.index.read_bytes().replace(b'{"', b'{ "of_tomorrow" : [1.50, "\xc3\xa9"], "', 1)
    store.index.write_bytes(line)
    outcome = recomputed(tmp_path, EAGER)[0]
    assert outcome.old is not None and outcome.result is not None  # noqa: PT018
    store.supersede(outcome.old, outcome.result)
    assert (tmp_path / EAGER / SUPERSEDED).read_bytes() == line


def test_a_run_that_was_just_measured_stays_as_it_is(tmp_path: Path) -> None:
    configs = [
        simulated(workload__output_len=20, measurement__iterations=8, engine__simulator__jitter_ms=1.0),
        simulated(workload__batch_size=3, engine__simulator__fail_every=2, measurement__iterations=6),
        simulated(engine__simulator__short_by=3, workload__output_len=10),
    ]
    run(*configs, out=tmp_path)
    for outcome in recomputed(tmp_path):
        assert outcome.refused == ""
        assert outcome.changes == ()


def test_a_file_that_cannot_be_read_is_of_its_run_alone(tmp_path: Path) -> None:
    (first, second), _ = run(simulated(), simulated(), out=tmp_path)
    for name in (tmp_path / first.id / "requests.jsonl", tmp_path / second.id / "telemetry.jsonl"):
        name.unlink()
        name.mkdir()
    one, other = recomputed(tmp_path)
    assert "requests.jsonl" in one.refused
    assert (other.refused, other.changes) == ("", ())


def test_telemetry_that_cannot_be_read_leaves_idle_power_as_it_was(tmp_path: Path) -> None:
    keep(tmp_path, EAGER, idle_power_w=90.934)
    telemetry = tmp_path / EAGER / "telemetry.jsonl"
    telemetry.unlink()
    telemetry.mkdir()
    (outcome,) = recomputed(tmp_path, EAGER)
    assert outcome.result is not None and outcome.result.power is not None  # noqa: PT018
    assert outcome.result.power.idle_power_w == 90.934
    assert any("its idle power stays" in text for text in outcome.left)


def test_what_cannot_be_derived_is_said_and_left(tmp_path: Path) -> None:
    (first, second, third, fourth), _ = run(*[simulated()] * 4, out=tmp_path)
    store = Store(tmp_path)
    shutil.rmtree(tmp_path / first.id)
    store.supersede(second, replace(second, imported="a.json"))
    requests = tmp_path / third.id / "requests.jsonl"
    requests.write_bytes(requests.read_bytes().splitlines()[0] + b'\n{"torn')
    assert [(outcome.refused, outcome.changes) for outcome in recomputed(tmp_path)] == [
        ("its folder is gone", ()), ("another program measured it", ()), ("", ()), ("", ()),
    ]  # fmt: skip
    assert "percentiles, intervals and marks stay" in recomputed(tmp_path, third.id)[0].left[0]
    with pytest.raises(StoreError, match="no result 'nobody'"):
        recomputed(tmp_path, fourth.id, "nobody")


def short_run(out: Path, validity: str | None) -> Result:
    """Two batches, kept as valid, by a program that held nothing against so few; `validity` is what run.toml says."""
    ((result,), _) = run(simulated(measurement__iterations=2), out=out)
    old = replace(result, verdict=Verdict())
    Store(out).supersede(result, old)
    path = out / result.id / "run.toml"
    if validity is None:
        path.unlink()
    else:
        before, _, rest = path.read_text().partition("[validity]\n")
        path.write_text(f"{before}[validity]\n{validity}\n[{rest.partition(chr(10) + '[')[2]}")
    return old


@pytest.mark.parametrize(
    ("validity", "valid"),
    [
        ("min_iterations = 3", False),
        ("min_iterations = 3\nmax_drift = 0.1", False),
        ("max_drift = 0.1", True),
        ("", True),
        ("of_a_later_version = 3", True),
        ("min_iterations = 'three'", True),
        ("min_iterations = [", True),
        (None, True),
    ],
)
def test_a_run_is_held_to_the_thresholds_that_its_config_had(validity: str | None, valid: bool, tmp_path: Path) -> None:
    old = short_run(tmp_path, validity)
    assert old.own_config.validity.min_iterations == 3, "today's default, whatever there was then"
    (outcome,) = recomputed(tmp_path)
    assert outcome.result is not None
    verdict = outcome.result.verdict
    assert verdict.valid is valid
    assert "few" in verdict.marks, "it is marked in every table either way"
    few = "too few samples: 2 measured batches, fewer than 3"
    assert [text for text in (*verdict.invalid, *verdict.notes) if few in text] == [few if not valid else TODAY + few]
    Store(tmp_path).supersede(old, outcome.result)
    assert recomputed(tmp_path)[0].changes == ()


def test_what_is_no_longer_held_against_a_run_makes_it_valid(tmp_path: Path) -> None:
    ((result,), _) = run(simulated(measurement__iterations=5), out=tmp_path)
    old = replace(result, verdict=Verdict(("throughput drifted by 30 % while measuring",), (), ("drift",)))
    Store(tmp_path).supersede(result, old)
    (outcome,) = recomputed(tmp_path)
    assert outcome.result is not None
    assert outcome.result.verdict.valid
    assert "drift" not in outcome.result.verdict.marks
    assert {"verdict.invalid", "verdict.marks"} <= {change.key for change in outcome.changes}


def test_what_only_the_verdict_kept_stays_against_it(tmp_path: Path) -> None:
    ((result,), _) = run(simulated(measurement__iterations=5), out=tmp_path)
    said = ("another process used the GPU: 4711", "telemetry of the GPU was lost: it fell off the bus")
    Store(tmp_path).supersede(result, replace(result, verdict=Verdict(said, (), ("foreign",))))
    (outcome,) = recomputed(tmp_path)
    assert outcome.result is not None
    assert set(said) <= set(outcome.result.verdict.invalid)


def test_no_threshold_is_forgotten_where_none_is_to_count() -> None:
    """A new one has to be added there: its default would count against runs that did not have it."""
    for name in ValidityConfig.__struct_fields__:
        assert getattr(NOTHING_COUNTS, name) in (0, False), name
