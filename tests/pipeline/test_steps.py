"""The steps of a pipeline: done in order, kept, and taken up again wherever they were cut off."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from support.pipelines import BASELINE, FAILING, FASTER, KeepingHost, Killed, asked, folder_of

from infertui.config.sweep import Variant
from infertui.errors import EngineError, ModelError
from infertui.measure.validity import Verdict
from infertui.pipeline import choosing, machine, state, steps
from infertui.pipeline.host import InterruptedPipelineError, Ran
from infertui.pipeline.state import STEPS, PipelineFile, held, read
from infertui.pipeline.steps import Steps, needs_build
from infertui.results.result import Result
from infertui.results.runs import Store


def run(folder: Path, pipeline: PipelineFile, store: Store, host: KeepingHost) -> PipelineFile:
    return Steps(folder, read(folder) or pipeline, store, host).run()


def test_all_steps_are_done_in_order_and_their_products_are_there(tmp_path: Path) -> None:
    folder, store = folder_of(tmp_path)
    host = KeepingHost(store)
    done = run(folder, asked(), store, host)
    assert [one.step for one in done.steps] == list(STEPS)
    assert read(folder) == done
    assert sorted(host.measured) == sorted(f"{arm} {number}/3" for arm in (BASELINE, FASTER) for number in (1, 2, 3))
    assert {path.name for path in folder.iterdir()} == {
        "pipeline.json", "summary.txt", "report.html", "report.md", "report.json"
    }  # fmt: skip
    assert "2.00x" in (folder / "summary.txt").read_text()
    told = [line.split()[-1] for line in host.told if line.startswith("step ")]
    assert told == list(STEPS)
    results = store.results(warn=pytest.fail)
    assert {result.own_config.labels["pipeline"] for result in results} == {"nano"}


def test_a_finished_one_measures_nothing_again(tmp_path: Path) -> None:
    folder, store = folder_of(tmp_path)
    done = run(folder, asked(), store, KeepingHost(store))
    again = KeepingHost(store)
    assert run(folder, asked(), store, again) == done
    assert (again.told, again.measured, again.reported) == ([], [], [])


def test_killed_at_any_moment_it_goes_on_and_measures_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every act of the host, and before and after every writing of its file."""
    left = 0

    def moment() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    def write(where: Path, pipeline: PipelineFile) -> None:
        moment()
        state.write(where, pipeline)
        moment()

    monkeypatch.setattr(steps, "write", write)
    for number in range(1, 100):
        folder, store = folder_of(tmp_path / str(number))
        left = number
        first, second = KeepingHost(store, before=moment), KeepingHost(store)
        try:
            run(folder, asked(rounds=1), store, first)
        except Killed:
            run(folder, asked(rounds=1), store, second)
        else:
            break
        kept = read(folder)
        assert kept is not None
        assert kept.finished
        assert sorted(first.measured + second.measured) == sorted([f"{BASELINE} 1/1", f"{FASTER} 1/1"])
        assert (folder / "report.html").is_file()
    assert number > 20


def test_an_interrupted_round_is_taken_up_by_the_same_bench(tmp_path: Path) -> None:
    folder, store = folder_of(tmp_path)

    class Impatient(KeepingHost):
        def measure(self, variants, *, first, total):  # type: ignore[no-untyped-def]
            ran = super().measure(variants[:1], first=first, total=total)
            return Ran(ran.results, interrupted=True)

    with pytest.raises(InterruptedPipelineError, match="interrupted in step measure"):
        run(folder, asked(), store, Impatient(store))
    kept = read(folder)
    assert kept is not None
    assert kept.record("choose")
    assert not kept.record("measure")
    rest = KeepingHost(store)
    assert run(folder, asked(), store, rest).bench == kept.bench
    assert len(rest.measured) == 5


def test_ctrl_c_in_a_pull_is_told_with_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, store = folder_of(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    def interrupt() -> None:
        raise KeyboardInterrupt

    elsewhere = asked()
    base = replace(elsewhere.base, model=replace(elsewhere.base.model, id="acme/tiny"))
    with pytest.raises(InterruptedPipelineError, match="interrupted in step pull"):
        run(folder, replace(elsewhere, base=base), store, KeepingHost(store, before=interrupt))
    # A hub that gave nothing usable leaves the model missing, which is said with the remedy of always.
    with pytest.raises(ModelError, match="acme/tiny is not on this machine"):
        run(folder, replace(elsewhere, base=base), store, KeepingHost(store))


def test_an_arm_that_fails_is_a_row_with_its_error_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder, store = folder_of(tmp_path)
    host = KeepingHost(store)
    done = run(folder, asked(FAILING, FASTER), store, host)
    assert host.measured.count(f"{FAILING} 1/3") == 1
    assert not any(name.startswith(FAILING) and not name.endswith("1/3") for name in host.measured)
    text = (folder / "summary.txt").read_text()
    assert f"{FAILING}: FAILED: it has no such kernel" in text
    assert "speed-up 2.00x" in text
    measure = done.record("measure")
    assert measure is not None
    assert f"{FAILING} failed: it has no such kernel" in measure.told


def test_without_any_run_that_finished_it_ends_with_the_reason(tmp_path: Path) -> None:
    folder, store = folder_of(tmp_path)
    with pytest.raises(EngineError, match=r"no run finished.*it has no such kernel"):
        run(folder, asked(FAILING, baseline="simulator:fault=exit"), store, KeepingHost(store))
    kept = read(folder)
    assert kept is not None
    assert kept.record("measure") is None


def test_what_cannot_be_measured_here_is_left_out_with_its_reason(tmp_path: Path) -> None:
    folder, store = folder_of(tmp_path)
    done = run(folder, asked("tensorrt-llm", FASTER), store, KeepingHost(store))
    assert [arm.name for arm in done.arms] == [BASELINE, FASTER]
    (left_out,) = done.left_out
    assert left_out.name == "tensorrt-llm"
    assert left_out.asked
    assert "not measured: tensorrt-llm: " in (folder / "summary.txt").read_text()
    assert "Not measured: tensorrt-llm: " in (folder / "report.md").read_text()


def test_with_nothing_to_compare_with_it_says_what_to_do(tmp_path: Path) -> None:
    folder, store = folder_of(tmp_path)
    with pytest.raises(EngineError, match="there is nothing to compare") as refused:
        run(folder, asked("tensorrt-llm"), store, KeepingHost(store))
    assert "--fallback" in refused.value.remedy
    kept = read(folder)
    assert kept is not None
    assert [one.step for one in kept.steps] == ["pull"]


def test_a_fallback_stands_in_where_it_is_allowed(tmp_path: Path) -> None:
    folder, store = folder_of(tmp_path)
    fresh = asked("tensorrt-llm")
    base = replace(fresh.base, engine=replace(fresh.base.engine, name="transformers", fallback=True))
    done = run(folder, replace(fresh, base=base), store, KeepingHost(store))
    assert [arm.name for arm in done.arms] == [BASELINE, "tensorrt-llm"]
    assert done.arms[1].config.engine.fallback


def test_more_rounds_measure_what_is_missing_of_them(tmp_path: Path) -> None:
    folder, store = folder_of(tmp_path)
    done = run(folder, asked(rounds=2), store, KeepingHost(store))
    host = KeepingHost(store)
    more = Steps(folder, replace(done, rounds=4).undone_from("measure"), store, host).run()
    assert sorted(host.measured) == sorted(f"{arm} {number}/4" for arm in (BASELINE, FASTER) for number in (3, 4))
    assert more.bench == done.bench


@pytest.mark.parametrize(
    ("option", "needed"),
    [({"backend": "engine"}, True), ({"backend": "engine", "engine_dir": "/e"}, False), ({}, False)],
)
def test_an_engine_is_built_where_one_is_asked_for_and_none_is_named(option: dict[str, str], needed: bool) -> None:
    base = asked().base
    options = replace(base.engine.tensorrt_llm, **option)
    config = replace(base, engine=replace(base.engine, name="tensorrt-llm", tensorrt_llm=options))
    assert needs_build(config) is needed


def test_two_processes_do_not_work_on_one_folder(tmp_path: Path) -> None:
    folder, _ = folder_of(tmp_path)
    with held(folder), pytest.raises(Exception, match="another process works on the pipeline"), held(folder):
        pass
    with held(folder):
        pass


def test_an_arm_that_is_gone_after_some_rounds_ends_it_until_that_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = folder_of(tmp_path)
    done = run(folder, asked(rounds=1), store, KeepingHost(store))
    gone = EngineError("it is not installed any more")
    monkeypatch.setattr(machine, "look", lambda configs, seen: (*(None for _ in configs[1:]), gone))
    further = replace(done, rounds=2).undone_from("measure")
    with pytest.raises(EngineError, match="was measured in some rounds, and cannot be any more"):
        Steps(folder, further, store, KeepingHost(store)).run()
    # One that was never measured is left out, and the others go on.
    fresh, empty = folder_of(tmp_path / "fresh")
    monkeypatch.undo()
    looked = iter([(None,), (None, None), (None, gone, None)])  # the baseline, those asked for, all before measuring
    monkeypatch.setattr(machine, "look", lambda configs, seen: next(looked))
    others = run(fresh, asked("simulator:step_ms=2", FASTER), empty, KeepingHost(empty))
    assert [arm.name for arm in others.arms] == [BASELINE, FASTER]
    assert [one.name for one in others.left_out] == ["simulator:step_ms=2"]


def test_the_fastest_of_short_runs_is_measured_and_the_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = folder_of(tmp_path)
    offered = ("simulator:step_ms=8", FASTER, FAILING, "simulator:step_ms=6")
    monkeypatch.setattr(choosing, "candidates", lambda on_gpu: offered)
    host = KeepingHost(store)
    done = run(folder, replace(asked(), engines=()), store, host)
    assert [arm.name for arm in done.arms] == [BASELINE, FASTER]
    assert host.measured[:4] == [f"nano trial {name}" for name in offered]
    assert done.chosen_by == (
        "the fastest in one short run each (simulator:step_ms=8 125 tok/s, simulator:step_ms=5 200 tok/s, "
        "simulator:fault=crash failed, simulator:step_ms=6 167 tok/s)"
    )
    report = (folder / "report.md").read_text()
    assert "The baseline is simulator:step\\_ms=10. Beside it: simulator:step\\_ms=5, the fastest" in report
    trials = [result for result in store.results(warn=pytest.fail) if "trial" in result.own_config.labels]
    assert {result.own_config.measurement.iterations for result in trials} == {3}
    assert not any(result.id in report for result in trials), "a trial is no run of the comparison"


def test_trials_that_were_measured_are_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, store = folder_of(tmp_path)
    monkeypatch.setattr(choosing, "candidates", lambda on_gpu: ("simulator:step_ms=8", FASTER))
    left = 2

    def second() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    first = KeepingHost(store, before=second)
    with pytest.raises(Killed):
        run(folder, replace(asked(), engines=()), store, first)
    rest = KeepingHost(store)
    assert run(folder, asked(), store, rest).finished
    assert first.measured == ["nano trial simulator:step_ms=8"]
    assert rest.measured[0] == f"nano trial {FASTER}"


def test_quick_takes_the_first_of_the_usual_order_unmeasured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, store = folder_of(tmp_path)
    monkeypatch.setattr(choosing, "candidates", lambda on_gpu: ("vllm", "simulator:step_ms=8", FASTER))
    host = KeepingHost(store)
    done = run(folder, replace(asked(), engines=(), quick=True), store, host)
    assert [arm.name for arm in done.arms] == [BASELINE, "simulator:step_ms=8"]
    assert "not measured (--quick)" in done.chosen_by
    assert not any("trial" in name for name in host.measured)
    assert [one.name for one in done.left_out] == ["vllm"]


@pytest.mark.parametrize(
    ("quick", "arms"), [(False, ["simulator:step_ms=6", FASTER]), (True, [FASTER, "simulator:step_ms=8"])]
)
def test_without_the_baseline_two_others_are_measured_and_the_slower_is_one(
    quick: bool, arms: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = folder_of(tmp_path)
    monkeypatch.setattr(choosing, "candidates", lambda on_gpu: ("simulator:step_ms=8", FASTER, "simulator:step_ms=6"))
    fresh = replace(asked(), engines=(), baseline="tensorrt-llm", quick=quick)
    done = run(folder, fresh, store, KeepingHost(store))
    assert [arm.name for arm in done.arms] == arms
    choose = done.record("choose")
    assert choose is not None
    assert f"tensorrt-llm cannot be measured, {arms[0]} is the baseline" in choose.told
    assert "not measured: tensorrt-llm: " in (folder / "summary.txt").read_text()


def test_the_baseline_is_no_candidate_to_beat_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, store = folder_of(tmp_path)
    monkeypatch.setattr(choosing, "candidates", lambda on_gpu: (BASELINE, "simulator:step_ms=12"))
    done = run(folder, replace(asked(), engines=()), store, KeepingHost(store))
    assert [arm.name for arm in done.arms] == [BASELINE, "simulator:step_ms=12"]


class DisturbedHost(KeepingHost):
    """A host whose runs of these names are invalid the first `times` times."""

    def __init__(self, store: Store, names: set[str], times: int) -> None:
        super().__init__(store)
        self.names, self.times = names, times

    def _result(self, variant: Variant) -> Result:
        result = super()._result(variant)
        disturbed = variant.name in self.names and self.measured.count(variant.name) < self.times
        return (
            replace(result, verdict=Verdict(invalid=("other processes used 80 % of the CPUs",)))
            if disturbed
            else result
        )


@pytest.mark.parametrize(
    ("disturbed", "times", "again"),
    [
        ({f"{BASELINE} 2/5"}, 1, 0),  # four of five rounds count, which is enough
        ({f"{BASELINE} 1/5", f"{FASTER} 3/5", f"{BASELINE} 5/5"}, 1, 1),  # two count: one more is enough
        ({f"{BASELINE} {number}/5" for number in (1, 2, 3, 4)}, 1, 2),
        ({f"{BASELINE} {number}/5" for number in (1, 2, 3, 4, 5)}, 9, 5),  # each once, and no more
    ],
)
def test_rounds_that_do_not_count_are_repeated_once_where_too_few_do(
    disturbed: set[str], times: int, again: int, tmp_path: Path
) -> None:
    folder, store = folder_of(tmp_path)
    host = DisturbedHost(store, disturbed, times)
    run(folder, asked(rounds=5), store, host)
    assert len(host.measured) == 10 + 2 * again
    repeated = host.measured[10:]
    assert {name.rpartition(" ")[0] for name in repeated} == ({BASELINE, FASTER} if again else set())
    assert sum("measured again" in line for line in host.told) == again
    if times == 1:
        assert "95 % intervals over" in (folder / "summary.txt").read_text()
