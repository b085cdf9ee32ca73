"""What is found out about the terminal before anything is drawn."""

import locale
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.errors import UsageError
from infertui.tui.terminal.capabilities import ASCII, UNICODE, Terminal, colours, locale_charmap, look, prepare


class Stream:
    def __init__(self, encoding: str = "utf-8", tty: bool = True) -> None:
        self.encoding = encoding
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty


def seen(
    environ: Mapping[str, str],
    *,
    charmap: str = "UTF-8",
    ascii_flag: bool = False,
    stdin: Stream | None = None,
    stdout: Stream | None = None,
    stderr: Stream | None = None,
) -> Terminal:
    return look(
        environ,
        stdin=stdin or Stream(),
        stdout=stdout or Stream(),
        stderr=stderr or Stream(),
        charmap=charmap,
        ascii_flag=ascii_flag,
    )


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "truecolour"),
        ({"TERM": "xterm", "COLORTERM": "24bit"}, "truecolour"),
        ({"TERM": "xterm-direct"}, "truecolour"),
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "tmux-256color"}, "256"),
        ({"TERM": "xterm-kitty"}, "256"),
        ({"TERM": "xterm"}, "16"),
        ({"TERM": "linux"}, "16"),
        ({"TERM": "screen"}, "16"),
        ({"TERM": "vt100"}, "none"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, "none"),
        ({}, "none"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, "256"),
    ],
)
def test_colours(environ: dict[str, str], expected: str) -> None:
    assert colours(environ) == expected


@pytest.mark.parametrize(
    ("environ", "encoding", "charmap", "ascii_only"),
    [
        ({"LANG": "en_GB.UTF-8"}, "utf-8", "UTF-8", False),
        ({}, "utf-8", "UTF-8", False),
        # Python writes UTF-8 in the C locale (PEP 538, 540), coerced or in UTF-8 mode: the terminal did not ask for it.
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, "utf-8", "UTF-8", True),
        ({"LC_ALL": "C"}, "utf-8", "ANSI_X3.4-1968", True),
        ({"LANG": "POSIX"}, "utf-8", "UTF-8", True),
        ({"LANG": "C", "PYTHONUTF8": "1"}, "utf-8", "UTF-8", False),
        ({"LANG": "C", "PYTHONIOENCODING": "utf-8"}, "utf-8", "UTF-8", False),
        ({"LANG": "en_GB.UTF-8", "PYTHONIOENCODING": "ascii"}, "ascii", "UTF-8", True),
        ({"LANG": "de_DE@euro"}, "iso8859-15", "ISO-8859-15", True),
        ({"LANG": "de_DE@euro"}, "utf-8", "ISO-8859-15", True),
        ({"LANG": "en_GB.UTF-8"}, "no-such-encoding", "UTF-8", True),
    ],
)
def test_ascii_where_the_locale_has_no_unicode(
    environ: dict[str, str], encoding: str, charmap: str, ascii_only: bool
) -> None:
    assert seen(environ, stderr=Stream(encoding), charmap=charmap).ascii_only is ascii_only


def test_the_flag_beats_the_locale() -> None:
    assert seen({"LANG": "en_GB.UTF-8"}, ascii_flag=True).ascii_only


def test_ssh_and_multiplexers() -> None:
    assert seen({"SSH_CONNECTION": "1 2 3 4"}).over_ssh
    assert not seen({}).over_ssh
    assert seen({"TMUX": "/run/tmux,1,0"}).multiplexer == "tmux"
    assert seen({"STY": "1.pts"}).multiplexer == "screen"
    assert seen({}).multiplexer == ""


def test_a_screen_needs_stdin_and_stderr_on_a_terminal() -> None:
    seen({}).check()
    seen({}, stdout=Stream(tty=False)).check()
    with pytest.raises(UsageError, match="stderr is not a terminal") as refused:
        seen({}, stderr=Stream(tty=False)).check()
    assert "infertui run" in refused.value.remedy
    with pytest.raises(UsageError, match="stdin"):
        seen({}, stdin=Stream(tty=False)).check()


def test_prepare_forgets_a_fixed_size_alone() -> None:
    environ = {"COLUMNS": "70", "LINES": "20", "TERM": "xterm"}
    prepare(environ)
    assert environ == {"TERM": "xterm"}
    prepare(environ)


def test_ascii_signs_are_ascii_and_single_signs_one_cell() -> None:
    for name, sign in msgspec.structs.asdict(ASCII).items():
        assert sign.isascii(), name
        if name not in ("plus_minus", "frame", "frame_focused", "half_bar"):
            assert len(sign) == len(getattr(UNICODE, name)) == 1, name


def test_the_locale_has_a_charmap() -> None:
    assert locale_charmap() == locale.nl_langinfo(locale.CODESET)


@given(st.dictionaries(st.sampled_from(["TERM", "COLORTERM", "LANG", "LC_ALL", "LC_CTYPE"]), st.text()), st.text())
def test_no_environment_is_too_odd(environ: dict[str, str], encoding: str) -> None:
    seen(environ, stderr=Stream(encoding.replace("\0", "")), charmap=encoding.replace("\0", ""))
