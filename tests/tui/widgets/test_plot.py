"""Charts as text: every peak shown, gaps left open, any data drawn."""

import math

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from infertui.axes import value_axis
from infertui.tui.widgets.plot import (
    Chart,
    Mark,
    PlotStyle,
    Series,
    column_spans,
    draw,
    window,
)

LOOK = PlotStyle(series=("red", "blue"))
ASCII_LOOK = PlotStyle(series=("red", "blue"), ascii=True)

numbers = st.floats(allow_nan=True, allow_infinity=True)
points = st.lists(st.tuples(st.floats(-1e6, 1e6), numbers), max_size=40).map(
    lambda found: sorted(found, key=lambda p: p[0])
)


def text(lines: list[Text]) -> list[str]:
    return [line.plain.rstrip() for line in lines]


def test_a_rising_line_with_legend_ticks_and_time_axis() -> None:
    chart = Chart([Series([(0, 0), (60, 100)], label="now")], (0, 60), (0, 100), "tokens/s", "t")
    assert text(draw(chart, 36, 8, LOOK)) == [
        "    tokens/s t  ⠒⠒ now",
        "100┤                           ⢀⣀⠤⠒⠊",
        "   │                      ⣀⠤⠔⠒⠉⠁",
        " 50┤                ⢀⡠⠤⠒⠊⠉",
        "   │          ⢀⣀⠤⠔⠒⠉⠁",
        "   │     ⣀⡠⠤⠒⠊⠁",
        "  0┤⣀⠤⠔⠊⠉",
        "   └0s             30s          1:00",
    ]


def test_the_same_in_ascii() -> None:
    chart = Chart([Series([(0, 0), (60, 100)], label="now")], (0, 60), (0, 100), "tokens/s")
    lines = text(draw(chart, 36, 8, ASCII_LOOK))
    assert all(line.isascii() for line in lines)
    assert lines[0] == "    tokens/s  -. now"
    assert lines[1].startswith("100|")
    assert lines[1].rstrip()[-1] in "'-.|"


def test_more_points_than_dots_keep_every_peak() -> None:
    quiet = [(second / 100, 1.0) for second in range(6000)]
    quiet[1234] = (12.34, 9.0)
    quiet[4321] = (43.21, 0.0)
    spans = column_spans(Series(quiet), (0, 60), (0, 10), 40, 101)
    assert min(top for top, _ in spans.values()) == 10
    assert max(bottom for _, bottom in spans.values()) == 100
    assert sorted(spans) == list(range(40))


def test_missing_values_and_long_silence_leave_a_gap() -> None:
    broken = Series([(0, 1), (10, 1), (20, math.nan), (30, 1), (39, 1)])
    assert not set(range(11, 30)) & set(column_spans(broken, (0, 40), (0, 2), 40, 8))
    silent = Series([(0, 1), (10, 1), (30, 1), (39, 1)], gap=15)
    assert not set(range(11, 30)) & set(column_spans(silent, (0, 40), (0, 2), 40, 8))
    whole = Series([(0, 1), (10, 1), (30, 1), (39, 1)])
    assert sorted(column_spans(whole, (0, 40), (0, 2), 40, 8)) == list(range(40))


def test_lines_lead_in_and_out_of_the_range() -> None:
    spans = column_spans(Series([(-10, 0), (50, 10)]), (0, 40), (0, 10), 40, 11)
    assert sorted(spans) == list(range(40))
    assert spans[0][1] in (8, 9)


def test_series_differ_without_colour() -> None:
    flat = [Series([(0, y), (60, y)], label=name) for y, name in ((1.0, "a"), (9.0, "b"))]
    lines = text(draw(Chart(flat, (0, 60), (0, 10)), 40, 9, LOOK))
    upper, lower = lines[1], lines[7]
    assert len(set(upper[4:]) | {" "}) != len(set(lower[4:])) or set(upper[4:]) != set(lower[4:])
    lines = text(draw(Chart(flat, (0, 60), (0, 10)), 40, 9, ASCII_LOOK))
    assert "ooo" in lines[1]
    assert "o" not in lines[7]


def test_labels_of_marks_hide_nothing() -> None:
    top = Series([(0, 1), (60, 1)])
    lines = text(draw(Chart([top], (0, 60), (0, 1), marks=[Mark(30, "decode")]), 40, 8, LOOK))
    assert "decode" not in lines[1]
    assert "┊decode" in lines[2]


def test_a_mark_is_a_line_with_a_label_behind_the_series() -> None:
    chart = Chart(
        [Series([(0, 0), (60, 0)])], (0, 60), (0, 1), marks=[Mark(30, "decode"), Mark(34, "x"), Mark(99, "y")]
    )
    lines = text(draw(chart, 40, 8, LOOK))
    assert "┊decode" not in lines[1], "the mark at 34 s stands in its way"
    assert "┊x" in lines[1]
    assert "y" not in "".join(lines[:-1])
    assert "┊" in lines[3]
    assert "┊" not in lines[6]


@given(
    st.lists(points, max_size=3),
    st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e6)),
    st.integers(0, 130),
    st.integers(0, 20),
    st.booleans(),
)
def test_whatever_the_data_the_lines_have_the_size(
    data: list[list[tuple[float, float]]], x: tuple[float, float], width: int, height: int, ascii_only: bool
) -> None:
    series = [Series(found, label="名前 long label", gap=5) for found in data]
    finite = [y for found in data for _, y in found if math.isfinite(y)]
    scale = value_axis(min(finite, default=math.inf), max(finite, default=-math.inf))
    marks = [Mark(x[0] + x[1] / 2, "相 phase")]
    chart = Chart(series, (x[0], x[0] + x[1]), (scale.low, scale.high), "tokens per second", "t/s", marks)
    lines = draw(chart, width, height, ASCII_LOOK if ascii_only else LOOK)
    assert [line.cell_len for line in lines] == [width] * height


def test_a_window_moves_in_steps() -> None:
    assert window(0, 60) == (0, 60)
    assert window(60, 60) == (0, 60)
    assert window(61, 60) == (12, 72)
    assert window(72, 60) == (12, 72)
    assert window(130, 60, start=100) == (100, 160)
