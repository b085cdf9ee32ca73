"""Imported runs on the screen: marked, their gaps shown as gaps, and not repeated."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.foreign_files import dumped, vllm_serve
from support.results import as_imported, make_results
from support.results_stage import ResultsStage
from support.settled import settled

from infertui.config.fields import FIELDS
from infertui.formats.commit import keep
from infertui.formats.detect import read
from infertui.formats.imported_run import Given, result_of
from infertui.formats.reader import SourceFile
from infertui.results.details import RunDetails
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.tui.results.details.summary import summary
from infertui.tui.results.pane import ResultsPane
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.rowlist import RowList


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TEXTUAL_FPS"):
        monkeypatch.delenv(name, raising=False)


def imported(out: Path) -> Result:
    source = SourceFile.of(dumped(vllm_serve(detailed=True)), "serve.json")
    (finding,) = read(source).findings
    now = datetime(2026, 3, 1, tzinfo=UTC)
    made = result_of(finding, Given(device="NVIDIA H200"), file=source.name, sha256="0" * 64, now=now)
    (kept,) = keep((finding,), [made], Store(out), told=lambda count: None)
    return kept


def test_an_imported_run_is_a_row_with_a_mark_and_cannot_be_repeated(tmp_path: Path) -> None:
    out = tmp_path / "reports"
    run = imported(out)
    app = ResultsStage(out, lambda stage: ResultsPane(stage, id="results"))

    async def scenario() -> None:
        async with app.run_test(size=(160, 30)) as pilot:

            async def press(*keys: str) -> None:
                await pilot.press(*keys)
                await settled(app)
                await pilot.pause()

            pane = app.query_one(ResultsPane)
            pane.focus_inside()
            await press()
            assert pane.query_one(RowList).current_key == run.id
            strips = app.screen._compositor.render_strips(app.size)
            lines = ["".join(segment.text for segment in strip).rstrip() for strip in strips]
            (row,) = [line for line in lines if "Llama-3.1-8B" in line]
            assert "imported" in row
            assert "40.0" in row
            assert "None" not in row
            assert "unknown" not in row
            await press("R")
            assert "cannot be repeated" in app.said[-1][1]
            assert not any(call[0] == "submit" for call in app.fake.calls)
            await press("L")
            assert "has no run.toml: it was imported" in app.said[-1][1]

    asyncio.run(scenario())


def test_tables_of_which_nothing_is_known_are_named_once() -> None:
    engines = [path for path in FIELDS if path.startswith("engine.vllm.")]
    run = as_imported(next(make_results(1)), "model.seed", *engines, "summary.iterations")
    lines = summary(RunDetails(id="a", folder="", toml="", result=run), 100, RenderContext(DEFAULT_PALETTE))
    said = next(line.plain for line in lines if line.plain.startswith("not known"))
    assert said.split(maxsplit=2)[2] == "model.seed, engine.vllm.*, summary.iterations"
