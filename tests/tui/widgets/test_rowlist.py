"""The list: keys, mouse, a cursor that stays with its row, and what it costs."""

import asyncio
from collections.abc import Hashable
from typing import TypeVar

import pytest
from rich.text import Text
from support.stage import Stage, play, screen_of
from textual.events import MouseScrollDown
from textual.message import Message
from textual.pilot import Pilot

from infertui.tui.widgets.rowlist import RowList

M = TypeVar("M", bound=Message)


def key_of(rows: RowList) -> Hashable | None:
    return rows.current_key


class Rows:
    """Rows that count how often they are asked for."""

    def __init__(self, count: int = 100) -> None:
        self.keys: list[int] = list(range(count))
        self.texts: dict[int, str] = {}
        self.asked: list[int] = []

    def row_count(self) -> int:
        return len(self.keys)

    def row_key(self, index: int) -> Hashable:
        return self.keys[index]

    def row_text(self, index: int, width: int) -> Text:
        self.asked.append(index)
        key = self.keys[index]
        return Text(self.texts.get(key, f"row {key}"))


class Indexed(Rows):
    """A source that knows where a key is."""

    def row_index(self, key: Hashable) -> int | None:
        return self.keys.index(int(str(key))) if key in self.keys else None


def stage(source: Rows, *, markable: bool = False, empty: str = "", ascii_only: bool = False) -> tuple[Stage, RowList]:
    rows = RowList(source, id="rows", markable=markable, empty=empty)
    return Stage(lambda: rows, ascii_only=ascii_only), rows


def of(heard: list[Message], kind: type[M]) -> list[M]:
    # A message is heard once by every widget that it passes on its way up.
    return list({id(message): message for message in heard if isinstance(message, kind)}.values())


@pytest.mark.parametrize(
    ("keys", "cursor", "top"),
    [
        ("j j k", 1, 0),
        ("down down up", 1, 0),
        ("G", 99, 88),
        ("end home", 0, 0),
        ("G g", 0, 0),
        ("pagedown", 11, 11),
        ("pagedown pageup", 0, 0),
        ("ctrl+d ctrl+d ctrl+u", 6, 6),
        ("k", 0, 0),
        ("G j", 99, 88),
        ("j j pagedown", 13, 11),
        ("G pagedown", 99, 88),
    ],
)
def test_keys_move_cursor_and_view(keys: str, cursor: int, top: int) -> None:
    app, rows = stage(Rows())

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press(*keys.split())
        assert (rows.cursor, rows.top) == (cursor, top)
        assert rows.current_key == cursor

    asyncio.run(play(app, act))


def test_the_cursor_is_marked_without_colour_and_in_ascii() -> None:
    for ascii_only, sign in ((False, "▸"), (True, ">")):
        app, _ = stage(Rows(), ascii_only=ascii_only)

        async def act(pilot: Pilot[None], sign: str = sign) -> None:
            await pilot.press("j")
            assert screen_of(pilot.app)[:2] == ["  row 0", f"{sign} row 1"]

        asyncio.run(play(app, act))


def test_the_cursor_stays_with_its_row_when_rows_come_and_go_above_it() -> None:
    for kind in (Rows, Indexed):
        source = kind()
        app, rows = stage(source)

        async def act(pilot: Pilot[None], source: Rows = source, rows: RowList = rows) -> None:
            await pilot.press("pagedown", "j")
            before = screen_of(pilot.app)
            source.keys = [*range(1000, 1005), *source.keys]
            rows.redraw()
            await pilot.pause()
            assert rows.current_key == 12
            assert rows.cursor == 17
            assert screen_of(pilot.app) == before
            source.keys = [12]
            rows.redraw()
            assert (rows.cursor, rows.top, rows.current_key) == (0, 0, 12)

        asyncio.run(play(app, act))


def test_at_the_top_of_the_list_new_rows_are_seen() -> None:
    source = Rows(50)
    app, rows = stage(source)

    async def act(pilot: Pilot[None]) -> None:
        source.keys.insert(0, 99)
        rows.redraw()
        await pilot.pause()
        assert screen_of(pilot.app)[:2] == ["  row 99", "▸ row 0"]

    asyncio.run(play(app, act))


def test_when_its_row_goes_the_cursor_stays_where_it_is() -> None:
    source = Rows(5)
    heard: list[Message] = []
    app, rows = stage(source)

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("j", "j")
        source.keys.remove(2)
        rows.redraw()
        assert key_of(rows) == 3
        source.keys = [0]
        rows.redraw()
        assert key_of(rows) == 0
        source.keys = []
        rows.redraw()
        assert key_of(rows) is None
        await pilot.press("j", "enter", "G", "pagedown")
        assert rows.cursor == 0
        source.keys = [7, 8]
        rows.redraw()
        assert key_of(rows) == 7

    asyncio.run(play(app, act, heard=heard))
    assert not of(heard, RowList.Chosen)


def test_only_rows_in_view_are_asked_for_and_a_move_asks_for_none() -> None:
    source = Indexed(100_000)
    app, rows = stage(source)

    async def act(pilot: Pilot[None]) -> None:
        assert len(source.asked) <= 3 * 12
        await pilot.press("G")
        source.asked.clear()
        await pilot.press("k", "k", "k")
        assert source.asked == []
        assert rows.current_key == 99_996
        rows.redraw()
        assert len(source.asked) == 12

    asyncio.run(play(app, act))


def test_redraw_repaints_only_lines_that_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Rows()
    app, rows = stage(source)

    async def act(pilot: Pilot[None]) -> None:
        painted: list[int] = []
        monkeypatch.setattr(rows, "refresh", lambda *regions, **_: painted.extend(region.y for region in regions))
        source.texts = {3: "changed", 50: "out of view"}
        rows.redraw()
        assert painted == [3]
        rows.redraw()
        assert painted == [3]
        rows.cursor = 1
        assert painted == [3, 0, 1]

    asyncio.run(play(app, act))


def test_header_stands_still_and_takes_a_line() -> None:
    app, rows = stage(Rows())

    async def act(pilot: Pilot[None]) -> None:
        rows.set_header(Text("NAME"))
        await pilot.press("G")
        lines = screen_of(pilot.app)
        assert lines[0] == "  NAME"
        assert lines[1] == "  row 89"
        assert lines[11] == "▸ row 99"
        rows.set_header(None)
        await pilot.pause()
        assert screen_of(pilot.app)[0] == "  row 88"

    asyncio.run(play(app, act))


def test_marks_by_key_survive_a_new_order() -> None:
    source = Rows(4)
    heard: list[Message] = []
    app, rows = stage(source, markable=True)

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("space", "j", "space")
        assert rows.marked == {0, 2}
        source.keys.reverse()
        rows.redraw()
        await pilot.pause()
        assert screen_of(pilot.app)[:4] == ["▸ row 3", " ●row 2", "  row 1", " ●row 0"]
        await pilot.press("j", "space")
        assert rows.marked == {0}

    asyncio.run(play(app, act, heard=heard))
    assert len(of(heard, RowList.Marked)) == 3


def test_space_is_free_for_others_where_nothing_can_be_marked() -> None:
    app, rows = stage(Rows())

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("space")
        assert rows.marked == set()
        assert rows.cursor == 0

    asyncio.run(play(app, act))


def test_messages_tell_the_key_the_choice_and_the_position() -> None:
    heard: list[Message] = []
    app, rows = stage(Rows(3))

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("j", "enter")
        assert rows.position == "2 of 3"

    asyncio.run(play(app, act, heard=heard))
    assert [message.key for message in of(heard, RowList.Moved)] == [0, 1]
    assert [message.key for message in of(heard, RowList.Chosen)] == [1]
    positions = [message.position for message in of(heard, RowList.Positioned)]
    assert positions == ["1 of 3", "2 of 3"]


def test_mouse_click_moves_double_click_chooses_wheel_scrolls() -> None:
    heard: list[Message] = []
    app, rows = stage(Rows())

    async def act(pilot: Pilot[None]) -> None:
        rows.set_header(Text("NAME"))
        await pilot.click("#rows", offset=(4, 3))
        assert rows.cursor == 2
        await pilot.click("#rows", offset=(4, 0))
        assert rows.cursor == 2
        await pilot.double_click("#rows", offset=(4, 5))
        assert rows.cursor == 4
        await pilot._post_mouse_events([MouseScrollDown], "#rows")
        assert (rows.top, rows.cursor) == (3, 4)

    asyncio.run(play(app, act, heard=heard))
    assert len(of(heard, RowList.Chosen)) == 1


def test_long_and_wide_rows_are_cut_with_a_mark() -> None:
    source = Rows(3)
    source.texts = {0: "x" * 100, 1: "模型" * 40, 2: "fits"}
    for ascii_only, sign in ((False, "…"), (True, "~")):
        app, _ = stage(source, ascii_only=ascii_only)

        async def act(pilot: Pilot[None], sign: str = sign) -> None:
            lines = screen_of(pilot.app)
            assert lines[0].endswith("x" + sign)
            assert len(lines[0]) == 60
            assert lines[1].endswith(sign)
            assert lines[2] == "  fits"

        asyncio.run(play(app, act))


def test_an_empty_list_says_so() -> None:
    app, _ = stage(Rows(0), empty="No runs yet: press n")

    async def act(pilot: Pilot[None]) -> None:
        assert screen_of(pilot.app)[0] == "No runs yet: press n"

    asyncio.run(play(app, act))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 40), (200, 1), (60, 200)])
def test_any_size(size: tuple[int, int]) -> None:
    app, rows = stage(Rows(), markable=True)

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("G", "space", "pageup", "g")
        await pilot.resize_terminal(size[1], size[0])
        await pilot.press("G")
        assert rows.cursor == 99

    asyncio.run(play(app, act, size=size))


def test_a_smaller_window_keeps_the_cursor_in_view_and_a_larger_one_fills_up() -> None:
    app, rows = stage(Rows())

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("G", "k")
        await pilot.resize_terminal(60, 4)
        await pilot.pause()
        assert rows.top <= 98 < rows.top + 4
        await pilot.resize_terminal(60, 30)
        await pilot.pause()
        assert rows.top == 70
        assert screen_of(pilot.app)[29] == "  row 99"

    asyncio.run(play(app, act))


def test_a_window_that_was_small_for_a_while_shows_the_rows_that_it_showed() -> None:
    app, rows = stage(Rows())

    async def act(pilot: Pilot[None]) -> None:
        await pilot.press("j", "j", "j")
        for height in (4, 1, 20):
            await pilot.resize_terminal(60, height)
            await pilot.pause()
            rows.redraw()
            assert rows.top <= 3 < rows.top + height
        assert rows.top == 0
        await pilot.press("G")
        await pilot.resize_terminal(60, 10)
        await pilot.press("k")
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert rows.top == 80

    asyncio.run(play(app, act))


class Wide(Rows):
    """Rows that say for which width they were made."""

    def row_text(self, index: int, width: int) -> Text:
        return Text(f"made for {width}")


def test_rows_are_made_anew_for_another_width() -> None:
    app, rows = stage(Wide(3))

    async def act(pilot: Pilot[None]) -> None:
        wide = screen_of(app)
        await pilot.resize_terminal(30, 10)
        await pilot.pause()
        assert f"made for {rows.row_width}" in screen_of(app)[0]
        await pilot.resize_terminal(60, 12)
        await pilot.pause()
        assert screen_of(app) == wide

    asyncio.run(play(app, act))
