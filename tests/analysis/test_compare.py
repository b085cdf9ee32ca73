"""Runs compared, with the simulator as ground truth: its step times are what the verdicts have to say."""

from pathlib import Path

import msgspec
import pytest
from support.kept import REPORTS, RUNS
from support.runs import infertui, run, simulated

from infertui.analysis.comparability import unlike
from infertui.analysis.compare import Comparison, compare
from infertui.metrics.reads import gross
from infertui.results.observations import read_observations
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.targets.engine.base import EffectiveSettings


def measured(out: Path, step_ms: float, **changes: object) -> Result:
    settings = {
        "engine__simulator__step_ms": step_ms, "engine__simulator__ttft_ms": step_ms,
        "engine__simulator__jitter_ms": 0.5, "measurement__iterations": 8, "workload__output_len": 20, **changes,
    }  # fmt: skip
    results, _ = run(simulated(**settings), out=out)
    return results[0]


def compared(out: Path, first: Result, second: Result) -> Comparison:
    store = Store(out)
    return compare(
        first, second, (read_observations(store.folder_of(first.id)), read_observations(store.folder_of(second.id)))
    )


def verdict(comparison: Comparison, name: str) -> str:
    return next(figure.verdict for figure in comparison.figures if figure.name.startswith(name))


def value_of(comparison: Comparison, name: str) -> float:
    figure = next(figure for figure in comparison.figures if figure.name.startswith(name))
    assert figure.ratio is not None
    return figure.ratio.value


def test_a_true_factor_is_found_and_said(tmp_path: Path) -> None:
    slow, fast = measured(tmp_path, 20.0), measured(tmp_path, 10.0)
    found = compared(tmp_path, slow, fast)
    for name in ("E2E", "TTFT", "TPOT"):  # half, but for the jitter
        assert " shorter (" in verdict(found, name)
        assert 0.45 < value_of(found, name) < 0.55, name
    assert 1.9 < value_of(found, "throughput") < 2.1
    assert " higher (" in verdict(found, "throughput") or " as high (" in verdict(found, "throughput")
    throughput = found.figures[0].ratio
    assert throughput is not None and throughput.interval is not None  # noqa: PT018
    assert throughput.interval.low < 20.25 / 10.25 < throughput.interval.high
    assert {difference.what for difference in found.differences} >= {"engine.simulator.step_ms"}
    assert found.unlike == ()
    assert " lower (" in verdict(compared(tmp_path, fast, slow), "throughput")


def test_a_run_against_itself_is_equal_or_unclear(tmp_path: Path) -> None:
    one = measured(tmp_path, 10.0)
    found = compared(tmp_path, one, one)
    assert found.differences == ()
    assert found.figures[0].outcome == "equal"
    assert "0.0% (" in verdict(found, "throughput")
    assert verdict(found, "energy") == "n/a"


def test_few_iterations_say_so_in_place_of_an_interval(tmp_path: Path) -> None:
    found = compared(tmp_path, measured(tmp_path, 10.0, measurement__iterations=2), measured(tmp_path, 20.0))
    assert "too few iterations" in verdict(found, "throughput")


def test_unlike_runs_are_called_so(tmp_path: Path) -> None:
    one = measured(tmp_path, 10.0)
    other = measured(tmp_path, 10.0, workload__output_len=10, workload__batch_size=2, engine__simulator__short_by=1)
    found = compared(tmp_path, one, other)
    assert "other output lengths: 20, 10" in found.unlike
    assert "other batch sizes: 1, 2" in found.unlike
    assert any("is invalid" in text for text in found.unlike)


def test_the_command_compares_prints_and_gates(tmp_path: Path) -> None:
    out = tmp_path / "reports"
    slow, fast = measured(out, 20.0), measured(out, 10.0)
    shown = infertui("compare", "--out", str(out), slow.id, fast.id, cwd=tmp_path)
    assert shown.returncode == 0
    assert "differs engine.simulator.step_ms: 20.0 -> 10.0" in shown.stdout
    assert "shorter (" in shown.stdout
    gate = infertui("compare", "--out", str(out), fast.id, slow.id, "--fail-if", "throughput < -3%", cwd=tmp_path)
    assert gate.returncode == 4
    assert "--fail-if holds" in gate.stderr
    passes = infertui("compare", "--out", str(out), slow.id, fast.id, "--fail-if", "ttft > 5%", "--json", cwd=tmp_path)
    assert passes.returncode == 0
    assert [entry.second for entry in msgspec.json.decode(passes.stdout, type=list[Comparison])] == [fast.id]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "else"), "there is no run 'nothing'"),
        (("one",), "a baseline and at least one other run"),
        (("a", "b", "--fail-if", "speed < 3"), "is not understood"),
    ],
)
def test_wrong_requests_are_told(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = infertui("compare", "--out", str(tmp_path), *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_other_weights_are_another_number_format(tmp_path: Path) -> None:
    plain = measured(tmp_path, 10.0)
    quantized = msgspec.structs.replace(
        plain,
        config=msgspec.structs.replace(
            plain.own_config, engine=msgspec.structs.replace(plain.own_config.engine, quantization="int8")
        ),
        effective=None,
    )
    assert "other weight formats: not quantized, int8" in unlike(plain, quantized)
    assert list(unlike(plain, msgspec.structs.replace(plain, effective=None))) == []  # `auto` is what ran: none


def test_an_option_in_force_as_asked_is_told_once(tmp_path: Path) -> None:
    def with_mode(asked: str, ran: str) -> Result:
        one = measured(tmp_path, 10.0)
        config = msgspec.structs.replace(
            one.own_config, engine=msgspec.structs.replace(one.own_config.engine, mode=asked)
        )
        return msgspec.structs.replace(one, config=config, effective=EffectiveSettings({"mode": ran}))

    eager, graph = with_mode("eager", "eager"), with_mode("cudagraph", "cudagraph")
    assert [one.what for one in compared(tmp_path, eager, graph).differences] == ["engine.mode"]
    other = with_mode("cudagraph", "static")
    assert [one.what for one in compared(tmp_path, eager, other).differences] == ["engine.mode", "mode in force"]


def test_energy_is_the_one_figure_of_the_results_with_what_its_counter_leaves_open() -> None:
    """Two kept runs of one config, of 0.48 s each: their counters say 0.411 and 0.326 J/token."""
    store = Store(REPORTS / "h200-bench")
    first, second = (
        store.result_of(run) for run in ("20261120-225256-fused-3-5-854b", "20261120-225427-fused-4-5-ac97")
    )
    assert first is not None and second is not None  # noqa: PT018
    found = compare(first, second, (read_observations(RUNS / first.id), read_observations(RUNS / second.id)))
    for name, read in (
        ("energy, J/token", lambda result: result.power.joules_per_token),
        ("energy, J/request", lambda result: gross(result).joules_per_request),
    ):
        figure = next(figure for figure in found.figures if figure.name == name)
        assert (figure.first, figure.second) == (read(first), read(second))
        assert figure.ratio is not None and figure.ratio.interval is not None  # noqa: PT018
        assert figure.ratio.value == pytest.approx(0.795, rel=0.01)
        assert figure.ratio.interval.low < 0.65
        assert figure.ratio.interval.high > 1.0
        assert not figure.ratio.differs
        assert figure.ratio.p is None
