"""Pictures of charts and of the screen: what is in the files, where they are, and that nothing is written over."""

import asyncio
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.stage import Stage, play
from textual.pilot import Pilot

from infertui.chart import ChartCurve, ChartMark, ChartPanel, ChartPoint, ResultChart
from infertui.errors import StoreError
from infertui.tui.pictures.saving import FOLDER, chart_at_hand, draw, save, screen_svg, slug
from infertui.tui.widgets.chart import LineChart, Mark, Series
from infertui.tui.widgets.result_chart import ResultPlot

NOW = datetime(2026, 12, 1, 14, 50, 3, tzinfo=UTC)
POINTS = tuple(ChartPoint(2.0**n, 100.0 * n, 90.0 * n, 110.0 * n, n == 2) for n in range(1, 6))
CHART = ResultChart(
    (
        ChartPanel("output", "tok/s", (ChartCurve(POINTS, "int8"),), (ChartMark(8, "knee 8"),), (64.0,)),
        ChartPanel("TTFT", "ms", (ChartCurve(POINTS),), (ChartMark(200, "limit", across=True, kind="limit"),)),
    ),
    "batch_size",
)


def texts(svg: bytes) -> list[str]:
    root = ET.fromstring(svg)  # noqa: S314 (our own)
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_a_chart_is_drawn_from_its_data(tmp_path: Path) -> None:
    files = draw(CHART, "output TTFT over batch_size")
    words = texts(files["svg"])
    for word in (
        "output, tok/s",
        "TTFT, ms",
        "batch_size",
        "knee 8",
        "limit",
        "2",
        "4",
        "8",
        "16",
        "32",
        "64",
        "600",
        "invalid",
    ):
        assert word in words
    assert b"http://" not in re.sub(rb'xmlns[^"]*"[^"]*"', b"", files["svg"])
    path = tmp_path / "one.png"
    path.write_bytes(files["png"])
    with Image.open(path) as image:
        assert image.width > 600
        assert len(set(image.convert("RGB").getdata())) > 5


anything = st.one_of(st.none(), st.floats())
points_of = st.builds(ChartPoint, st.floats(), anything, anything, anything, st.booleans())
curves_of = st.builds(ChartCurve, st.lists(points_of, max_size=4).map(tuple), st.just("\x1b[31m$a_b$"))


@settings(max_examples=8, deadline=None)
@given(st.lists(curves_of, max_size=2).map(tuple), st.lists(st.floats(), max_size=1).map(tuple))
def test_any_data_is_drawn(curves: tuple[ChartCurve, ...], failed: tuple[float, ...]) -> None:
    panel = ChartPanel("output\x07", "tok/s", curves, (ChartMark(1.0, "knee\n"),), failed)
    assert draw(ResultChart((panel,), "batch\x1b"), "t\x00")["svg"].startswith(b"<svg")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    first = save(tmp_path, "Over batch_size", {"png": b"1", "svg": b"2"}, now=NOW)
    second = save(tmp_path, "Over batch_size", {"png": b"3", "svg": b"4"}, now=NOW)
    (tmp_path / FOLDER / "20261201-145003-over-batch-size-3.svg").symlink_to(tmp_path / "elsewhere")
    third = save(tmp_path, "Over batch_size", {"svg": b"5"}, now=NOW)
    assert [path.name for path in first] == [
        "20261201-145003-over-batch-size.png",
        "20261201-145003-over-batch-size.svg",
    ]
    assert [path.name for path in second] == [f"20261201-145003-over-batch-size-2.{end}" for end in ("png", "svg")]
    assert [path.name for path in third] == ["20261201-145003-over-batch-size-4.svg"]
    assert [path.read_bytes() for path in (*first, *second, *third)] == [b"1", b"2", b"3", b"4", b"5"]
    assert not (tmp_path / "elsewhere").exists()


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(StoreError, match="cannot write a picture"):
        save(tmp_path, "x", {"svg": b""}, now=NOW)


@given(st.text(max_size=80))
def test_any_title_is_a_harmless_name(title: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?", slug(title))


def test_the_screen_is_saved_in_its_colours_and_names_no_other_host() -> None:
    async def act(pilot: Pilot[None]) -> None:
        await pilot.pause()
        svg = screen_svg(pilot.app, "a <title>")["svg"]
        assert "output" in "".join(texts(svg))
        assert b"cdnjs" not in svg
        assert b"@font-face" not in svg
        assert len(set(re.findall(rb"fill: (#[0-9a-f]{6})", svg))) > 1

    asyncio.run(play(Stage(lambda: ResultPlot(CHART)), act))


def test_the_chart_at_hand() -> None:
    async def result(pilot: Pilot[None]) -> None:
        await pilot.pause()
        assert chart_at_hand(pilot.app) is CHART

    async def live(pilot: Pilot[None]) -> None:
        chart = pilot.app.query_one(LineChart)
        assert chart_at_hand(pilot.app) is None
        chart.set_series(
            [Series([(-5.0, 9.0), (0.0, 1.0), (3.0, 2.0)], label="a")], (0, 60), "power", "W", marks=[Mark(2)]
        )
        await pilot.pause()
        found = chart_at_hand(pilot.app)
        assert found is not None
        (panel,) = found.panels
        assert (panel.name, panel.unit, panel.y_range) == ("power", "W", (0.0, 10.0))
        assert [(point.x, point.y) for point in panel.curves[0].points] == [(0.0, 1.0), (3.0, 2.0)]
        assert draw(found, "power")["svg"].startswith(b"<svg")

    asyncio.run(play(Stage(lambda: ResultPlot(CHART)), result))
    asyncio.run(play(Stage(LineChart), live))
