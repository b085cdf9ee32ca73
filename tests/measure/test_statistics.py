import itertools
import math
import random
import statistics
import tracemalloc
from collections.abc import Sequence
from fractions import Fraction

import numpy  # noqa: F401, ICN001 (imported in the first test, it would take the time that one has)
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.statistics import Interval, describe, ratio_bounds, samples_needed

FORTIETH = Fraction(1, 40)  # 2.5 %: what an equal-tailed 95 % interval leaves out on each side
amounts = st.floats(1e-3, 1e3)


def bounds_quantile(n: int, quantile: Fraction) -> bool:
    """Whether two order statistics of n observations bound the quantile with at most 2.5 % outside on each side.

    The number of observations below a quantile is binomial, so every candidate pair is tried with exact numbers.
    """
    below = [math.comb(n, k) * quantile**k * (1 - quantile) ** (n - k) for k in range(n + 1)]
    # The interval from the r-th smallest observation misses when fewer than r lie below the quantile, and so on up.
    lower = any(outside <= FORTIETH for outside in itertools.accumulate(below[:-1]))
    upper = any(outside <= FORTIETH for outside in itertools.accumulate(reversed(below[1:])))
    return lower and upper


@pytest.mark.parametrize(
    ("percentile", "needed"), [(50, 6), (90, 36), (95, 72), (99, 368), (10, 36), (5, 72), (1, 368), (99.9, 3688)]
)
def test_samples_needed(percentile: float, needed: int) -> None:
    assert samples_needed(percentile) == needed


@pytest.mark.parametrize("percentile", [50, 90, 95, 99])
def test_one_sample_fewer_is_not_enough(percentile: int) -> None:
    needed, quantile = samples_needed(percentile), Fraction(percentile, 100)
    assert bounds_quantile(needed, quantile)
    assert not bounds_quantile(needed - 1, quantile)


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=60))
def test_describe_agrees_with_the_standard_library(values: list[float]) -> None:
    found = describe(values)
    assert found is not None
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    assert found.n == len(values)
    assert found.mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-6)
    assert found.std == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-6)
    assert found.median == found.p50 == pytest.approx(statistics.median(values), rel=1e-9, abs=1e-6)
    assert (found.minimum, found.maximum) == (min(values), max(values))
    assert [found.p90, found.p95, found.p99] == pytest.approx([cuts[89], cuts[94], cuts[98]], rel=1e-9, abs=1e-6)


def test_describe_without_enough_values() -> None:
    assert describe([]) is None
    single = describe([2.5])
    assert single is not None
    assert single.std is None
    assert {single.mean, single.median, single.minimum, single.maximum, single.p99} == {2.5}
    assert single.supported == ()


@pytest.mark.parametrize(
    ("n", "supported"),
    [
        (5, ()),
        (6, ("p50",)),
        (35, ("p50",)),
        (36, ("p50", "p90")),
        (72, ("p50", "p90", "p95")),
        (367, ("p50", "p90", "p95")),
        (368, ("p50", "p90", "p95", "p99")),
    ],
)
def test_supported_percentiles(n: int, supported: tuple[str, ...]) -> None:
    alone = describe([1.0] * n)
    assert alone is not None
    assert alone.supported == supported
    # The requests of a static batch are no observations of their own.
    shared = describe([1.0] * 8 * n, independent=n)
    assert shared is not None
    assert (shared.n, shared.supported) == (n, supported)


def ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return sum(top for top, _ in pairs) / sum(bottom for _, bottom in pairs)


def interval_over(tops: Sequence[float], bottoms: Sequence[float]) -> Interval | None:
    return ratio_bounds(tops, bottoms).interval


def interval_of(pairs: Sequence[tuple[float, float]]) -> Interval:
    found = interval_over([top for top, _ in pairs], [bottom for _, bottom in pairs])
    assert found is not None
    return found


@given(st.lists(st.tuples(amounts, amounts), min_size=3, max_size=9))
def test_the_interval_contains_what_was_measured(pairs: list[tuple[float, float]]) -> None:
    found, point = interval_over([top for top, _ in pairs], [bottom for _, bottom in pairs]), ratio(pairs)
    if found is not None:  # six pairs as far apart as 1e6 make no number
        assert 0 <= found.low <= point * (1 + 1e-9)
        assert found.high >= point * (1 - 1e-9)


@given(st.lists(st.tuples(st.floats(1, 2), st.floats(1, 2)), min_size=3, max_size=40), amounts)
def test_the_interval_scales_with_its_unit(pairs: list[tuple[float, float]], factor: float) -> None:
    tops, bottoms = [top for top, _ in pairs], [bottom for _, bottom in pairs]
    found, scaled = interval_over(tops, bottoms), interval_over([top * factor for top in tops], bottoms)
    assert (found is None) == (scaled is None)
    if found is not None and scaled is not None:
        assert (scaled.low, scaled.high) == pytest.approx((found.low * factor, found.high * factor), rel=1e-6)


@given(amounts, amounts, st.integers(3, 300))
def test_constant_iterations_leave_no_doubt(top: float, bottom: float, n: int) -> None:
    found = interval_of([(top, bottom)] * n)
    assert (found.low, found.high) == pytest.approx((top / bottom, top / bottom))


@pytest.mark.parametrize("pairs", [[], [(1.0, 1.0)], [(1.0, 1.0), (2.0, 1.0)]])
def test_two_iterations_give_no_interval(pairs: list[tuple[float, float]]) -> None:
    assert interval_over([top for top, _ in pairs], [bottom for _, bottom in pairs]) is None


@pytest.mark.parametrize("seconds", [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
def test_iterations_that_took_no_time_give_no_interval(seconds: list[float]) -> None:
    assert interval_over([10.0] * len(seconds), seconds) is None


def test_what_no_measurement_can_give_has_no_interval() -> None:
    assert interval_over([1.7e308] * 5, [1.0] * 5) is None, "their sum is no number"
    assert interval_over([0.0] * 5, [1.0] * 5) is None


def test_the_interval_is_students_where_iterations_are_few() -> None:
    """By SciPy: five times of which the mean's standard error is small, so that a ratio is as good as linear."""
    seconds = [14.961568347, 14.963469597, 14.969470163, 14.977706993, 14.982642293]
    rates = [1280 / time for time in seconds]
    error = scipy.stats.sem(rates)
    low, high = scipy.stats.t.interval(0.95, len(rates) - 1, statistics.fmean(rates), error)
    found = interval_of([(1280.0, time) for time in seconds])
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6)


def test_a_long_run_is_summed_up_in_little_memory() -> None:
    n = 200_000
    draw = random.Random(4)
    seconds = [draw.choice((1.0, 3.0)) for _ in range(n)]
    tracemalloc.start()
    try:
        found = interval_over([10.0] * n, seconds)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    # By hand: the mean time is 2 with standard deviation 1, so that the ratio's error is 1 / 2 / sqrt(n) of it.
    assert math.log(found.high / found.low) / 2 == pytest.approx(1.97 * 0.5 / math.sqrt(n), rel=0.25)
    assert found.low < 5 * 1.01
    assert peak < 32 * 2**20
