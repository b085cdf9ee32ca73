"""Foreign text made safe for a terminal.

Model output, file names, process output and server replies may hold control sequences that retitle the window,
write the clipboard or redraw the screen. Everything foreign passes through `clean` where it enters the program, and
through `one_line` or one of its kin where a message quotes it.
"""

import re
from collections.abc import Iterable

# CSI, OSC/DCS/APC/PM/SOS up to their terminator, and two-byte escapes; 7-bit and C1 forms.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
# A login of a URL: all before the last `@` of its authority (RFC 3986). A password that holds a raw slash or the like
# ends the authority too early: what follows the colon is then no port.
_LOGIN = re.compile(r"(?<=://)(?:[^\s/?#\"'<>]*@|[^\s/?#@:\"'<>]+:(?![0-9]{1,5}(?:[/?#\s\"'<>]|$))[^\s\"'<>]*@)")
_BARE_LOGIN = re.compile(r"(?<![\w/@:.*-])[^\s/?#@:\"'<>]+:(?!//)[^\s@\"'<>]*@(?=[\w\[])")
_MASK = "***@"
_SECRET_MASK = "***"  # noqa: S105
# What the Hugging Face hub and others give out, told by its beginning.
_TOKEN = re.compile(r"(?<![A-Za-z0-9])(?:hf_|sk-|nvapi-)[A-Za-z0-9_-]{20,}")
SHORTEST_SECRET = 8
_hidden: set[str] = set()
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_BIDI_AND_SEPARATORS = (
    *range(0x200E, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0x061C, 0xFEFF,
)  # fmt: skip
_CONTROLS = dict.fromkeys((*range(0x20), 0x7F, *range(0x80, 0xA0), *_BIDI_AND_SEPARATORS), _REPLACEMENT)
_CONTROLS |= dict.fromkeys(range(0xD800, 0xE000), _REPLACEMENT)
CONTROLS = frozenset(map(chr, _CONTROLS))
"""Characters that never reach a terminal: control characters, direction overrides, line separators, surrogates."""
_ONE_LINE = {**_CONTROLS, 0x09: " ", 0x0A: " ", 0x0D: " "}
_MANY_LINES = {**_CONTROLS, 0x09: "    ", 0x0A: "\n", 0x0D: ""}


def clean(text: str, *, lines: bool = False) -> str:
    """Return `text` without control sequences, control characters and direction overrides.

    With `lines` newlines stay; otherwise the result is one line. Who logs in at a URL is masked, as by `masked`, and so
    are tokens and what `hide` was told.
    """
    if not (text.isascii() and text.isprintable()):
        text = _SEQUENCES.sub("", text).translate(_MANY_LINES if lines else _ONE_LINE)
    for secret in _hidden:
        if secret in text:
            text = text.replace(secret, _SECRET_MASK)
    if "hf_" in text or "sk-" in text or "nvapi-" in text:
        text = _TOKEN.sub(_SECRET_MASK, text)
    return masked(text) if "@" in text and "://" in text else text


def hide(secrets: Iterable[str]) -> None:
    """Mask these texts in all that `clean` returns. Short ones are left, which could be anything."""
    _hidden.update(secret for secret in map(str.strip, secrets) if len(secret) >= SHORTEST_SECRET)


def masked(text: str, *, bare: bool = False) -> str:
    """`text` without the names and passwords in its URLs, as in `https://***@host`.

    With `bare` also where a URL lacks its scheme, as proxies are written: `***@host:3128`. Other text may look alike.
    """
    return _BARE_LOGIN.sub(_MASK, _LOGIN.sub(_MASK, text)) if bare else _LOGIN.sub(_MASK, text)


def shorten(text: str, width: int) -> str:
    """Cut `text` to `width` characters with an ellipsis as the mark of the cut."""
    if len(text) <= width:
        return text
    return text[: width - 1] + "…" if width > 0 else ""


def one_line(value: object, limit: int = 200) -> str:
    """Foreign text, or a foreign value, in a message: cleaned, and cut to `limit` characters."""
    return shorten(clean(str(value)), limit)


def quoted(value: object, limit: int = 80) -> str:
    """As `one_line`, in quotation marks."""
    return f'"{one_line(value, limit)}"'


def error_text(error: BaseException, limit: int = 300) -> str:
    """What an error of a library says, as `one_line`; the name of its class where it says nothing."""
    return one_line(error, limit) or type(error).__name__


def in_lines(text: str, limit: int) -> str:
    """Foreign text of several lines, cleaned, and cut to `limit` characters."""
    return shorten(clean(text, lines=True).strip(), limit)
