"""Charts of results: points, intervals and marks where they belong, at any size, of any data, on any terminal."""

import asyncio
import math
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text
from support.stage import Stage, play, screen_of
from textual.pilot import Pilot

from infertui.chart import ChartCurve, ChartMark, ChartPanel, ChartPoint, ResultChart
from infertui.tui.widgets.plot import PlotStyle
from infertui.tui.widgets.result_chart import (
    LEAST_CELLS,
    LEAST_ROWS,
    ResultPlot,
    arrangement,
    chart_lines,
)

LOOK = PlotStyle(series=("cyan", "yellow"))
ASCII_LOOK = PlotStyle(series=("cyan", "yellow"), ascii=True)
ROOMY = (64, 12)


def of(*points: tuple[float, float | None], label: str = "") -> ChartCurve:
    return ChartCurve(tuple(ChartPoint(x, y) for x, y in points), label)


def one(
    *points: tuple[float, float | None], marks: tuple[ChartMark, ...] = (), failed: tuple[float, ...] = ()
) -> ResultChart:
    return ResultChart((ChartPanel("output", "tok/s", (of(*points),), marks, failed),), "batch_size")


def text(lines: list[Text]) -> list[str]:
    return [line.plain for line in lines]


def places(lines: list[str], sign: str) -> list[tuple[int, int]]:
    """Rows, counted from the topmost of the drawing, and columns, counted from its left edge."""
    left = next(lines[-1].index(corner) for corner in "└+" if corner in lines[-1])
    drawn = [line[left + 1 :] for line in lines[1:-1]]
    return [(row, column) for row, line in enumerate(drawn) for column, found in enumerate(line) if found == sign]


def test_a_line_of_doubling_levels_is_straight_on_its_axis() -> None:
    lines = text(chart_lines(one((1, 0), (4, 50), (16, 100)), 64, 13, LOOK))
    assert lines[0].rstrip() == "output tok/s over batch_size"
    found = places(lines, "●")
    assert [column for _, column in found] == [59, 30, 0]
    assert [row for row, _ in found] == [0, 5, 10]
    assert lines[-1].split() == ["└1", "4", "16"]
    assert [line[:4] for line in lines[1:-1] if line[3] == "┤"] == ["100┤", " 50┤", "  0┤"]


def test_every_level_is_under_its_point() -> None:
    levels = [0, 8, 16, 33]
    lines = text(chart_lines(one(*((level, 1.0) for level in levels)), 100, 12, LOOK))
    columns = sorted(column for _, column in places(lines, "●"))
    for level, column in zip(levels, columns, strict=True):
        middle = 4 + column
        assert str(level) in lines[-1][middle - 2 : middle + 3]


def test_intervals_marks_doubt_and_failures() -> None:
    points = (ChartPoint(1, 50, 40, 60), ChartPoint(2, 90, 80, 100, doubt=True), ChartPoint(4, 95))
    marks = (ChartMark(2, "knee 2"), ChartMark(75, "limit 75", across=True, kind="limit"))
    chart = ResultChart((ChartPanel("output", "tok/s", (ChartCurve(points),), marks, (8.0,)),))
    lines = chart_lines(chart, 64, 13, LOOK)
    plain = text(lines)
    assert plain[0].rstrip() == "output tok/s  ┊ knee 2  ╌ limit 75  ✗ invalid  x failed"
    [(_, doubted)] = places(plain, "✗")
    assert {column for _, column in places(plain, "┊")} == {doubted}
    assert len({row for row, _ in places(plain, "╌")}) == 1
    assert places(plain, "x") == [(10, 59)]
    strokes = [row for row, line in enumerate(plain[1:-1]) if 0x2800 < ord(line[4]) < 0x2900]
    assert len(strokes) >= 2, "an interval reaches above and below its point"
    styles = {str(span.style) for line in lines for span in line.spans}
    assert {"cyan", "yellow", "red"} <= styles


def test_noise_of_a_thousandth_is_flat() -> None:
    chart = ResultChart((ChartPanel("clock", "MHz", (of((1, 1980), (2, 1981), (3, 1979)),), zero=False),))
    rows = {row for row, _ in places(text(chart_lines(chart, *ROOMY, LOOK)), "●")}
    assert max(rows) - min(rows) <= 1


@pytest.mark.parametrize(
    ("points", "drawn"),
    [
        ([], 0),
        ([(4, 10.0)], 1),
        ([(4, 10.0), (4, 12.0)], 2),
        ([(1, None), (2, 10.0), (4, None)], 1),
        ([(1, math.nan), (2, math.inf)], 0),
        ([(1, 0.0), (2, 0.0)], 2),
        ([(1, 5.0), (2, 5.0)], 2),
        ([(1, 1e300), (2, -1e300)], 2),
        ([(1, 3e-12), (2, 9e-12)], 2),
        ([(level, level) for level in range(1, 41)], 40),
    ],
)
def test_few_strange_and_many_points(points: list[tuple[float, float | None]], drawn: int) -> None:
    lines = text(chart_lines(one(*points), 120, 30, LOOK))
    assert len(lines) == 30
    assert sum(line.count("●") for line in lines) == drawn


def test_an_interval_as_wide_as_the_world_does_not_flatten_the_curve() -> None:
    points = (ChartPoint(1, 50, 1, 1e9), ChartPoint(2, 100))
    chart = ResultChart((ChartPanel("output", "", (ChartCurve(points),)),))
    rows = [row for row, _ in places(text(chart_lines(chart, 64, 22, LOOK)), "●")]
    assert max(rows) - min(rows) >= 3


def test_a_given_range_cuts_off_what_is_beyond() -> None:
    panel = ChartPanel("share", "%", (of((1, 50), (2, 1e12), (3, 80)),), y_range=(0, 100))
    lines = text(chart_lines(ResultChart((panel,)), 64, 13, LOOK))
    assert len(places(lines, "●")) == 2


def test_ascii_has_signs_of_its_own() -> None:
    chart = one((1, 1), (2, 4), marks=(ChartMark(2, "knee 2"),), failed=(4,))
    lines = text(chart_lines(chart, *ROOMY, ASCII_LOOK))
    assert all(line.isascii() for line in lines)
    assert len(places(lines, "o")) == 2
    assert ":" in lines[0]


@pytest.mark.parametrize(
    ("panels", "width", "height", "expected"),
    [
        (2, 156, 40, (1, 2)),
        (2, 116, 32, (1, 2)),
        (2, 76, 18, (1, 2)),
        (2, 76, 10, (2, 1)),
        (3, 76, 18, (2, 2)),
        (3, 76, 10, (2, 1)),
        (3, 116, 24, (1, 3)),
        (2, 30, 10, (1, 1)),
        (1, LEAST_CELLS, LEAST_ROWS, (1, 1)),
        (1, LEAST_CELLS - 1, LEAST_ROWS, (0, 0)),
        (1, LEAST_CELLS, LEAST_ROWS - 1, (0, 0)),
        (0, 100, 40, (0, 0)),
    ],
)
def test_panels_find_their_places(panels: int, width: int, height: int, expected: tuple[int, int]) -> None:
    assert arrangement(panels, width, height) == expected


def test_panels_below_each_other_share_their_axis() -> None:
    panels = (ChartPanel("a", "", (of((1, 5), (8, 9)),)), ChartPanel("b", "", (of((2, 50_000), (16, 90_000)),)))
    lines = text(chart_lines(ResultChart(panels), 70, 24, LOOK))
    axes = [line for line in lines if "└" in line]
    assert len(axes) == 2
    assert axes[0] == axes[1]


anything = st.floats(allow_nan=True, allow_infinity=True)
maybe = st.one_of(st.none(), anything)
levels_of = st.one_of(st.integers(0, 64).map(float), anything)
points_of = st.builds(ChartPoint, levels_of, maybe, maybe, maybe, st.booleans())
curves_of = st.builds(ChartCurve, st.lists(points_of, max_size=9).map(tuple), st.sampled_from(["", "p99", "名\x1b[1m"]))
marks_of = st.builds(ChartMark, anything, st.just("knee"), st.booleans())
panels_of = st.builds(
    ChartPanel, st.just("output"), st.just("tok/s"), st.lists(curves_of, max_size=3).map(tuple),
    st.lists(marks_of, max_size=2).map(tuple), st.lists(anything, max_size=2).map(tuple), st.booleans(),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(panels_of, max_size=3), st.integers(0, 110), st.integers(0, 26), st.booleans())
def test_whatever_the_data_every_line_has_the_width(
    panels: list[ChartPanel], width: int, height: int, ascii_only: bool
) -> None:
    lines = chart_lines(ResultChart(tuple(panels), "batch\nsize"), width, height, ASCII_LOOK if ascii_only else LOOK)
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)
    assert len({line.cell_len for line in lines}) <= 1
    assert not any(re.search(r"[\x00-\x1f]", line.plain) for line in lines)


def test_it_is_larger_than_the_terminal_it_was_imported_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "COLUMNS", "20")
    monkeypatch.setitem(os.environ, "LINES", "5")
    lines = text(chart_lines(one((1, 1), (2, 2)), 200, 60, LOOK))
    assert len(lines) == 60
    assert max(column for _, column in places(lines, "●")) > 190


def test_the_widget_paints_only_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    first = one((1, 10), (2, 20), (4, 30), failed=(8,))

    async def act(pilot: Pilot[None]) -> None:
        plot = pilot.app.query_one(ResultPlot)
        await pilot.pause()
        before = screen_of(pilot.app)
        assert "output tok/s" in before[0]
        painted: set[int] = set()
        monkeypatch.setattr(plot, "refresh", lambda *regions, **_: painted.update(r.y for r in regions))
        plot.show(one((1, 10), (2, 20), (4, 30), failed=(8,)))
        assert painted == set()
        plot.show(one((1, 10), (2, 20), (4, 30), (8, 31)))
        assert len(painted) > 0

    asyncio.run(play(Stage(lambda: ResultPlot(first)), act))


def test_a_theme_changes_its_colours(tmp_path: Path) -> None:
    async def act(pilot: Pilot[None]) -> None:
        plot = pilot.app.query_one(ResultPlot)
        await pilot.pause()
        before = [plot.render_line(row) for row in range(10)]
        pilot.app.theme = "light"
        await pilot.pause()
        await pilot.pause()
        assert [plot.render_line(row) for row in range(10)] != before

    asyncio.run(play(Stage(lambda: ResultPlot(one((1, 10), (2, 20)))), act))
