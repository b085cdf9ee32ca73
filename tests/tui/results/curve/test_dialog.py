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
from infertui.tui.results.curve.view import curve_page, families, tab_separated
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
        assert "output tok/s over n_gpu_layers" in said
        assert "memory GiB" in said
        assert said.count("└0" if not ascii_only else "+0") >= 2
        await press(app, pilot, "end")
        assert re.search(r" 23 +751 +749 to 753 +6\.77 ms +1\.68 GiB ", screen(app))
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
        curves = curves_of_runs(str(out), [str(run) for run in asked_for(app)])
        count = len(families(curves))
        assert 1 < count < len(curves)
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
        page = [line.plain for line in curve_page([one], 76, 17, look)]
        assert not any("\x1b" in line or "\x07" in line for line in page)
        assert page[-1].rstrip().endswith("invalid")
        assert "n/a" in page[-2]
        assert not ascii_only or "".join(page).isascii()
    assert "\x1b" not in tab_separated([one])


BATCHES = (1, 2, 4, 8, 16)
SPEEDS = (50.0, 100.0, 190.0, 200.0, 204.0)


def points(*, times: float = 1.0, ttft: bool = True) -> tuple[SweepPoint, ...]:
    return tuple(
        SweepPoint(
            batch, f"run-{batch}", times * speed, 0.9 * times * speed, 1.1 * times * speed, None, batch != 2,
            0.02 * batch if ttft else None,
        )
        for batch, speed in zip(BATCHES, SPEEDS, strict=True)
    )  # fmt: skip


def page(curves: list[SweepCurve], width: int = 116, height: int = 36, *, ascii_only: bool = False) -> list[str]:
    return [line.plain for line in curve_page(curves, width, height, RenderContext(DEFAULT_PALETTE, ascii_only))]


def test_the_knee_stands_in_words_and_in_both_panels() -> None:
    lines = page([SweepCurve("workload.batch_size", "bs", points(), failed=(32,))])
    assert "knee 4" not in lines[0], "8 adds more than 5 %"
    assert "knee 8: all beyond it add less than 5%" in lines[0]
    assert "no run finished at 32" in lines[1]
    titles = [line for line in lines if "knee 8" in line and "over bs" in line]
    assert [title.split()[0] for title in titles] == ["output", "TTFT"]
    assert all("invalid" in title and "failed" in title for title in titles)
    assert "ms" in titles[1]


def test_two_swept_settings_are_lines_of_one_chart() -> None:
    one = SweepCurve("workload.batch_size", "bs", points(), "isl=64")
    other = SweepCurve("workload.batch_size", "bs", points(times=0.5), "isl=128")
    layers = SweepCurve("engine.llama_cpp.n_gpu_layers", "n_gpu_layers", points(), "")
    assert families([one, layers, other]) == [(one, other), (layers,)]
    assert [len(found) for found in families([one] * 9)] == [4, 4, 1]
    lines = page([one, other])
    assert "● isl=64" in lines[0]
    assert "○ isl=128" in lines[1]
    title = next(line for line in lines if line.startswith("output"))
    assert "● isl=64" in title
    assert "○ isl=128" in title
    copied = tab_separated([one, other]).splitlines()
    assert len(copied) == 1 + 2 * len(BATCHES)


@pytest.mark.parametrize("size", [(156, 44), (116, 36), (76, 20), (76, 11), (30, 6), (24, 5), (10, 3), (1, 1)])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_any_number_of_points_fits_any_size(size: tuple[int, int], count: int) -> None:
    many = tuple(SweepPoint(float(x), f"r{x}", 100.0, None, None, None, True, None) for x in range(count))
    for ascii_only in (False, True):
        lines = page([SweepCurve("k", "k", many)], *size, ascii_only=ascii_only)
        assert any("100" in line for line in lines)
        drawn = [line for line in lines if "output tok/s" in line]
        assert len(drawn) == (size[0] >= 24 and size[1] >= 6)
