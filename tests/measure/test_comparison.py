"""Comparing two samples: against exact enumeration, published quantiles, and repeated draws with a known truth."""

import itertools
import math
import random
from typing import Any

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.comparison import Totals, rank_test, ratio


def enumerated(first: list[float], second: list[float]) -> float:
    """The exact two-sided p by trying every way of dealing the pooled values."""
    pooled = first + second

    def u(chosen: tuple[int, ...]) -> int:
        others = [index for index in range(len(pooled)) if index not in chosen]
        wins = sum(pooled[a] > pooled[b] for a in chosen for b in others)
        return min(wins, len(chosen) * len(others) - wins)

    mine = u(tuple(range(len(first))))
    deals = list(itertools.combinations(range(len(pooled)), len(first)))
    return sum(u(deal) <= mine for deal in deals) / len(deals)


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=10, unique=True), st.data())
def test_the_rank_test_is_exact_for_small_samples(values: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(values) - 1))
    first, second = [float(v) for v in values[:cut]], [float(v) for v in values[cut:]]
    assert rank_test(first, second) == pytest.approx(min(1.0, enumerated(first, second)))


few_values = st.lists(st.integers(1, 3).map(float), min_size=2, max_size=5)


@given(few_values, few_values)
def test_the_rank_test_is_exact_with_ties(first: list[float], second: list[float]) -> None:
    """By SciPy's permutation test, which deals the values in every way."""

    def wins(one: Any, other: Any, axis: int) -> Any:
        return scipy.stats.mannwhitneyu(one, other, axis=axis, method="asymptotic").statistic

    expected = scipy.stats.permutation_test((first, second), wins, vectorized=True, n_resamples=10_000).pvalue
    assert rank_test(first, second) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ([1.0] * 3, [2.0] * 3, 2 / 20),
        ([1.0] * 5, [2.0] * 5, 2 / 252),
        ([1.0, 1.0, 1.0, 2.0], [2.0] * 4, 2 * 5 / 70),
        ([1.0], [2.0], 1.0),
    ],
)
def test_no_p_is_below_what_so_many_values_can_reach(first: list[float], second: list[float], p: float) -> None:
    """By hand: 1 of so many ways to deal the values lies as far to that side; with one value moved, 5 of 70."""
    assert rank_test(first, second) == pytest.approx(p)


@pytest.mark.parametrize(("m", "n"), [(3, 3), (5, 12), (20, 20), (2, 200), (1, 400)])
def test_the_rank_test_agrees_with_scipy_without_ties(m: int, n: int) -> None:
    draw = random.Random(m)
    first, second = [draw.gauss(0.3, 1) for _ in range(m)], [draw.gauss(0, 1) for _ in range(n)]
    expected = scipy.stats.mannwhitneyu(first, second, method="exact").pvalue
    assert rank_test(first, second) == pytest.approx(expected, rel=1e-9)


def test_the_rank_test_of_many_values_is_the_normal_approximation() -> None:
    draw = random.Random(2)
    first, second = [draw.randint(0, 20) for _ in range(60)], [draw.randint(2, 21) for _ in range(50)]
    expected = scipy.stats.mannwhitneyu(first, second, method="asymptotic").pvalue
    assert rank_test(first, second) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=30), st.lists(st.floats(0.1, 10), min_size=1, max_size=30))
def test_the_rank_test_does_not_depend_on_the_order_of_its_sides(first: list[float], second: list[float]) -> None:
    p = rank_test(first, second)
    assert 0 <= p <= 1
    assert p == pytest.approx(rank_test(second, first))


def test_equal_values_are_no_difference() -> None:
    assert rank_test([2.0] * 5, [2.0] * 5) == 1.0
    found = ratio(Totals.mean_of([2.0] * 5), Totals.mean_of([2.0] * 5))
    assert found is not None
    assert found.value == 1
    assert found.differs is False


def test_a_ratio_of_sums_weighs_observations_by_their_size() -> None:
    found = ratio(Totals((10.0, 10.0, 10.0), (1.0, 2.0, 2.0)), Totals((12.0, 12.0, 12.0), (1.0, 1.0, 1.0)))
    assert found is not None
    assert found.value == pytest.approx(2.0)


def test_too_few_observations_have_no_interval() -> None:
    found = ratio(Totals.mean_of([1.0, 1.1]), Totals.mean_of([2.0, 2.1, 2.2]))
    assert found is not None
    assert (found.interval, found.p, found.differs) == (None, None, None)
    assert ratio(Totals.mean_of([]), Totals.mean_of([1.0])) is None
    assert ratio(Totals.mean_of([0.0, 0.0, 0.0]), Totals.mean_of([1.0, 1.0, 1.0])) is None


@given(st.lists(st.floats(0.5, 2), min_size=3, max_size=12), st.lists(st.floats(0.5, 2), min_size=3, max_size=12))
def test_the_interval_holds_the_value_and_turns_round_with_the_sides(first: list[float], second: list[float]) -> None:
    there, back = (
        ratio(Totals.mean_of(first), Totals.mean_of(second)),
        ratio(Totals.mean_of(second), Totals.mean_of(first)),
    )
    assert there is not None and back is not None  # noqa: PT018
    assert there.value == pytest.approx(1 / back.value)
    assert (there.interval is None) == (back.interval is None)
    if there.interval is None:  # from ten on it shows where they depend on one another, and may leave too few
        assert max(len(first), len(second)) >= 10
        assert there.correlation is not None
        assert there.correlation > 0
        return
    assert there.interval.low <= there.value * (1 + 1e-9)
    assert there.interval.high >= there.value * (1 - 1e-9)


def test_a_true_difference_is_within_the_interval_and_found() -> None:
    draw = random.Random(1)
    first, second = [draw.gauss(100, 2) for _ in range(20)], [draw.gauss(110, 2) for _ in range(20)]
    found = ratio(Totals.mean_of(first), Totals.mean_of(second))
    assert found is not None and found.interval is not None  # noqa: PT018
    assert found.interval.low < 1.1 < found.interval.high
    assert found.differs
    assert found.p is not None
    assert found.p < 1e-4
    assert math.isclose(found.value, 1.1, rel_tol=0.02)


def test_what_no_two_measurements_can_give_is_no_ratio() -> None:
    tiny, vast, most = Totals.mean_of([5e-324] * 4), Totals.mean_of([1e306] * 4), Totals.mean_of([1.7e308] * 4)
    assert ratio(tiny, vast) is None
    assert ratio(vast, most) is None, "its sum is no number"
    assert ratio(Totals((1.0,), (1.7e308,)), Totals((1.7e308,), (1.0,))) is None
