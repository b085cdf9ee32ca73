"""Paired ratios: against cases worked by hand, exact enumeration, and repeated draws with a known truth."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.comparison import geometric_mean, least_p, paired, signed_rank, variation

positive = st.floats(0.01, 100)


def test_three_rounds_worked_by_hand() -> None:
    # ratios 2, 4, 2: logs (1, 2, 1) ln 2, mean 4/3 ln 2, s = ln 2 / sqrt 3, t(2) = 4.30265
    found = paired([1.0, 1.0, 3.0], [2.0, 4.0, 6.0])
    assert found is not None
    assert found.interval is not None
    half = 4.30265 * math.log(2) / math.sqrt(3) / math.sqrt(3)
    assert found.value == pytest.approx(2 ** (4 / 3))
    assert found.interval.low == pytest.approx(2 ** (4 / 3) * math.exp(-half), rel=1e-5)
    assert found.interval.high == pytest.approx(2 ** (4 / 3) * math.exp(half), rel=1e-5)
    assert found.differs is False  # 0.93 to 6.8
    assert found.p == 0.25  # all three positive: 2 of 8


def test_five_rounds_worked_by_hand() -> None:
    # logs 0.01, 0.02, 0.03, 0.04, 0.05: mean 0.03, s = sqrt(0.001 / 4), t(4) = 2.77645
    found = paired([1.0] * 5, [math.exp(value / 100) for value in (1, 2, 3, 4, 5)])
    assert found is not None
    assert found.interval is not None
    half = 2.77645 * math.sqrt(0.001 / 4) / math.sqrt(5)
    assert math.log(found.value) == pytest.approx(0.03)
    assert math.log(found.interval.low) == pytest.approx(0.03 - half, abs=1e-6)
    assert math.log(found.interval.high) == pytest.approx(0.03 + half, abs=1e-6)
    assert found.differs is True
    assert found.p == 0.0625 == least_p(5)


def test_what_shifts_whole_rounds_changes_nothing() -> None:
    alike = paired([1.0, 1.1, 0.9], [2.0, 2.3, 1.7])
    drifted = paired([1.0, 11.0, 0.09], [2.0, 23.0, 0.17])
    assert alike is not None
    assert drifted is not None
    assert drifted.value == pytest.approx(alike.value)
    assert drifted.p == alike.p


def test_too_few_rounds_have_no_interval() -> None:
    assert paired([], []) is None
    assert paired([0.0, 1.0, 1.0], [1.0, 1.0, 1.0]) is None
    found = paired([1.0, 1.0], [2.0, 8.0])
    assert found is not None
    assert found.value == pytest.approx(4.0)
    assert (found.interval, found.p) == (None, None)
    with pytest.raises(ValueError, match="no pairs"):
        paired([1.0], [1.0, 2.0])


def test_equal_runs_do_not_differ() -> None:
    found = paired([2.0] * 4, [2.0] * 4)
    assert found is not None
    assert (found.value, found.differs, found.p) == (1.0, False, 1.0)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1, 2, 3, 4, 5, 6], 2 / 64),
        ([-1, 2, 3, 4, 5, 6], 4 / 64),  # sums of negative ranks 0 and 1
        ([1, 2, -3, 4, 5, 6], 10 / 64),  # subsets of 1..6 that sum to 3 or less: {}, 1, 2, 3, 12: five
        ([0, 0, 1, 2, 3], 2 / 8),
        ([1, 1, -1], 1.0),  # ranks 2 2 2; one or none negative: 4 of 8, twice
        ([], 1.0),
    ],
)
def test_signed_ranks_worked_by_hand(differences: list[int], expected: float) -> None:
    assert signed_rank(differences) == pytest.approx(expected)


def enumerated(differences: list[float]) -> float:
    """By every way of signing: how many have a sum of positive ranks as far from the middle as this."""
    sizes = [abs(value) for value in differences if value]
    ranks = [sum(other < size for other in sizes) + (sizes.count(size) + 1) / 2 for size in sizes]
    middle = sum(ranks) / 2
    mine = abs(sum(r for r, value in zip(ranks, [v for v in differences if v], strict=True) if value > 0) - middle)
    signings = list(itertools.product((0, 1), repeat=len(ranks)))
    far = sum(abs(sum(itertools.compress(ranks, signs)) - middle) >= mine - 1e-9 for signs in signings)
    return far / len(signings)


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_the_signed_rank_test_is_exact_with_and_without_ties(values: list[int]) -> None:
    assert signed_rank(values) == pytest.approx(min(1.0, enumerated([float(value) for value in values])))


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("decimals", [1, 6])
def test_many_rounds_are_near_the_exact_test(shift: float, decimals: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(1)
    values = [round(draw.gauss(shift, 1), decimals) for _ in range(60)]
    approximate = signed_rank(values)
    monkeypatch.setattr("infertui.measure.comparison._EXACT", 60)
    assert approximate == pytest.approx(signed_rank(values), abs=0.01)


@given(st.lists(st.tuples(positive, positive), min_size=3, max_size=12))
def test_sides_can_be_swapped(pairs: list[tuple[float, float]]) -> None:
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    there, back = paired(first, second), paired(second, first)
    assert there is not None and there.interval is not None  # noqa: PT018
    assert back is not None and back.interval is not None  # noqa: PT018
    assert there.value * back.value == pytest.approx(1)
    assert there.interval.low * back.interval.high == pytest.approx(1)
    assert there.p == pytest.approx(back.p)
    assert there.interval.low <= there.value * (1 + 1e-12)
    assert there.value <= there.interval.high * (1 + 1e-12)
    ours, theirs = geometric_mean(first), geometric_mean(second)
    assert ours is not None and theirs is not None  # noqa: PT018
    assert there.value == pytest.approx(theirs / ours)


def test_the_variation_of_repeated_runs() -> None:
    assert variation([1.0]) is None
    assert variation([2.0, 2.0]) == 0
    assert variation([1.0, math.e]) == pytest.approx(math.sqrt(0.5))  # logs 0 and 1


DRAWS = 400


@pytest.mark.parametrize("rounds", [3, 5, 10])
def test_intervals_cover_the_truth_as_often_as_they_say_though_clocks_drift(rounds: int) -> None:
    """True ratio 1.05; processes scatter by 2 %, and everything drifts by 3 % a round. 400 draws: 95 +- 3.3 %."""
    draw = random.Random(rounds)
    covered = 0
    for _ in range(DRAWS):
        first, second = [], []
        for number in range(rounds):
            slots = [math.exp(0.015 * (2 * number + slot)) for slot in (0, 1)]
            ours, theirs = slots if number % 2 == 0 else slots[::-1]  # mirrored, as a bench does it
            first.append(ours * math.exp(draw.gauss(0, 0.02)))
            second.append(1.05 * theirs * math.exp(draw.gauss(0, 0.02)))
        found = paired(first, second)
        assert found is not None and found.interval is not None  # noqa: PT018
        covered += found.interval.low <= 1.05 <= found.interval.high
    assert covered / DRAWS >= 0.915


def test_what_no_two_measurements_can_give_is_no_ratio() -> None:
    assert paired([5e-324] * 3, [1e308] * 3) is None
    assert paired([5e-324], [1e308]) is None
    assert paired([1e-200, 1.0, 1e200], [1e200, 1.0, 1e-200]) is None, "an interval from 0 to infinity"
    assert geometric_mean([1e308, 1e308]) == pytest.approx(1e308)
