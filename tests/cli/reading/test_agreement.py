"""`infertui results --agreement`: which runs generated the same tokens as one of them."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from support.results import make_results, write_folder
from support.runs import infertui

from infertui.measure.quality import Quality
from infertui.results.result import Result
from infertui.results.runs import OUTPUTS, Output
from infertui.targets.engine.base import EffectiveSettings


def keep(out: Path, result: Result, **outputs: tuple[int, ...]) -> None:
    folder = write_folder(out, result)
    lines = [Output(prompt, 3, ids, 0) for prompt, ids in outputs.items()]
    (folder / OUTPUTS).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    with (out / "results.jsonl").open("ab") as stream:
        stream.write(msgspec.json.encode(result) + b"\n")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A reference, a run that says the same, one that parts, one of another engine, and one with other prompts."""
    made = next(result for result in make_results(50) if result.state == "finished" and result.loaded)
    assert made.loaded
    keep(tmp_path, replace(made, id="20260101-000000-first-0001"), aa=(1, 2, 3), bb=(4, 5, 6))
    keep(tmp_path, replace(made, id="20260101-000000-same-0002"), aa=(1, 2, 3), bb=(4, 5, 6))
    keep(tmp_path, replace(made, id="20260101-000000-parts-0003"), aa=(1, 9, 3), bb=(4, 5, 6))
    drawn = replace(made.loaded, engine="llama-cpp", random_weights=True)
    keep(tmp_path, replace(made, id="20260101-000000-drawn-0004", loaded=drawn), aa=(7, 8, 9))
    keep(tmp_path, replace(made, id="20260101-000000-else-0005"), cc=(1, 2, 3))
    return tmp_path


def test_each_run_says_how_far_it_agrees(out: Path) -> None:
    done = infertui("results", "--out", str(out), "--agreement", "20260101-000000-first-0001", cwd=out)
    assert done.returncode == 0, done.stderr
    same, parts, drawn, other = done.stdout.splitlines()
    assert same.split()[-5:] == ["2", "of", "2", "100.0%", "-"]
    assert parts.split()[-6:] == ["1", "of", "2", "83.3%", "token", "2"]
    assert "0 of 1  0.0%" in drawn
    assert "token 1: random weights, which engines draw for themselves" in drawn
    assert "no prompt in common" in other


def test_a_row_says_in_which_format_it_ran_and_that_it_diverged(out: Path) -> None:
    made = next(result for result in make_results(50) if result.state == "finished" and result.loaded)
    assert made.loaded
    bad = Quality(beyond=("53.9% of its tokens are the reference's, fewer than 90%",))
    effective = EffectiveSettings({"quantization": "q4_0", "llama_cpp.type_k": "q4_0", "llama_cpp.type_v": "q4_0"})
    kept = replace(made, id="20260101-000000-bad-0009", quality=bad, effective=effective)
    keep(out, kept, aa=(1, 9, 9))
    first, only = "20260101-000000-first-0001", f"id={kept.id}"
    done = infertui("results", "--out", str(out), "--agreement", first, only, cwd=out)
    assert done.returncode == 0, done.stderr
    assert "  q4_0  " in done.stdout
    assert "  diverged  " in done.stdout


def test_filters_count_and_what_cannot_be_compared_is_refused(out: Path) -> None:
    first = "20260101-000000-first-0001"
    one = infertui("results", "--out", str(out), "--agreement", first, "engine=llama-cpp", cwd=out)
    assert len(one.stdout.splitlines()) == 1
    for run, said in (("nope", "no generated tokens are kept"), ("../..", "is no run")):
        refused = infertui("results", "--out", str(out), "--agreement", run, cwd=out)
        assert refused.returncode != 0
        assert said in refused.stderr
    assert infertui("results", "--out", str(out), "--agreement", first, "--csv", cwd=out).returncode == 2


def test_sampled_runs_are_no_reference_and_are_not_compared(out: Path) -> None:
    """What a draw chose says nothing of whether an engine is right."""
    made = next(result for result in make_results(50) if result.state == "finished" and result.loaded)
    warm = replace(made.own_config, workload=replace(made.own_config.workload, temperature=0.8))
    drawn = "20260101-000000-warm-0006"
    keep(out, replace(made, id=drawn, config=warm), aa=(1, 2, 9))
    done = infertui("results", "--out", str(out), "--agreement", "20260101-000000-first-0001", cwd=out)
    line = next(line for line in done.stdout.splitlines() if drawn in line)
    assert "sampled at temperature 0.8" in line
    assert "%" not in line.split("sampled")[0].split()[-1]
    refused = infertui("results", "--out", str(out), "--agreement", drawn, cwd=out)
    assert refused.returncode == 2
    assert "were sampled (workload.temperature 0.8)" in refused.stderr


def test_perplexity_stands_beside_and_bleu_says_why_there_is_none(tmp_path: Path) -> None:
    out = tmp_path
    first = "20260101-000000-first-0001"
    made = next(result for result in make_results(50) if result.state == "finished" and result.loaded)
    scored = Quality(perplexity=8.0, text="alice.txt 12", text_tokens=100, window=50)
    keep(out, replace(made, id=first, quality=scored), aa=(1, 2, 3))
    worse = replace(scored, perplexity=8.4)
    keep(out, replace(made, id="20260101-000000-worse-0006", quality=worse), aa=(1, 2, 3))
    elsewhere = replace(scored, perplexity=5.0, text="mine 34")
    keep(out, replace(made, id="20260101-000000-other-0007", quality=elsewhere), aa=(1, 2, 3))
    done = infertui("results", "--out", str(out), "--agreement", first, "--bleu", cwd=out)
    assert done.returncode == 0, done.stderr
    assert "the reference's perplexity: 8 on 100 tokens of alice.txt 12" in done.stderr
    lines = done.stdout.splitlines()
    assert "8.4 (+5.00%)" in next(line for line in lines if "worse" in line)
    other = next(line for line in lines if "other" in line)
    assert " 5 " in other
    assert "(" not in other.split("no BLEU")[0]  # another text: no change is told
    assert "no BLEU: " in other
    refused = infertui("results", "--out", str(out), "--bleu", cwd=out)
    assert refused.returncode == 2
    assert "--agreement RUN" in refused.stderr
