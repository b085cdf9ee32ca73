"""Facts about the terminal, found before anything is drawn on it, and the glyphs that it can show."""

import codecs
import locale
import os
from collections.abc import Mapping, MutableMapping
from typing import Literal, Protocol

from msgspec import Struct
from textual.app import App

from infertui.errors import UsageError

Colours = Literal["none", "16", "256", "truecolour"]

_DRIVER = "TEXTUAL_DRIVER"
# Terminals of which `TERM` alone says that they have no more than the sixteen colours, or none at all.
_PLAIN_TERMS = ("dumb", "vt100", "vt102", "vt220", "unknown", "")


class Glyphs(Struct, frozen=True):
    """The signs that are not letters. `frame` and `frame_focused` are Textual's names of border styles."""

    ellipsis: str
    cursor: str
    marked: str
    bar: str
    half_bar: str
    """A bar's last cell when it is half full; empty where there is no such sign."""
    no_bar: str
    up: str
    down: str
    right: str
    folded: str
    unfolded: str
    dot: str
    separator: str
    times: str
    plus_minus: str
    ok: str
    failed: str
    warning: str
    horizontal: str
    vertical: str
    dashed: str
    """As `vertical`, across."""
    axis: str
    corner: str
    frame: Literal["round", "ascii"]
    frame_focused: Literal["round", "heavy", "ascii", "double"]


UNICODE = Glyphs(
    ellipsis="…", cursor="▸", marked="●", bar="█", half_bar="▌", no_bar="·", up="▲", down="▼", right="→", folded="▸",
    unfolded="▾", dot="·", separator="│", times="×", plus_minus="±", ok="✓", failed="✗", warning="!", horizontal="─",
    vertical="┊", dashed="╌", axis="┤", corner="└", frame="round", frame_focused="heavy",
)  # fmt: skip
ASCII = Glyphs(
    ellipsis="~", cursor=">", marked="*", bar="#", half_bar="", no_bar=".", up="^", down="v", right=">", folded="+",
    unfolded="-", dot="-", separator="|", times="x", plus_minus="+-", ok="+", failed="x", warning="!", horizontal="-",
    vertical=":", dashed="-", axis="|", corner="+", frame="ascii", frame_focused="ascii",
)  # fmt: skip


def glyphs(app: App[object]) -> Glyphs:
    """The signs that the terminal of `app` can show: those of ASCII when `app.ascii_only` is set."""
    return ASCII if getattr(app, "ascii_only", False) else UNICODE


class Stream(Protocol):
    """As much of a text stream as says what is behind it."""

    @property
    def encoding(self) -> str:
        """Name of its encoding."""
        ...

    def isatty(self) -> bool:
        """Whether a terminal is behind it."""
        ...


class Terminal(Struct, frozen=True):
    """What is known of the terminal before the screen starts."""

    ascii_only: bool
    colours: Colours
    over_ssh: bool
    multiplexer: Literal["", "tmux", "screen"]
    stdin_is_terminal: bool
    stdout_is_terminal: bool
    stderr_is_terminal: bool

    def check(self) -> None:
        """Raise UsageError, with what to do instead, when no screen can be drawn or no key be read."""
        if not self.stderr_is_terminal:
            raise UsageError(
                "The screen is drawn on stderr, and stderr is not a terminal",
                remedy="Leave out `2>...`; logs are in the Logs pane. Without a terminal: infertui run FILE.",
            )
        if not self.stdin_is_terminal:
            raise UsageError(
                "stdin is not a terminal, so no key would be heard",
                remedy="Start infertui without `<...` and outside a pipe. Without a terminal: infertui run FILE.",
            )


def look(
    environ: Mapping[str, str],
    *,
    stdin: Stream,
    stdout: Stream,
    stderr: Stream,
    charmap: str,
    ascii_flag: bool = False,
) -> Terminal:
    """The facts, from environment, streams and the locale's character set (`nl_langinfo(CODESET)`).

    LANG=C makes Python write UTF-8 nevertheless, and no terminal says what it can show: then the character set of
    the locale decides, unless PYTHONIOENCODING or PYTHONUTF8 names one, and `--ascii` beats all.
    """
    return Terminal(
        ascii_only=ascii_flag or not _shows_unicode(environ, stderr, charmap),
        colours=colours(environ),
        over_ssh=bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY")),
        multiplexer="tmux" if environ.get("TMUX") else "screen" if environ.get("STY") else "",
        stdin_is_terminal=stdin.isatty(),
        stdout_is_terminal=stdout.isatty(),
        stderr_is_terminal=stderr.isatty(),
    )


def colours(environ: Mapping[str, str]) -> Colours:
    """How many colours the terminal has, by NO_COLOR (https://no-color.org), COLORTERM and TERM."""
    term = environ.get("TERM", "")
    if environ.get("NO_COLOR") or term in _PLAIN_TERMS:
        return "none"
    if environ.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return "truecolour"
    if term.endswith("-direct"):
        return "truecolour"
    if "256color" in term or term.endswith("-kitty"):
        return "256"
    return "16"


def _shows_unicode(environ: Mapping[str, str], stderr: Stream, charmap: str) -> bool:
    if not _is_utf8(stderr.encoding):
        return False
    if environ.get("PYTHONIOENCODING", "").partition(":")[0] or environ.get("PYTHONUTF8") == "1":
        return True
    return _is_utf8(_asked_for_charmap(environ) or charmap)


def _asked_for_charmap(environ: Mapping[str, str]) -> str:
    """The character set that LC_ALL, LC_CTYPE or LANG asks for: Python's coercion of the C locale hides it."""
    for name in ("LC_ALL", "LANG") if environ.get("LC_CTYPE") == "C.UTF-8" else ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := environ.get(name):
            return "ascii" if value in ("C", "POSIX") else ""
    return ""


def _is_utf8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding or "ascii").name == "utf-8"
    except LookupError:
        return False


def locale_charmap() -> str:
    """The character set of the user's locale, as the system and not Python's UTF-8 mode has it."""
    return locale.nl_langinfo(locale.CODESET)


def in_browser(environ: Mapping[str, str]) -> bool:
    """Whether this process draws for a browser: textual-serve says so."""
    return environ.get(_DRIVER, "").startswith("textual.drivers.web_driver:")


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Forget an exported COLUMNS and LINES: Textual would believe them for good, whatever the window does."""
    environ.pop("COLUMNS", None)
    environ.pop("LINES", None)
