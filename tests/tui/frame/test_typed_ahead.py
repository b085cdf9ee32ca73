"""Keys that come in one burst: each is for what the one before it led to."""

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support.screens import app_over, drive, machine, text_of
from textual.events import Key, Paste
from textual.pilot import Pilot

from infertui.tui.app import InfertuiApp
from infertui.tui.frame.typed_ahead import MOST_HELD, TypedAhead
from infertui.tui.widgets.prompt import LineInput

NAMES = {"/": "slash", ":": "colon", " ": "space", "\r": "enter"}


def burst(app: InfertuiApp, text: str) -> None:
    for letter in text:
        app.post_message(Key(NAMES.get(letter, letter), letter))


async def until(app: InfertuiApp, pilot: Pilot[None], words: str) -> None:
    async with asyncio.timeout(20):
        while words not in text_of(app):
            await pilot.pause(0.02)


def test_a_filter_in_one_go(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        burst(app, "5/gpt2 batch")
        await until(app, pilot, "/ gpt2 batch")
        assert app.stage.active == "results"
        assert not app.scheduler.frozen, "no letter of it was a key of the panes"

    drive(app, steps)


def test_the_palette_in_one_go(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        burst(app, ":theme light\r2")
        async with asyncio.timeout(20):
            while app.theme != "light" or app.stage.active != "queue":
                await pilot.pause(0.02)

    drive(app, steps)


def test_pasted_text_keeps_its_place(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        burst(app, "5/a")
        app.post_message(Paste("bc"))
        burst(app, "d")
        await until(app, pilot, "/ abcd")

    drive(app, steps)


def test_before_the_first_paint(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path, welcome=True)

    async def go() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            burst(app, "5/gpt")
            await until(app, pilot, "/ gpt")
            assert app.on_main_screen, "who types has no use for the welcome"
            assert isinstance(app.focused, LineInput)

    asyncio.run(go())


def test_a_key_that_is_never_done_holds_up_none_for_long(tmp_path: Path) -> None:
    app = app_over(machine(), tmp_path)

    async def steps(pilot: Pilot[None]) -> None:
        app.ahead.add(Key("x", "x"))
        assert app.ahead.next() is not None  # and nobody says what became of it
        number = app.ahead.number
        burst(app, "5")
        await pilot.pause()
        before = str(app.stage.active)
        assert before != "results"
        app.ahead.settled(number - 1)
        assert app.ahead.next() is None, "the end of an older one is not its own"
        app.ahead.settled(number)
        await app._type()
        async with asyncio.timeout(20):
            while app.stage.active != "results":
                await pilot.pause(0.02)

    drive(app, steps)


@given(st.lists(st.sampled_from(["add", "next", "settled", "opening", "opened"]), max_size=60))
def test_keys_come_out_in_their_order_one_at_a_time(steps: list[str]) -> None:
    ahead, put, got, under_way, opening = TypedAhead(), 0, 0, False, 0
    ahead.ready = True
    for step in steps:
        match step:
            case "add":
                ahead.add(Key(str(put), None))
                put += 1
            case "next":
                event = ahead.next()
                assert (event is None) == (under_way or opening > 0 or got == put)
                if event is not None:
                    assert isinstance(event, Key)
                    assert event.key == str(got)
                    got, under_way = got + 1, True
            case "settled":
                ahead.settled(ahead.number)
                under_way = False
            case "opening":
                ahead.opening(1)
                opening += 1
            case _:
                ahead.opening(-1)
                opening = max(0, opening - 1)


def test_what_waits_is_bounded() -> None:
    ahead = TypedAhead()
    for number in range(MOST_HELD + 5):
        ahead.add(Key(str(number), None))
    assert ahead.next() is None, "nothing is there yet"
    ahead.ready = True
    first = ahead.next()
    assert isinstance(first, Key)
    assert first.key == "5"
