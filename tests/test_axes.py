"""Axes of charts: round ticks in order, each with a label of its own, and never so short that noise fills them."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.axes import (
    Axis,
    duration_unit,
    elapsed,
    label_start,
    level_axis,
    level_text,
    level_ticks,
    number_text,
    round_step,
    seconds_ticks,
    thinned,
    ticks,
    value_axis,
)

anything = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
pairs = st.tuples(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300)).map(lambda two: (min(two), max(two)))
axes = st.one_of(
    pairs.map(lambda two: value_axis(*two)),
    st.tuples(st.floats(-1e9, 1e9), st.floats(0, 1e9)).map(lambda two: value_axis(two[0], sum(two))),
    st.lists(st.floats(-1e6, 1e6), max_size=40).map(level_axis),
    st.lists(st.floats(1e-9, 1e15), min_size=3, max_size=40).map(level_axis),
)


def read_back(label: str) -> float:
    """What a reader takes a label for."""
    sizes = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    size = sizes.get(label[-1], 1.0)
    return float(label.rstrip("kMGT").replace(",", "")) * size


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 2280, (0, 2500)),
        (1900, 2280, (1900, 2300)),
        (0, 0, (0, 1)),
        (5, 5, (4.7, 5.3)),
        (-5, -5, (-5.3, -4.7)),
        (-3, 4, (-4, 4)),
        (0, 1, (0, 1)),
        (0.2, 0.9, (0, 1)),
        (99.95, 100.05, (90, 110)),
        (math.inf, -math.inf, (0, 1)),
        (math.nan, 3, (0, 1)),
    ],
)
def test_ranges_have_round_ends(low: float, high: float, expected: tuple[float, float]) -> None:
    axis = value_axis(low, high)
    assert (axis.low, axis.high) == pytest.approx(expected)


@pytest.mark.parametrize(("low", "high", "ends"), [(1900, 2280, (0, 2500)), (-9, -8, (-10, 0)), (-1, 1, (-1, 1))])
def test_an_axis_that_has_to_reach_zero(low: float, high: float, ends: tuple[float, float]) -> None:
    axis = value_axis(low, high, zero=True)
    assert (axis.low, axis.high) == pytest.approx(ends)


@given(pairs)
def test_an_axis_holds_its_values(two: tuple[float, float]) -> None:
    low, high = two
    axis = value_axis(low, high)
    slack = 1e-8 * max(abs(low), abs(high), 1e-280)
    assert axis.low <= low + slack
    assert axis.high >= high - slack
    assert axis.low < axis.high
    assert -1e-6 <= axis.place(low) <= axis.place(high) <= 1 + 1e-6


@given(st.floats(1e-200, 1e200), st.floats(0, 1e-3), st.booleans())
def test_noise_is_not_a_mountain(level: float, noise: float, below: bool) -> None:
    """A thousandth of the level takes a fiftieth of the axis at most."""
    low, high = (level, level * (1 + noise)) if not below else (-level * (1 + noise), -level)
    axis = value_axis(low, high)
    assert axis.place(high) - axis.place(low) <= 0.02


def test_an_axis_stays_as_long_as_it_fits() -> None:
    first = value_axis(0, 2280)
    assert value_axis(0, 2400, first) is first
    assert value_axis(0, 1200, first) is first
    assert value_axis(0, 2600, first) != first
    assert value_axis(0, 100, first) != first
    assert value_axis(math.inf, -math.inf, first) is first
    assert value_axis(1950, 2000, first) != first


@given(st.floats(1e-280, 1e280))
def test_a_round_step_is_a_digit_and_zeros(least: float) -> None:
    step = round_step(least)
    assert f"{step:.12e}"[0] in "125"
    assert set(f"{step:.12e}".partition("e")[0][2:]) == {"0"}
    assert least * (1 - 1e-8) <= step <= 2.5000001 * least


@given(axes, st.integers(-1, 40))
def test_ticks_are_round_ordered_and_told_apart(axis: Axis, most: int) -> None:
    found = ticks(axis, most)
    values, labels = [tick.value for tick in found], [tick.label for tick in found]
    assert values == sorted(set(values))
    assert len(set(labels)) == len(labels)
    assert len(found) <= max(2, most)
    assert all(-1e-6 <= axis.place(value) <= 1 + 1e-6 for value in values)
    assert all(label.isascii() and len(label) <= 12 for label in labels), labels
    if not axis.log:
        largest = max(map(abs, values), default=0.0)
        assert all(math.isclose(read_back(tick.label), tick.value, abs_tol=1e-6 * largest) for tick in found)


@given(pairs, st.integers(2, 40))
def test_a_value_axis_has_two_ticks_at_least(two: tuple[float, float], most: int) -> None:
    axis = value_axis(*two)
    found = ticks(axis, most)
    assert len(found) >= 2
    steps = [other.value - one.value for one, other in pairwise(found)]
    assert all(math.isclose(step, steps[0], rel_tol=1e-6) for step in steps)


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (0, 2500, 4, "0 1,000 2,000"),
        (0, 2500, 6, "0 500 1,000 1,500 2,000 2,500"),
        (0, 80e9, 3, "0 50G"),
        (0, 12_000, 4, "0 5k 10k"),
        (0, 1, 3, "0 0.5 1.0"),
        (0, 0.004, 3, "0 0.002 0.004"),
        (94, 106, 4, "95 100 105"),
        (-4, 4, 3, "-4 0 4"),
        (0, 3e-7, 4, "0 1e-7 2e-7 3e-7"),
        (0, 2e18, 3, "0 1e18 2e18"),
        (7, 9, 2, "7 9"),
    ],
)  # fmt: skip
def test_labels_of_an_axis_have_one_form(low: float, high: float, most: int, labels: str) -> None:
    assert " ".join(tick.label for tick in ticks(Axis(low, high), most)) == labels


@pytest.mark.parametrize(
    ("levels", "log", "low", "high"),
    [
        ([1, 2, 4, 8, 16], True, 1, 16),
        ([1, 4, 16, 64], True, 1, 64),
        ([1, 2, 3, 4, 5, 6, 7, 8], False, 1, 8),
        ([0, 1, 2, 4, 8], False, 0, 8),
        ([0, 8, 16, 24, 32], False, 0, 32),
        ([1, 100], False, 1, 100),
        ([16], False, 8, 24),
        ([0], False, -0.5, 0.5),
        ([], False, 0, 1),
        ([math.nan, math.inf, 3, 3, 5], False, 3, 5),
        ([-8, -4, -2], False, -8, -2),
    ],
)
def test_levels_that_multiply_get_a_logarithmic_axis(levels: list[float], log: bool, low: float, high: float) -> None:
    assert level_axis(levels) == Axis(low, high, log)


@given(st.lists(anything, max_size=40))
def test_levels_are_on_their_axis_in_order(levels: list[float]) -> None:
    axis = level_axis(levels)
    known = sorted(level for level in levels if math.isfinite(level) and abs(level) < 1e300)
    places = [axis.place(level) for level in known]
    assert places == sorted(places)
    assert all(-1e-6 <= place <= 1 + 1e-6 for place in places)


def test_ticks_of_levels_are_levels() -> None:
    levels = [1, 2, 4, 8, 16, 32, 64]
    assert [tick.label for tick in level_ticks(level_axis(levels), levels, 9)] == ["1", "2", "4", "8", "16", "32", "64"]
    assert [tick.label for tick in level_ticks(level_axis(levels), levels, 4)] == ["1", "4", "16", "64"]
    layers = [0, 8, 16, 33]
    assert [tick.label for tick in level_ticks(level_axis(layers), layers, 5)] == ["0", "8", "16", "33"]
    assert [tick.label for tick in level_ticks(level_axis(range(41)), range(41), 5)] == ["0", "10", "20", "30", "40"]
    assert " ".join(tick.label for tick in ticks(Axis(1, 500, log=True), 20)) == "1 2 5 10 20 50 100 200 500"


@given(st.lists(anything, max_size=60), st.integers(-1, 12))
def test_ticks_of_any_levels(levels: list[float], most: int) -> None:
    axis = level_axis(levels)
    found = level_ticks(axis, levels, most)
    assert [tick.value for tick in found] == sorted({tick.value for tick in found})
    assert len({tick.label for tick in found}) == len(found) <= max(2, most)
    assert all(-1e-6 <= axis.place(tick.value) <= 1 + 1e-6 for tick in found)


@pytest.mark.parametrize(
    ("level", "shown"), [(16.0, "16"), (0.7, "0.7"), (32_000.0, "32k"), (131072.0, "131,072"), (1e20, "1e+20")]
)
def test_a_level_is_written_as_it_was_asked_for(level: float, shown: str) -> None:
    assert level_text(level) == shown


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (0, 60, 4, "0s 30s 1:00"),
        (-120, 0, 5, "-2:00 -1:30 -1:00 -30s 0s"),
        (0, 7200, 4, "0s 1:00:00 2:00:00"),
        (0, 3, 4, "0s 1s 2s 3s"),
        (0, 1, 3, "0s 0.5s 1s"),
        (0, 86400 * 30, 4, "0s 240:00:00 480:00:00 720:00:00"),
    ],
)
def test_times_are_round(low: float, high: float, most: int, labels: str) -> None:
    assert " ".join(tick.label for tick in seconds_ticks(Axis(low, high), most)) == labels


@given(st.floats(-1e7, 1e7), st.floats(1e-3, 1e7), st.integers(0, 20))
def test_times_are_told_apart(low: float, length: float, most: int) -> None:
    found = seconds_ticks(Axis(low, low + length), most)
    labels = [tick.label for tick in found]
    assert len(set(labels)) == len(labels) <= max(2, most)
    assert [tick.value for tick in found] == sorted(tick.value for tick in found)


@given(axes, st.integers(0, 120))
def test_labels_leave_a_blank_between_them(axis: Axis, width: int) -> None:
    line = [" "] * width
    for tick in thinned(ticks(axis, 12), axis, width):
        start = label_start(tick, axis, width)
        around = range(max(0, start - 1), min(width, start + len(tick.label) + 1))
        assert all(line[cell] == " " for cell in around)
        line[start : start + len(tick.label)] = tick.label
    assert len(line) == width


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (0.5, "0.5s"),
        (5, "5s"),
        (59.6, "1:00"),
        (90, "1:30"),
        (-90, "-1:30"),
        (7503, "2:05:03"),
        (-0.2, "-0.2s"),
    ],
)
def test_elapsed(seconds: float, shown: str) -> None:
    assert elapsed(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (1, "1"), (2500, "2,500"), (0.25, "0.25"), (12_000, "12k"), (1.5e6, "1.5M"), (-3, "-3"), (80e9, "80G")],
)
def test_numbers_in_few_cells(value: float, shown: str) -> None:
    assert number_text(value) == shown


@pytest.mark.parametrize(("longest", "unit"), [(2.0, ("s", 1.0)), (0.2, ("ms", 1e3)), (2e-5, ("us", 1e6))])
def test_units_of_durations(longest: float, unit: tuple[str, float]) -> None:
    assert duration_unit(longest) == unit
