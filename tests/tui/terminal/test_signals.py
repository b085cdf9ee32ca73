import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.tui.terminal.signals import LONGEST_TITLE, Notification, has_title, notification, title

HOSTILE = st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\x07\x1b\x9c\x9d\\;]\n\r\x90P")), max_size=300)
BODY = r"[^\x00-\x1f\x7f-\x9f]*"


@given(HOSTILE)
def test_a_title_is_one_sequence_whatever_it_says(text: str) -> None:
    assert re.fullmatch(rf"\x1b\]2;{BODY}\x07", title(text))
    assert len(title(text)) <= LONGEST_TITLE + 5


@given(HOSTILE, st.sampled_from(["osc9", "osc777"]))
def test_a_notification_is_one_sequence_too(text: str, kind: Notification) -> None:
    head = r"9;infertui: " if kind == "osc9" else r"777;notify;infertui;"
    plain = notification(kind, text, tmux=False)
    assert re.fullmatch(rf"\x1b\]{head}{BODY}\x07", plain)
    if kind == "osc777":
        assert plain.count(";") == 3
    assert notification(kind, text, tmux=True) == f"\x1bPtmux;\x1b{plain}\x1b\\"


def test_off_says_nothing() -> None:
    assert notification("off", "x", tmux=True) == ""


@pytest.mark.parametrize(
    ("term", "has"),
    [("xterm-256color", True), ("tmux-256color", True), ("screen", True), ("linux", False), ("vt220", False),
     ("dumb", False), ("", False)],
)  # fmt: skip
def test_consoles_have_no_title(term: str, has: bool) -> None:
    assert has_title(term) is has
