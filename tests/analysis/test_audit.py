"""Lengths, arrivals and concurrency of logs whose truth is known by hand, or by NumPy."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.analysis.audit import audit, lengths
from infertui.load.log_entry import LogEntry


def test_lengths_by_hand() -> None:
    found = lengths(list(range(1, 101)), "tokens")
    assert (found.p50, found.p90, found.p99, found.least, found.most, found.mean) == (50, 90, 99, 1, 100, 50.5)
    assert (found.bins[0], found.bins[-1][1]) == ((1, 9, 9), 100)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60))
def test_every_length_is_in_one_bin(values: list[int]) -> None:
    found = lengths(values, "tokens")
    assert sum(count for _, _, count in found.bins) == len(values)
    assert (found.bins[0][0], found.bins[-1][1]) == (min(values), max(values))
    assert len(found.bins) <= 14
    assert all(high + 1 == low for (_, high, _), (low, _, _) in zip(found.bins, found.bins[1:], strict=False))
    for percentile, value in ((50, found.p50), (90, found.p90), (99, found.p99)):
        assert value == np.percentile(values, percentile, method="inverted_cdf")


def test_a_clock_and_a_poisson_process_are_told_apart() -> None:
    clock = audit(LogEntry(at=1000 + 0.25 * at) for at in range(40)).arrivals
    assert clock is not None
    assert (clock.rate, clock.burstiness) == pytest.approx((4.0, 0.0), abs=1e-9)
    assert clock.peak == 4
    draw, at, times = random.Random(7), 0.0, list[float]()
    for _ in range(4000):
        at += draw.expovariate(10.0)
        times.append(at)
    draw.shuffle(times)  # a log need not be in order
    poisson = audit(LogEntry(at=one) for one in times).arrivals
    assert poisson is not None
    gaps = np.diff(sorted(times))
    assert poisson.burstiness == pytest.approx(float(gaps.std(ddof=1) / gaps.mean()))
    assert poisson.burstiness == pytest.approx(1.0, abs=0.1)
    assert poisson.rate == pytest.approx(10.0, rel=0.1)


def test_concurrency_by_hand() -> None:
    """From 0 to 2, 1 to 4 and 4 to 5: two at once at most, 6 seconds of work in 5."""
    found = audit([LogEntry(at=0.0, duration=2.0), LogEntry(at=4.0, duration=1.0), LogEntry(at=1.0, duration=3.0)])
    assert found.concurrency is not None
    assert found.concurrency.most == 2
    assert found.concurrency.mean == pytest.approx(1.2)
    assert found.concurrency.duration_p50 == 2.0


def test_characters_are_never_mixed_with_tokens() -> None:
    texts = [LogEntry(prompt="abc"), LogEntry(prompt="defgh"), LogEntry(prompt_tokens=7)]
    found = audit(texts).prompts
    assert found is not None
    assert (found.unit, found.count, found.most) == ("characters", 2, 5)
    counted = audit(texts, lambda text: len(text) // 2).prompts
    assert counted is not None
    assert (counted.unit, counted.count, counted.most) == ("tokens", 3, 7)


def test_nothing_told_is_not_available() -> None:
    assert audit([]).entries == 0
    one = audit([LogEntry(prompt="a", at=5.0)])
    assert (one.arrivals, one.concurrency, one.outputs) == (None, None, None)
    same = audit([LogEntry(at=5.0), LogEntry(at=5.0)]).arrivals
    assert same is not None
    assert (same.rate, same.burstiness, same.peak) == (None, None, 2)


@given(st.lists(st.tuples(st.floats(0, 1e9), st.none() | st.floats(0, 1e4)), max_size=40))
def test_no_times_are_too_odd(times: list[tuple[float, float | None]]) -> None:
    found = audit(LogEntry(at=at, duration=lasted) for at, lasted in times)
    if found.arrivals is not None:
        assert 1 <= found.arrivals.peak <= len(times)
        assert found.arrivals.burstiness is None or math.isfinite(found.arrivals.burstiness)
    if found.concurrency is not None:
        assert 1 <= found.concurrency.most <= found.concurrency.count


def test_whole_seconds_tell_how_even_long_gaps_are_and_not_short_ones() -> None:
    draw, at, times = random.Random(3), 1.7e9, list[float]()
    for _ in range(2000):
        at += draw.expovariate(10.0)
        times.append(float(int(at)))
    rounded = audit(LogEntry(at=one) for one in times).arrivals
    assert rounded is not None
    assert (rounded.coarse, rounded.burstiness, rounded.gap_p50) == (True, None, None)
    assert rounded.rate == pytest.approx(10.0, rel=0.1)
    even = audit(LogEntry(at=1.7e9 + 5 * at) for at in range(10)).arrivals
    assert even is not None
    assert (even.coarse, even.burstiness, even.gap_p50) == (False, 0.0, 5.0)


def test_stamps_of_two_clocks_have_no_gap_between_them() -> None:
    found = audit(LogEntry(at=at, duration=1.0) for at in (1.0, 2.0, 1.7e9, 1.7e9 + 4, 1.7e9 + 8)).arrivals
    assert found is not None
    assert (found.count, found.span_s, found.own_clock) == (3, 8.0, False)
