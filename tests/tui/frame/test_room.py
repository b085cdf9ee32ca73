"""Who has how much room on the screen: what is worked in, what happens just now, and nothing that moves by itself."""

from pathlib import Path
from typing import Any

from support.screens import app_over, drive, entry, machine, text_of
from textual.pilot import Pilot

from infertui.runner.control import EntriesOrdered, EntryChanged
from infertui.tui.app import InfertuiApp
from infertui.tui.frame.layouts import PANES
from infertui.tui.settings.stored import Settings


def width(app: InfertuiApp, pane: Any) -> int:
    return app.stage.pane(pane).outer_size.width


def height(app: InfertuiApp, pane: Any) -> int:
    return app.stage.pane(pane).outer_size.height


async def begins(app: InfertuiApp, fake: Any, pilot: Pilot[None], *, running: bool = True) -> None:
    fake.push(EntryChanged(entry(7, "running" if running else "finished")), EntriesOrdered((7,)))
    while bool(app.client_state.running) != running:
        await pilot.pause(0.01)
    await pilot.pause()


def test_the_pane_with_the_keys_has_the_room(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        assert width(app, "config") > width(app, "queue") + 20
        await pilot.press("2")
        await pilot.pause()
        assert width(app, "queue") > width(app, "config") + 20
        assert height(app, "queue") > height(app, "results")
        await pilot.press("5")
        await pilot.pause()
        assert height(app, "results") > height(app, "queue")
        assert width(app, "queue") == width(app, "config")
        assert text_of(app).count("\n") == 47

    drive(app, steps, size=(160, 48))


def test_over_a_slow_link_nothing_moves_with_the_focus(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path, settings=Settings(slow_link=True))

    async def steps(pilot: Pilot[None]) -> None:
        before = [app.stage.pane(pane).region for pane in PANES]
        await pilot.press("2")
        await pilot.pause()
        assert [app.stage.pane(pane).region for pane in PANES] == before

    drive(app, steps, size=(160, 48))


def test_live_is_large_from_a_run_on_until_somebody_goes_elsewhere(tmp_path: Path) -> None:
    fake = machine()
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        focused = app.focused
        await begins(app, fake, pilot)
        assert width(app, "live") > width(app, "config") + 20
        assert app.focused is focused, "the keys stay where they are"
        await begins(app, fake, pilot, running=False)
        assert width(app, "live") > width(app, "config") + 20, "its result is what is looked at next"
        await pilot.press("3")
        await pilot.pause()
        assert width(app, "config") > width(app, "live") + 20
        await begins(app, fake, pilot)
        assert width(app, "live") > width(app, "config") + 20
        await pilot.press("2")
        await pilot.pause()
        assert width(app, "queue") > width(app, "live") + 20

    drive(app, steps, size=(160, 48))


def test_nothing_moves_while_somebody_types(tmp_path: Path) -> None:
    fake = machine()
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("5", "slash", *"gp")
        await pilot.pause()
        before = [app.stage.pane(pane).region for pane in PANES]
        await begins(app, fake, pilot)
        await pilot.press("t")
        await pilot.pause()
        assert [app.stage.pane(pane).region for pane in PANES] == before
        assert "gpt" in text_of(app)

    drive(app, steps, size=(160, 48))


def test_a_click_moves_nothing_before_a_second_one_could_have_come(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        before = app.stage.pane("results").region
        await pilot.click("#results", offset=(5, 3))
        await pilot.pause()
        assert app.stage.active == "results"
        assert app.stage.pane("results").region == before
        while app.stage.pane("results").region == before:
            await pilot.pause(0.05)
        assert height(app, "results") > before.height

    drive(app, steps)


SIZES = [(20, 5), (30, 8), (39, 9), (40, 10), (60, 20), (80, 15), (80, 24), (96, 28), (119, 30), (120, 40), (250, 70)]


def test_whatever_the_size_the_focused_pane_is_in_view_and_no_word_of_the_footer_is_cut(tmp_path: Path) -> None:
    fake = machine(gpus=8, entries=(entry(1, "finished"), entry(2, "running"), entry(3)))
    app = app_over(fake, tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        for place in PANES:
            await pilot.press(str(PANES.index(place) + 1))
            for size in SIZES[:: 1 if PANES.index(place) % 2 else -1]:
                await pilot.resize_terminal(*size)
                await pilot.pause()
                assert app.focused is not None, (place, size)
                region = app.focused.region
                assert region.area, (place, size)
                assert app.screen.region.contains_region(region), (place, size)
                assert app.stage.active == place
                last = text_of(app).split("\n")[-1]
                known = {action.label for pane in app.stage.panes() for node in (pane, *pane.query("*"))
                         for action in getattr(node, "ACTIONS", ())} | {"Help", "Palette", "Quit"}  # fmt: skip
                for hint in last.strip().split("  "):
                    label = hint.partition(" ")[2]
                    assert label in known or hint in ("…", ""), (place, size, hint)

    drive(app, steps, size=(120, 40))


def test_resizing_takes_nothing_of_what_is_typed(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("5", "slash")
        for letter, size in zip("batch>4", SIZES, strict=False):
            await pilot.resize_terminal(*size)
            await pilot.press(letter if letter != ">" else "greater_than_sign")
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert "batch>4" in text_of(app)

    drive(app, steps)
