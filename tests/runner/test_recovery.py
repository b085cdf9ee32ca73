"""What a killed runner leaves becomes an interrupted result with all that was measured."""

import os
import signal
from pathlib import Path

import msgspec
import pytest
from support.runs import measuring, requests_of, run, simulated

from infertui.measure.records import BatchRecord
from infertui.measure.summary import summarise
from infertui.runner.events import AnyRunEvent, BatchMeasured
from infertui.runner.recovery import batches_of, recover
from infertui.store.result import Result
from infertui.store.runs import BEGUN, Store


def results(out: Path) -> list[Result]:
    return Store(out).results(warn=lambda text: pytest.fail(text))


def test_a_killed_run_is_recovered_with_what_it_measured(tmp_path: Path) -> None:
    sets = ("engine.name=simulator", "measurement.iterations=100000", "measurement.warmup=0")
    with measuring(*(word for value in sets for word in ("--set", value)), cwd=tmp_path) as process:
        out = tmp_path / "reports"
        assert recover(Store(out)) == [], "it lives: hands off"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (recovered,) = recover(Store(out))
    assert recovered.state == "interrupted"
    assert recovered.summary.iterations >= 1
    assert recovered.summary.iterations <= len(requests_of(out, recovered.id)) <= recovered.summary.iterations + 1
    assert recovered.summary.output_throughput is not None
    assert recovered.fingerprint.config_hash
    assert results(out) == [recovered]
    assert msgspec.json.decode((out / recovered.id / "result.json").read_bytes(), type=Result) == recovered
    assert recover(Store(out)) == [], "once"


def test_figures_from_lines_are_those_from_batches(tmp_path: Path) -> None:
    measured: list[BatchRecord] = []

    def take(event: AnyRunEvent) -> None:
        if isinstance(event, BatchMeasured) and event.batch.phase == "measure":
            measured.append(event.batch)

    config = simulated(workload__batch_size=3, engine__simulator__jitter_ms=2.0, measurement__iterations=4)
    (result,), _ = run(config, out=tmp_path, on_event=take)
    again = summarise(batches_of(requests_of(tmp_path, result.id)))
    before = summarise(measured)
    assert again.iterations == before.iterations == 4
    assert again.output_throughput == pytest.approx(before.output_throughput, rel=1e-6)
    assert again.ttft is not None
    assert before.ttft is not None
    assert again.ttft.p50 == pytest.approx(before.ttft.p50, rel=1e-6)
    assert again.itl == before.itl


def test_a_batch_that_was_cut_within_its_lines_does_not_count(tmp_path: Path) -> None:
    (result,), _ = run(simulated(workload__batch_size=2), out=tmp_path)
    lines = requests_of(tmp_path, result.id)
    assert len(batches_of(lines[:-1])) == 2


def test_nothing_is_left_behind_by_a_run_that_ended(tmp_path: Path) -> None:
    (result,), _ = run(simulated(), out=tmp_path)
    assert not (tmp_path / result.id / BEGUN).exists()
    assert recover(Store(tmp_path)) == []


def test_a_file_that_says_nothing_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / BEGUN).write_text("{")
    assert recover(Store(tmp_path)) == []
