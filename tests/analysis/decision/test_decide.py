"""Advice rests on what was measured: made results whose truth is known, and kept ones by arithmetic of their own."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import stats
from support.results import make_results
from typer.testing import CliRunner

from infertui.analysis.decision import wording
from infertui.analysis.decision.axes import axis_series, swept_numbers
from infertui.analysis.decision.curves import sweep_curves
from infertui.analysis.decision.decide import Advice, advise
from infertui.cli.main import app
from infertui.config.endpoint import LoadConfig, TargetConfig
from infertui.config.schema import Config, EngineConfig, ModelConfig, WorkloadConfig
from infertui.measure.load.figures import LoadFigures, Steadiness, Window
from infertui.measure.statistics import Interval, describe
from infertui.measure.validity import Verdict
from infertui.metrics.filter import parse
from infertui.results.result import Error, Result
from infertui.results.runs import Store

KEPT = Path(__file__).parents[3] / "reports"
RUN = next(
    one for one in make_results(50) if one.state == "finished" and one.verdict.valid and one.loaded and one.power
)


def run(
    name: str, speed: float, spread: float = 1.0, *, batch: int = 1, prompt: int = 64, output: int = 32,
    ttft: float = 0.02, mode: str = "eager", **changes: Any,
) -> Result:  # fmt: skip
    """A run of that many tokens a second, with an interval of `spread` to each side."""
    config = Config(
        model=ModelConfig(id="m/one"), engine=EngineConfig(name="transformers", mode=mode),
        workload=WorkloadConfig(batch_size=batch, input_len=prompt, output_len=output),
    )  # fmt: skip
    interval = Interval(speed - spread, speed + spread) if spread else None
    summary = replace(
        RUN.summary, output_throughput=speed, output_throughput_interval=interval, ttft=describe([ttft] * 5),
        latency=describe([batch * output / (speed or 1.0)] * 5),
    )  # fmt: skip
    made = replace(
        RUN, id=f"run-{name}", name=name, config=config, summary=summary, verdict=Verdict(), quality=None, bench=None,
        device=None, effective=None, source="", imported="", told={},
    )  # fmt: skip
    return replace(made, **changes)


def choice(advice: Advice, goal: str) -> Any:
    return next(one for one in advice.tasks[0].choices if one.goal == goal)


def test_a_configuration_stands_to_the_baseline_by_an_interval() -> None:
    """Of 100 +- 1 and 150 +- 1: 1.5 times; the logarithms' half-widths are 0.0100 and 0.0067, together 0.0120."""
    advice = advise([run("base", 100.0), run("fast", 150.0, mode="compile")])
    (task,) = advice.tasks
    base, fast = task.configurations
    assert (base.run, base.baseline) == ("run-base", True)
    reach = math.hypot(math.log(101 / 99) / 2, math.log(151 / 149) / 2)
    assert (fast.ratio, fast.ratio_low, fast.ratio_high) == pytest.approx(
        (1.5, 1.5 / math.exp(reach), 1.5 * math.exp(reach))
    )
    assert (fast.outcome, fast.unlike) == ("better", ())
    assert [row[-1] for row in wording.configuration_rows(task)] == ["baseline", "faster"]
    assert wording.choice_text(choice(advice, "throughput"), advice) == (
        "most output tokens per second: mode=compile, 150 tok/s (run run-fast); the other is slower for sure"
    )
    (avoided,) = task.avoid
    assert avoided.loss == pytest.approx(1 / 3)
    assert "33.3% less throughput" in wording.avoid_text(avoided)
    assert "run run-base against run-fast" in wording.avoid_text(avoided)


def test_what_intervals_do_not_tell_apart_is_not_told_apart() -> None:
    advice = advise([run("a", 100.0, 5.0), run("b", 103.0, 5.0, mode="compile"), run("c", 50.0, mode="static")])
    found = choice(advice, "throughput")
    assert (found.run, found.rivals, found.sure) == ("run-b", ("run-a",), False)
    assert "not below it for sure: run-a" in wording.choice_text(found, advice)
    assert {one.run: one.outcome for one in advice.tasks[0].configurations}["run-b"] == "unclear"
    # 3 % less that is not sure is nothing to avoid; half the speed is.
    assert [one.run for one in advice.tasks[0].avoid] == ["run-c"]


def test_without_an_interval_nothing_is_sure() -> None:
    advice = advise([run("a", 100.0), run("b", 200.0, 0.0, mode="compile")])
    one = advice.tasks[0].configurations[1]
    assert (one.ratio, one.outcome) == (2.0, "unclear")
    assert advice.tasks[0].avoid == ()
    assert choice(advice, "throughput").rivals == ("run-a",)


def test_of_those_that_are_alike_in_a_goal_the_fastest_is_recommended() -> None:
    """Twice the batch at the same latency, which is its tokens over the throughput: 0.32 s and 0.3232 s."""
    advice = advise([run("one", 100.0), run("two", 198.0, batch=2), run("slow", 100.0, batch=2, mode="static")])
    found = choice(advice, "latency")
    assert (found.run, found.rivals, found.interval) == ("run-two", ("run-one",), False)
    assert "the fastest of those within 2%, beside run-one" in wording.choice_text(found, advice)


def test_invalid_failed_and_fallen_back_runs_are_never_recommended() -> None:
    assert RUN.loaded
    runs = [
        run("good", 100.0),
        run("invalid", 900.0, mode="compile", verdict=Verdict(invalid=("it was noisy",))),
        run("failed", 800.0, mode="static", state="failed", error=Error("out-of-memory", "the GPU ran out of memory")),
        run("fallback", 700.0, mode="cudagraph", loaded=replace(RUN.loaded, engine_requested="vllm")),
    ]  # fmt: skip
    advice = advise(runs)
    assert {one.run for one in advice.tasks[0].choices if one.run} == {"run-good"}
    problems = {one.run: one.problem for one in advice.tasks[0].avoid}
    assert problems["run-failed"] == "failed: the GPU ran out of memory"
    assert problems["run-invalid"] == "invalid: it was noisy"
    assert problems["run-fallback"] == "a fallback, not vllm"


def test_a_run_that_was_cut_off_is_one_of_its_configuration_and_no_reason_to_avoid_it() -> None:
    cut = run("cut", 0.0, 0.0, mode="compile", state="interrupted", loaded=None)
    advice = advise([run("base", 100.0), run("fast", 150.0, mode="compile"), cut])
    assert {one.runs for one in advice.tasks[0].configurations} == {("run-base",), ("run-fast", "run-cut")}
    alone = advise([run("base", 100.0), cut])
    assert [one.run for one in alone.tasks[0].avoid] == []


def test_of_a_task_in_which_nothing_is_valid_that_is_said_once() -> None:
    advice = advise([run("failed", 0.0, 0.0, state="failed", summary=RUN.summary.__class__(1, 1, 1, 0, 0, 0.0))])
    (task,) = advice.tasks
    assert wording.choice_lines(task, advice) == ["nothing can be recommended, since no valid run tells it"]
    assert wording.configuration_rows(task)[0][3] == "n/a"


def test_a_limit_leaves_out_what_is_too_slow_to_answer() -> None:
    runs = [run("quick", 100.0, ttft=0.1), run("late", 500.0, ttft=0.3, batch=8)]
    advice = advise(runs, limits=parse("ttft<200ms"), limit_texts=["ttft<200ms"])
    found = choice(advice, "throughput")
    assert (found.run, found.candidates, advice.tasks[0].beyond_limits) == ("run-quick", 1, 1)
    assert "1 of 2 valid configurations keep to ttft<200ms." in list(wording.task_notes(advice.tasks[0], advice))
    nothing = advise(runs, limits=parse("ttft<1ms"), limit_texts=["ttft<1ms"])
    assert "no run keeps to the limits" in wording.choice_text(choice(nothing, "throughput"), nothing)


def test_batches_of_another_size_are_not_comparable_and_scale() -> None:
    """100, 195, 380 and 385 tok/s at 1, 2, 4 and 8: 97.5 %, 95 % and 48 % of what so many times the first would be."""
    speeds = {1: 100.0, 2: 195.0, 4: 380.0, 8: 385.0}
    runs = [run(f"b{size}", speed, 5.0 if size > 2 else 1.0, batch=size) for size, speed in speeds.items()]
    advice = advise(runs)
    assert all("batch sizes" in one.unlike[0] for one in advice.tasks[0].configurations[1:])
    (impact,) = advice.impacts
    assert [one.efficiency for one in impact.points[1:]] == pytest.approx([0.975, 0.95, 0.48125])
    # 380 is 1.3 % below 385, within 1.8 % to each side: that is not sure.
    assert (impact.best, impact.efficient) == (4, 4)
    said = " ".join(wording.impact_lines(impact))
    assert "Best batch: 4 (380 tok/s, run run-b4)" in said
    assert "(runs run-b1, run-b8)" in said
    assert "a larger one may be faster" not in said
    faster = advise([*runs[:3], run("b8", 600.0, 5.0, batch=8)]).impacts[0]
    assert faster.best == 8
    assert "a larger one may be faster" in " ".join(wording.impact_lines(faster))


def test_a_batch_without_an_interval_is_not_the_best_for_being_small() -> None:
    """A third of the highest throughput is not near it, whether somebody measured how sure that is or not."""
    runs = [run("b1", 100.0, batch=1), run("b8", 600.0, 0.0, batch=8), run("b32", 2000.0, batch=32)]
    (impact,) = advise(runs).impacts
    said = " ".join(wording.impact_lines(impact))
    assert impact.best == 32
    assert "Batch 8 had no interval, and no part in that (run run-b8)." in said
    (unsure,) = advise([*runs[:2], run("b32", 2000.0, 0.0, batch=32)]).impacts
    assert unsure.best is None
    assert "that of batch 32 (2,000 tok/s, run run-b32); it has no interval" in " ".join(wording.impact_lines(unsure))
    advice = advise(runs)
    found = choice(advice, "throughput")
    assert (found.run, found.rivals, found.untold, found.sure) == ("run-b32", ("run-b8",), ("run-b8",), False)
    assert "without an interval nothing is sure of run-b8" in wording.choice_text(found, advice)


def test_batches_scale_up_to_the_first_that_does_not() -> None:
    """Of 1, 2 and 4 the second has 75 % of what twice the first would be, and the third 95 % again."""
    runs = [run("b1", 100.0), run("b2", 150.0, batch=2), run("b4", 380.0, batch=4)]
    (impact,) = advise(runs).impacts
    assert impact.efficient == 1


def test_what_failed_or_was_disturbed_beyond_the_best_was_measured_all_the_same() -> None:
    runs = [run("b1", 100.0), run("b2", 200.0, batch=2)]
    beyond = (
        run("b4", 0.0, 0.0, batch=4, state="failed", error=Error("out-of-memory", "no room")),
        run("b4", 300.0, batch=4, verdict=Verdict(invalid=("noisy",))),
    )
    for last in beyond:
        (impact,) = advise([*runs, last]).impacts
        assert impact.best == 2
        assert "a larger one may be faster" not in " ".join(wording.impact_lines(impact))


def test_repeats_of_a_value_count_in_its_impact_as_in_the_table() -> None:
    runs = [run(f"b{size}-{at}", speed * size, 0.1, batch=size)
            for size in (1, 8) for at, speed in enumerate((90.0, 100.0, 110.0))]  # fmt: skip
    advice = advise(runs)
    (impact,) = advice.impacts
    told = {one.runs: (one.throughput, one.low, one.high) for one in advice.tasks[0].configurations}
    assert {one.runs: (one.throughput, one.low, one.high) for one in impact.points} == told
    assert [one.efficiency for one in impact.points] == [None, pytest.approx(1.0)]


def test_figures_without_intervals_make_nothing_sure_and_the_fastest_is_so_among_those_alike() -> None:
    """Latencies of 1, 1.015 and 1.03 s: the third is near the second, and not near the least."""
    runs = [run(f"b{size}", size * 32 / seconds, batch=size) for size, seconds in ((1, 1.0), (2, 1.015), (4, 1.03))]
    advice = advise(runs)
    found = choice(advice, "latency")
    assert (found.run, found.rivals, found.sure) == ("run-b2", ("run-b1",), False)
    alone = choice(advise([run("a", 100.0), run("b", 200.0, mode="compile")]), "latency")
    assert (alone.rivals, alone.sure, alone.interval) == ((), False, False)


def test_lengths_have_an_impact_of_their_own() -> None:
    runs = [run("short", 100.0, prompt=64), run("long", 80.0, prompt=512), run("more", 90.0, output=128)]
    found = {impact.key: impact for impact in advise(runs).impacts}
    assert set(found) == {"workload.input_len", "workload.output_len"}
    prompts = found["workload.input_len"]
    assert [(one.value, one.ratio) for one in prompts.points] == [(64, None), (512, 0.8)]
    assert prompts.best is None
    assert len(advise(runs).tasks) == 3


def test_repeated_runs_are_one_configuration_with_an_interval_over_runs() -> None:
    speeds = [90.0, 100.0, 110.0]
    advice = advise([run(f"r{at}", speed, 0.1) for at, speed in enumerate(speeds)])
    (one,) = advice.tasks[0].configurations
    logs = [math.log(speed) for speed in speeds]
    low, high = stats.t.interval(0.95, 2, stats.tmean(logs), stats.sem(logs))
    assert one.throughput == pytest.approx(stats.gmean(speeds))
    assert (one.low, one.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert (one.interval_over, len(one.runs)) == ("runs", 3)


def test_kept_rounds_of_a_bench_by_hand() -> None:
    """Geometric means of the kept file's rounds, by a loop of its own."""
    file = KEPT / "h200-bench" / "results.jsonl"
    speeds: dict[tuple[str, int], list[float]] = {}
    for line in file.read_text().splitlines():
        found = json.loads(line)
        if found["name"].startswith("eager") and found["verdict"]["invalid"] == []:
            key = (found["config"]["engine"]["mode"], found["config"]["workload"]["batch_size"])
            speeds.setdefault(key, []).append(found["summary"]["output_throughput"])
    results = list(Store(file.parent).each_result(warn=lambda _: None))
    advice = advise(results)
    for (_, batch), values in speeds.items():
        matching = [
            one for task in advice.tasks for one in task.configurations
            if "eager" in one.name and f"bs={batch}" in one.name and len(one.runs) >= len(values)
        ]  # fmt: skip
        assert [one.throughput for one in matching] == pytest.approx([stats.gmean(values)])


@given(st.integers(0, 10_000), st.integers(1, 25), st.booleans())
def test_every_sentence_names_its_runs_and_none_recommends_what_is_not_valid(
    seed: int, count: int, limited: bool
) -> None:
    results = list(make_results(count, seed=seed))
    limits = ["ttft<100ms"] if limited else []
    advice = advise(results, limits=parse(" ".join(limits)), limit_texts=limits)
    valid = {one.id for one in results if one.state == "finished" and one.verdict.valid}
    for task in advice.tasks:
        for one in task.choices:
            assert not one.run or (one.run in valid and one.run in wording.choice_text(one, advice))
        for avoided in task.avoid:
            assert avoided.run in wording.avoid_text(avoided)
    assert sum(len(one.runs) for task in advice.tasks for one in task.configurations) == count
    assert msgspec.json.decode(msgspec.json.encode(advice), type=Advice) == advice


def told(arguments: Sequence[str]) -> Any:
    return CliRunner().invoke(app, ["advise", *arguments], env={"COLUMNS": "200"})


def test_the_command_says_it_and_repeats_it(tmp_path: Path) -> None:
    runs = [run("base", 100.0), run("fast", 150.0, mode="compile")]
    (tmp_path / "results.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in runs))
    done = told(["--out", str(tmp_path), "--goal", "throughput"])
    assert done.exit_code == 0, done.output
    assert "infertui run --set model.id=m/one --set engine.mode=compile" in done.stdout  # no folder of the run is there
    (tmp_path / "run-fast").mkdir()
    (tmp_path / "run-fast" / "run.toml").touch()
    done = told(["--out", str(tmp_path), "--goal", "throughput"])
    assert f"infertui run {tmp_path}/run-fast/run.toml" in done.stdout
    assert "least memory" not in done.stdout
    found = json.loads(told([str(tmp_path / "results.jsonl"), "--json", "--baseline", "run-fast"]).stdout)
    assert found["tasks"][0]["configurations"][0]["run"] == "run-fast"
    assert "run-base" not in told(["run-fast", "--out", str(tmp_path)]).stdout
    for wrong, word in (
        (["--goal", "speed"], "throughput, latency, energy, memory, cost"), (["--limit", "ttft<x"], "is a number"),
        (["--limit", "workload.seed=1"], "is about figures"), (["nothing-there", "batch>9"], "no results"),
    ):  # fmt: skip
        refused = told([*wrong, "--out", str(tmp_path)])
        assert refused.exit_code
        assert word in str(refused.exception)


def test_a_sweep_over_a_number_ends_in_a_curve() -> None:
    speeds = {1: 100.0, 2: 200.0, 4: 300.0}
    runs = [run(f"bs={size} isl={prompt}", speed, batch=size, prompt=prompt)
            for prompt in (64, 128) for size, speed in speeds.items()]  # fmt: skip
    assert swept_numbers(runs) == ["workload.batch_size"]
    series = axis_series(runs, "workload.batch_size")
    assert [(one.fixed, [x for x, _ in one.points]) for one in series] == [
        ("isl=64", [1, 2, 4]),
        ("isl=128", [1, 2, 4]),
    ]
    lines = list(sweep_curves(runs, ascii_only=True))
    assert [line for line in lines if "tok/s" in line] == [
        "output tok/s over bs, isl=64",
        "output tok/s over bs, isl=128",
    ]
    labels = [line.partition("|")[0].strip() for line in lines[2:10]]
    assert labels == ["300", "", "200", "", "", "100", "", "0"]
    assert lines[-1].split() == ["1", "2", "4", "bs"]
    assert list(sweep_curves(runs[:2])) == []
    assert list(sweep_curves([run("a", 1.0), run("b", 2.0), run("c", 3.0)])) == []


def test_of_a_point_measured_twice_the_last_valid_run_counts_and_a_failure_is_told() -> None:
    runs = [
        run("bs=1", 100.0), run("bs=2", 150.0, batch=2), run("bs=2 again", 160.0, batch=2),
        run("bs=2 noisy", 170.0, batch=2, verdict=Verdict(invalid=("noisy",))),
        run("bs=4", 0.0, 0.0, batch=4, state="failed"),
    ]  # fmt: skip
    (series,) = axis_series(runs, "workload.batch_size")
    assert series.runs == ("run-bs=1", "run-bs=2 again")
    assert series.failed == (4,)


def test_the_winner_comes_with_what_serves_it() -> None:
    advice = advise(
        [run("a", 100.0), run("b", 90.0, mode="compile")], serve=lambda config: f"serve {config.engine.mode}"
    )
    lines = list(wording.commands(advice.tasks[0], advice))
    assert lines[-1] == "to serve it: serve eager"
    assert all(line.startswith("to repeat it: infertui run ") for line in lines[:-1])


@pytest.mark.parametrize(
    ("value", "word"), [(10.0, "excellent"), (9.0, "excellent"), (6.0, "good"), (3.0, "medium"), (2.9, "poor")]
)
def test_the_word_for_efficiency_is_its_share_of_the_highest(value: float, word: str) -> None:
    (task,) = advise([run("a", 100.0), run("b", 90.0, mode="compile")]).tasks
    most, other = task.configurations
    made = replace(
        task, configurations=(replace(most, tokens_per_s_per_w=10.0), replace(other, tokens_per_s_per_w=value))
    )
    assert wording.configuration_rows(made)[1][7].split()[1] == word
    alone = replace(task, configurations=(replace(most, tokens_per_s_per_w=10.0),))
    assert wording.configuration_rows(alone)[0][7] == "10.0"
    unknown = replace(task, configurations=(replace(most, tokens_per_s_per_w=None),))
    assert wording.configuration_rows(unknown)[0][7] == "n/a"


def load_at(name: str, **load: Any) -> Result:
    """A run on a server, of which blocks of the window are what an interval is over."""
    figures = LoadFigures(Window(0, 10), Steadiness(True))
    one = run(name, 100.0)
    target = TargetConfig(kind="endpoint", url="http://127.0.0.1:8000", model="m")
    config = replace(one.own_config, target=target, load=LoadConfig(**load))
    return replace(one, config=config, load=figures)


def test_a_load_is_called_by_its_level_and_not_by_what_it_has_none_of() -> None:
    closed, rate = load_at("a", concurrency=8), load_at("b", request_rate=4.0)
    alone = load_at("c")
    (task,) = advise([closed, rate, alone]).tasks
    names = {one.run: one.name for one in task.configurations}
    assert names == {closed.id: "concurrency=8", rate.id: "request_rate=4", alone.id: "concurrency=1"}
    notes = " ".join(wording.task_notes(task, advise([closed, rate, alone])))
    assert "over parts of the windows of single runs" in notes
    assert "iterations" not in notes


def test_a_load_that_never_reached_its_server_is_of_that_server() -> None:
    whole = load_at("a", concurrency=8)
    target = replace(whole.own_config.target, model="")
    failed = replace(
        whole, state="failed", loaded=None, load=None, config=replace(whole.own_config, target=target), error=None
    )
    (task,) = advise([failed]).tasks
    assert task.task.startswith("a model that is not known on http://127.0.0.1:8000, ")
