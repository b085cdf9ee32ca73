"""Labels, contests and what is said of them."""

from pathlib import Path

import msgspec
import pytest
from support.kept import RUNS
from support.reported import gathered, made, stored
from support.results import as_imported

from infertui.config.sweep import Place
from infertui.measure.quality import Quality
from infertui.measure.validity import Verdict
from infertui.report.charts.bars import Bars
from infertui.report.charts.build import charts
from infertui.report.data import subjects
from infertui.report.document import Callout, ReportTable
from infertui.report.sections import cautions, compose, verdict
from infertui.results.result import Result

H200 = Path("reports/h200-engines")


def modes() -> list[Result]:
    """TinyLlama at batch 1: fused CUDA graph, the library's step captured, eager."""
    found = [result for result in stored(H200) if result.own_config.labels.get("table") == "modes"]
    return [r for r in found if "1.1b" in r.own_config.model.id and r.own_config.workload.batch_size == 1]


def said(results: list[Result], **options: str) -> list[str]:
    section = verdict(gathered(RUNS, results, **options))
    return [block.text for block in section.blocks if isinstance(block, Callout)]


def test_labels_tell_the_runs_of_a_workload_apart_and_nothing_more() -> None:
    labels = [subject.label for subject in subjects(modes())]
    assert len(set(labels)) == len(labels)
    assert any("eager" in label for label in labels)
    assert not any("sdpa" in label or "bs=1" in label or "float" in label for label in labels), labels


def test_the_fastest_valid_run_wins_and_the_lead_is_the_comparisons() -> None:
    results = modes()
    eager = next(r for r in results if r.effective and r.effective.settings["mode"] == "eager")
    fast = max(results, key=lambda result: result.summary.output_throughput or 0.0)
    (text,) = said(results, baseline=eager.id)
    assert f"is the fastest of {len(results)} valid runs" in text
    ratio = (fast.summary.output_throughput or 0) / (eager.summary.output_throughput or 1)
    assert f"{ratio:.1f}x as high (" in text
    # The same, were the fastest invalid: it cannot win, and is named among what has to be known first.
    broken = msgspec.structs.replace(fast, verdict=Verdict(invalid=("the GPU was throttled: hw-thermal",)))
    others = [broken if result is fast else result for result in results]
    (text,) = said(others, baseline=eager.id)
    assert f"is the fastest of {len(results) - 1} valid runs" in text
    warned = cautions(gathered(H200, others))
    assert warned is not None
    assert "hw-thermal" in str(warned)


@pytest.mark.parametrize("benched", [False, True])
def test_why_a_run_is_invalid_is_told_among_the_cautions_and_with_the_run_and_else_referred_to(benched: bool) -> None:
    results = modes()
    broken = msgspec.structs.replace(results[0], verdict=Verdict(invalid=("the GPU was hot",)))
    if benched:
        broken = msgspec.structs.replace(broken, bench=Place("bench-1", "eager", 1, 1, baseline=True))
    document = compose(gathered(H200, [broken, *results[1:]]), [], title="t", date="d")
    found = {section.key: str(section).count("the GPU was hot") for section in document.sections}
    assert {name: count for name, count in found.items() if count} == {"cautions": 1, "each": 1}
    told = {section.key: str(section) for section in document.sections}
    assert ("is invalid: see 'Before you believe it'" in told.get("benches", "")) == benched


def test_a_run_and_its_twin_are_not_told_apart() -> None:
    one = modes()[0]
    (text,) = said([one, msgspec.structs.replace(one, name="the same")])
    assert "equal within 2%" in text or "It is the baseline" in text


def test_runs_of_other_workloads_are_not_ranked_against_each_other() -> None:
    results = [result for result in stored(H200) if "gpt2" in result.own_config.model.id][:3]
    section = verdict(gathered(H200, results))
    texts = [block.text for block in section.blocks if isinstance(block, Callout)]
    assert len(texts) == 3
    assert all("nothing to compare it with" in text for text in texts)


def rows_of(results: list[Result]) -> list[list[str]]:
    """The summary of the workloads, by its cells."""
    (table,) = [block for block in verdict(gathered(H200, results)).blocks if isinstance(block, ReportTable)]
    return [[cell.text for cell in row] for row in table.rows]


def test_each_workload_has_its_own_winner_and_none_is_dropped() -> None:
    """Three modes of TinyLlama, and a run of GPT-2 by itself that is faster than all of them."""
    alone = max(
        (r for r in stored(H200) if "gpt2" in r.own_config.model.id), key=lambda r: r.summary.output_throughput or 0.0
    )
    results = [*modes()[:3], alone]
    fast = max(modes()[:3], key=lambda result: result.summary.output_throughput or 0.0)
    assert (alone.summary.output_throughput or 0) > (fast.summary.output_throughput or 0)
    texts = said(results)
    assert len(texts) == 2
    assert "is the fastest of 3 valid runs" in texts[0]
    assert "Run 4, " in texts[1]
    rows = rows_of(results)
    assert [row[1] for row in rows] == ["3", "1"]
    assert rows[0][3].startswith(f"run {results.index(fast) + 1}, ")
    assert rows[1][3].startswith("run 4, ")
    assert rows[1][5] == "the only run"


def test_the_summary_lists_every_workload_however_many() -> None:
    results = []
    for number in range(23):
        for one in modes()[: 2 if number % 2 else 1]:
            workload = msgspec.structs.replace(one.own_config.workload, output_len=100 + number)
            config = msgspec.structs.replace(one.own_config, workload=workload)
            results.append(msgspec.structs.replace(one, config=config))
    rows = rows_of(results)
    assert len(rows) == 23
    assert {f"{100 + number} out" for number in range(23)} == {row[0].rpartition(", ")[2] for row in rows}
    # One that is invalid is listed too, and said to have no winner.
    broken = msgspec.structs.replace(results[0], verdict=Verdict(invalid=("hot",)))
    (row,) = [row for row in rows_of([broken, *results[1:]]) if row[0].endswith(" 100 out")]
    assert row[2:4] == ["0", "none"]


def test_an_imported_run_is_marked_and_what_it_does_not_tell_is_not_invented(tmp_path: Path) -> None:
    one = as_imported(modes()[0], "model.id", "workload.batch_size", "workload.input_len")
    material = gathered(H200, [one, *modes()[1:]])
    assert material.contests[-1].workload.startswith("n/a, batch n/a, n/a in")
    assert [subject.number for subject in material.contests[-1].subjects] == [1]
    warned = cautions(material)
    assert warned is not None
    assert "imported from x.jsonl, and not measured here" in str(warned)


def test_a_winner_that_says_something_else_is_marked() -> None:
    fast = max(modes(), key=lambda result: result.summary.output_throughput or 0.0)
    beyond = msgspec.structs.replace(fast, quality=Quality(beyond=("61 % of the tokens are equal, below 90 %",)))
    material = gathered(H200, [beyond if result.id == fast.id else result for result in modes()])
    (block,) = [block for block in verdict(material).blocks if isinstance(block, Callout)]
    assert block.level == "warning"
    assert "61 % of the tokens" in block.text


def test_nothing_but_failures_is_said_loudly(tmp_path: Path) -> None:
    failed = [result for result in made(tmp_path, 60) if result.state == "failed"]
    assert failed
    (block,) = verdict(gathered(tmp_path, failed)).blocks
    assert isinstance(block, Callout)
    assert block.level == "bad"


@pytest.mark.parametrize("rounds", [3])
def test_a_bench_is_judged_by_its_pairs(rounds: int) -> None:
    results = modes()
    eager = next(r for r in results if r.effective and r.effective.settings["mode"] == "eager")
    fast = max(results, key=lambda result: result.summary.output_throughput or 0.0)
    placed = []
    for number in range(rounds):
        for arm, result in (("eager", eager), ("fused", fast)):
            place = Place("bench-1", arm, number, rounds, baseline=arm == "eager")
            placed.append(msgspec.structs.replace(result, id=f"{result.id}-{number}", bench=place))
    material = gathered(H200, placed)
    (block,) = [block for block in verdict(material).blocks if isinstance(block, Callout)]
    assert block.head.startswith("fused against eager: throughput")
    assert "x as high" in block.head
    assert "bench-1" in block.text
    assert [subject.label.split(", ")[0] for subject in material.subjects][:2] == ["eager round 1", "fused round 1"]
    drawn = next(chart.data for chart in charts(material) if chart.figure.name == "throughput")
    assert isinstance(drawn, Bars)
    grey = {bar.label.split()[0]: bar.baseline for panel in drawn.panels for bar in panel.bars}
    assert grey == {"eager": True, "fused": False}
    assert all(not contest.entrants for contest in material.contests)
