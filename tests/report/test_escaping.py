"""Foreign text in Markdown and HTML."""

import html
import re

from hypothesis import given
from hypothesis import strategies as st
from support.reported import HOSTILE

from infertui.report.escaping import markdown, markdown_line, page
from infertui.text import clean


def shown(text: str) -> str:
    """What a Markdown reader shows of escaped text."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text).replace("\N{WORD JOINER}", "")


@given(st.text())
def test_markdown_shows_the_text_itself(text: str) -> None:
    assert shown(markdown(text)) == clean(text).replace("\N{WORD JOINER}", "")


@given(st.text())
def test_no_character_of_a_cell_is_markup(text: str) -> None:
    escaped = markdown(text)
    assert "\n" not in escaped
    rest = re.sub(r"\\.", "", escaped)
    assert not set(rest) & set("|`*_[]<>~$&\\")
    assert not re.search(r"[a-z]://|@\w", rest, re.IGNORECASE)


def test_lines_do_not_begin_lists_or_headings() -> None:
    assert markdown_line("- a") == "\\- a"
    assert markdown_line("# a") == "\\# a"
    assert markdown_line("12. a") == "12\\. a"
    assert markdown_line("12 a") == "12 a"


def test_pages_hold_no_markup_of_others() -> None:
    escaped = page(HOSTILE)
    assert not set(escaped) & set("<>\"'\x00\x1b\u202e")
    assert html.unescape(escaped) == clean(HOSTILE)
