"""Foreign text: what reaches the terminal, and what it does to the frame."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from infertui.tui.terminal.sanitize import ControlFilter, plain, safe

ROOT = Path(__file__).parents[3]
BLACK = Color.parse("#000000")

SEQUENCES = {
    "osc title": "a\x1b]0;PWNED\x07b",
    "osc clipboard": "a\x1b]52;c;UFdORUQ=\x1b\\b",
    "osc link": "a\x1b]8;;file:///PWNED\x1b\\b\x1b]8;;\x1b\\",
    "csi": "a\x1b[2Jb\x1b[66;6Hc\x1b[?6666hd",
    "c1": "a\x9b66;6Hb\x9d0;PWNED\x9cc\x90PWNED\x9cd",
    "dcs": "a\x1bPPWNED\x1b\\b",
    "controls": "a\rb\x08c\x00d\x07e\x7ff\tg\x0bh\x0ci\x0ej",
    "lone escape": "a\x1b",
    "many lines": "a\nb\r\nc\u2028d\u2029e",
}
MARKUP = {
    "bold": "[bold red]x[/]",
    "unclosed": "[/foo]",
    "action": "[@click=app.pwn]x[/]",
    "link": "[link=file:///PWNED]x[/link]",
    "backslash": "x\\",
}
SHAPES = {
    "bidi": "a\u202eb\u2066c\u2069d\u200ee",
    "joined emoji": "👨‍👩‍👧‍👦👍🏽❤️1️⃣🏳️‍🌈",
    "flags": "🇫🇷🇩🇪🇫",
    "cjk": "模型模型模型模型" * 8,
    "combining": "e\u0301a" + "\u0301" * 400 + "b",
    "mark alone": "\u0301\u0301x",
    "zero width": "a\u200b\u200d\u2060\ufeff\u00adb" * 50,
    "fillers": "a\u115f\u1160\u3164\uffa0b",
    "tags": "a" + "".join(map(chr, range(0xE0041, 0xE0061))) + "b",
    "indic": "क्षिका தமிழ் ไทยก็",
    "private": "a\ue000\U000f0000b",
    "long": "x" * 5000,
}
ALL = SEQUENCES | MARKUP | SHAPES


@pytest.mark.parametrize("name", ALL)
def test_safe_text_is_one_line_of_printable_characters(name: str) -> None:
    cleaned = safe(ALL[name])
    assert cleaned.isprintable()
    assert safe(cleaned) == cleaned


@given(st.text())
def test_safe_text_has_the_width_that_its_characters_have(text: str) -> None:
    """Textual and rich measure by grapheme, terminals by character: in what is left over both agree."""
    cleaned = safe(text)
    assert cleaned.isprintable()
    assert cell_len(cleaned) == sum(map(cell_len, cleaned))
    marks = [unicodedata.category(character)[0] == "M" for character in cleaned]
    assert marks[:1] != [True]
    assert not any(all(marks[at : at + 3]) for at in range(len(marks) - 2))


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert safe(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Qwen3-8B — 模型", "Qwen3-8B — 模型"),
        ("naïve café", "naïve café"),
        ("e\u0301", "é"),
        ("🇫🇷", "FR"),
        ("👨\u200d👩", "👨👩"),
        ("❤\ufe0f", "❤"),
        ("a\u00a0b", "a b"),
        ("a\ue000b", "a\N{REPLACEMENT CHARACTER}b"),
        ("हिन्दी", "हिन्दी"),
        ("\u0301x", "x"),
        ("a\u200b\u0301", "á"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert safe(text) == unicodedata.normalize("NFC", shown)


def test_plain_text_is_never_markup() -> None:
    text = plain("[bold]x[/foo]\n[@click=app.pwn]", "dim")
    assert text.plain == "[bold]x[/foo] [@click=app.pwn]"
    assert text.spans == []
    assert text.style == "dim"


@given(st.text())
def test_the_filter_keeps_the_width_that_was_measured(text: str) -> None:
    style = Style.parse("bold")
    (segment,) = ControlFilter().apply([Segment(text, style)], BLACK)
    assert segment.text.isprintable()
    assert cell_len(segment.text) == cell_len(text)
    assert segment.style == style


def test_the_filter_lets_our_own_signs_pass_untouched() -> None:
    segment = Segment("│ ▸ 12.5 ms … ⠋ █▌· é", Style.parse("bold"))
    assert ControlFilter().apply([segment], BLACK)[0] is segment


def run_in_pty(program: list[str], environ: dict[str, str], size: tuple[int, int] = (90, 40)) -> tuple[bytes, int]:
    """What `program` writes to its terminal, and its exit status."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    child = subprocess.Popen(program, stdin=follower, stdout=follower, stderr=follower, env=environ)
    os.close(follower)
    written = bytearray()
    try:
        while True:
            if not select.select([leader], [], [], 30)[0]:
                pytest.fail("the application fell silent")
            try:
                chunk = os.read(leader, 65536)
            except OSError:
                break
            if not chunk:
                break
            written += chunk
        return bytes(written), child.wait(timeout=10)
    finally:
        os.close(leader)
        if child.poll() is None:
            child.kill()
            child.wait()


def show(texts: Sequence[str], *, theme: str = "dark", save: bool, **environ: str) -> list[str]:
    """What is written to the terminal for each of `texts`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TEXTUAL", "NO_COLOR", "COLOR"))}
    environ = kept | {"TERM": "xterm-256color", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"} | environ
    what = json.dumps({"texts": texts, "theme": theme, "save": save})
    written, status = run_in_pty([sys.executable, str(ROOT / "tests" / "tui" / "hostile_app.py"), what], environ)
    assert status == 0, written.decode("utf-8")[-3000:]
    *each, rest = written.decode("utf-8").split("<ready>")
    assert len(each) == len(texts), rest
    return each


@pytest.fixture(scope="module", params=[False, True], ids=["stock", "saver"])
def written(request: pytest.FixtureRequest) -> dict[str, str]:
    """What is written for each hostile text, by name, and for `harmless`; as Textual writes and through the saver."""
    texts = {"harmless": "x"} | ALL
    if not request.param:
        # Terminals disagree about spacing vowel signs: only the saver, which sets the position anew, holds the frame.
        del texts["indic"]
    return dict(zip(texts, show(list(texts.values()), save=request.param), strict=True))


# What Textual itself writes: positions, colours, modes, the keyboard protocol and its questions, and the one OSC that
# sets the mouse pointer's shape.
_ITS_OWN = re.compile(
    r"\x1b\[(?:\d+(?:;\d+)*)?[Hm]|\x1b\[\?\d+(?:;\d+)*(?:[hlu]|\$p)|\x1b\[[<>=]?[\d;]*u|\x1b\[\d*[ABCD]|\x1b\[\d+n|\x1b\[c"
    r"|\x1b\[(?:\?|>)\d*[mc]|\x1b\]22;[a-z-]*\x07"
)


def strange(told: str) -> list[str]:
    """What is left of the output that neither is text nor a sequence of Textual's own."""
    rest = _ITS_OWN.sub("", told.replace("\x1b[?6666h", "\0"))
    found = re.finditer(r"[^\x20-\x7e\n\r\xa0-\U0010ffff]", rest)
    return [repr(rest[max(0, at.start() - 20) : at.end() + 20]) for at in found]


def framed(told: str, size: tuple[int, int] = (90, 40)) -> list[list[str]]:
    """The last picture before the application left the alternate screen, cell by cell."""
    screen = pyte.Screen(*size)
    pyte.Stream(screen).feed(told.rpartition("\x1b[?1049l")[0])
    return [[screen.buffer[row][column].data for column in range(size[0])] for row in range(size[1])]


def test_no_sequence_reaches_the_terminal_and_no_action_runs(written: dict[str, str]) -> None:
    for name, told in written.items():
        assert "<pwned>" not in told, name
        assert strange(told) == [], name
        for sequence in ("\x1b]0", "\x1b]52", "\x1b]8", "\x1b[2J", "\x1b[66;6H"):
            assert sequence not in told, name


def test_the_frame_stands_where_it_stood(written: dict[str, str]) -> None:
    harmless = framed(written["harmless"])
    for name in (*SHAPES, "controls", "many lines"):
        for row, (line, expected) in enumerate(
            zip(framed(written.get(name, written["harmless"])), harmless, strict=True)
        ):
            for column in (0, 29, 30):  # toasts stand further right
                if expected[column] == "|":
                    assert line[column] == "|", (name, row, column, "".join(line))


NO_COLOUR = r"\x1b\[(?:[\d;]*;)?(?:[349][0-79]|[34]8|10[0-7])(?:;[\d;]*)?m"
SIXTEEN = r"[34]8;[25]"


@pytest.mark.parametrize(
    ("theme", "environ", "forbidden"),
    [
        ("mono", {"NO_COLOR": "1"}, NO_COLOUR),
        ("mono", {"TERM": "dumb"}, NO_COLOUR),
        ("ansi", {"TERM": "linux"}, SIXTEEN),
        ("ansi", {"COLORTERM": "truecolor"}, SIXTEEN),
    ],
)
@pytest.mark.parametrize("save", [False, True], ids=["stock", "saver"])
def test_themes_without_colour_send_none(theme: str, environ: dict[str, str], forbidden: str, save: bool) -> None:
    (told,) = show(["text"], theme=theme, save=save, **environ)
    assert re.findall(forbidden, told) == []
