"""The line to type in."""

import asyncio

from support.stage import Stage, play
from textual.events import Paste
from textual.message import Message
from textual.pilot import Pilot
from textual.widgets import Input

from infertui.tui.widgets.prompt import LineInput


def test_it_is_one_line_high_and_does_not_blink() -> None:
    async def act(pilot: Pilot[None]) -> None:
        line = pilot.app.query_one(LineInput)
        assert line.size.height == 1
        assert line.cursor_blink is False
        await pilot.press("d", "left", "backspace")
        assert line.value == "abd"

    asyncio.run(play(Stage(lambda: LineInput("abc", placeholder="filter")), act))


def test_enter_submits_and_esc_cancels() -> None:
    heard: list[Message] = []

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("x", "enter", "escape")

    asyncio.run(play(Stage(LineInput), act, heard=heard))
    assert any(isinstance(message, Input.Submitted) and message.value == "x" for message in heard)
    assert any(isinstance(message, LineInput.Cancelled) for message in heard)


def test_what_is_pasted_is_cleaned() -> None:
    async def act(pilot: Pilot[None]) -> None:
        line = pilot.app.query_one(LineInput)
        line.post_message(Paste("a\x1b]0;title\x07b\x9bc\u202ed\x00e"))
        await pilot.pause()
        assert line.value.isprintable()
        assert line.value.startswith("ab")

    asyncio.run(play(Stage(LineInput), act))
