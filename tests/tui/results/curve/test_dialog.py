"""Curves over what was swept, from the results of a reports folder."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.fake_control import FakeControl
from support.results import write_results
from support.results_stage import ResultsStage, StoredControl, settle
from textual.pilot import Pilot

from infertui.analysis.decision.sweep_curve import SweepCurve, SweepPoint
from infertui.errors import StoreError
from infertui.runner.queries import curves_of_runs
from infertui.tui.results.acts import MOST_DRAWN
from infertui.tui.results.curve.dialog import CurveScreen
from infertui.tui.results.curve.view import curve_page, tab_separated
from infertui.tui.results.pane import ResultsPane
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.prompt import LineInput

KEPT = Path(__file__).parents[4] / "reports" / "h200-engines"
LAYERS = [0, 5, 10, 15, 20, 22, 23]
Act = Callable[[ResultsStage, Pilot[Any]], Awaitable[None]]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TEXTUAL_FPS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "results.jsonl").write_bytes((KEPT / "results.jsonl").read_bytes())
    return folder


def play(out: Path, act: Act, *, size: tuple[int, int] = (120, 40), **options: Any) -> ResultsStage:
    app = ResultsStage(out, lambda stage: ResultsPane(stage, id="results"), **options)

    async def scenario() -> None:
        async with app.run_test(size=size) as pilot:
            app.query_one(ResultsPane).focus_inside()
            await settle(app, pilot)
            await act(app, pilot)

    asyncio.run(scenario())
    return app


async def press(app: ResultsStage, pilot: Pilot[Any], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(app, pilot)


async def filtered(app: ResultsStage, pilot: Pilot[Any], text: str) -> None:
    await press(app, pilot, "slash")
    app.query_one(LineInput).value = text
    await settle(app, pilot)
    await press(app, pilot, "enter")


def screen(app: ResultsStage) -> str:
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


@pytest.mark.parametrize(("size", "ascii_only"), [((120, 40), False), ((80, 24), False), ((80, 24), True)])
def test_layers_on_the_gpu_make_a_curve(out: Path, size: tuple[int, int], ascii_only: bool) -> None:
    """The seven runs of llama.cpp that are kept: 44 tok/s without a layer on the GPU, 751 with all."""

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await filtered(app, pilot, "engine=llama-cpp")
        await press(app, pilot, "v")
        assert isinstance(app.screen, CurveScreen)
        said = screen(app)
        assert "most 751 tok/s at n_gpu_layers=23" in said
        assert said.index("output tok/s over n_gpu_layers") < said.index("memory over n_gpu_layers")
        assert "1.68 GiB" in said
        assert said.count("0  ") >= 2
        await press(app, pilot, "end")
        assert re.search(r" 23 +751 +749 to 753 +1\.68 GiB ", screen(app))
        await press(app, pilot, "y")
        lines = app.copied[0][0].splitlines()
        assert [line.split("\t")[0] for line in lines] == ["n_gpu_layers", *map(str, LAYERS)]
        await press(app, pilot, "escape")
        assert not isinstance(app.screen, CurveScreen)

    play(out, act, size=size, ascii_only=ascii_only)


def test_of_marked_runs_only_these_are_drawn(out: Path) -> None:
    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await filtered(app, pilot, "engine=llama-cpp")
        await press(app, pilot, "space", "space", "space", "v")
        (asked,) = [arguments for name, arguments in app.fake.calls if name == "curves"]
        assert len(asked[1]) == 3  # type: ignore[arg-type]
        assert isinstance(app.screen, CurveScreen)
        assert "most 71.1 tok/s at n_gpu_layers=10" in screen(app)

    play(out, act)


def test_several_curves_are_turned_to(out: Path) -> None:
    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await press(app, pilot, "v")
        first = screen(app)
        count = len(curves_of_runs(str(out), [str(run) for run in asked_for(app)]))
        assert count > 1
        assert f"1 of {count}" in first
        await press(app, pilot, "l")
        assert f"2 of {count}" in screen(app)
        await press(app, pilot, "h", "h")
        assert f"{count} of {count}" in screen(app)
        await press(app, pilot, "v")
        assert not isinstance(app.screen, CurveScreen)

    play(out, act)


def asked_for(app: ResultsStage) -> tuple[str, ...]:
    (asked,) = [arguments for name, arguments in app.fake.calls if name == "curves"]
    return asked[1]  # type: ignore[return-value]


def test_where_no_number_varies_a_line_says_so(out: Path) -> None:
    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await filtered(app, pilot, "engine=llama-cpp")
        await press(app, pilot, "space", "space", "v", "a")
        await filtered(app, pilot, "engine=transformers batch_size=1")
        await press(app, pilot, "v")
        assert not isinstance(app.screen, CurveScreen)

    two, many = (text for _, text in play(out, act).said)
    assert two == "No curve: a curve takes three runs at least."
    assert re.fullmatch(r"No curve: among the \d+ runs no number has three values while all else is the same\.", many)


def test_too_many_runs_are_to_be_filtered(tmp_path: Path) -> None:
    write_results(tmp_path, MOST_DRAWN + 1, folders=0)

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await press(app, pilot, "v")

    app = play(tmp_path, act)
    assert app.said == [("warning", "1,001 runs are too many to draw: filter first, up to 1,000.")]
    assert not [name for name, _ in app.fake.calls if name == "curves"]


def test_a_folder_that_cannot_be_read_is_said(out: Path) -> None:
    control: FakeControl = StoredControl(out)

    async def curves(folder: str, runs: object) -> object:
        raise StoreError("the disk is gone")

    control.curves = curves  # type: ignore[method-assign, assignment]

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await press(app, pilot, "v")

    assert play(out, act, control=control).said == [("error", "the disk is gone")]


def test_a_run_that_is_there_twice_counts_as_it_was_last(out: Path) -> None:
    lines = (out / "results.jsonl").read_bytes().splitlines(keepends=True)
    again = msgspec.json.decode(next(line for line in lines if b"n_gpu_layers" in line and b"llama-cpp-603b" in line))
    again["summary"]["output_throughput"] = 800.0
    with (out / "results.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(again) + b"\n")
    runs = [msgspec.json.decode(line)["id"] for line in lines if b"-llama-cpp-" in line]
    (found,) = curves_of_runs(str(out), runs)
    assert [point.x for point in found.points] == LAYERS
    assert found.fastest.throughput == 800.0


def test_what_is_not_known_is_not_available_and_foreign_text_is_clean() -> None:
    one = SweepCurve("labels.\x1bx", "\x1b[31mx", (SweepPoint(1, "a\x07", 5.0), SweepPoint(2, "b", 6.0, valid=False)))
    for ascii_only in (False, True):
        look = RenderContext(DEFAULT_PALETTE, ascii_only)
        page = [line.plain for line in curve_page(one, 76, 17, look)]
        assert not any("\x1b" in line or "\x07" in line for line in page)
        assert page[-1].rstrip().endswith("invalid")
        assert "n/a" in page[-2]
        assert not ascii_only or "".join(page).isascii()
    assert "\x1b" not in tab_separated(one)
