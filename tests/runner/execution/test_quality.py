"""The quality guard, through the Runner with real workers: references, agreement, scoring, and what may go wrong."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from support.fake_engine import Behaviour, install
from support.fake_spec import NAME
from support.results import write_results
from support.runs import infertui, requests_of, run, simulated

from infertui.config.schema import Config, EngineConfig, ModelConfig
from infertui.config.sweep import Variant
from infertui.errors import ConfigError
from infertui.measure.quality import Quality
from infertui.results.index import ResultIndex, ResultQuery
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.runner.events import AnyRunEvent, Noted, PhaseEntered
from infertui.runner.execution.references import find_reference
from infertui.runner.runner import Runner

Install = Callable[..., None]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    def make(**behaviour: Any) -> None:
        install(monkeypatch, tmp_path, Behaviour(**{"random_weights": False, "likelihood": -2.0, **behaviour}))

    return make


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that counts as a model; the engine that stands in for one loads nothing."""
    folder = tmp_path / "model"
    folder.mkdir()
    shape = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "vocab_size": 16, "n_positions": 64}
    (folder / "config.json").write_bytes(msgspec.json.encode({"model_type": "llama", "intermediate_size": 8, **shape}))
    (folder / "model.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    return folder


def scoring(model: Path, **values: Any) -> Config:
    made = simulated(workload__output_len=4, measurement__iterations=2, **values)
    return replace(made, engine=EngineConfig(name=NAME), model=ModelConfig(id=str(model)))


def quality_of(result: Result) -> Quality:
    assert result.state == "finished", result.error
    assert result.quality is not None
    return result.quality


def test_the_first_run_is_the_reference_and_the_next_ones_are_held_against_it(tmp_path: Path) -> None:
    plain = simulated(workload__output_len=10)
    shifted = simulated(workload__output_len=10, engine__simulator__other_from=8)
    results, _ = run(plain, plain, shifted, out=tmp_path)
    first, same, other = map(quality_of, results)
    assert first.reference == results[0].id
    assert (first.agreement, first.reasons["agreement"]) == (None, "is the reference")
    assert same.reference == other.reference == results[0].id
    assert same.agreement is not None
    assert same.agreement.exact
    assert other.agreement is not None
    assert (other.agreement.share, other.agreement.first_divergence) == (0.7, 7)  # 7 of 10 tokens, the 8th is another
    assert same.beyond == other.beyond == ()  # its dtype is none: what rounding may do there is not known
    assert "random" in first.reasons["perplexity"]
    assert first.perplexity is None


def test_a_threshold_marks_what_parts(tmp_path: Path) -> None:
    strict = {"workload__output_len": 10, "quality__min_agreement": 0.75}
    results, _ = run(
        simulated(**strict), simulated(**strict, engine__simulator__other_from=8), simulated(**strict), out=tmp_path
    )
    assert [bool(quality_of(result).beyond) for result in results] == [False, True, False]
    assert quality_of(results[1]).beyond[0].startswith("70.0% of its tokens are the reference's")
    rows = ResultIndex(tmp_path).page(ResultQuery(str(tmp_path), "flag=diverged")).rows
    assert [row.id for row in rows] == [results[1].id]
    assert rows[0].agreement == 0.7
    rows = ResultIndex(tmp_path).page(ResultQuery(str(tmp_path), "agreement<90%")).rows
    assert [row.id for row in rows] == [results[1].id]


def test_neither_disturbed_times_nor_a_later_run_change_the_reference(tmp_path: Path) -> None:
    noisy = simulated(measurement__iterations=1, validity__min_iterations=5)
    apart = simulated(engine__simulator__other_from=1, quality__min_agreement=0.5)
    results, _ = run(noisy, apart, simulated(), out=tmp_path)
    assert [result.verdict.valid for result in results] == [False, True, True]
    assert [quality_of(result).reference for result in results] == [results[0].id] * 3
    Store(tmp_path).delete([results[0].id])
    (after,), _ = run(simulated(), out=tmp_path)
    assert quality_of(after).reference == results[2].id  # not the one that diverged


def test_other_work_has_a_reference_of_its_own_and_sampling_none(tmp_path: Path) -> None:
    results, _ = run(
        simulated(workload__output_len=4),
        simulated(workload__output_len=5),
        simulated(workload__output_len=4, workload__temperature=0.7),
        simulated(workload__output_len=4, model__seed=3),
        simulated(workload__output_len=4, quality__reference="none"),
        out=tmp_path,
    )
    ids = [result.id for result in results]
    assert [quality_of(result).reference for result in results] == [ids[0], ids[1], "", ids[3], ""]
    assert "sampled" in quality_of(results[2]).reasons["agreement"]
    assert quality_of(results[4]).reasons["agreement"] == "quality.reference is none"


def test_a_named_reference_counts_and_one_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    results, _ = run(simulated(), simulated(engine__simulator__other_from=1), out=tmp_path)
    named = simulated(quality__reference=results[1].id)
    again, _ = run(named, simulated(quality__reference=".."), simulated(quality__reference="nope"), out=tmp_path)
    found, hostile, missing = map(quality_of, again)
    assert found.reference == results[1].id
    assert found.agreement is not None
    assert found.agreement.share == 0
    assert "is no run of" in hostile.reasons["agreement"]
    assert "no result of nope" in missing.reasons["agreement"]


def test_a_reference_that_was_deleted_or_broken_is_passed_over(tmp_path: Path) -> None:
    results, _ = run(simulated(), simulated(), out=tmp_path)
    (tmp_path / results[0].id / "result.json").write_bytes(b"{broken")
    (after,), _ = run(simulated(), out=tmp_path)
    assert quality_of(after).reference == results[1].id
    Store(tmp_path).delete([results[1].id])
    (after_that,), _ = run(simulated(), out=tmp_path)
    assert quality_of(after_that).reference == after.id


def test_very_many_runs_are_not_read(tmp_path: Path) -> None:
    """Of thousands that match no more are opened than the bound; the first of its kind is found behind others."""
    (result,), _ = run(simulated(), out=tmp_path)
    write_results(tmp_path, 3000)
    opened: list[str] = []

    class Counting(Store):
        def folder_of(self, run: str) -> Path:
            opened.append(run)
            return super().folder_of(run)

    later = replace(result, id="later", started="2099-01-01T00:00:00+00:00")
    found = find_reference(later, Counting(tmp_path))
    assert found is not None
    assert found.id == result.id
    assert len(opened) <= 4


def test_a_text_is_scored_after_measuring_in_a_phase_of_its_own(tmp_path: Path, model: Path, fake: Install) -> None:
    fake()
    results, events = run(scoring(model), scoring(model, quality__text_tokens=64), out=tmp_path / "out")
    first, second = map(quality_of, results)
    assert first.perplexity == pytest.approx(2.718281828**2)
    assert (first.text_tokens, first.window, first.scored_by) == (1023, 1024, "the fake engine")
    assert first.text.startswith("alice.txt")
    assert second.text_tokens == 63
    assert (second.reference, second.reference_perplexity) == (results[0].id, None)
    assert "another text" in second.reasons["reference_perplexity"]
    entered = [event.phase for event in events if isinstance(event, PhaseEntered)]
    assert entered == [
        "spawn",
        "load",
        "warmup",
        "measure",
        "score",
        "warmup",
        "measure",
        "score",
    ]  # one worker did both
    assert "score" in results[0].phases


def test_where_outputs_part_the_worker_is_asked_how_far_its_logits_are_apart(
    tmp_path: Path, model: Path, fake: Install
) -> None:
    """At the second token of four another one came: by 0.05 logits a tie, by 5 a wrong token."""
    fake()
    (first,), _ = run(scoring(model), out=tmp_path / "out")
    fake(outputs=[[0, 9, 9, 9]], likelihoods={9: -1.95})
    (tied,), _ = run(scoring(model), out=tmp_path / "out")
    fake(outputs=[[0, 9, 9, 9]], likelihoods={9: 3.0})
    (wrong,), _ = run(scoring(model), out=tmp_path / "out")
    for result, gap in ((tied, 0.05), (wrong, 5.0)):
        found = quality_of(result)
        assert found.reference == first.id
        assert found.agreement is not None
        assert (found.agreement.share, found.agreement.first_divergence) == (0.25, 1)
        assert list(found.gaps.values()) == pytest.approx([gap] * found.agreement.prompts)
    assert (quality_of(tied).share_without_ties, quality_of(tied).beyond) == (1.0, ())
    assert quality_of(wrong).beyond[0].startswith("25.0% of its tokens are the reference's, fewer than 90%")


def test_a_run_nearer_to_the_model_takes_over_and_says_whom_it_holds_to_account(
    tmp_path: Path, model: Path, fake: Install
) -> None:
    out = tmp_path / "out"
    fake(outputs=[[0, 9, 9, 9]], dtype="bfloat16", likelihood=-2.2)
    (rough,), _ = run(scoring(model), out=out)
    assert quality_of(rough).reference == rough.id
    fake()
    (exact,), events = run(scoring(model), out=out)
    assert quality_of(exact).reference == exact.id
    kept = Store(out).result_of(rough.id)
    assert kept is not None
    assert quality_of(kept).reference == exact.id
    assert quality_of(kept).beyond == ("perplexity 9.025, 22.1% above the reference's 7.389",)
    notes = [event.text for event in events if isinstance(event, Noted)]
    assert any(rough.id in note and "nearer to the model" in note for note in notes)
    rows = ResultIndex(out).page(ResultQuery(str(out), "flag=diverged")).rows
    assert [row.id for row in rows] == [rough.id]


def test_an_engine_without_room_for_the_windows_of_all_has_no_perplexity(
    tmp_path: Path, model: Path, fake: Install
) -> None:
    """Shorter windows give another figure: it is never compared, and never shown in the place of the right one."""
    fake()
    (first,), _ = run(scoring(model), out=tmp_path / "out")
    fake(score_positions=151)
    results, _ = run(scoring(model), scoring(model, quality__text_tokens=151), out=tmp_path / "out")
    cramped, short = map(quality_of, results)
    assert quality_of(first).window == 1024
    assert cramped.perplexity is None
    assert "room for 151 tokens" in cramped.reasons["perplexity"]
    assert "windows of 1024" in cramped.reasons["perplexity"]
    assert short.perplexity == pytest.approx(2.718281828**2)  # all of a shorter text fits


def test_a_rise_beyond_the_threshold_is_marked(tmp_path: Path, model: Path, fake: Install) -> None:
    fake()
    (first,), _ = run(scoring(model), out=tmp_path / "out")
    fake(likelihood=-2.2)  # exp(0.2) = 1.2214 times the perplexity
    (worse,), _ = run(scoring(model), out=tmp_path / "out")
    found = quality_of(worse)
    assert found.reference_perplexity == quality_of(first).perplexity
    assert found.beyond == ("perplexity 9.025, 22.1% above the reference's 7.389",)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("refuse", "told not to score"),
        ("raise", "RuntimeError: the fake engine was told to break"),
        ("exit", "exited with status 9 during score"),
        ("wait", "longer than quality.score_timeout_s"),
    ],
)
def test_what_goes_wrong_while_scoring_is_a_reason(
    tmp_path: Path, model: Path, fake: Install, fault: str, said: str
) -> None:
    fake(score_fault=fault)
    results, events = run(
        *[scoring(model, quality__score_timeout_s=0.3 if fault == "wait" else 30.0)] * 2, out=tmp_path / "out"
    )
    for result in results:
        assert said in quality_of(result).reasons["perplexity"]
        assert quality_of(result).perplexity is None
        assert len(requests_of(tmp_path / "out", result.id)) == 2
    spawned = sum(isinstance(event, PhaseEntered) and event.phase == "spawn" for event in events)
    assert spawned == (2 if fault in ("raise", "exit") else 1)  # a worker that broke is not used again


def test_an_engine_that_cannot_score_is_a_reason(tmp_path: Path, model: Path, fake: Install) -> None:
    fake(likelihood=None)
    (result,), _ = run(scoring(model), out=tmp_path / "out")
    assert quality_of(result).reasons["perplexity"] == "the engine fake cannot tell how likely a text is"


def test_a_run_that_is_cancelled_while_a_text_is_scored_is_kept_whole(
    tmp_path: Path, model: Path, fake: Install
) -> None:
    fake(score_fault="wait")

    async def scenario() -> None:
        reached = asyncio.Event()

        def take(event: AnyRunEvent) -> None:
            if isinstance(event, PhaseEntered) and event.phase == "score":
                reached.set()

        async with Runner(on_event=take) as runner:
            task = asyncio.create_task(runner.run_all([Variant("", scoring(model), {})], tmp_path / "out"))
            await reached.wait()
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(asyncio.wait_for(scenario(), 60))
    (result,) = Store(tmp_path / "out").results(warn=lambda text: pytest.fail(text))
    assert quality_of(result).reasons["perplexity"] == "cancelled while the text was scored"
    assert len(requests_of(tmp_path / "out", result.id)) == result.summary.iterations == 2
    assert quality_of(result).reference == result.id


def test_perplexity_of_random_weights_is_refused_before_anything_runs(tmp_path: Path) -> None:
    done = infertui(*("run", "--engine", "simulator", "--set", "quality.perplexity=on", "--ui", "plain"), cwd=tmp_path)
    assert done.returncode != 0
    assert "has random weights, whose perplexity means nothing" in done.stderr + done.stdout


def test_a_text_that_is_not_there_is_told_before_anything_runs(tmp_path: Path, model: Path, fake: Install) -> None:
    fake()
    with pytest.raises(ConfigError, match=r"text_file: cannot read /nowhere/x\.txt"):
        run(scoring(model, quality__text_file="/nowhere/x.txt"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
