import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.fake_control import FakeControl
from support.runs import simulated
from support.screens import TERMINAL, app_over, drive, entry, machine, sample, text_of
from textual.events import Key
from textual.pilot import Pilot
from textual.widget import MountError

from infertui.api.errors import OtherVersionError, RunnerUnavailableError
from infertui.errors import InfertuiError
from infertui.runner.control import EntriesOrdered, EntryChanged, Measured
from infertui.runner.tuning.state import TuningView
from infertui.targets.engine.base import Probe
from infertui.tui.app import InfertuiApp
from infertui.tui.frame import layouts
from infertui.tui.frame.help import HelpScreen
from infertui.tui.frame.main_screen import MainScreen
from infertui.tui.palette.screen import PaletteScreen
from infertui.tui.quit_screen import QuitScreen
from infertui.tui.settings.stored import Settings
from infertui.tui.welcome import WelcomeScreen
from infertui.tui.widgets.dialogs import ChoiceScreen, Dialog
from infertui.tui.widgets.pane import Pane
from infertui.tui.widgets.rowlist import RowList


@pytest.fixture(autouse=True)
def no_preferences(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TEXTUAL_ANIMATIONS"):
        monkeypatch.delenv(name, raising=False)


def displayed(app: InfertuiApp) -> set[str]:
    return {str(pane.id) for pane in app.screen_stack[0].query(Pane) if pane.display}


def active(app: InfertuiApp) -> str:
    return app.stage.active


def top(app: InfertuiApp) -> type:
    return type(app.screen)


def calls(fake: FakeControl, method: str) -> list[tuple[object, ...]]:
    return [arguments for name, arguments in fake.calls if name == method]


RUNNING = (entry(1, "finished"), entry(2, "running"), entry(3), entry(4))


@pytest.mark.parametrize(
    ("size", "panes"),
    [
        ((160, 48), {"gpus", "queue", "config", "live", "results"}),
        ((120, 40), {"gpus", "queue", "config", "live", "results"}),
        ((100, 30), {"gpus", "queue", "config", "live", "results"}),
        ((80, 24), {"gpus", "live"}),
        ((60, 20), {"gpus", "live"}),
        ((80, 15), {"live"}),
        ((50, 15), {"live"}),
        ((40, 10), {"live"}),
        ((40, 9), set()),
        ((20, 5), set()),
        ((1, 1), set()),
    ],
)
def test_every_size_has_a_layout(size: tuple[int, int], panes: set[str], tmp_path: Path) -> None:
    app = app_over(machine(gpus=8, entries=RUNNING), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        assert displayed(app) == panes
        lines = text_of(app).split("\n")
        assert len(lines) == size[1]
        if size[0] > 40:
            assert "run 2/4" in lines[0]

    drive(app, steps, size=size)


def test_a_very_small_terminal_shows_what_matters_most(tmp_path: Path) -> None:
    app = app_over(machine(gpus=1, entries=RUNNING), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        shown = text_of(app)
        assert "RUN sweep bs=2" in shown
        assert "GPU0 50% 1.0G 100W 50C" in shown
        await pilot.press("5")
        await pilot.pause()
        assert displayed(app) == {"results"}
        await pilot.press("escape")
        await pilot.pause()
        assert displayed(app) == set()

    drive(app, steps, size=(40, 9))


def test_the_focus_comes_back_with_the_panes(tmp_path: Path) -> None:
    app = app_over(machine(entries=RUNNING), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("5")
        await pilot.pause()
        await pilot.resize_terminal(40, 9)
        await pilot.pause()
        assert displayed(app) == {"results"}, "who works in a pane keeps it"
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen.focused is None
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert app.focused is not None
        assert app.stage.pane("results") in app.focused.ancestors_with_self

    drive(app, steps)


def test_number_keys_tab_and_zoom(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        for number, place in enumerate(layouts.PANES, 1):
            await pilot.press(str(number))
            await pilot.pause()
            assert app.stage.active == place
            assert place in displayed(app)
        assert displayed(app) == {"gpus", "queue", "config", "cost", "results"}
        await pilot.press("1", "tab")
        await pilot.pause()
        assert active(app) == "queue"
        await pilot.press("shift+tab", "shift+tab")
        await pilot.pause()
        assert active(app) == "cost"
        await pilot.press("z")
        await pilot.pause()
        assert displayed(app) == {"cost"}
        await pilot.press("escape")
        await pilot.pause()
        assert displayed(app) == {"gpus", "queue", "config", "cost", "results"}
        await pilot.press("escape")
        assert app.is_running

    drive(app, steps)


def test_tabs_on_a_small_screen(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("5")
        await pilot.pause()
        assert displayed(app) == {"gpus", "results"}
        assert "[5 Results]" in text_of(app)
        await pilot.press("tab")
        await pilot.pause()
        assert "[6 Logs]" in text_of(app)
        await pilot.click("#tabs", offset=(4, 0))
        await pilot.pause()
        assert "[2 Queue]" in text_of(app)

    drive(app, steps, size=(80, 24))


def test_a_storm_of_resizing_is_harmless(tmp_path: Path) -> None:
    app = app_over(machine(gpus=8, entries=RUNNING), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        for width, height in [(200, 60), (80, 24), (1, 1), (50, 15), (20, 5), (100, 30), (61, 20), (120, 40)]:
            await pilot.resize_terminal(width, height)
        await pilot.pause()
        assert displayed(app) == {"gpus", "queue", "config", "live", "results"}

    drive(app, steps)


def test_the_screen_is_there_before_the_runner_answers(tmp_path: Path) -> None:
    app = app_over(None, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        assert "connecting" in text_of(app).split("\n")[0]
        await pilot.press("q")
        await pilot.pause()
        assert app.return_code == 0

    drive(app, steps, linked=False)


def test_what_a_pane_asks_before_there_is_a_runner_becomes_a_toast(tmp_path: Path) -> None:
    app = app_over(None, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        app.intend(lambda control: control.pause())
        await pilot.pause()
        assert "no connection" in next(iter(app._notifications)).message

    drive(app, steps, linked=False)


def test_a_refusal_becomes_a_toast_without_markup(tmp_path: Path) -> None:
    fake = machine()
    fake.failures["pause"] = InfertuiError("bad \x1b[2J[/nope][@click=app.quit]x", remedy="do this")
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        app.intend(lambda control: control.pause(), done="paused")
        await pilot.pause()
        toast = next(iter(app._notifications))
        assert toast.message == "bad [/nope][@click=app.quit]x\ndo this"
        assert not toast.markup
        assert "[/nope]" in text_of(app)

    drive(app, steps)


def test_events_reach_the_panes(tmp_path: Path) -> None:
    fake = machine()
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        fake.push(EntryChanged(entry(7)), EntriesOrdered((7,)))
        async with asyncio.timeout(10):
            while "bs=7" not in text_of(app):
                await pilot.pause(0.02)

    drive(app, steps)


def test_a_flood_of_events_neither_delays_keys_nor_draws_each(tmp_path: Path) -> None:
    fake = machine()
    app = app_over(fake, tmp_path, settings=Settings(gauge_hz=10))

    async def steps(pilot: Pilot[None]) -> None:
        drawn: list[object] = []
        pane = app.screen.query_one("#gpus", Pane)
        pane.show = drawn.append  # type: ignore[method-assign, assignment]
        for number in range(1000):
            fake.push(Measured(sample(2, number + 10)))
            if number % 50 == 0:
                await asyncio.sleep(0)
        await pilot.press("5")
        await pilot.pause()
        assert app.stage.active == "results"
        assert app.client_state.number == 1000
        assert len(drawn) < 20

    drive(app, steps)


def test_frozen_means_that_nothing_is_drawn(tmp_path: Path) -> None:
    fake = machine()
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("p")
        await pilot.pause()
        assert "FROZEN" in text_of(app).split("\n")[0]
        fake.push(EntryChanged(entry(7)), EntriesOrdered((7,)))
        await pilot.pause(0.3)
        assert 7 in app.living_state.entries
        assert 7 not in app.client_state.entries
        assert "bs=7" not in text_of(app)
        await pilot.press("p")
        async with asyncio.timeout(10):
            while "bs=7" not in text_of(app):
                await pilot.pause(0.02)
        assert "FROZEN" not in text_of(app)

    drive(app, steps)


def test_quitting_asks_while_runs_are_under_way(tmp_path: Path) -> None:
    fake = machine(entries=RUNNING)
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("q")
        await pilot.pause()
        assert top(app) is QuitScreen
        assert "1 run is under way, 2 waiting." in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.is_running
        assert top(app) is MainScreen
        await pilot.press("q")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert app.return_code == 0
        assert not calls(fake, "stop")

    drive(app, steps)


def test_stopping_the_runs_when_leaving(tmp_path: Path) -> None:
    fake = machine(entries=RUNNING)
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("q")
        await pilot.pause()
        await pilot.press("j", "enter")
        await pilot.pause()
        assert calls(fake, "stop") == [(True,)]
        assert app.return_code == 0

    drive(app, steps)


def test_leaving_asks_while_a_tuning_session_holds_the_machine(tmp_path: Path) -> None:
    fake = machine()
    fake.told = replace(fake.told, tunings=(TuningView("tuning-1", "/f", "demo", simulated()),))
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("q")
        await pilot.pause()
        assert top(app) is QuitScreen
        assert "A tuning session is under way." in text_of(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.return_code == 0
        assert not calls(fake, "stop")

    drive(app, steps)


def test_ctrl_c_asks_to_cancel_and_twice_leaves(tmp_path: Path) -> None:
    fake = machine(entries=RUNNING)
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert isinstance(app.screen, ChoiceScreen)
        await pilot.press("j", "enter")
        await pilot.pause()
        assert calls(fake, "cancel") == [((2,),)]
        await pilot.press("ctrl+c", "ctrl+c")
        await pilot.pause()
        assert app.return_code == 130

    drive(app, steps)


@pytest.mark.parametrize("busy", [False, True])
def test_a_runner_of_another_version_can_be_replaced_when_idle(busy: bool, tmp_path: Path) -> None:
    stopped: list[str] = []

    async def stop() -> None:
        stopped.append("stopped")

    app = app_over(machine(), tmp_path, stop_other=stop)

    async def steps(pilot: Pilot[None]) -> None:
        error = OtherVersionError("the runner is infertui 0.0.1; this is 9", version="0.0.1", busy=busy)
        app.connection.trouble("no runner, trying again", error)
        app.connection.trouble("no runner, trying again", error)
        await pilot.pause()
        if busy:
            assert top(app) is MainScreen
            assert [toast.message for toast in app._notifications] == ["the runner is infertui 0.0.1; this is 9"]
            return
        assert "the runner is infertui 0.0.1" in text_of(app)
        await pilot.press("j", "enter")
        await pilot.pause()
        assert stopped == ["stopped"]

    drive(app, steps)


def test_help_knows_the_keys_of_other_screens(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        app.show_details("run1")
        await pilot.pause()
        await pilot.press("question_mark")
        await pilot.pause()
        assert top(app) is HelpScreen
        assert "Details" in text_of(app)
        await pilot.press("escape", "escape")
        await pilot.pause()
        assert top(app) is MainScreen

    drive(app, steps)


def test_the_safe_answer_has_the_focus(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        done: list[str] = []
        for keys in (["enter"], ["escape"], ["j", "enter"]):
            app.confirm("Delete [/all]?", yes="Delete", then=lambda: done.append("deleted"))
            await pilot.pause()
            assert "Delete [/all]?" in text_of(app)
            await pilot.press(*keys)
            await pilot.pause()
        assert done == ["deleted"]

    drive(app, steps)


def test_help_names_the_focused_pane_first_and_is_searched(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await pilot.pause()
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        shown = text_of(app)
        assert shown.index("Queue") < shown.index("Everywhere")
        await pilot.press(*"zoom")
        await pilot.pause()
        assert "give the pane the whole screen" in text_of(app)
        for _ in "zoom":
            await pilot.press("backspace")
        await pilot.press(*"whole")
        await pilot.pause()
        assert "out of a zoomed pane" not in text_of(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.stage.zoomed

    drive(app, steps)


def test_the_palette_runs_actions_of_other_panes_and_chooses_themes(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("colon")
        await pilot.pause()
        assert isinstance(app.screen, PaletteScreen)
        await pilot.press(*"theme light")
        await pilot.press("enter")
        await pilot.pause()
        assert app.theme == "light"
        assert app.settings.theme == "light"
        await pilot.press("ctrl+p")
        await pilot.pause()
        await pilot.press(*"go to results", "enter")
        await pilot.pause()
        assert app.stage.active == "results"

    drive(app, steps)


def test_themes_follow_each_other(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        seen = {app.theme}
        for _ in range(6):
            await pilot.press("T")
            await pilot.pause()
            seen.add(app.theme)
        assert len(seen) >= 6

    drive(app, steps)


def test_a_read_only_screen_changes_nothing(tmp_path: Path) -> None:
    fake = machine(entries=RUNNING)
    app = app_over(fake, tmp_path, read_only=True)

    async def steps(pilot: Pilot[None]) -> None:
        assert "READ-ONLY" in text_of(app).split("\n")[0]
        await pilot.press("2")
        await pilot.pause()
        pane: Any = app.screen.query_one("#queue")
        for action in pane.ACTIONS:
            if action.writes:
                await app.run_action(action.call or action.name, pane)
        await pilot.pause()
        assert {name for name, _ in fake.calls} <= {"snapshot", "events", "results", "models", "forecast", "details"}
        assert any("read-only" in toast.message for toast in app._notifications)
        await pilot.press("q")
        await pilot.pause()
        assert app.return_code == 0

    drive(app, steps)


def test_settings_are_edited_checked_and_saved(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    app = app_over(machine(), tmp_path, settings_path=path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("comma")
        await pilot.pause()
        await pilot.press("j", "enter")
        await pilot.pause()
        await pilot.press("backspace", *"99", "enter")
        await pilot.pause()
        assert "'99' is not allowed" in text_of(app).replace("\n", " ") or "99" in text_of(app)
        assert app.settings.gauge_hz == 1
        await pilot.press("backspace", "backspace", *"2", "enter")
        await pilot.pause()
        assert app.settings.gauge_hz == 2
        async with asyncio.timeout(10):
            while not path.exists() or "gauge_hz = 2.0" not in path.read_text():
                await pilot.pause(0.02)
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.screen_stack) == 1

    drive(app, steps)


def test_rates_step_and_are_kept(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("plus")
        await pilot.pause()
        assert (app.settings.gauge_hz, app.settings.chart_hz) == (2, 4)
        await pilot.press("minus", "minus")
        await pilot.pause()
        assert (app.settings.gauge_hz, app.settings.chart_hz) == (0.5, 1)

    drive(app, steps)


def test_a_run_on_the_cpu_is_drawn_less_often_while_it_lasts(tmp_path: Path) -> None:
    fake = machine()
    app = app_over(fake, tmp_path)

    async def sharing(pilot: Pilot[None], wanted: bool) -> None:
        async with asyncio.timeout(10):
            while app.scheduler.sharing != wanted:
                await pilot.pause(0.01)

    async def steps(pilot: Pilot[None]) -> None:
        await sharing(pilot, False)
        fake.push(EntryChanged(entry(7, "running", lane="cpu")), EntriesOrdered((7,)))
        await sharing(pilot, True)
        fake.push(EntryChanged(entry(7, "finished", lane="cpu")))
        await sharing(pilot, False)
        fake.push(EntryChanged(entry(8, "running", lane="gpu0")), EntriesOrdered((7, 8)))
        async with asyncio.timeout(10):
            while 8 not in app.client_state.entries:
                await pilot.pause(0.01)
        await sharing(pilot, False)

    drive(app, steps)


def test_a_wrong_settings_file_is_told_and_the_rest_counts(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('gauge_hz = 99\nhot_c = 70.0\n[keys]\n"queue.nothing" = "X"\n', encoding="utf-8")
    app = app_over(machine(), tmp_path, settings=None, settings_path=path)

    async def steps(pilot: Pilot[None]) -> None:
        assert (app.settings.gauge_hz, app.settings.hot_c) == (1, 70)
        messages = " ".join(toast.message for toast in app._notifications)
        assert "gauge_hz: '99' is not allowed; allowed: a number, 0.1 to 10; using 1" in messages
        assert "queue.nothing" in messages

    drive(app, steps)


def test_keys_can_be_given_to_other_actions(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path, settings=Settings(keys={"app.zoom": "ctrl+e"}))

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await pilot.press("z")
        await pilot.pause()
        assert not app.stage.zoomed
        await pilot.press("ctrl+e")
        await pilot.pause()
        assert app.stage.zoomed

    drive(app, steps)


def test_the_first_start_is_one_key_from_a_run(tmp_path: Path) -> None:
    fake = machine()
    path = tmp_path / "config" / "settings.toml"
    app = app_over(fake, tmp_path, settings_path=path, welcome=True)

    async def steps(pilot: Pilot[None]) -> None:
        assert isinstance(app.screen, WelcomeScreen)
        shown = text_of(app)
        assert "gpu-box" in shown
        assert "2× H100" in shown
        assert "r  measure the demo now" in shown
        assert "transformers  " in shown
        assert "vllm not here" in shown
        await pilot.press("r")
        async with asyncio.timeout(10):
            while not calls(fake, "submit") or not path.exists():
                await pilot.pause(0.02)
        submission: Any = calls(fake, "submit")[0][0]
        assert submission.title == "demo"
        assert submission.out == str(tmp_path / "reports")
        assert app.stage.active == "live"

    drive(app, steps)


@pytest.mark.parametrize(
    ("cuda", "variable", "words"),
    [
        ("none", None, "PyTorch 2.9 is built without CUDA"),
        ("12.1", "-1", "CUDA_VISIBLE_DEVICES hides them all: runs use the CPU"),
        ("12.1", "", "CUDA_VISIBLE_DEVICES hides them all: runs use the CPU"),
        ("12.1", "NoDevFiles", "CUDA_VISIBLE_DEVICES hides them all: runs use the CPU"),
        ("12.1", "7", "CUDA_VISIBLE_DEVICES: there is no GPU"),
        ("12.1", "1", ""),
    ],
)
def test_the_welcome_tells_of_gpus_that_runs_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: str, variable: str | None, words: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    fake = machine()
    probe = Probe("transformers", available=True, reason="", versions={"torch": "2.9"}, cuda=cuda)
    fake.told = replace(fake.told, runner=replace(fake.told.runner, engines=(probe,)))
    app = app_over(fake, tmp_path, welcome=True)

    async def steps(pilot: Pilot[None]) -> None:
        async with asyncio.timeout(20):
            while (words or "Engines") not in text_of(app):
                await pilot.pause(0.02)
        shown = text_of(app)
        if not words:
            assert "CUDA_VISIBLE_DEVICES" not in shown
            assert "PyTorch" not in shown

    drive(app, steps)


def test_the_welcome_takes_no_key_that_is_not_its_own(tmp_path: Path) -> None:
    fake = machine()
    app = app_over(fake, tmp_path, welcome=True)

    async def steps(pilot: Pilot[None]) -> None:
        assert isinstance(app.screen, WelcomeScreen)
        await pilot.press("5", "slash", *"gpt")
        await pilot.pause()
        assert app.on_main_screen
        assert app.stage.active == "results"
        assert "/ gpt" in text_of(app)
        assert not calls(fake, "submit")

    drive(app, steps)


def test_esc_closes_the_welcome_and_nothing_else(tmp_path: Path) -> None:
    fake = machine()
    app = app_over(fake, tmp_path, welcome=True)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("escape")
        await pilot.pause()
        assert app.on_main_screen
        assert not calls(fake, "submit")

    drive(app, steps)


@pytest.mark.parametrize("size", [(160, 48), (80, 24), (80, 15), (60, 20), (40, 10), (30, 10), (20, 5)])
def test_what_to_do_first_is_never_cut(size: tuple[int, int], tmp_path: Path) -> None:
    app = app_over(machine(gpus=8), tmp_path, welcome=True)

    async def steps(pilot: Pilot[None]) -> None:
        if size < (30, 10):
            assert app.on_main_screen
            return
        async with asyncio.timeout(20):
            while "Models   none" not in text_of(app):
                await pilot.pause(0.02)
        shown = text_of(app)
        assert "r  measure the demo now" in shown or (size[0] < 40 and "r  start the demo" in shown)
        assert "8× H100" in shown
        assert sum(line.count("Engines") for line in shown.split("\n")) == 1
        box = app.screen.query_one("#found").region
        assert app.screen.region.contains_region(box)

    drive(app, steps, size=size)


def test_who_types_before_the_welcome_has_no_use_for_it(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path, welcome=True)

    async def go() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("5")
            async with asyncio.timeout(20):
                await app.furnished.wait()
            await pilot.pause()
            assert app.on_main_screen
            assert app.stage.active == "results"

    asyncio.run(go())


def test_ascii_and_no_colour(tmp_path: Path) -> None:
    terminal = replace(TERMINAL, ascii_only=True, colours="none")
    app = app_over(machine(gpus=4, entries=RUNNING), tmp_path, terminal=terminal)

    async def steps(pilot: Pilot[None]) -> None:
        assert app.theme == "mono"
        for keys in ([], ["question_mark"], ["escape", "colon"], ["escape", "comma"], ["escape", "q"]):
            await pilot.press(*keys)
            await pilot.pause()
            shown = text_of(app)
            assert shown.isascii(), {letter for letter in shown if not letter.isascii()}

    drive(app, steps)


def test_copying_goes_to_the_clipboard_and_a_file(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        app.copy("infertui run demo", "the command line")
        await pilot.pause()
        assert app.clipboard == "infertui run demo"
        assert (tmp_path / "cache" / "infertui" / "clip.txt").read_text() == "infertui run demo"
        assert "Copied the command line" in next(iter(app._notifications)).message

    drive(app, steps)


def test_a_runner_that_goes_is_named_in_the_header(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        app.connection.trouble("runner gone, trying again", None)
        app.draw_all()
        await pilot.pause()
        assert "runner gone, trying again" in text_of(app).split("\n")[0]
        app.connection.connected()
        app.draw_all()
        await pilot.pause()
        assert "runner gone" not in text_of(app)

    drive(app, steps)


def test_esc_takes_one_step_back_at_a_time(tmp_path: Path) -> None:
    app = app_over(machine(entries=RUNNING), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("2", "z", "space")
        marked = app.stage.pane("queue").query_one(RowList).marked
        assert marked
        await pilot.press("escape")
        assert app.stage.zoomed
        assert not marked
        await pilot.press("escape")
        assert not app.stage.zoomed

    drive(app, steps)


def test_what_happened_behind_a_dialog_shows_when_it_is_closed(tmp_path: Path) -> None:
    fake = machine(entries=(entry(1),))
    app = app_over(fake, tmp_path, settings=Settings(slow_link=True))

    async def steps(pilot: Pilot[None]) -> None:
        app.push_screen(HelpScreen([], keymap={}, read_only=False))
        await pilot.pause()
        app.client_state.entries[2] = entry(2, group=2, name="the-new-one")
        app._draw(frozenset({"queue"}))
        await pilot.pause()
        app.pop_screen()
        await pilot.pause()
        assert "the-new-one" in text_of(app)

    drive(app, steps, size=(160, 48))


def test_a_small_screen_says_how_much_it_leaves_out(tmp_path: Path) -> None:
    app = app_over(machine(gpus=16), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        assert "… 7 more lines  1-7 open a pane" in text_of(app)

    drive(app, steps, size=(38, 14))


def test_sentences_name_the_keys_that_the_user_chose(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path, settings=Settings(keys={"config.run": "f5"}))

    async def steps(pilot: Pilot[None]) -> None:
        text = text_of(app)
        assert "Empty: f5 in" in text
        assert "f5 in Config starts a run" in text
        assert "r in Config" not in text

    drive(app, steps, size=(160, 48))


def test_a_key_of_the_list_is_not_given_away_unnoticed(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path, settings=Settings(keys={"queue.cancel": "j", "list.top": "f6"}))

    async def steps(pilot: Pilot[None]) -> None:
        assert app.keymap == {"list.top": "f6"}

    drive(app, steps)


def test_help_tells_what_actions_are_called(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("2", "question_mark")
        await pilot.press("down")
        await pilot.pause()
        assert "queue.cancel ─╯" in text_of(app)

    drive(app, steps)


def test_help_lists_a_key_once(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        app.show_details("run1")
        await pilot.pause()
        await pilot.press("question_mark")
        await pilot.pause()
        shown = text_of(app)
        assert "the tab Summary" in shown
        assert "go to GPUs" not in shown
        assert "find anything by a few letters" in shown

    drive(app, steps, size=(120, 60))


@pytest.mark.parametrize("opened", ["question_mark", "colon", "comma", "M", "W", "v", "O"])
def test_a_dialog_closes_once_however_often_its_key_comes(opened: str, tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("3", opened)
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, Dialog)
        for _ in range(3):
            screen.dismiss(None)
        await pilot.pause()
        assert app.on_main_screen

    drive(app, steps)


def test_the_welcome_survives_two_keys_at_once(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path, welcome=True)

    async def steps(pilot: Pilot[None]) -> None:
        for key in ("x", "y"):
            app.screen.post_message(Key(key, key))
        await pilot.pause()
        assert app.on_main_screen

    drive(app, steps)


def test_what_to_do_about_a_lost_runner_is_said_when_it_cannot_be_had_back(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)
    lost = RunnerUnavailableError("the connection broke", remedy="start one")

    async def steps(pilot: Pilot[None]) -> None:
        app.connection.trouble("runner gone, trying again", lost)
        async with asyncio.timeout(10):
            while "the connection broke; connecting again" not in text_of(app):
                await pilot.pause(0.02)
        assert "start one" not in text_of(app)
        app.connection.trouble("runner gone, trying again", lost)
        async with asyncio.timeout(10):
            while "start one" not in text_of(app):
                await pilot.pause(0.02)

    drive(app, steps)


def test_what_comes_while_the_screen_is_torn_down_is_not_drawn_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `exit`, as a picture of the screen ends: its clock ticks on a busy machine, and there is no screen."""
    app = app_over(machine(gpus=2), tmp_path)
    close = app._close_all

    async def slowly() -> None:
        await close()
        for _ in range(3):
            app._changed(frozenset({"runner", "machine"}))
            await asyncio.sleep(0.1)  # more than any rate waits between two drawings

    monkeypatch.setattr(app, "_close_all", slowly)

    async def scenario() -> None:
        async with app.run_test(size=(120, 40)):
            await app.linked.wait()
            await app.furnished.wait()

    asyncio.run(scenario())


def test_what_fails_while_it_is_left_does_not_change_the_exit_code(tmp_path: Path) -> None:
    """A signal may come while the panes are still mounted into what is being taken away."""
    app = app_over(machine(), tmp_path)

    async def steps(_pilot: Pilot[None]) -> None:
        app.exit(return_code=143)
        app._handle_exception(MountError("it is not mounted"))  # as workers and widgets do

    drive(app, steps)
    assert app.return_code == 143
    assert not (tmp_path / "infertui").exists() or not list((tmp_path / "infertui").glob("crash-*"))
