"""Curves over a numeric axis as lines of text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.analysis.curve import HEIGHT, curve


def test_a_line_runs_from_corner_to_corner() -> None:
    assert curve([(0, 0), (24, 100)], title="tok/s", width=5, height=5, ascii_only=True) == [
        "tok/s",
        " 100 |    *",
        "     |   .",
        "50.0 |  .",
        "     | .",
        "   0 |*",
        "     +-----",
        "      0  24",
    ]


def test_failures_and_marks_stand_on_the_axis() -> None:
    lines = curve([(0, 1.0), (10, 2.0)], title="", crosses=[20], marks=[10], axis="layers", width=21, ascii_only=True)
    assert lines[-2].strip() == "+" + "-" * 10 + "^" + "-" * 9 + "x"
    assert "layers" in lines[-1]


def test_braille_has_dots_where_the_line_is() -> None:
    lines = curve([(0, 5.0), (10, 5.0)], title="flat", width=10, height=2)
    assert lines[1].endswith("⠉" * 10)
    assert not any(0x2800 <= ord(sign) < 0x2900 for sign in lines[2])


@pytest.mark.parametrize("points", [[], [(1.0, 1.0)], [(1.0, 1.0), (1.0, 2.0)]])
def test_less_than_two_places_make_no_curve(points: list[tuple[float, float]]) -> None:
    assert curve(points, title="x") == []


@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 1e12)), min_size=2, max_size=20, unique_by=lambda p: p[0]),
    st.booleans(),
)
def test_it_fits_whatever_it_is_given(points: list[tuple[float, float]], ascii_only: bool) -> None:
    lines = curve(points, title="t", width=30, ascii_only=ascii_only)
    assert len(lines) == HEIGHT + 3
    gutter = lines[-2].index("+" if ascii_only else "└")
    assert all(len(line) <= gutter + 31 for line in lines[1:-1])
