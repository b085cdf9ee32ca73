"""`infertui recompute`: what it says, and that it changes nothing unless it may."""

from pathlib import Path

import msgspec
from msgspec.structs import replace
from support.runs import infertui, run, simulated

from infertui.results.result import Result
from infertui.results.runs import Store


def test_it_says_figure_by_figure_what_changes_and_changes_it_once(tmp_path: Path) -> None:
    (result,), _ = run(simulated(measurement__iterations=4), out=tmp_path)
    store, truth = Store(tmp_path), result.summary.output_throughput
    assert truth is not None
    store.supersede(result, replace(result, summary=replace(result.summary, output_throughput=2 * truth)))
    index = store.index.read_bytes()

    would = infertui("recompute", "--out", str(tmp_path), "--dry-run", cwd=tmp_path)
    assert would.returncode == 0
    assert f"summary.output_throughput  {2 * truth:.6g} -> {truth:.6g}" in would.stdout
    assert would.stdout.splitlines()[-1] == "1 would change, 0 as they were, 0 cannot be recomputed"
    assert store.index.read_bytes() == index

    done = infertui("recompute", result.id, "--out", str(tmp_path), cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "1 recomputed, 0 as they were, 0 cannot be recomputed"
    kept = msgspec.json.decode(store.index.read_bytes(), type=Result)
    assert kept.summary.output_throughput == truth
    assert kept.recomputed is not None
    assert kept.recomputed.changed == ("summary.output_throughput",)
    again = infertui("recompute", "--out", str(tmp_path), cwd=tmp_path)
    assert again.stdout.splitlines()[-1] == "0 recomputed, 1 as they were, 0 cannot be recomputed"


def test_a_folder_without_results_is_one_clear_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        done = infertui("recompute", "--out", str(folder), cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"there are no results in {folder}" in done.stderr
    assert not (tmp_path / "missing").exists()


def test_a_run_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    Store(tmp_path).index.touch()
    done = infertui("recompute", "nobody", "--out", str(tmp_path), cwd=tmp_path)
    assert done.returncode != 0
    assert "there is no result 'nobody'" in done.stderr
    assert "Traceback" not in done.stderr
