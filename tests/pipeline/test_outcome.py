"""What a pipeline found, on one screen: worked out by hand from results that were made."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from support.pipelines import BASELINE, FAILING, FASTER, MEASURED, KeepingHost, asked, folder_of

from infertui.measure.quality import Agreement, Quality
from infertui.measure.validity import Verdict
from infertui.pipeline import outcome
from infertui.pipeline.state import LeftOut, PipelineFile
from infertui.pipeline.steps import Steps
from infertui.results.result import Result


def measured(tmp_path: Path, *engines: str) -> tuple[PipelineFile, list[Result]]:
    folder, store = folder_of(tmp_path)
    steps = Steps(folder, asked(*engines), store, KeepingHost(store))
    return steps.run(), steps.results()


def screen(pipeline: PipelineFile, results: list[Result]) -> str:
    shown = outcome.lines(pipeline, outcome.found(results), Path("reports/nano"))
    assert max(map(len, shown)) <= 80
    return "\n".join(shown)


def test_every_figure_stands_beside_its_change(tmp_path: Path) -> None:
    pipeline, results = measured(tmp_path)
    text = screen(pipeline, results)
    assert "3 of 3 rounds in turn count, 95 % intervals over rounds" in text
    (base,) = [line for line in text.splitlines() if line.startswith("A ")]
    (other,) = [line for line in text.splitlines() if line.startswith("B ")]
    assert base.split()[1:3] == [BASELINE, "100"]  # 1000 / step_ms
    assert other.split()[1:3] == [FASTER, "200"]
    (change,) = [line for line in text.splitlines() if line.startswith("  change")]
    assert change.split()[1:3] == ["+100.0%", "+"]
    assert change.count(" 0.0% =") == 4  # what is made alike: latency, TTFT, memory and energy
    assert "speed-up 2.00x (2.00x to 2.00x)" in text
    assert "reduced" not in text
    assert text.endswith("report: reports/nano/report.html")


def test_disturbed_runs_are_shown_only_where_there_are_no_others_and_loudly(tmp_path: Path) -> None:
    pipeline, results = measured(tmp_path)
    bad = [replace(result, verdict=Verdict(("the host was busy",))) for result in results]
    text = screen(pipeline, bad)
    assert "EVERY ROUND HAS AN INVALID RUN, and these are its figures: the host was busy" in text.replace("\n  ", " ")
    assert "speed-up 2.00x" in text
    assert "NOT COMPARABLE" not in text
    some = screen(pipeline, [*results[:4], *bad[4:]])
    assert "EVERY ROUND" not in some
    assert "2 of 3 rounds in turn count" in some
    assert "left out round 3: invalid: " in some


def test_quality_is_of_the_last_run_with_the_reason_where_it_is_not_known(tmp_path: Path) -> None:
    pipeline, results = measured(tmp_path)
    known = Quality(agreement=Agreement(4, 3, 0.984, {}, None), perplexity=23.77)
    text = screen(pipeline, [replace(result, quality=known) for result in results])
    assert "quality: 98.4% of reference tokens, perplexity 23.8" in text
    none = Quality(reasons={"perplexity": "the weights are random: how well they predict means nothing"})
    text = screen(pipeline, [replace(result, quality=none) for result in results])
    assert "quality: agreement n/a, perplexity n/a (the weights are random)" in text


def test_what_failed_and_what_was_left_out_has_a_line(tmp_path: Path) -> None:
    pipeline, results = measured(tmp_path, FAILING, FASTER)
    pipeline = replace(pipeline, left_out=(LeftOut("vllm", "not\x1b[31m here", asked=True), LeftOut("other", "no")))
    text = screen(pipeline, results)
    assert f"C {FAILING}: FAILED: it has no such kernel" in text
    assert "not measured: vllm: not here" in text
    assert "other" not in text


def test_without_energy_the_reason_is_told(tmp_path: Path) -> None:
    pipeline, results = measured(tmp_path)
    assert MEASURED.power is not None
    power = replace(MEASURED.power, joules_per_token=None, energy_j=None, reason="no counter can be read")
    text = screen(pipeline, [replace(result, power=power) for result in results])
    assert "energy n/a: no counter can be read" in text.replace("\n", " ")


@pytest.mark.parametrize("others", [1, 2])
def test_a_screen_of_24_lines_holds_the_baseline_and_two_others(others: int, tmp_path: Path) -> None:
    pipeline, results = measured(tmp_path, *(FASTER, "simulator:step_ms=4")[:others])
    left_out = tuple(LeftOut(f"engine{number}", "x" * 300, asked=True) for number in range(9))
    shown = screen(replace(pipeline, left_out=left_out), results)
    assert len(shown.splitlines()) <= 24
