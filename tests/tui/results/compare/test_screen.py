"""The compare view over a real reports folder."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.results import make_results, write_results
from support.results_stage import ResultsStage, StoredControl, settle
from textual.pilot import Pilot
from textual.widget import Widget

from infertui.errors import StoreError
from infertui.results.table import ResultQuery, ResultRow
from infertui.runner.control import Compared
from infertui.tui.results.bench_dialog import BenchScreen
from infertui.tui.results.compare.screen import CompareScreen
from infertui.tui.results.pane import ResultsPane
from infertui.tui.settings.stored import Settings
from infertui.tui.widgets.rowlist import RowList

KEPT = Path(__file__).parents[4] / "reports"
Act = Callable[[ResultsStage, Pilot[Any]], Awaitable[None]]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TEXTUAL_FPS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_results(tmp_path / "reports", 30, folders=30)
    return tmp_path / "reports"


def rows_of(out: Path, count: int) -> list[ResultRow]:
    query = ResultQuery(str(out), filter="!state:failed !state:interrupted", limit=count)
    return list(asyncio.run(StoredControl(out).results(query)).rows)


def play(
    out: Path, act: Act, *, count: int = 2, size: tuple[int, int] = (120, 40), control: StoredControl | None = None
) -> ResultsStage:
    rows = rows_of(out, count)
    app = ResultsStage(out, lambda _: Widget(), control=control)

    async def scenario() -> None:
        async with app.run_test(size=size) as pilot:
            await app.push_screen(CompareScreen(app, rows, out=str(out)))
            await settle(app, pilot)
            await act(app, pilot)

    asyncio.run(scenario())
    return app


async def press(app: ResultsStage, pilot: Pilot[Any], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(app, pilot)


def screen(app: ResultsStage) -> str:
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def asked(app: ResultsStage) -> list[tuple[object, ...]]:
    return [arguments for name, arguments in app.fake.calls if name == "compare"]


def test_two_runs_are_told_in_words_and_drawn(out: Path) -> None:
    async def act(app: ResultsStage, _: Pilot[Any]) -> None:
        said = screen(app)
        assert "A baseline" in said
        assert said.index("B against A") < said.index("FIGURES") < said.index("WHAT DIFFERS")
        assert "VERDICT" in said
        assert "┊" in said
        assert "esc back" in said

    play(out, act)


def test_runs_that_were_kept_before_their_shares_have_them_too(tmp_path: Path) -> None:
    """GPT-2 at batch 1 as it is kept, eager and as one graph."""
    kept, out = KEPT / "h200-engines", tmp_path / "reports"
    out.mkdir()
    lines = (kept / "results.jsonl").read_bytes().splitlines(keepends=True)
    pair = [next(line for line in lines if f'bs-1-{end}"'.encode() in line) for end in ("1113", "26dc")]
    assert all(msgspec.json.decode(line).get("limits") is None for line in pair), "these are no results of before"
    (out / "results.jsonl").write_bytes(b"".join(pair))

    async def act(app: ResultsStage, _: Pilot[Any]) -> None:
        told = [line.split() for line in screen(app).split("\n")]
        (mbu,) = (line for line in told if "MBU" in line)
        (mfu,) = (line for line in told if "MFU" in line)
        assert {"0.8%", "7.3%"} <= set(mbu), mbu
        assert len([word for word in mfu if word.endswith("%")]) == 2, mfu

    play(out, act)


def test_the_other_run_becomes_the_baseline(out: Path) -> None:
    first, second = (row.id for row in rows_of(out, 2))

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await press(app, pilot, "b")
        assert asked(app) == [(str(out), (first, second)), (str(out), (second, first))]
        await press(app, pilot, "enter")
        await press(app, pilot, "A")
        assert app.detailed == [first, second]

    play(out, act)


def test_of_many_the_one_in_focus_is_told_in_full_and_brought_into_view(out: Path) -> None:
    rows = rows_of(out, 6)

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        assert "3►" in screen(app)
        await press(app, pilot, "h")
        assert "▸F" in screen(app)
        await press(app, pilot, "G")
        await press(app, pilot, "enter")
        assert app.detailed == [rows[5].id]
        await press(app, pilot, "l", "g")
        assert "▸B" in screen(app)
        await press(app, pilot, "b")
        assert asked(app)[-1][1] == (rows[1].id, rows[0].id, *(row.id for row in rows[2:]))

    play(out, act, count=6, size=(80, 40))


@pytest.mark.parametrize("size", [(160, 48), (120, 40), (80, 24), (60, 20)])
def test_every_line_keeps_its_frame(out: Path, size: tuple[int, int]) -> None:
    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        for keys in ((), ("d",), ("G",), ("l", "l"), ("g",)):
            await press(app, pilot, *keys)
            lines = screen(app).split("\n")
            assert len(lines) == size[1]
            assert all(line[0] == line[-1] == "│" and len(line) == size[0] for line in lines[1:-1])

    play(out, act, count=5, size=size)


def test_the_comparison_is_copied_as_markdown(out: Path) -> None:
    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await press(app, pilot, "y")

    ((text, what),) = play(out, act).copied
    assert "Markdown" in what
    assert "| throughput, tok/s |" in text


def test_a_bench_of_what_is_compared_is_asked_for_and_queued(out: Path) -> None:
    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await press(app, pilot, "B")
        assert isinstance(app.screen, BenchScreen)
        assert "10 runs" in screen(app)
        await press(app, pilot, "2")
        assert "4 runs" in screen(app)
        await press(app, pilot, "x")
        assert "a whole number from 1 to 1,000" in screen(app)
        await press(app, pilot, "enter")
        assert isinstance(app.screen, BenchScreen)
        await press(app, pilot, "backspace", "enter")
        (submission,) = [arguments[0] for name, arguments in app.fake.calls if name == "submit"]
        assert len(submission.variants) == 4  # type: ignore[attr-defined]
        assert any("2 rounds: 4 runs" in text for _, text in app.said)

    play(out, act)


def test_what_cannot_be_compared_is_said_and_can_be_tried_again(out: Path) -> None:
    control = StoredControl(out)
    control.failures["compare"] = StoreError("the disk is gone", remedy="Mount it.")

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        assert "the disk is gone" in screen(app)
        assert "Mount it." in screen(app)
        control.failures.clear()
        await press(app, pilot, "r")
        assert "FIGURES" in screen(app)

    play(out, act, control=control)


def test_leaving_gives_up_what_is_being_read(out: Path) -> None:
    class Slow(StoredControl):
        given_up = False

        async def compare(self, out: str, runs: Any) -> Compared:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up = True
            raise AssertionError

    slow = Slow(out)
    rows = rows_of(out, 2)
    app = ResultsStage(out, lambda _: Widget(), control=slow)

    async def scenario() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await app.push_screen(CompareScreen(app, rows, out=str(out)))
            await pilot.pause()
            assert "reading 2 runs; esc gives up" in screen(app)
            await pilot.press("escape")
            await settle(app, pilot)
            assert slow.given_up
            assert not isinstance(app.screen, CompareScreen)

    asyncio.run(scenario())


def test_from_the_table_the_baseline_comes_first_then_the_marked_in_their_order(out: Path) -> None:
    good = [result.id for result in make_results(30) if result.state == "finished"]
    app = ResultsStage(out, lambda stage: ResultsPane(stage, id="results"), settings=Settings(baseline=good[0]))

    async def scenario() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            app.query_one(ResultsPane).focus_inside()
            await settle(app, pilot)
            rows = app.query_one(RowList)
            await press(app, pilot, "j", "j")
            third = rows.current_key
            await press(app, pilot, "space", "g")
            first = rows.current_key
            await press(app, pilot, "space", "c")
            assert isinstance(app.screen, CompareScreen)
            assert asked(app) == [(str(out), (good[0], third, first))]

    asyncio.run(scenario())


def test_one_run_alone_is_not_compared(out: Path) -> None:
    app = ResultsStage(out, lambda stage: ResultsPane(stage, id="results"))

    async def scenario() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            app.query_one(ResultsPane).focus_inside()
            await settle(app, pilot)
            await press(app, pilot, "c")
            await press(app, pilot, "B")
            assert not asked(app)
            assert [severity for severity, _ in app.said] == ["warning", "warning"]
            assert "Mark two runs with space" in app.said[0][1]

    asyncio.run(scenario())
