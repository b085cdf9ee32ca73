"""Comparing two samples: against exact enumeration, published quantiles, and repeated draws with a known truth."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.comparison import Totals, rank_test, ratio, student_quantile


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (5, 2.57058), (9, 2.26216), (10, 2.22814), (30, 2.04227)],
)
def test_students_quantiles_are_those_of_the_tables(degrees: int, expected: float) -> None:
    assert student_quantile(0.975, degrees) == pytest.approx(expected, abs=1e-4)


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
    assert there.interval is not None
    assert there.interval.low <= there.value * (1 + 1e-9)
    assert there.interval.high >= there.value * (1 - 1e-9)
    assert there.value == pytest.approx(1 / back.value)


@pytest.mark.parametrize("n", [5, 10, 30])
def test_equal_things_are_seldom_called_different(n: int) -> None:
    """The interval's promise: at most about one false alarm in twenty, also with few iterations."""
    draw = random.Random(n)
    alarms = 0
    for seed in range(200):
        first, second = ([draw.gauss(100, 3) for _ in range(n)] for _ in range(2))
        found = ratio(Totals.mean_of(first), Totals.mean_of(second), seed=seed)
        assert found is not None
        alarms += found.differs is True
    assert alarms <= 20  # of 200; 10 are expected, 20 or fewer with probability 0.999


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
