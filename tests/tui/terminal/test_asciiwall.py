from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color

from infertui.tui.terminal.sanitize import AsciiWall, in_ascii


@given(st.text())
def test_everything_becomes_ascii_in_as_many_cells(text: str) -> None:
    assert in_ascii(text).isascii()
    assert cell_len(in_ascii("".join(c for c in text if c.isprintable()))) == sum(
        cell_len(c) for c in text if c.isprintable()
    )


def test_what_resembles() -> None:
    assert in_ascii("╭─ 2 Queue … 8× ─╮ 漢") == "+- 2 Queue ~ 8x -+ ??"
    segments = [Segment("plain"), Segment("│")]
    assert [segment.text for segment in AsciiWall().apply(segments, Color(0, 0, 0))] == ["plain", "|"]
