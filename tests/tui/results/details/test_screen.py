import asyncio
import fcntl
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from support.results import make_results, write_folder
from support.results_stage import ResultsStage, settle
from textual.pilot import Pilot
from textual.widget import Widget

from infertui.measure.validity import Verdict
from infertui.results.details import BatchPoint, RunDetails, read_details
from infertui.results.result import Error, Result
from infertui.tui.results.details import view as lines_of
from infertui.tui.results.details.screen import DetailsScreen
from infertui.tui.settings.stored import Settings
from infertui.tui.themes import DEFAULT_PALETTE
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.pager import Pager
from infertui.tui.widgets.staticplot import StaticPlot

LOOK = RenderContext(DEFAULT_PALETTE)
PAYLOADS = ["[/foo]", "[@click=app.quit]x[/]", "\x1b]0;owned\x07", "\x9b31m", "\x00\r", "\u202e漢字"]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TEXTUAL_FPS"):
        monkeypatch.delenv(name, raising=False)


def finished() -> Result:
    return next(r for r in make_results(50) if r.state == "finished" and r.loaded and r.loaded.device != "cpu")


def failed() -> Result:
    return next(result for result in make_results(200) if result.error and result.error.remedy)


def play(
    out: Path,
    run: str,
    act: Callable[[ResultsStage, Pilot[Any]], Awaitable[None]],
    *,
    size: tuple[int, int] = (120, 40),
) -> ResultsStage:
    app = ResultsStage(out, lambda _: Widget())

    async def scenario() -> None:
        async with app.run_test(size=size) as pilot:
            await app.push_screen(DetailsScreen(app, run, out=str(out)))
            await settle(app, pilot)
            await act(app, pilot)

    asyncio.run(scenario())
    return app


def screen(app: ResultsStage) -> str:
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def tab(number: int, details: RunDetails, width: int = 100, height: int = 40) -> str:
    return "\n".join(line.plain for line in lines_of.tab_lines(number, details, width, height, LOOK))


# What the tabs say


def test_the_summary_has_figures_with_intervals_and_the_verdict(tmp_path: Path) -> None:
    details = read_details(write_folder(tmp_path, finished()))
    text = tab(0, details)
    assert "95 %" in text
    assert "TTFT              mean " in text
    assert "phases" in text
    assert "█" in text
    assert ("valid: nothing speaks against" in text) is finished().verdict.valid
    for note in finished().verdict.notes:
        assert note[:40] in text


def test_a_failed_run_says_what_happened_and_what_to_do(tmp_path: Path) -> None:
    text = tab(0, read_details(write_folder(tmp_path, failed())))
    assert "error             out-of-memory" in text
    assert "remedy            Use a smaller batch" in text
    assert "torch.OutOfMemoryError" in text
    assert "n/a" not in text


def test_an_invalid_run_is_called_so(tmp_path: Path) -> None:
    against = Verdict(invalid=("the GPU was throttled: hw-thermal",), marks=("thermal",), against=("thermal",))
    result = replace(finished(), verdict=against)
    text = tab(0, read_details(write_folder(tmp_path, result)))
    assert "invalid: do not believe these figures" in text
    assert text.index("the GPU was throttled") < text.index("remedy ")
    assert "the GPU was throttled: hw-thermal" in text


def test_a_run_without_a_result_shows_what_there_is(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, finished(), with_result=False)
    details = read_details(folder)
    assert "it was cut off before anything of it was kept" in tab(0, details)
    with (folder / "begun.json").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as whoever measures does
        assert "it is still under way" in tab(0, read_details(folder))
    assert "output throughput by iteration" in tab(1, details)
    assert "GPU power" in tab(2, details)
    assert "[workload]" in tab(3, details)
    assert "loading weights" in tab(4, details)


def test_a_run_whose_requests_are_gone_says_so(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, finished())
    assert "is gone" not in tab(0, read_details(folder))
    (folder / "requests.jsonl").unlink()
    details = read_details(folder)
    assert "requests.jsonl is gone from its folder" in tab(0, details)
    assert "gone with requests.jsonl" in tab(1, details)


def test_an_empty_run_has_words_for_every_tab() -> None:
    details = RunDetails(id="x", folder="/x", toml="")
    for number, said in enumerate(("no result", "No batch", "No telemetry", "run.toml is gone", "worker.log is empty")):
        assert said in tab(number, details)


def test_the_telemetry_is_of_the_runs_device_and_of_the_host(tmp_path: Path) -> None:
    text = tab(2, read_details(write_folder(tmp_path, finished())))
    for title in ("GPU power W", "GPU utilization %", "GPU memory used GiB", "GPU temperature C", "RAM used GiB"):
        assert title in text
    assert "CPU power" not in text  # there was no reading


def test_temperatures_follow_the_settings(tmp_path: Path) -> None:
    details = read_details(write_folder(tmp_path, finished()))
    look = RenderContext(DEFAULT_PALETTE, settings=Settings(temperature_unit="F"))
    assert "GPU temperature F" in "\n".join(line.plain for line in lines_of.telemetry(details, 100, 40, look))


def test_failed_batches_are_told(tmp_path: Path) -> None:
    details = read_details(write_folder(tmp_path, finished()))
    bad = BatchPoint(99.0, None, None, None, None, "boom")
    assert "boom" in tab(1, msgspec.structs.replace(details, batches=(*details.batches, bad)))
    assert "boom" in tab(1, msgspec.structs.replace(details, batches=(bad,)))


def test_the_environment_and_the_config_without_its_comments(tmp_path: Path) -> None:
    text = tab(3, read_details(write_folder(tmp_path, finished())))
    assert "gpu-box-07" in text
    assert "NVIDIA H200" in text
    assert "batch_size = " in text
    assert "#" not in text


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("size", [(156, 44), (76, 20), (30, 8), (10, 3), (1, 1)])
def test_every_tab_has_lines_of_its_width(tmp_path: Path, number: int, size: tuple[int, int]) -> None:
    details = read_details(write_folder(tmp_path, finished()))
    for look in (LOOK, RenderContext(DEFAULT_PALETTE, ascii=True)):
        assert lines_of.tab_lines(number, details, *size, look)


def test_a_histogram_is_drawn_from_shares_of_its_counts(tmp_path: Path) -> None:
    """Ten thousand million gaps take no more room than a hundred."""
    details = read_details(write_folder(tmp_path, finished()))
    assert details.result
    gaps = details.result.summary.itl
    assert gaps
    many = replace(gaps, histogram={371: 10**10, 778: 10**10, 4096: 1}, count=155)
    text = tab(1, replace(details, result=replace(details.result, summary=replace(details.result.summary, itl=many))))
    assert "155 of them" in text
    told = replace(gaps, histogram={}, count=0)  # of a file that tells a mean and percentiles alone
    text = tab(1, replace(details, result=replace(details.result, summary=replace(details.result.summary, itl=told))))
    assert "inter-token" not in text


def test_figures_that_nothing_can_have_are_drawn_or_left_out(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, finished())
    lines = (folder / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    first = json.loads(lines[0])
    for name, value in (("start", -1e308), ("start", 1e308), ("latency", 1e308), ("tokens", 10**400), ("batch", -1)):
        wrong = "\n".join([json.dumps({**first, name: value}), *lines[1:]])
        (folder / "requests.jsonl").write_text(wrong, encoding="utf-8")
        assert tab(1, read_details(folder))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_foreign_text_is_only_text_in_every_tab(tmp_path: Path, payload: str) -> None:
    result, loaded = finished(), finished().loaded
    assert loaded
    marks = result.fingerprint
    gpu = replace(marks.gpus[0], name=payload)
    result = replace(
        result,
        name=payload,
        state="failed",
        error=Error(payload, payload, payload, {payload: payload}, payload),
        verdict=replace(result.verdict, invalid=(payload,), notes=(payload,)),
        config=replace(
            result.own_config, labels={payload: payload}, model=replace(result.own_config.model, id=f"x{payload}")
        ),
        loaded=replace(
            loaded, dtype=payload, device_name=payload, details={payload: payload}, versions={payload: payload}
        ),
        fingerprint=replace(
            marks, libraries={payload: payload}, gpus=(gpu,), host=replace(marks.host, hostname=payload)
        ),
        phases={payload: 1.0},
    )
    folder = write_folder(tmp_path, finished())
    (folder / "worker.log").write_text(payload, encoding="utf-8")
    (folder / "run.toml").write_text(f"[model]\nid = '{payload}'\n", encoding="utf-8")
    details = msgspec.structs.replace(read_details(folder), result=result)
    for number in range(5):
        for line in lines_of.tab_lines(number, details, 100, 40, LOOK):
            assert line.plain.isprintable(), (number, line.plain)


# The screen


def test_keys_turn_tabs_and_pages(tmp_path: Path) -> None:
    result = finished()
    write_folder(tmp_path, result)

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        assert result.id in screen(app)
        assert "[1 Summary]" in screen(app)
        for number, said in ((2, "by iteration"), (3, "GPU power"), (4, "environment"), (5, "loading weights")):
            await pilot.press(str(number))
            assert f"[{number} " in screen(app)
            assert said in screen(app)
        await pilot.press("right", "right")
        assert "[1 Summary]" in screen(app)
        await pilot.press("left", "4", "G")
        assert "environment" not in screen(app)
        await pilot.press("g")
        assert "environment" in screen(app)
        await pilot.press("escape")
        assert not isinstance(app.screen, DetailsScreen)

    play(tmp_path, result.id, act, size=(80, 24))


def test_a_click_on_a_tab_turns_to_it(tmp_path: Path) -> None:
    result = finished()
    write_folder(tmp_path, result)

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        line = next(n for n, text in enumerate(screen(app).split("\n")) if "3 Telemetry" in text)
        await pilot.click(offset=(screen(app).split("\n")[line].index("3 Tele") + 1, line))
        await pilot.pause()
        assert "[3 Telemetry]" in screen(app)

    play(tmp_path, result.id, act)


def test_it_is_read_again_on_demand(tmp_path: Path) -> None:
    result = finished()
    folder = write_folder(tmp_path, result, with_result=False)

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        assert "no result" in screen(app)
        (folder / "result.json").write_bytes(msgspec.json.encode(result))
        await pilot.press("r")
        await settle(app, pilot)
        assert "output throughput" in screen(app)
        shutil.rmtree(folder)
        await pilot.press("r")
        await settle(app, pilot)
        assert "there is no run" in screen(app)

    play(tmp_path, result.id, act)


def test_copying_and_loading(tmp_path: Path) -> None:
    result = finished()
    folder = write_folder(tmp_path, result)

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await pilot.press("5", "y", "Y", "O", "L")
        log, command, path = (text for text, _ in app.copied)
        assert log.startswith("loading weights\nready")
        assert command == f"infertui run {folder / 'run.toml'}"
        assert path == str(folder)
        assert app.opened == [((folder / "run.toml").read_text(), result.name)]
        assert not isinstance(app.screen, DetailsScreen)

    play(tmp_path, result.id, act)


def test_a_part_that_cannot_be_shown_does_not_end_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = finished()
    write_folder(tmp_path, result)

    def broken(*_: object) -> None:
        raise ValueError("[/foo] \x1b[2J")

    monkeypatch.setattr(lines_of, "telemetry", broken)

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await pilot.press("3")
        assert "This cannot be shown: ValueError: [/foo]" in screen(app)
        await pilot.press("1")
        assert "output throughput" in screen(app)

    play(tmp_path, result.id, act)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_run_of_a_hostile_name_is_refused_in_words(tmp_path: Path, payload: str) -> None:
    async def act(app: ResultsStage, _pilot: Pilot[Any]) -> None:
        assert not any(char in screen(app) for char in "\x1b\x9b\x00\r\x07\u202e")
        assert "no run" in screen(app) or "null byte" in screen(app)

    play(tmp_path, payload, act)


@pytest.mark.parametrize("size", [(160, 48), (80, 24), (40, 10), (10, 4)])
def test_every_size_is_drawn_and_a_resize_lays_out_anew(tmp_path: Path, size: tuple[int, int]) -> None:
    result = finished()
    write_folder(tmp_path, result)

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        for key in "12345":
            await pilot.press(key)
        await pilot.press("2")
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert max(line.cell_len for line in app.screen.query_one(Pager)._text) <= 96

    play(tmp_path, result.id, act, size=size)


@pytest.mark.parametrize("size", [(160, 48), (120, 40), (80, 24), (20, 5)])
def test_charts_are_drawn_as_far_as_there_is_room(tmp_path: Path, size: tuple[int, int]) -> None:
    result = finished()
    write_folder(tmp_path, result)

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await pilot.press("6")
        await settle(app, pilot)
        drawn = screen(app)
        assert len(app.screen.query(StaticPlot)) >= 1
        assert "cannot be drawn" not in drawn
        if size[0] >= 120:
            assert "E2E latency" in drawn
            assert "ITL" in drawn
        await pilot.press("1")
        await settle(app, pilot)

    play(tmp_path, result.id, act, size=size)


def test_data_that_plotext_cannot_take_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = finished()
    write_folder(tmp_path, result)

    def broken(figure: Any, marker: str) -> None:
        raise ValueError("[/foo] \x1b]0;owned\x07")

    monkeypatch.setattr("infertui.tui.results.details.charts.charts", lambda details: [("broken", broken)])

    async def act(app: ResultsStage, pilot: Pilot[Any]) -> None:
        await pilot.press("6")
        await settle(app, pilot)
        assert "cannot be drawn: ValueError: [/foo]" in screen(app)

    play(tmp_path, result.id, act)
