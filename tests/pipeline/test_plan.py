"""What a pipeline is foretold to do, and for how long: worked out by hand."""

import pytest
from msgspec.structs import replace
from support.runs import simulated

from infertui.config.engines.registry import SPECS
from infertui.config.schema import Config
from infertui.config.sources import load
from infertui.models.resolve import resolve
from infertui.pipeline.arms import parse_arm
from infertui.pipeline.estimate import ON_CPU, Estimate, estimate, span
from infertui.pipeline.plan import QUICK, USUAL, Outlook, candidates, name_of, plan, trial_of
from infertui.pipeline.state import STEPS, PipelineFile

BASE = simulated()


def of(**changes: object) -> PipelineFile:
    fresh = PipelineFile("nano", "2026-01-01T00:00:00+00:00", BASE, "transformers:eager", 5)
    return replace(fresh, **changes)


def told(pipeline: PipelineFile, outlook: Outlook) -> dict[str, str]:
    return {step.step: step.what for step in plan(pipeline, outlook).steps}


def test_what_is_asked_for_takes_its_rounds_of_all_and_the_report() -> None:
    pipeline = of(engines=("llama-cpp", "openvino"))
    runs = {"transformers:eager": Estimate(10.0), "llama-cpp": Estimate(4.0), "openvino": Estimate(6.0, rough=True)}
    planned = plan(pipeline, Outlook(runs))
    assert [step.step for step in planned.steps] == list(STEPS)
    assert planned.estimate == Estimate(5 * 20.0 + 10.0, rough=True)
    half = plan(pipeline, Outlook(runs, measured=6))  # of 15
    assert half.estimate is not None
    assert half.estimate.seconds == pytest.approx(5 * 20.0 * 9 / 15 + 10.0)


def test_no_charts_are_announced_where_none_are_to_be_drawn() -> None:
    outlook = Outlook({"transformers:eager": Estimate(10.0), "llama-cpp": Estimate(4.0)})
    report = plan(of(engines=("llama-cpp",)), outlook, charts=False).steps[-1]
    assert report.what == "report.html, report.md and report.json, without charts"
    drawn = plan(of(engines=("llama-cpp",)), outlook).steps[-1]
    assert drawn.what.endswith("and charts")
    assert report.estimate is not None
    assert drawn.estimate is not None
    assert report.estimate.seconds < drawn.estimate.seconds


def test_where_the_fastest_is_looked_for_each_is_tried_and_the_slowest_could_be_chosen() -> None:
    runs = {"transformers:eager": Estimate(10.0), "llama-cpp": Estimate(4.0), "openvino": Estimate(6.0)}
    trials = {"llama-cpp": Estimate(1.0), "openvino": Estimate(2.0)}
    planned = plan(of(), Outlook(runs, trials))
    assert planned.estimate == Estimate(3.0 + 5 * (10.0 + 6.0) + 10.0)
    assert "a short run each of llama-cpp, openvino" in told(of(), Outlook(runs, trials))["choose"]
    quick = plan(of(quick=True, rounds=3), Outlook(runs))
    assert quick.estimate == Estimate(3 * (10.0 + 4.0) + 10.0)  # the first, not the slowest


def test_of_a_model_that_is_not_here_nothing_is_foretold() -> None:
    waiting = Outlook({"transformers:eager": None, "llama-cpp": None}, waiting=True)
    assert plan(of(), waiting).estimate is None
    assert told(of(), waiting)["pull"].endswith("from the Hugging Face hub")


def test_steps_that_are_done_take_no_time_and_say_what_came_of_them() -> None:
    pipeline = of(engines=("llama-cpp",)).done("pull", "it was downloaded", 12.0).done("choose", "as asked", 0.0)
    planned = plan(pipeline, Outlook({"transformers:eager": Estimate(1.0), "llama-cpp": Estimate(1.0)}))
    assert [step.what for step in planned.steps[:2]] == ["it was downloaded", "as asked"]
    assert planned.estimate == Estimate(5 * 2.0 + 10.0)
    assert pipeline.undone_from("choose").record("choose") is None
    assert pipeline.undone_from("choose").record("pull") is not None


def test_earlier_runs_tell_and_where_there_are_none_the_size_of_the_model_does() -> None:
    config = replace(
        BASE, engine=replace(BASE.engine, name="transformers", mode="eager"),
        workload=replace(BASE.workload, input_len=100, output_len=50),
        measurement=replace(BASE.measurement, iterations=4, warmup=1, min_seconds=0.0),
    )  # fmt: skip
    shape = resolve("synthetic:gpt2-124m").shape
    rough = estimate(config, [], 16, shape, "cpu")
    # By hand: 4 bytes of each parameter a step at 10 GB/s and 4 ms; 2 operations of each and a prompt token.
    step = 0.004 + 4 * shape.parameters / 10e9
    batch = 2 * shape.active_parameters * 100 / 100e9 + 50 * step
    assert rough is not None
    assert rough.rough
    assert rough.seconds == pytest.approx(ON_CPU.start_s + 4 * shape.parameters / 500e6 + 5 * batch)
    assert estimate(config, [], 16, None, "cpu") is None
    assert estimate(BASE, [], 16, None, "cpu") == Estimate(1.0)  # a virtual clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (40.4, "40 s"), (89.4, "89 s"), (120, "2 min"), (5399, "1 h 30 min"), (7860, "2 h 11 min")],
)
def test_times_are_said_as_people_plan_with_them(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize("on_gpu", [True, False])
def test_every_candidate_is_an_arm_of_an_engine_that_computes_there(on_gpu: bool) -> None:
    for name in candidates(on_gpu=on_gpu):
        engine = parse_arm(name, "--engines").engine
        assert ("cuda" if on_gpu else "cpu") in SPECS[engine].devices
        assert engine != "simulator"


def test_a_trial_is_short_and_scores_nothing() -> None:
    trial = trial_of(BASE)
    assert (trial.measurement.iterations, trial.measurement.warmup, trial.measurement.min_seconds) == (3, 1, 0.0)
    assert (trial.quality.perplexity, trial.quality.reference) == ("off", "none")
    assert trial.workload == BASE.workload


def usual(model: str, **changes: object) -> Config:
    """What `infertui pipeline MODEL` measures, with changes of keys whose dots are double underscores."""
    keys = {**USUAL, "model.id": model, **{key.replace("__", "."): value for key, value in changes.items()}}
    return load(None, environ={}, flags={key: ("test", value) for key, value in keys.items()}).config


@pytest.mark.parametrize(
    ("model", "changes", "engines", "name"),
    [
        ("synthetic:gpt2-124m", {}, (), "gpt2-124m"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", {"workload__batch_size": 8}, (), "tinyllama-1.1b-chat-v1.0-b8"),
        ("org/m", {"workload__output_len": 7, "engine__dtype": "fp16", "device__name": "cpu"}, (),
         "m-osl7-float16-cpu"),
        ("./models/mine/", {}, ("llama-cpp:q8_0",), "mine-llama-cpp-q8-0"),
        ("org/m", {"engine__fallback": True}, ("tensorrt-llm",), "m-fallback-tensorrt-llm"),
        ("../..", {}, (), "model"),
        ("/x/" + "a" * 300, {}, (), "a" * 80),
    ],
)  # fmt: skip
def test_a_pipeline_is_named_by_its_model_and_what_is_not_as_usual(
    model: str, changes: dict[str, object], engines: tuple[str, ...], name: str
) -> None:
    assert name_of(usual(model, **changes), engines) == name


def test_a_quick_one_is_told_from_a_usual_one() -> None:
    base = usual("m", **{key.replace(".", "__"): value for key, value in QUICK.items()})
    assert name_of(base, quick=True) == "m-quick"


def test_what_building_takes_is_not_known_and_the_rest_is_told() -> None:
    pipeline = of(engines=("tensorrt-llm:engine",))
    runs = {"transformers:eager": Estimate(10.0), "tensorrt-llm:engine": Estimate(5.0)}
    planned = plan(pipeline, Outlook(runs, builds=("tensorrt-llm:engine",)))
    assert planned.unknown == ("build",)
    assert planned.estimate == Estimate(5 * 15.0 + 10.0)
