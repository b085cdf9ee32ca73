import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.fake_control import FakeControl
from support.screens import app_over, drive, entry, machine, text_of
from textual.pilot import Pilot

from infertui.results.table import ResultPage, ResultQuery, ResultRow
from infertui.tui.app import InfertuiApp
from infertui.tui.frame.actions import GLOBAL_ACTIONS
from infertui.tui.palette.of_screen import OTHER_WORDS, commands
from infertui.tui.palette.recent import read, recent_path
from infertui.tui.palette.screen import PaletteScreen


class Results(FakeControl):
    """Ten thousand runs, a page at a time."""

    COUNT = 10_000

    async def results(self, query: ResultQuery) -> ResultPage:
        last = min(self.COUNT, query.offset + query.limit)
        rows = tuple(
            ResultRow(id=f"r{n}", name=f"sweep bs={n}", state="finished", started="", valid=True, model="gpt2")
            for n in range(query.offset, last)
        )
        return ResultPage(total=self.COUNT, matching=self.COUNT, offset=query.offset, rows=rows)


def palette(app: InfertuiApp) -> PaletteScreen:
    assert isinstance(app.screen, PaletteScreen)
    return app.screen


async def opened(app: InfertuiApp, pilot: Pilot[None], typed: str = "") -> None:
    app.action_palette()
    await pilot.pause()
    for letter in typed:
        await pilot.press("space" if letter == " " else letter)
    await pilot.pause()


def test_ten_thousand_runs_are_found_and_hold_up_nothing(tmp_path: Path) -> None:
    fake = Results()
    fake.told = machine().told
    app = app_over(fake, tmp_path)
    shown: list[str] = []
    app.show_details = lambda run, **_: shown.append(run)  # type: ignore[method-assign]

    async def steps(pilot: Pilot[None]) -> None:
        await opened(app, pilot)
        async with asyncio.timeout(60):
            while len(palette(app)._matcher) < 10_000:
                await pilot.pause(0.01)
        for letter in "bs=9876":
            await pilot.press("equals_sign" if letter == "=" else letter)
        await pilot.press("enter")
        await pilot.pause()
        assert shown == ["r9876"]

    drive(app, steps)


def test_what_was_chosen_last_comes_first_and_at_the_next_start(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await opened(app, pilot, "theme light")
        await pilot.press("enter")
        await pilot.pause()
        await opened(app, pilot)
        assert "▸ Theme   light" in text_of(app)
        await pilot.press("escape")
        async with asyncio.timeout(10):
            while not read(recent_path(app.environ)):
                await pilot.pause(0.02)

    drive(app, steps)
    again = app_over(machine(), tmp_path)

    async def more(pilot: Pilot[None]) -> None:
        async with asyncio.timeout(10):
            while not again.recent:
                await pilot.pause(0.02)
        await opened(again, pilot)
        assert "▸ Theme   light" in text_of(again)

    drive(again, more)


def test_what_does_nothing_now_says_why_and_is_not_done(tmp_path: Path) -> None:
    fake = machine()
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await opened(app, pilot, "queue cancel")
        assert "not now: nothing is queued" in text_of(app)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, PaletteScreen)
        assert not fake.calls or all(name != "cancel" for name, _ in fake.calls)

    drive(app, steps)


def test_a_read_only_screen_says_so_of_all_that_writes(tmp_path: Path) -> None:
    app = app_over(machine(entries=(entry(1),)), tmp_path, read_only=True)

    async def steps(pilot: Pilot[None]) -> None:
        await opened(app, pilot, "run first")
        assert "not now: read-only" in text_of(app)

    drive(app, steps)


def test_fields_presets_settings_and_help_are_gone_to(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await opened(app, pilot, "lcpp cpu")
        await pilot.press("enter")
        await pilot.pause()
        assert "preset llama-cpp-cpu" in text_of(app)
        await opened(app, pilot, "output len")
        await pilot.press("enter")
        await pilot.pause()
        config: Any = app.stage.pane("config")
        assert config.editor.key == "workload.output_len"
        await opened(app, pilot, "setting hot")
        await pilot.press("enter")
        await pilot.pause()
        assert "from here a temperature is marked" in text_of(app).replace("\n", " ")
        await pilot.press("escape")
        await pilot.pause()
        await opened(app, pilot, "keys of logs")
        await pilot.press("enter")
        await pilot.pause()
        assert "next line with the text" in text_of(app)

    drive(app, steps)


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (80, 15), (80, 24), (250, 70)])
def test_it_fits_and_no_runner_is_no_trouble(size: tuple[int, int], tmp_path: Path) -> None:
    app = app_over(None, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await opened(app, pilot, "quit")
        assert len(text_of(app).split("\n")) == size[1]
        await pilot.press("enter")
        await pilot.pause()
        assert app.return_code == 0

    drive(app, steps, size=size, linked=False)


def test_the_footer_is_empty_while_the_palette_has_the_keys(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        assert "Quit" in text_of(app).split("\n")[-1]
        await opened(app, pilot)
        assert text_of(app).split("\n")[-1].strip() == ""
        await pilot.press("escape")
        await pilot.pause()
        assert "Quit" in text_of(app).split("\n")[-1]

    drive(app, steps)


def test_actions_are_found_by_what_other_programs_call_them(tmp_path: Path) -> None:
    app = app_over(machine(entries=(entry(1),)), tmp_path)

    async def steps(_: Pilot[None]) -> None:
        known = {action.id for pane in app.stage.panes() for action in pane.ACTIONS}
        assert known | {action.id for action in GLOBAL_ACTIONS} >= OTHER_WORDS.keys()
        assert [found.id for found in commands(app) if "pull" in found.words] == ["config.pull"]

    drive(app, steps)
