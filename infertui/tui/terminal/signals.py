"""What a terminal is told beside the picture: its bell, a notification on the desktop, its title. Pure.

The bell passes through tmux and screen. A notification is wrapped for tmux, which hands it on where its option
`allow-passthrough` is on. The title is that of the pane in tmux.
"""

from typing import Literal

from infertui.text import one_line
from infertui.tui.terminal.sanitize import safe

Notification = Literal["off", "osc9", "osc777"]
BELL = "\x07"
KEEP_TITLE = "\x1b[22;2t"
"""Puts the title of before aside; `RESTORE_TITLE` brings it back. Terminals without a stack of titles ignore both."""
RESTORE_TITLE = "\x1b[23;2t"
LONGEST_TITLE = 80
LONGEST_TEXT = 250
_NO_TITLE = ("linux", "dumb", "vt", "unknown")


def has_title(term: str) -> bool:
    """Whether a terminal of that `TERM` has a title: consoles show the sequence, or do worse."""
    return bool(term) and not term.startswith(_NO_TITLE)


def title(text: str) -> str:
    """Sets the title. The text may be foreign."""
    return f"\x1b]2;{_harmless(text, LONGEST_TITLE)}\x07"


def notification(kind: Notification, text: str, *, tmux: bool) -> str:
    """Has the terminal notify the desktop; empty for `off`. The text may be foreign.

    OSC 9 with a text, as iTerm2 began it: the name in front keeps it apart from numbers, which are other requests. In
    OSC 777, of rxvt-unicode, semicolons part title and text.
    """
    shown = _harmless(text, LONGEST_TEXT)
    match kind:
        case "osc9":
            sequence = f"\x1b]9;infertui: {shown}\x07"
        case "osc777":
            sequence = f"\x1b]777;notify;infertui;{shown.replace(';', ',')}\x07"
        case _:
            return ""
    return f"\x1bPtmux;{sequence.replace(chr(27), chr(27) * 2)}\x1b\\" if tmux else sequence


def _harmless(text: str, longest: int) -> str:
    """One line without any character that could end the sequence or begin another."""
    return "".join(character for character in safe(one_line(text, longest)) if character.isprintable())
