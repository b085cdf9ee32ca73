"""The whole path from engine to file, against exactly known timings: what is reported is what was injected."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.runs import requests_of, run, simulated

from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.runner.events import BatchMeasured
from infertui.runner.execution.progress import RunProgress


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_figure_is_the_injected_one(tmp_path: Path, batch_size: int) -> None:
    config = simulated(
        engine__simulator__ttft_ms=50.0,
        engine__simulator__step_ms=10.0,
        workload__batch_size=batch_size,
        workload__output_len=11,
        measurement__iterations=5,
    )
    (result,), _ = run(config, out=tmp_path)
    assert result.state == "finished"
    assert result.verdict.valid

    records = requests_of(tmp_path, result.id)
    assert len(records) == 5 * batch_size
    for record in records:
        assert record.ttft == pytest.approx(0.050)
        assert record.tpot == pytest.approx(0.010)
        assert record.latency == pytest.approx(0.150)
        assert record.tps == pytest.approx(11 / 0.150)
        assert record.tokens == 11
        assert record.itl is not None
        assert (record.itl.count, record.itl.minimum, record.itl.maximum) == (10, 0.010, 0.010)
        assert record.latency == pytest.approx((record.ttft or 0) + 10 * (record.tpot or 0))
    assert [record.start for record in records[::batch_size]] == pytest.approx([0.15 * n for n in range(5)])
    assert [record.batch for record in records] == [n for n in range(5) for _ in range(batch_size)]

    summary = result.summary
    assert summary.output_throughput == pytest.approx(batch_size * 11 / 0.150)
    assert summary.output_throughput_interval is not None
    assert summary.output_throughput_interval.low == pytest.approx(summary.output_throughput)
    assert summary.output_tokens == 5 * 11 * batch_size
    assert summary.measured_s == pytest.approx(0.75)
    assert summary.drift == pytest.approx(0)
    assert summary.ttft is not None
    assert summary.ttft.n == 5
    assert summary.ttft.std == pytest.approx(0)
    assert result.phases["warmup"] == pytest.approx(0.150)
    assert result.phases["measure"] == pytest.approx(0.750)


def test_load_time_is_a_phase_of_its_own(tmp_path: Path) -> None:
    (result,), _ = run(simulated(engine__simulator__load_ms=1234.0), out=tmp_path)
    assert result.phases["load"] == pytest.approx(1.234)
    assert list(result.phases) == ["spawn", "load", "warmup", "measure"]


def test_jitter_is_seen_in_full(tmp_path: Path) -> None:
    config = simulated(
        engine__simulator__step_ms=10.0,
        engine__simulator__jitter_ms=5.0,
        workload__output_len=200,
        measurement__iterations=10,
    )
    (result,), _ = run(config, out=tmp_path)
    gaps = result.summary.itl
    assert gaps is not None
    assert gaps.count == 10 * 199
    assert gaps.minimum is not None
    assert gaps.maximum is not None
    assert 0.010 <= gaps.minimum < 0.0101
    assert 0.0149 < gaps.maximum <= 0.015
    # A uniform draw from 0 to 5 ms: mean 2.5 ms, standard error 1.44 ms / sqrt(1990).
    assert gaps.mean == pytest.approx(0.0125, abs=4 * 0.00144 / 1990**0.5)
    assert gaps.p50 == pytest.approx(0.0125, rel=0.03)
    assert gaps.p90 == pytest.approx(0.0145, rel=0.03)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ttft_ms=st.floats(0.001, 60_000),
    step_ms=st.floats(0.001, 60_000),
    tokens=st.integers(1, 300),
    batch_size=st.integers(1, 8),
    iterations=st.integers(1, 6),
)
def test_whatever_is_injected_is_reported(
    tmp_path: Path, ttft_ms: float, step_ms: float, tokens: int, batch_size: int, iterations: int
) -> None:
    config = simulated(
        engine__simulator__ttft_ms=ttft_ms,
        engine__simulator__step_ms=step_ms,
        workload__output_len=tokens,
        workload__batch_size=batch_size,
        measurement__iterations=iterations,
    )
    (result,), _ = run(config, out=tmp_path)
    seconds = (ttft_ms + (tokens - 1) * step_ms) / 1000
    assert result.summary.output_throughput == pytest.approx(batch_size * tokens / seconds, rel=1e-3)
    assert result.summary.latency is not None
    assert result.summary.latency.mean == pytest.approx(seconds, rel=1e-3)
    if tokens > 1:
        assert result.summary.tpot is not None
        assert result.summary.tpot.mean == pytest.approx(step_ms / 1000, rel=1e-3)
    else:
        assert result.summary.tpot is None


def test_injected_failures_are_counted_and_left_out(tmp_path: Path) -> None:
    config = simulated(
        engine__simulator__fail_every=3,
        engine__simulator__ttft_ms=100.0,
        workload__output_len=1,
        workload__batch_size=2,
        measurement__warmup=0,
        measurement__iterations=6,
    )
    (result,), _ = run(config, out=tmp_path)
    assert result.summary.failed == 4
    assert result.summary.requests == 12
    assert result.summary.output_throughput == pytest.approx(2 / 0.1)
    assert not result.verdict.valid
    assert "2 of 6 batches failed" in result.verdict.invalid[0]
    records = requests_of(tmp_path, result.id)
    assert [bool(record.error) for record in records] == [False] * 4 + [True] * 2 + [False] * 4 + [True] * 2


def test_an_output_that_falls_short_is_invalid(tmp_path: Path) -> None:
    (result,), _ = run(simulated(engine__simulator__short_by=3, workload__output_len=10), out=tmp_path)
    assert result.state == "finished"
    assert not result.verdict.valid
    assert "7 tokens where 10 were asked for" in result.verdict.invalid[0]


def test_max_seconds_ends_between_batches(tmp_path: Path) -> None:
    config = simulated(
        engine__simulator__ttft_ms=1000.0,
        workload__output_len=1,
        measurement__iterations=100,
        measurement__max_seconds=2.5,
    )
    (result,), _ = run(config, out=tmp_path)
    assert result.summary.iterations == 3
    assert any("stopped early" in note for note in result.verdict.notes)


def test_min_seconds_adds_batches_and_max_seconds_limits_them(tmp_path: Path) -> None:
    """Batches of 1 s each: two are asked for, and 4.5 s are measured by five of them."""
    longer = {"engine__simulator__ttft_ms": 1000.0, "workload__output_len": 1, "measurement__min_seconds": 4.5}
    config = simulated(**longer, measurement__iterations=2)
    (result,), events = run(config, out=tmp_path)
    assert result.summary.iterations == 5
    assert result.verdict.valid
    assert not any("stopped early" in note for note in result.verdict.notes)
    progress = RunProgress()
    left: list[float | None] = []
    for event in events:
        progress.take(event)
        if isinstance(event, BatchMeasured) and event.batch.phase == "measure":
            assert progress.wanted == 5
            left.append(progress.eta_s)
    assert left == pytest.approx([4.0, 3.0, 2.0, 1.0, 0.0])
    assert len({record.batch for record in requests_of(tmp_path, result.id)}) == 5
    (enough,), _ = run(simulated(**longer, measurement__iterations=7), out=tmp_path)
    assert enough.summary.iterations == 7
    (limited,), _ = run(simulated(**longer, measurement__iterations=2, measurement__max_seconds=2.5), out=tmp_path)
    assert limited.summary.iterations == 3
    assert limited.verdict.valid


def test_the_index_holds_what_was_returned(tmp_path: Path) -> None:
    results, _ = run(simulated(), simulated(workload__batch_size=2), out=tmp_path)
    assert Store(tmp_path).results(warn=lambda text: pytest.fail(text)) == results
    for result in results:
        kept = msgspec.json.decode((tmp_path / result.id / "result.json").read_bytes(), type=Result)
        assert kept == result
