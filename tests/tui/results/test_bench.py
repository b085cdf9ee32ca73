"""Benches that the screen queues."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from support.fake_control import FakeControl
from support.results import as_imported, make_results, write_results
from support.results_stage import StoredControl
from support.runs import simulated

from infertui.analysis.bench import Bench
from infertui.errors import UsageError
from infertui.results.details import RunDetails
from infertui.results.table import ResultQuery, ResultRow
from infertui.runner.control import Submission
from infertui.tui.notify import of_bench
from infertui.tui.results.bench import arm_names, ask_for_bench, queue_bench
from infertui.tui.results.bench_dialog import about, rounds_of

ROW = ResultRow(
    id="a", name="a run", state="finished", started="", model="m", engine="e", dtype="", device="", batch_size=1,
    input_len="", output_len=1, valid=True, seconds=10.0,
)  # fmt: skip


def submitted(control: FakeControl) -> Submission:
    (found,) = [arguments[0] for name, arguments in control.calls if name == "submit"]
    assert isinstance(found, Submission)
    return found


def test_a_bench_measures_the_configs_of_the_rows_in_turn(tmp_path: Path) -> None:
    write_results(tmp_path, 12, folders=12)
    control = StoredControl(tmp_path)

    async def scenario() -> None:
        page = await control.results(ResultQuery(str(tmp_path), filter="!state:failed", limit=2))
        await queue_bench(control, page.rows, 3, str(tmp_path))
        known = {result.id: result.own_config for result in make_results(12)}
        asked = submitted(control)
        assert (asked.title, asked.out, len(asked.variants)) == ("bench", str(tmp_path), 6)
        places = [variant.place for variant in asked.variants]
        assert all(place is not None and place.rounds == 3 for place in places)
        baseline = [variant for variant in asked.variants if variant.place and variant.place.baseline]
        expected = known[page.rows[0].id]
        assert len(baseline) == 3
        assert {one.config.workload for one in baseline} == {expected.workload}
        assert {one.config.model for one in baseline} == {expected.model}

    asyncio.run(scenario())


def test_what_was_imported_cannot_be_measured_again(tmp_path: Path) -> None:
    control = FakeControl()
    result = as_imported(next(make_results(1)), file="theirs.json")
    control.answers["details"] = RunDetails(id="a", folder="", toml="", result=result)
    with pytest.raises(UsageError, match=r"imported from theirs\.json"):
        asyncio.run(queue_bench(control, [ROW, replace(ROW, id="b")], 3, str(tmp_path)))
    assert not any(name == "submit" for name, _ in control.calls)


def test_arms_are_called_by_what_sets_them_apart() -> None:
    rows = [ROW, replace(ROW, id="b")]
    few = [simulated(workload__batch_size=1), simulated(workload__batch_size=8)]
    assert arm_names(rows, few) == ["bs=1", "bs=8"]
    assert arm_names(rows, [few[0], few[0]]) == ["a run", "a run"]  # the plan numbers them
    many = simulated(workload__batch_size=8, workload__output_len=3, workload__seed=4, measurement__iterations=9)
    assert arm_names(rows, [few[0], many]) == ["a run", "a run"]


def test_the_time_of_a_bench_is_that_of_its_runs() -> None:
    rows = [ROW, replace(ROW, id="b", seconds=20.0)]
    assert "10 runs" in about(rows, 5)
    assert "about 2:30" in about(rows, 5)
    assert "at least 0:50" in about([ROW, replace(ROW, seconds=None)], 5)
    assert about([replace(ROW, seconds=None)] * 2, 5).startswith("10 runs")


@pytest.mark.parametrize(
    ("typed", "rounds"),
    [("5", 5), ("1", 1), ("1000", 1000), *((wrong, None) for wrong in ("0", "1001", "", "x", "-3", "9" * 40, "²"))],
)
def test_rounds_are_a_whole_number(typed: str, rounds: int | None) -> None:
    assert rounds_of(typed) == rounds


def test_the_toast_says_when_no_round_counts() -> None:
    text, severity = of_bench(Bench("b", 1, 2, (), ("round 1: invalid: x",), (), ()))
    assert severity == "warning"
    assert "round 1: invalid: x" in text


def test_a_bench_of_what_was_imported_is_refused_before_anything_is_asked() -> None:
    said: list[str] = []
    app_context: Any = SimpleNamespace(say=lambda text, level="": said.append(text))
    app: Any = None  # a screen that was pushed would fail here
    ask_for_bench(app, app_context, [ROW, replace(ROW, id="theirs", flags=("imported",))], "/reports")
    assert said == ["theirs was imported: what it was measured with is not known."]
