import itertools
import math
import random
import statistics
import tracemalloc
from collections.abc import Sequence
from fractions import Fraction

import numpy  # noqa: F401, ICN001 (imported in the first test, it would take the time that one has)
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.statistics import NORMAL_FROM, Interval, bootstrap_ratio, describe, drift, samples_needed

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


def interval_of(pairs: Sequence[tuple[float, float]], *, seed: int = 0) -> Interval:
    found = bootstrap_ratio([top for top, _ in pairs], [bottom for _, bottom in pairs], seed=seed)
    assert found is not None
    return found


@given(st.lists(st.tuples(amounts, amounts), min_size=3, max_size=30))
def test_the_interval_contains_what_was_measured(pairs: list[tuple[float, float]]) -> None:
    found, point = interval_of(pairs), ratio(pairs)
    assert found.low <= point * (1 + 1e-9)
    assert found.high >= point * (1 - 1e-9)


@given(st.lists(st.tuples(amounts, amounts), min_size=3, max_size=12), amounts)
def test_the_interval_scales_with_its_unit(pairs: list[tuple[float, float]], factor: float) -> None:
    found, scaled = interval_of(pairs), interval_of([(top * factor, bottom) for top, bottom in pairs])
    assert (scaled.low, scaled.high) == pytest.approx((found.low * factor, found.high * factor), rel=1e-9)


@given(amounts, amounts, st.integers(3, 50))
def test_constant_iterations_leave_no_doubt(top: float, bottom: float, n: int) -> None:
    found = interval_of([(top, bottom)] * n)
    assert found.low == found.high == pytest.approx(top / bottom)


def test_the_interval_is_the_same_for_a_seed() -> None:
    pairs = noisy_iterations(random.Random(1), 15)
    assert interval_of(pairs) == interval_of(pairs)
    assert interval_of(pairs, seed=1) != interval_of(pairs, seed=2)
    assert interval_of(pairs, seed=1).low == pytest.approx(interval_of(pairs, seed=2).low, rel=0.01)


@pytest.mark.parametrize("pairs", [[], [(1.0, 1.0)], [(1.0, 1.0), (2.0, 1.0)]])
def test_two_iterations_give_no_interval(pairs: list[tuple[float, float]]) -> None:
    assert bootstrap_ratio([top for top, _ in pairs], [bottom for _, bottom in pairs]) is None


@pytest.mark.parametrize("seconds", [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
def test_iterations_that_took_no_time_give_no_interval(seconds: list[float]) -> None:
    assert bootstrap_ratio([10.0] * len(seconds), seconds) is None


def noisy_iterations(generator: random.Random, n: int) -> list[tuple[float, float]]:
    """Tokens and seconds of iterations whose true throughput is 100: sizes vary, and the time is skewed."""
    sizes = [generator.choice((50.0, 100.0, 200.0)) for _ in range(n)]
    return [(size, size / 100 * (0.9 + generator.expovariate(10))) for size in sizes]


def test_the_interval_covers_the_truth_as_often_as_it_claims() -> None:
    generator = random.Random(7)
    repetitions = 400
    found = [interval_of(noisy_iterations(generator, 40), seed=seed) for seed in range(repetitions)]
    covered = sum(interval.low <= 100 <= interval.high for interval in found)
    assert 0.91 <= covered / repetitions <= 0.98
    missed_low = sum(interval.high < 100 for interval in found)
    missed_high = sum(interval.low > 100 for interval in found)
    assert min(missed_low, missed_high) > 0


def test_four_times_the_iterations_halve_the_interval() -> None:
    generator = random.Random(3)

    def width(n: int) -> float:
        intervals = [interval_of(noisy_iterations(generator, n), seed=seed) for seed in range(30)]
        return statistics.fmean(interval.high - interval.low for interval in intervals)

    widths = [width(n) for n in (15, 60, 240)]
    for wide, narrow in itertools.pairwise(widths):
        assert wide / narrow == pytest.approx(2, rel=0.2)


def test_a_long_run_does_not_fill_the_memory() -> None:
    n = 20_000
    tracemalloc.start()
    try:
        found = bootstrap_ratio([10.0] * n, [0.1, 0.3] * (n // 2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    assert found.low < 50 < found.high
    assert peak < 128 * 2**20


@pytest.mark.parametrize(
    ("values", "change"),
    [
        ([1.0, 1.0, 2.0, 2.0], 1.0),
        ([2.0, 2.0, 1.0, 1.0], -0.5),
        ([3.0] * 9, 0.0),
        ([1.0, 1.0, 1000.0, 1.1, 1.1], 0.1),  # the middle belongs to neither half
        ([0.0, 0.0, 1.0, 1.0], None),
        ([1.0, 1.0, 0.0, 0.0], -1.0),
        ([1.0, 2.0, 3.0], None),
        ([], None),
    ],
)
def test_drift(values: list[float], change: float | None) -> None:
    assert drift(values) == (None if change is None else pytest.approx(change))


@given(st.lists(st.integers(1, 10**6), min_size=4, max_size=50, unique=True))
def test_drift_has_the_sign_of_the_movement(values: list[int]) -> None:
    rising, falling = drift(sorted(values)), drift(sorted(values, reverse=True))
    assert rising is not None
    assert falling is not None
    assert rising > 0 > falling
    assert (1 + rising) * (1 + falling) == pytest.approx(1)


def test_of_very_many_iterations_the_interval_is_that_of_the_resamples() -> None:
    """Just above the bound it is the normal approximation, just below it the bootstrap, and both are as wide.

    By hand: 5000 iterations of 10 tokens in 1 s, and as many in 3 s. The ratio is 0.5 x 10; residuals are +-5, so that
    the standard error is sqrt(10000 x 25) / 20000 = 0.025, and the interval 5 +- 0.0490.
    """
    n = NORMAL_FROM
    found = bootstrap_ratio([10.0] * n, [1.0, 3.0] * (n // 2))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((5 - 0.025 * 1.959964, 5 + 0.025 * 1.959964))
    resampled = bootstrap_ratio([10.0] * (n - 2), [1.0, 3.0] * (n // 2 - 1))
    assert resampled is not None
    assert (resampled.low, resampled.high) == pytest.approx((found.low, found.high), abs=0.003)
