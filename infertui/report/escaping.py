"""Foreign text made inert for Markdown and HTML."""

import html
import re

from infertui.text import clean

_MARKDOWN = re.compile(r"[\\`*_\[\]<>|~$&]")
# GitHub links bare addresses and mentions by themselves.
_SCHEME = re.compile(r"(?<=[a-z]):(?=//)", re.IGNORECASE)
_WWW = re.compile(r"\b(www)\.", re.IGNORECASE)
_MENTION = re.compile(r"@(?=\w)")
_LEADING = re.compile(r"^(\s*)([-+=#]|\d+(?=[.)]))")


def markdown(text: str) -> str:
    """One line of text that Markdown shows as it is: no markup, no link, no mention, no cell's end."""
    inert = _MARKDOWN.sub(lambda match: f"\\{match[0]}", clean(text))
    inert = _WWW.sub(r"\1\\.", _SCHEME.sub(r"\\:", inert))
    return _MENTION.sub("@\N{WORD JOINER}", inert)


def markdown_line(text: str) -> str:
    """The same for the beginning of a line, where a dash or a number would begin a list."""
    inert = markdown(text).strip()
    match = _LEADING.match(inert)
    if match is None:
        return inert
    if match[2].isdigit():
        return f"{match[2]}\\{inert[len(match[2]) :]}"
    return f"\\{inert}"


def page(text: str) -> str:
    """Text for HTML, in elements and in quoted attributes."""
    return html.escape(clean(text), quote=True)
