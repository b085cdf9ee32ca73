"""Fewer widgets asked, the same picture."""

import asyncio
import random
from collections.abc import Iterator

from textual._compositor import ChopsUpdate, Compositor
from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from infertui.tui.terminal.compositor import SparingCompositor, needed

ROUNDS = 60


class Panes(Screen[None]):
    """Frames, a part that scrolls, and something in front of it all."""

    DEFAULT_CSS = """
    Panes { layers: below above; }
    #left, #right { border: round green; width: 1fr; }
    #front { layer: above; offset: 8 3; width: 20; height: 5; border: heavy red; }
    VerticalScroll { height: 6; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._compositor = SparingCompositor()

    def compose(self) -> ComposeResult:
        yield Static("head\nand more")
        with Horizontal():
            with Vertical(id="left"):
                yield Static("one\ntwo\nthree")
                with VerticalScroll():
                    for number in range(20):
                        yield Static(f"line {number}")
            with Vertical(id="right"):
                yield Static("\n".join("some text" for _ in range(9)))
        yield Static("in front", id="front")


def cells(update: ChopsUpdate) -> dict[tuple[int, int], tuple[str, object]]:
    """What an update puts where."""
    found: dict[tuple[int, int], tuple[str, object]] = {}
    for row, first, last in update.spans:
        for column, strip in update.chops[row].items():
            if strip is None:
                continue
            at = column
            for text, style, _ in strip:
                for character in text:
                    if first <= at < last:
                        found[row, at] = (character, style)
                    at += 1
    return found


def regions(chance: random.Random, width: int, height: int) -> Iterator[Region]:
    for _ in range(chance.randint(1, 6)):
        x, y = chance.randrange(width - 1), chance.randrange(height)
        yield Region(x, y, chance.randint(1, width - x), chance.randint(1, min(4, height - y)))


def test_an_update_of_parts_shows_what_the_stock_compositor_shows() -> None:
    async def play() -> None:
        app: App[None] = App()
        async with app.run_test(size=(60, 20)) as pilot:
            await app.push_screen(Panes())
            await pilot.pause()
            app.screen.query_one(VerticalScroll).scroll_to(y=5, animate=False)
            await pilot.pause()
            compositor, chance = app.screen._compositor, random.Random(7)
            assert isinstance(compositor, SparingCompositor)
            for _ in range(ROUNDS):
                painted = set(regions(chance, 60, 20))
                compositor._dirty_regions = set(painted)
                ours = compositor.render_partial_update()
                compositor._dirty_regions = set(painted)
                theirs = Compositor.render_partial_update(compositor)
                assert ours is not None
                assert theirs is not None
                assert cells(ours) == cells(theirs)
                assert len(cells(ours)) == len(
                    {(y, x) for area in painted for y in area.line_range for x in area.column_range}
                )

    asyncio.run(play())


def test_cuts_are_those_of_all_widgets_however_little_is_painted_first() -> None:
    async def play() -> None:
        app: App[None] = App()
        async with app.run_test(size=(60, 20)) as pilot:
            await app.push_screen(Panes())
            await pilot.pause()
            compositor = app.screen._compositor
            before = compositor.cuts
            compositor._cuts = None  # as after a change of the layout
            compositor._dirty_regions = {Region(0, 0, 1, 1)}
            assert compositor.render_partial_update() is not None
            assert compositor.cuts == before

    asyncio.run(play())


class Asking(Static):
    """Asks for the whole map while it is drawn."""

    def render_line(self, y: int) -> Strip:
        assert self in self.screen._compositor.full_map
        return super().render_line(y)


def test_what_moved_while_it_was_drawn_is_known_afterwards() -> None:
    async def play() -> None:
        app: App[None] = App()
        async with app.run_test(size=(60, 20)) as pilot:
            screen = Panes()
            await app.push_screen(screen)
            await screen.mount(Asking("asking"))
            await pilot.pause()
            compositor, front = screen._compositor, screen.query_one("#front")
            asking = screen.query_one(Asking)
            compositor._dirty_regions = {compositor.visible_widgets[asking][0]}
            front.styles.offset = (30, 3)
            screen._clear_arrangement_cache()
            compositor._full_map_invalidated = True
            assert compositor.render_partial_update() is not None
            assert not compositor._full_map_invalidated, "it was not asked"
            assert compositor.visible_widgets[front][0] == compositor.full_map[front].region

    asyncio.run(play())


def test_what_is_hidden_or_elsewhere_is_not_asked() -> None:
    screen, pane, line, other = Widget(), Widget(), Widget(), Widget()
    whole = Region(0, 0, 80, 24)
    visible = {
        line: (Region(1, 1, 20, 1), whole),
        other: (Region(41, 1, 20, 1), whole),
        pane: (Region(0, 0, 40, 10), whole),
        screen: (whole, whole),
    }
    assert list(needed(visible, [Region(1, 1, 20, 1)])) == [line]
    assert list(needed(visible, [Region(0, 0, 40, 1)])) == [pane]
    assert list(needed(visible, [Region(0, 1, 40, 1)])) == [line, pane]
    assert list(needed(visible, [Region(41, 1, 1, 1), Region(5, 20, 1, 1)])) == [other, screen]
    cut_off = {line: (Region(1, 1, 20, 1), Region(1, 1, 5, 1)), screen: (whole, whole)}
    assert list(needed(cut_off, [Region(10, 1, 2, 1)])) == [screen]
