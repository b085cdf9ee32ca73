from pathlib import Path

import pytest
from support.screens import app_over, drive, entry, machine, text_of
from textual.pilot import Pilot

from infertui.tui.app import InfertuiApp
from infertui.tui.jobs.screen import JobScreen
from infertui.tui.palette.of_screen import commands
from infertui.tui.widgets.dialogs import ChoiceScreen

FILE = """
[[command]]
key = "f6"
label = "Say"
scope = "queue"
command = ["printf", "%s\\\\n", "{model}; \\u001b[2J $(id)", "{id}"]

[[command]]
key = "f7"
label = "Ask first"
scope = "queue"
command = ["printf", "{id}"]
confirm = true

[[command]]
key = "x"
label = "Taken"
scope = "queue"
command = ["true"]
"""


@pytest.fixture
def app(tmp_path: Path) -> InfertuiApp:
    folder = tmp_path / ".config" / "infertui"
    folder.mkdir(parents=True)
    (folder / "commands.toml").write_text(FILE, encoding="utf-8")
    return app_over(machine(entries=(entry(7),)), tmp_path)


async def ready(app: InfertuiApp, pilot: Pilot[None]) -> None:
    pane = app.stage.pane("queue")
    while not any(action.id == "queue.own-0" for action in pane.ACTIONS):
        await pilot.pause()
    await pilot.press("2")
    await pilot.pause()


def test_a_key_runs_a_command_on_the_row_and_shows_what_it_says(app: InfertuiApp) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await ready(app, pilot)
        await pilot.press("f6")
        await pilot.pause()
        assert isinstance(app.screen, JobScreen)
        while "Say: done" not in text_of(app):
            await pilot.pause()
        assert "$(id)" in text_of(app)  # no shell
        assert "\x1b" not in text_of(app)
        assert "7" in text_of(app).split("$(id)")[1]

    drive(app, steps)


def test_one_that_wants_it_is_asked_for_first(app: InfertuiApp) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await ready(app, pilot)
        await pilot.press("f7")
        await pilot.pause()
        assert isinstance(app.screen, ChoiceScreen)
        assert "Run printf 7?" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, JobScreen)

    drive(app, steps)


def test_help_and_palette_have_them_and_a_key_that_is_taken_stays(app: InfertuiApp) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await ready(app, pilot)
        assert {"Say", "Ask first"} <= {one.title for one in commands(app)}
        assert not [one for one in commands(app) if one.title == "Taken"]
        await pilot.press("question_mark")
        await pilot.pause()
        assert "Say: printf" in text_of(app)

    drive(app, steps)
