"""Gauge columns and bars."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text
from support.stage import Stage, play, screen_of
from textual.pilot import Pilot

from infertui.tui.widgets.gauges import GaugeColumn, GaugeGrid, bar


def test_only_cells_that_differ_are_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    column = GaugeColumn()

    async def act(pilot: Pilot[None]) -> None:
        column.set_cells([Text("one"), Text("two"), Text("six")])
        await pilot.pause()
        assert screen_of(pilot.app)[:3] == ["one", "two", "six"]
        painted: list[int] = []
        monkeypatch.setattr(column, "refresh", lambda *regions, **_: painted.extend(region.y for region in regions))
        column.set_cells([Text("one"), Text("ten"), Text("six")])
        assert painted == [1]
        column.set_cells([Text("one"), Text("ten", style="bold"), Text("six")])
        assert painted == [1, 1]
        column.set_cells([Text("one"), Text("ten", style="bold"), Text("six")])
        assert painted == [1, 1]

    asyncio.run(play(Stage(lambda: column), act))


def test_the_column_grows_with_its_cells_and_shrinks() -> None:
    column = GaugeColumn()

    async def act(pilot: Pilot[None]) -> None:
        for cells in (["a"], ["a", "longer"], ["b"]):
            column.set_cells([Text(cell) for cell in cells])
            await pilot.pause()
            assert screen_of(pilot.app)[:3] == [*cells, *[""] * (3 - len(cells))]
            assert column.size == (max(map(len, cells)), len(cells))

    asyncio.run(play(Stage(lambda: column), act))


def test_cells_wider_than_the_column_are_cut_with_a_mark() -> None:
    column = GaugeColumn()
    column.styles.width = 5

    async def act(pilot: Pilot[None]) -> None:
        column.set_cells([Text("12345"), Text("123456")])
        await pilot.pause()
        assert screen_of(pilot.app)[:2] == ["12345", "1234…"]

    asyncio.run(play(Stage(lambda: column), act))


def test_cells_set_before_the_first_paint_are_shown() -> None:
    column = GaugeColumn()
    column.set_cells([Text("early")])

    async def act(pilot: Pilot[None]) -> None:
        assert screen_of(pilot.app)[0] == "early"

    asyncio.run(play(Stage(lambda: column), act))


def test_a_grid_cuts_cells_fills_gaps_and_paints_the_rows_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = GaugeGrid()
    rows = [[Text("GPU"), Text("0"), Text("1")], [Text(" power"), Text(" 100 W"), Text(" 12345 W")]]

    async def act(pilot: Pilot[None]) -> None:
        grid.show_cells([4, 7], rows)
        await pilot.pause()
        assert screen_of(pilot.app)[:4] == ["GPU  power", "0    100 W", "1    12345…", ""]
        painted: list[int] = []
        monkeypatch.setattr(grid, "refresh", lambda *regions, **_: painted.extend(region.y for region in regions))
        grid.show_cells([4, 7], rows)
        assert painted == []
        grid.show_cells([4, 7], [rows[0], [*rows[1][:1], Text(" 101 W", style="bold"), rows[1][2]]])
        assert painted == [1]
        grid.show_cells([4, 7], [rows[0][:2], rows[1][:1]])
        assert painted == [1, 1, 2]

    asyncio.run(play(Stage(lambda: grid), act))


def test_lines_above_a_grid_take_its_whole_width_and_count_for_its_height() -> None:
    grid = GaugeGrid()
    grid.styles.height = "auto"

    async def act(pilot: Pilot[None]) -> None:
        for above, columns in ((["a head line"], [["x"], ["y"]]), (["one", "two", "three"], []), ([], [["x", "z"]])):
            cells = [[Text(cell) for cell in column] for column in columns]
            grid.show_cells([2] * len(columns), cells, above=[Text(line) for line in above])
            await pilot.pause()
            rows = [" ".join(row) for row in zip(*columns, strict=True)] if columns else []
            assert grid.size.height == len(above) + len(rows)
            assert screen_of(pilot.app)[: grid.size.height] == [*above, *rows]

    asyncio.run(play(Stage(lambda: grid), act))


@pytest.mark.parametrize(
    ("share", "drawn"),
    [
        (0, "········"),
        (0.5, "████····"),
        (0.56, "████▌···"),
        (1, "████████"),
        (2, "████████"),
        (-1, "········"),
        (0.001, "▌·······"),
        (float("nan"), "········"),
        (float("inf"), "████████"),
    ],
)
def test_bar(share: float, drawn: str) -> None:
    assert bar(share, 8).plain == drawn


@given(st.floats(), st.integers(0, 200), st.booleans())
def test_a_bar_is_as_wide_as_it_should_be_and_ascii_is_ascii(share: float, width: int, ascii_only: bool) -> None:
    drawn = bar(share, width, ascii=ascii_only)
    assert drawn.cell_len == width
    assert drawn.plain.isascii() or not ascii_only
