"""The chart widget and distributions."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stage import Stage, play, screen_of
from textual.pilot import Pilot

from infertui.tui.widgets.chart import LineChart, Mark, Series, histogram


def test_it_repaints_only_lines_that_changed_and_keeps_its_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(pilot: Pilot[None]) -> None:
        chart = pilot.app.query_one(LineChart)
        flat = [(float(second), 50.0) for second in range(30)]
        chart.set_series([Series([*flat, (30.0, 100.0)])], (0, 60), "tokens/s")
        await pilot.pause()
        before = screen_of(pilot.app)
        assert "tokens/s" in before[0]
        assert before[1].startswith("100┤")
        painted: set[int] = set()
        monkeypatch.setattr(chart, "refresh", lambda *regions, **_: painted.update(r.y for r in regions))
        chart.set_series([Series([*flat, (30.0, 100.0)])], (0, 60), "tokens/s")
        assert painted == set()
        chart.set_series([Series([*flat, (30.0, 100.0), (31.0, 100.0)])], (0, 60), "tokens/s")
        assert painted == {1}

    asyncio.run(play(Stage(LineChart), act))


def test_set_before_it_has_a_size_and_drawn_anew_at_another() -> None:
    chart = LineChart()
    chart.set_series([Series([(0, 1), (1, 2)], label="a")], (0, 1), "y", marks=[Mark(0.5, "here")])

    async def act(pilot: Pilot[None]) -> None:
        assert "⠒⠒ a" in screen_of(pilot.app)[0]
        await pilot.resize_terminal(30, 6)
        await pilot.pause()
        lines = screen_of(pilot.app)
        assert len(lines) == 6
        assert any("here" in line for line in lines)

    asyncio.run(play(Stage(lambda: chart), act))


def test_ascii_and_hostile_labels() -> None:
    async def act(pilot: Pilot[None]) -> None:
        chart = pilot.app.query_one(LineChart)
        label = "a\x1b]0;x\x07\u0301"
        chart.set_series([Series([(0, 1), (1, 2)], label=label)], (0, 1), "y", marks=[Mark(0.5, "\u0301b")])
        await pilot.pause()
        assert all(line.isascii() or "á" in line for line in screen_of(pilot.app))

    asyncio.run(play(Stage(LineChart, ascii_only=True), act))


def test_the_theme_changes_its_colours() -> None:
    async def act(pilot: Pilot[None]) -> None:
        chart = pilot.app.query_one(LineChart)
        chart.set_series([Series([(0, 1), (1, 2)], label="a")], (0, 1))
        await pilot.pause()
        before = chart.render_line(0)
        pilot.app.theme = "light"
        await pilot.pause()
        await pilot.pause()
        assert chart.render_line(0) != before

    asyncio.run(play(Stage(LineChart), act))


def test_histogram() -> None:
    lines = histogram([1, 2, 2, 2, 2, 3], 12, 3, unit="ms")
    assert [line.plain for line in lines] == ["      █     ", "▄     █    ▄", "1       3 ms"]
    lines = histogram([1, 2, 2, 2, 2, 3], 12, 3, ascii=True)
    assert [line.plain for line in lines] == ["      #     ", ":     #    :", "1          3"]


def test_histogram_of_one_value_and_of_none() -> None:
    assert [line.plain for line in histogram([4.0], 9, 2)] == ["    █    ", "4       4"]
    assert [line.plain for line in histogram([float("nan")], 3, 2)] == ["   ", "   "]


def test_a_single_outlier_is_seen() -> None:
    lines = histogram([1.0] * 10_000 + [99.0], 20, 5)
    assert lines[-2].plain[-1] == "▁"


@given(st.lists(st.floats(-1e300, 1e300)), st.integers(0, 60), st.integers(0, 8), st.booleans())
def test_histogram_has_its_size(values: list[float], width: int, height: int, ascii_only: bool) -> None:
    lines = histogram(values, width, height, ascii_only)
    assert [line.cell_len for line in lines] == [width] * height
