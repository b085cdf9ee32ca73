"""Fewer bytes, the same picture: every sequence of updates is checked on an emulated terminal."""

import asyncio
from collections.abc import Sequence

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.geometry import Size
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input, Static

from infertui.tui.terminal.diff import ScreenDiff

SIZE = Size(24, 5)
STYLES = [
    None,
    Style(),
    Style.parse("bold red"),
    Style.parse("on #102030"),
    Style.parse("#aabbcc on #102030"),
    Style.parse("dim"),
    Style.parse("reverse underline"),
    Style.parse("green on blue"),
]
WORDS = ["", "a", "ab c", "     ", "─│╭", "模型", "e\u0301x", "⠋⠿", "█▌··", "日", "🙂 x", "한국"]

lines = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(STYLES)), max_size=8).map(
    lambda parts: (
        Strip([Segment(text, style) for text, style in parts]).adjust_cell_length(SIZE.width).crop(0, SIZE.width)
    )
)
pictures = st.lists(lines, min_size=SIZE.height, max_size=SIZE.height)


def terminal() -> tuple[pyte.Screen, pyte.Stream]:
    screen = pyte.Screen(*SIZE)
    screen.reset_mode(pyte.modes.DECAWM)
    return screen, pyte.Stream(screen)


def seen(screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """All cells: character, colours and attributes."""
    return [[tuple(screen.buffer[row][column]) for column in range(SIZE.width)] for row in range(SIZE.height)]


def pieces(picture: Sequence[Strip]) -> list[tuple[int, int, Strip]]:
    return [(row, 0, strip) for row, strip in enumerate(picture)]


def drawn_anew(picture: Sequence[Strip]) -> list[list[tuple[object, ...]]]:
    screen, stream = terminal()
    stream.feed(ScreenDiff().difference(pieces(picture), SIZE, "truecolor"))
    return seen(screen)


@given(st.lists(pictures, min_size=1, max_size=5))
def test_the_terminal_shows_what_was_drawn_last(sequence: list[list[Strip]]) -> None:
    screen, stream = terminal()
    saver = ScreenDiff()
    for picture in sequence:
        stream.feed(saver.difference(pieces(picture), SIZE, "truecolor"))
        assert seen(screen) == drawn_anew(picture)
    assert saver.difference(pieces(sequence[-1]), SIZE, "truecolor") == ""


@given(pictures, st.integers(0, SIZE.height - 1), st.integers(0, SIZE.width - 6), st.text("abc ", max_size=5))
def test_a_piece_of_a_line_changes_that_piece(picture: list[Strip], row: int, column: int, text: str) -> None:
    screen, stream = terminal()
    saver = ScreenDiff()
    stream.feed(saver.difference(pieces([Strip.blank(SIZE.width)] * SIZE.height), SIZE, "truecolor"))
    stream.feed(saver.difference([(row, column, Strip([Segment(text)]))], SIZE, "truecolor"))
    assert screen.display[row] == (" " * column + text).ljust(SIZE.width)
    stream.feed(saver.difference(pieces(picture), SIZE, "truecolor"))
    assert seen(screen) == drawn_anew(picture)


def test_what_the_reference_renderer_writes_is_the_same_picture() -> None:
    """Against rich's own codes, not only against ourselves."""
    picture = [
        Strip([Segment(text, style) for text in ("ab ", "模", "─") for style in STYLES]).crop(0, SIZE.width),
        *[Strip.blank(SIZE.width, Style.parse("on #102030"))] * (SIZE.height - 1),
    ]
    screen, stream = terminal()
    from rich.console import Console

    console = Console(color_system="truecolor", force_terminal=True)
    for row, strip in enumerate(picture):
        stream.feed(f"\x1b[{row + 1};1H{strip.render(console)}")
    assert seen(screen) == drawn_anew(picture)


def test_one_changed_cell_costs_a_handful_of_bytes() -> None:
    saver = ScreenDiff()
    style = Style.parse("#aabbcc on #102030")
    saver.difference([(2, 0, Strip([Segment("speed 1,931 tok/s", style)]))], SIZE, "truecolor")
    told = saver.difference([(2, 0, Strip([Segment("speed 1,938 tok/s", style)]))], SIZE, "truecolor")
    assert told == "\x1b[38;2;170;187;204;48;2;16;32;48m\x1b[3;11H8\x1b[m"


def test_only_the_colour_that_changes_is_sent() -> None:
    styles = [Style.parse("red on blue"), Style.parse("green on blue"), Style.parse("green"), Style()]
    strip = Strip([Segment("x", style) for style in styles])
    told = ScreenDiff().difference([(0, 0, strip)], SIZE, "standard")
    assert told == "\x1b[31;44m\x1b[1;1Hx\x1b[32m\x1b[1;2Hx\x1b[49m\x1b[1;3Hx\x1b[39m\x1b[1;4Hx"


def test_a_colour_is_asked_for_once_however_many_places_have_it() -> None:
    red, blue = Style.parse("red"), Style.parse("blue")
    strip = Strip([Segment("r", red), Segment("b", blue), Segment("r", red)])
    told = ScreenDiff().difference([(0, 0, strip), (1, 0, strip)], SIZE, "standard")
    assert told.count("\x1b[31m") == told.count("\x1b[34m") == 1
    assert told.count("r") == 4


def test_of_pieces_that_overlap_the_last_counts() -> None:
    saver = ScreenDiff()
    pieces = [(0, 0, Strip([Segment("old", Style.parse("red"))])), (0, 0, Strip([Segment("new", Style.parse("blue"))]))]
    assert saver.difference(pieces, SIZE, "standard") == "\x1b[34m\x1b[1;1Hnew\x1b[m"


def test_without_colours_nothing_but_text_and_positions_is_sent() -> None:
    strip = Strip([Segment("x", Style.parse("bold red"))])
    assert ScreenDiff().difference([(0, 0, strip)], SIZE, None) == "\x1b[1;1Hx"


def test_after_a_character_of_doubtful_width_the_position_is_set_again() -> None:
    told = ScreenDiff().difference([(0, 0, Strip([Segment("模│")]))], SIZE, None)
    assert told == "\x1b[1;1H模\x1b[1;3H│"


def test_links_and_controls_are_not_passed_on() -> None:
    strip = Strip([Segment("x", Style(link="file:///etc")), Segment("\x1b[2J", None, [(2, 0)])])  # type: ignore[list-item]
    assert ScreenDiff().difference([(0, 0, strip)], SIZE, "truecolor") == "\x1b[1;1Hx"


def test_forgetting_and_resizing_write_everything_again() -> None:
    saver = ScreenDiff()
    whole = saver.difference([(0, 0, Strip([Segment("abc")]))], SIZE, None)
    assert saver.difference([(0, 0, Strip([Segment("abc")]))], SIZE, None) == ""
    saver.forget()
    assert saver.difference([(0, 0, Strip([Segment("abc")]))], SIZE, None) == whole
    assert saver.difference([(0, 0, Strip([Segment("abc")]))], Size(30, 5), None) == whole


@pytest.mark.parametrize("piece", [(9, 0), (0, 99), (-1, 0), (4, 22)])
def test_what_lies_outside_the_screen_is_left_out(piece: tuple[int, int]) -> None:
    screen, stream = terminal()
    stream.feed(ScreenDiff().difference([(*piece, Strip([Segment("abc")]))], SIZE, None))
    assert [line.strip() for line in screen.display if line.strip()] == (["ab"] if piece == (4, 22) else [])


class Watched(App[None]):
    """An application that draws each update twice: as Textual would, and with the saver."""

    CSS = "Static { height: 1; } .lit { background: red; } #box { border: round green; height: 4; }"

    def __init__(self) -> None:
        super().__init__()
        self.saver = ScreenDiff()
        self.theirs, self.their_stream = terminal()
        self.ours, self.our_stream = terminal()
        self.sent = [0, 0]

    def compose(self) -> ComposeResult:
        yield Static("one 模型", id="one")
        yield Input("text", compact=True)
        yield Static("boxed", id="box")

    def _display(self, screen: object, renderable: object) -> None:
        super()._display(screen, renderable)  # type: ignore[arg-type]
        if renderable is not None and self.size == SIZE:
            updates = (renderable, self.saver.wrap(renderable, self.size))
            for at, (update, stream) in enumerate(zip(updates, (self.their_stream, self.our_stream), strict=True)):
                told = update.render_segments(self.console)
                self.sent[at] += len(told)
                stream.feed(told)


def test_a_real_application_looks_the_same_for_fewer_bytes() -> None:
    async def act() -> None:
        app = Watched()
        async with app.run_test(size=SIZE) as pilot:
            await steps(app, pilot)

    async def steps(app: Watched, pilot: Pilot[None]) -> None:
        await pilot.pause()
        for step in range(6):
            app.query_one("#one", Static).update(f"one {step} 模型 {'x' * step}")
            app.query_one("#box").set_class(step % 2 == 0, "lit")
            app.query_one("#box").border_title = f"t{step}"
            await pilot.press("a", "left")
            await pilot.pause()
            assert seen(app.ours) == seen(app.theirs)
        assert app.sent[1] < app.sent[0] / 2

    asyncio.run(act())
