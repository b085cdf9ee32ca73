"""How far a run is and how long it still takes, against times worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.clock import NS_PER_S
from infertui.measure.records import BatchRecord, EngineMemory, Phase, Request
from infertui.runner.events import BatchMeasured, PhaseEntered, Progressed, RunStarted
from infertui.runner.execution.progress import RunProgress


def started(iterations: int, *, output_len: int = 100, min_seconds: float = 0.0) -> RunProgress:
    progress = RunProgress()
    progress.take(RunStarted("r", "n", "f", 1, 1, iterations, output_len, 1, min_seconds=min_seconds))
    return progress


def enter(progress: RunProgress, phase: Phase) -> None:
    progress.take(PhaseEntered("r", 0, phase))


def done(progress: RunProgress, seconds: float, *, phase: Phase = "measure", error: str = "") -> None:
    assert phase in ("warmup", "measure")
    end = round(seconds * NS_PER_S)
    record = BatchRecord(
        phase, progress.measured, 0, None, None, end, None,
        (Request("", 1, 100, 0, 0, end, error=error),), EngineMemory(), error=error,
    )  # fmt: skip
    progress.take(BatchMeasured("r", record))


def step(progress: RunProgress, batch: int, at: int, phase: Phase = "measure") -> None:
    progress.take(Progressed("r", t_ns=0, phase=phase, batch=batch, step=at, tokens=at, tokens_per_s=None, resident=0))


def test_nothing_is_foretold_before_a_batch_is_measured() -> None:
    progress = started(4)
    assert (RunProgress().eta_s, RunProgress().fraction, progress.eta_s) == (None, 0.0, None)
    enter(progress, "warmup")
    done(progress, 3.0, phase="warmup")
    assert (progress.eta_s, progress.fraction) == (None, 0.0)
    enter(progress, "measure")
    step(progress, 0, 50)
    assert progress.eta_s is None
    assert progress.fraction == pytest.approx(0.125)


def test_the_time_left_is_that_of_the_batches_left_at_the_pace_so_far() -> None:
    """4 batches; the first takes 2 s, the second 4: 3 s a batch, of which two, one and three quarters, ... are left."""
    progress = started(4)
    enter(progress, "measure")
    done(progress, 2.0)
    assert (progress.fraction, progress.eta_s) == pytest.approx((0.25, 6.0))
    step(progress, 1, 50)
    assert (progress.fraction, progress.eta_s) == pytest.approx((0.375, 5.0))
    done(progress, 4.0)
    # The steps heard of last were of the batch that is done.
    assert (progress.fraction, progress.eta_s) == pytest.approx((0.5, 6.0))
    step(progress, 2, 25)
    assert (progress.fraction, progress.eta_s) == pytest.approx((0.5625, 5.25))
    step(progress, 2, 100)
    assert (progress.fraction, progress.eta_s) == pytest.approx((0.75, 3.0))
    done(progress, 3.0)
    done(progress, 3.0)
    assert (progress.fraction, progress.eta_s) == (1.0, 0.0)
    assert progress.throughput == pytest.approx(400 / 12)


def test_the_steps_of_a_warmup_are_none_of_the_measuring_and_scoring_comes_after_all_of_it() -> None:
    progress = started(2)
    enter(progress, "warmup")
    step(progress, 0, 50, phase="warmup")
    assert (progress.fraction, progress.eta_s) == (0.0, None)
    enter(progress, "measure")
    done(progress, 2.0)
    done(progress, 2.0)
    enter(progress, "score")
    assert (progress.fraction, progress.eta_s) == (1.0, 0.0)


def test_a_least_time_makes_more_batches_of_short_ones_and_none_of_long_ones() -> None:
    """2 batches and at least 5 s: of 0.4 s each there will be 13, and 12 x 0.4 s are left after the first."""
    progress = started(2, min_seconds=5.0)
    assert progress.wanted == 2
    enter(progress, "measure")
    done(progress, 0.4)
    assert progress.wanted == 13
    assert (progress.fraction, progress.eta_s) == pytest.approx((1 / 13, 4.8))
    long = started(2, min_seconds=5.0)
    enter(long, "measure")
    done(long, 6.0)
    assert (long.wanted, long.fraction) == (2, 0.5)
    assert long.eta_s == pytest.approx(6.0)


def test_a_failed_batch_takes_time_and_gives_no_tokens() -> None:
    progress = started(3)
    enter(progress, "measure")
    done(progress, 1.0, error="out of memory")
    done(progress, 1.0)
    assert progress.throughput == pytest.approx(100 / 2.0)
    assert progress.eta_s == pytest.approx(1.0)


@given(st.integers(1, 50), st.lists(st.floats(0.001, 100), min_size=1, max_size=50), st.integers(0, 100))
def test_the_parts_make_the_whole(iterations: int, seconds: list[float], at: int) -> None:
    """At a steady pace, what has passed and what is left are the same whole whenever one looks."""
    progress = started(iterations)
    enter(progress, "measure")
    for number, _ in enumerate(seconds[:iterations], 1):
        done(progress, 0.5)
        assert progress.eta_s == pytest.approx(0.5 * (iterations - number))
        if number < iterations:
            step(progress, number, at)
            assert progress.eta_s == pytest.approx(0.5 * (iterations - number - at / 100))


def test_requests_that_nothing_groups_are_counted_as_batches_are() -> None:
    """20 requests one by one: after five, which took 2 s together, 6 s are left."""
    progress = RunProgress()
    progress.take(RunStarted("r", "n", "f", 1, 1, 20, 100, 1, unit="request"))
    enter(progress, "measure")
    for _ in range(5):
        done(progress, 0.4)
    assert (progress.unit, progress.measured, progress.wanted) == ("request", 5, 20)
    assert (progress.fraction, progress.eta_s) == pytest.approx((0.25, 6.0))


def test_what_only_its_time_ends_is_nowhere_before_it_is_told_of() -> None:
    """A search begins to measure without a warm-up, and without a number of requests."""
    progress = RunProgress()
    progress.take(RunStarted("r", "n", "f", 1, 0, 0, 128, 1, min_seconds=30.0, unit="request"))
    enter(progress, "measure")
    assert (progress.fraction, progress.eta_s) == (0.0, None)
