"""Curves over a numeric axis as lines of text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.analysis.curve import HEIGHT, curve, knee


def test_a_line_runs_from_corner_to_corner() -> None:
    assert curve([(0, 0), (24, 100)], title="tok/s", width=5, height=5, ascii_only=True) == [
        "tok/s",
        "100 |    *",
        "    |   .",
        " 50 |  .",
        "    | .",
        "  0 |*",
        "    +-----",
        "     0  24",
    ]


def test_failures_and_marks_stand_on_the_axis() -> None:
    lines = curve([(0, 1.0), (10, 2.0)], title="", crosses=[20], marks=[10], axis="layers", width=21, ascii_only=True)
    assert lines[-2].strip() == "+" + "-" * 10 + "^" + "-" * 9 + "x"
    assert "layers" in lines[-1]


def test_braille_has_dots_where_the_line_is() -> None:
    lines = curve([(0, 5.0), (10, 5.0)], title="flat", width=10, height=2)
    assert lines[1].endswith("⠉" * 10)
    assert not any(0x2800 <= ord(sign) < 0x2900 for sign in lines[2])


def test_levels_that_double_are_equally_far_apart() -> None:
    lines = curve([(1, 10), (2, 20), (4, 30), (8, 25)], title="", width=31, height=7, axis="bs", ascii_only=True)
    assert [lines[-1].index(level) - lines[-2].index("+") - 1 for level in "1248"] == [0, 10, 20, 30]
    assert lines[-1].endswith("  bs")
    assert [line.split("|")[0].strip() for line in lines[1:8]] == ["30", "", "20", "", "10", "", "0"]


@pytest.mark.parametrize("points", [[], [(1.0, 1.0)], [(1.0, 1.0), (1.0, 2.0)]])
def test_less_than_two_places_make_no_curve(points: list[tuple[float, float]]) -> None:
    assert curve(points, title="x") == []


@given(
    st.lists(st.tuples(st.floats(), st.floats(min_value=0)), min_size=2, max_size=20, unique_by=lambda p: p[0]),
    st.booleans(),
)
def test_it_fits_whatever_it_is_given(points: list[tuple[float, float]], ascii_only: bool) -> None:
    lines = curve(points, title="t", width=30, ascii_only=ascii_only)
    known = {x for x, y in points if math.isfinite(x) and math.isfinite(y)}
    assert bool(lines) == (len(known) > 1)
    if not lines:
        return
    assert len(lines) == HEIGHT + 3
    gutter = lines[-2].index("+" if ascii_only else "└")
    assert all(len(line) <= gutter + 31 for line in lines[1:-1])


@pytest.mark.parametrize(
    ("speeds", "found"),
    [
        ([50, 100, 200, 204], 4.0),  # 204 is 2 % more than 200
        ([50, 100, 200, 210], None),  # exactly 5 % is not less than 5 %
        ([50, 100, 200, 209], 4.0),
        ([50, 100, 90, 80], 2.0),
        ([50, 100, 90, 120], None),
        ([100, 101, 102, 100], 1.0),
        ([100, 101], None),
        ([100], None),
        ([], None),
        ([0, 0, 0], None),
    ],
)
def test_the_knee_is_where_all_that_is_beyond_adds_little(speeds: list[float], found: float | None) -> None:
    points = [(float(2**at), float(speed)) for at, speed in enumerate(speeds)]
    assert knee(points) == found
    assert knee(points[::-1]) == found


@given(st.lists(st.floats(0, 1e9), min_size=3, max_size=30), st.floats(0.001, 0.5))
def test_beyond_the_knee_nothing_is_much_faster_and_before_it_something_is(speeds: list[float], little: float) -> None:
    points = [(float(x), y) for x, y in enumerate(speeds)]
    found = knee(points, little)
    for at, (x, y) in enumerate(points[:-1]):
        enough = max(other for _, other in points[at + 1 :]) < (1 + little) * y
        assert enough == (found is not None and x >= found) or (found is not None and x > found)
