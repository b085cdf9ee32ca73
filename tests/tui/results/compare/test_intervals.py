"""Pictures of ratios: where the cells are, worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from infertui.analysis.compare import ComparedFigure
from infertui.measure.comparison import Better, Ratio
from infertui.measure.statistics import Interval
from infertui.tui.results.compare.intervals import axis, picture, span_of, style_of
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext

LOOK, ASCII = RenderContext(DEFAULT_PALETTE), RenderContext(DEFAULT_PALETTE, ascii=True)


def figure(
    value: float, low: float | None = None, high: float | None = None, better: Better = "higher"
) -> ComparedFigure:
    interval = None if low is None or high is None else Interval(low, high)
    return ComparedFigure("x", 1.0, value, better, Ratio(value, interval), "number")


def test_one_is_in_the_middle_and_better_is_to_the_right() -> None:
    # 21 cells, ends at 4x: a doubling is half of the ten cells on either side.
    assert picture(figure(2.0), 4.0, 21, LOOK).plain == "          ┊    ●     "
    assert picture(figure(0.5), 4.0, 21, LOOK).plain == "     ●    ┊          "
    assert picture(figure(2.0, better="lower"), 4.0, 21, LOOK).plain == "     ●    ┊          "
    assert picture(figure(0.25, better="lower"), 4.0, 21, LOOK).plain == "          ┊         ●"


def test_the_interval_is_drawn_from_low_to_high() -> None:
    assert picture(figure(2.0, 1.0, 4.0), 4.0, 21, LOOK).plain == "          ├────●────┤"
    assert picture(figure(1.0, 0.5, 2.0), 4.0, 21, LOOK).plain == "     ├────●────┤     "
    assert picture(figure(2.0, 0.5, 4.0), 4.0, 21, LOOK).plain == "     ├────┼────●────┤"
    # Less is better: low and high change places.
    assert picture(figure(0.5, 0.25, 1.0, "lower"), 4.0, 21, LOOK).plain == "          ├────●────┤"


def test_the_band_of_what_counts_as_equal_is_behind_it() -> None:
    # 21 cells, ends at 1.1: ln 1.02 / ln 1.1 is 0.21 of ten cells, which are two.
    assert picture(figure(1.05), 1.1, 21, LOOK).plain == "        ░░┊░░  ●     "
    assert picture(figure(1.01, 0.99, 1.05), 1.1, 21, LOOK).plain == "        ░├┼●───┤     "
    assert picture(figure(1.05), 1.1, 21, ASCII).plain == "        ..:..  o     "
    wide = replace(figure(1.5), equal_within=0.5)
    assert span_of([wide]) == 3.0, "1.5 squared is 2.25"


def test_what_lies_beyond_the_axis_ends_in_an_arrow() -> None:
    assert picture(figure(2.0, 0.1, 9.0), 4.0, 21, LOOK).plain == "◄─────────┼────●────►"
    assert picture(figure(9.0), 4.0, 21, LOOK).plain == "          ┊         >"


def test_ascii_has_its_own_signs() -> None:
    assert picture(figure(2.0, 0.5, 4.0), 4.0, 21, ASCII).plain == "     [----+----o----]"
    assert axis(4.0, 41, ASCII).plain.isascii()


def test_the_axis_takes_the_next_round_end() -> None:
    assert span_of([figure(1.003), figure(1.01)]) == 1.05, "twice as far as the band of 2 % at least"
    assert span_of([figure(1.3), figure(0.4)]) == 3.0  # 1 / 0.4 = 2.5
    assert span_of([figure(1.3, 0.9, 5.5)]) == 10.0
    assert span_of([]) == 1.02
    said = axis(3.0, 41, LOOK).plain
    assert (said[20], said.startswith("◄ 3x worse"), said.endswith("3x better ►")) == ("1", True, True)


def test_colours_follow_the_verdict() -> None:
    colours = LOOK.palette
    assert style_of(figure(1.2, 1.1, 1.3), LOOK) == colours.ok
    assert style_of(figure(1.2, 1.1, 1.3, "lower"), LOOK) == colours.error
    assert style_of(figure(1.2, 0.9, 1.3), LOOK) == ""
    assert style_of(figure(1.0, 0.99, 1.01), LOOK) == colours.muted
    assert style_of(figure(1.2), LOOK) == ""


positive = st.floats(1e-6, 1e6)


@given(value=positive, ends=st.tuples(positive, positive) | st.none(), width=st.integers(1, 120), lower=st.booleans())
def test_whatever_the_ratio_the_picture_has_its_width(
    value: float, ends: tuple[float, float] | None, width: int, lower: bool
) -> None:
    low, high = sorted((*ends, value))[0::2] if ends else (None, None)
    drawn = figure(value, low, high, "lower" if lower else "higher")
    span = span_of([drawn])
    assert picture(drawn, span, width, LOOK).cell_len == width
    assert picture(drawn, 1.1, width, ASCII).plain.isascii()
    assert axis(span, width, LOOK).cell_len == width


@pytest.mark.parametrize("ratio", [None, Ratio(0.0), Ratio(-1.0, Interval(-2.0, 1.0)), Ratio(math.inf)])
def test_what_is_no_ratio_leaves_the_line_empty(ratio: Ratio | None) -> None:
    drawn = ComparedFigure("x", None, None, "higher", ratio, "number")
    assert picture(drawn, 2.0, 11, LOOK).plain.count("┊") <= 1
