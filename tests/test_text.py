import ast
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infertui import text as module
from infertui.text import CONTROLS, clean, error_text, in_lines, masked, one_line, quoted, shorten

BIDI = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
UNSAFE = {*range(0x20), 0x7F, *range(0x80, 0xA0), *BIDI, 0x2028, 0x2029, 0xFEFF, *range(0xD800, 0xE000)}

INTRODUCERS = [
    "\x1b",
    "\x1b[",
    "\x1b]",
    "\x1bP",
    "\x1bX",
    "\x1b^",
    "\x1b_",
    "\x9b",
    "\x9d",
    "\x90",
    "\x98",
    "\x9e",
    "\x9f",
]
ENDS = ["\x07", "\x1b\\", "\x9c", "m", "K", "\x18", "\x1a"]
anything = st.text(st.characters(exclude_categories=[]))
# Pieces of sequences, so that broken and nested ones come up.
pieces = st.lists(
    st.sampled_from([*INTRODUCERS, *ENDS, "0;", "52;c;", "31", " ", "a", "\r", "\n", "\t", "\ud800", "\u202e"])
    | anything
).map("".join)


@given(anything | pieces)
@example("\x1b\x1b[31m[31m")
@example("\x1b]\x1b]0;x\x07\x07")
def test_nothing_unsafe_comes_through(text: str) -> None:
    one_line, lines = clean(text), clean(text, lines=True)
    assert not UNSAFE & set(map(ord, one_line))
    assert UNSAFE & set(map(ord, lines)) <= {0x0A}
    one_line.encode()
    lines.encode()


def test_every_unsafe_character_goes() -> None:
    for code in UNSAFE - {0x09, 0x0A, 0x0D}:
        for lines in (False, True):
            assert clean(f"<{chr(code)}>", lines=lines) in ("<\ufffd>", "<>", "<")


@given(anything | pieces, st.booleans())
def test_cleaning_twice_changes_nothing_more(text: str, lines: bool) -> None:
    once = clean(text, lines=lines)
    assert clean(once, lines=lines) == once


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
@example("plain ASCII, 100 % of it")
@example("caf\u00e9 na\u00efve \u00df \u0151")
@example("e\u0301 combined")
@example("\u6f22\u5b57 \ud55c\uae00 \u304b\u306a")
@example("\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627")
@example("\N{ROCKET}\N{VARIATION SELECTOR-16}")
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert clean(text) == text
    assert clean(text, lines=True) == text


def test_joined_emoji_stay_joined() -> None:
    family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
    assert clean(family) == family


@pytest.mark.parametrize(
    ("payload", "left"),
    [
        # Window titles, links and the clipboard, in every spelling
        ("\x1b]0;owned\x07", ""),
        ("\x1b]0;owned\x1b\\", ""),
        ("\x1b]2;owned\x9c", ""),
        ("\x9d0;owned\x07", ""),
        ("\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x1b]52;c;ZXZpbA==\x07", ""),
        ("\x1b]52;c;ZXZpbA==", ""),
        ("\x9d52;c;ZXZpbA==", ""),
        # CSI: colours, clearing, moving, reports, modes
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[H", ""),
        ("\x1b[?1049h", ""),
        ("\x1b[>0c\x1b[6n", ""),
        ("\x1b[38:2::255:0:0m", ""),
        ("\x9b31mred\x9b0m", "red"),
        ("\x1b[1 q", ""),
        # Device control, application and privacy strings
        ("\x1bP$q\"p\x1b\\", ""),
        ("\x90$q\"p\x9c", ""),
        ("\x1b_Gf=100;AAAA\x1b\\", ""),
        ("\x1b^secret\x1b\\", ""),
        ("\x1bXsecret\x1b\\", ""),
        ("\x9fGf=100\x9c\x9esecret\x9c\x98secret\x9c", ""),
        # Two bytes: reset, index, character sets
        ("\x1bc", ""),
        ("\x1bM\x1b7\x1b8\x1b=", ""),
        ("\x1b(0", ""),
        ("\x1b%G", ""),
    ],
)  # fmt: skip
def test_sequences_go_without_a_trace(payload: str, left: str) -> None:
    assert clean(f"<{payload}") == f"<{left}"
    if left or payload[-1] in "\x07\x9c\\":
        assert clean(f"<{payload}>") == f"<{left}>"


@pytest.mark.parametrize(
    ("text", "one_line", "many"),
    [
        ("a\nb", "a b", "a\nb"),
        ("a\r\nb", "a  b", "a\nb"),
        ("100 %\rdone", "100 % done", "100 %done"),
        ("a\tb", "a b", "a    b"),
        ("a\bb", "a\ufffdb", "a\ufffdb"),
        ("a\0b", "a\ufffdb", "a\ufffdb"),
        ("a\x07b", "a\ufffdb", "a\ufffdb"),
        ("a\x0bb\x0cc", "a\ufffdb\ufffdc", "a\ufffdb\ufffdc"),
        ("a\x0e\x0fb", "a\ufffd\ufffdb", "a\ufffd\ufffdb"),
        ("a\x7fb", "a\ufffdb", "a\ufffdb"),
        ("a\x84b", "a\ufffdb", "a\ufffdb"),
        ("a\x85b", "a\ufffdb", "a\ufffdb"),
        ("a\u2028b\u2029c", "a\ufffdb\ufffdc", "a\ufffdb\ufffdc"),
        ("exe\u202egpj.", "exe\ufffdgpj.", "exe\ufffdgpj."),
        ("a\u2066b\u2069", "a\ufffdb\ufffd", "a\ufffdb\ufffd"),
        ("\ufeffa", "\ufffda", "\ufffda"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd", "a\ufffdb\ufffd"),
        ("a\x1b", "a\ufffd", "a\ufffd"),
        ("", "", ""),
    ],
)
def test_single_characters(text: str, one_line: str, many: str) -> None:
    assert clean(text) == one_line
    assert clean(text, lines=True) == many


def test_a_sequence_cut_off_swallows_no_escape_after_it() -> None:
    assert clean("\x1b]0;title\x1b[31mred") == "red"
    assert "\x1b" not in clean("\x1b[31\x1b[0m")


@given(st.text(), st.integers(1, 40))
def test_shorten(text: str, width: int) -> None:
    short = shorten(text, width)
    assert len(short) <= width
    if len(text) <= width:
        assert short == text
    else:
        assert short == text[: width - 1] + "…"


SECRET = "s3cret"  # noqa: S105 (nobody's)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"http://user:{SECRET}@hub.local:8080/x", "http://***@hub.local:8080/x"),
        (f"cannot reach 'https://{SECRET}@hub.local'", "cannot reach 'https://***@hub.local'"),
        (f"socks5h://u:{SECRET}@[::1]:1080, and ftp://u:{SECRET}@x", "socks5h://***@[::1]:1080, and ftp://***@x"),
        (f"http://u:p@ss{SECRET}@host/", "http://***@host/"),
        (f"http://u:pa/ss?{SECRET}#@host/", "http://***@host/"),
        (f"http://:{SECRET}@host", "http://***@host"),
        (f"ht\x1b[0mtp:\x1b[1m//u:\x1b[2m{SECRET}@host", "http://***@host"),
        ("https://huggingface.co/org/model@main", "https://huggingface.co/org/model@main"),
        ("http://localhost:8000/v1/x@y", "http://localhost:8000/v1/x@y"),
        ("me@example.org", "me@example.org"),
        ("engine:trans @ 5 tok/s", "engine:trans @ 5 tok/s"),
    ],
)
def test_who_logs_in_at_a_url_is_masked(text: str, left: str) -> None:
    assert clean(text) == left
    assert clean(text, lines=True) == left


@pytest.mark.parametrize("text", [f"u:{SECRET}@proxy:3128", f"proxy 'u:{SECRET}@10.0.0.1'", f"u:{SECRET}/x@[::1]:80"])
def test_a_proxy_may_lack_its_scheme(text: str) -> None:
    assert SECRET not in masked(text, bare=True)
    assert "***@" in masked(text, bare=True)


USERINFO = st.text(
    st.characters(codec="ascii", exclude_characters="\"'<>", categories=["L", "N", "P", "S"]), max_size=12
)


@given(USERINFO, USERINFO, st.sampled_from(["http", "https", "socks5"]))
def test_no_password_comes_through(user: str, password: str, scheme: str) -> None:
    for head in ("", "the connection to "):
        said = clean(f"{head}{scheme}://{user}:{password}{SECRET}@host.example/path: refused")
        legal = not set(user + password) & set("/?#")
        assert SECRET not in said or not legal
        assert clean(said) == said


@given(pieces, st.integers(0, 60))
def test_what_a_message_quotes_is_one_line_of_a_length_that_nothing_acts_on(text: str, limit: int) -> None:
    for shown in (one_line(text, limit), quoted(text, limit)[1:-1]):
        assert len(shown) <= limit
        assert not CONTROLS.intersection(shown)
    assert not CONTROLS.difference("\n").intersection(in_lines(text, limit))


def test_forms_of_foreign_text() -> None:
    assert one_line("a\nb\x1b[31mc") == "a bc"
    assert one_line(Path("/data/\x9bm")) == "/data/"
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("x" * 300) == "x" * 199 + "…"
    assert quoted("abcdef", 4) == '"abc…"'
    assert error_text(ValueError("no\nway")) == "no way"
    assert error_text(ValueError()) == "ValueError"
    assert in_lines(" a\x1b[2J\n b ", 20) == "a\n b"


def test_foreign_text_is_cut_in_one_place() -> None:
    """`shorten(clean(...))` by hand is `one_line` or one of its kin."""
    for file in Path(module.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if file != Path(module.__file__) and _calls(node, "shorten") and isinstance(node, ast.Call):
                inner = [part for argument in node.args for part in ast.walk(argument)]
                assert not any(_calls(part, "clean") for part in inner), f"{file}:{node.lineno}"


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
