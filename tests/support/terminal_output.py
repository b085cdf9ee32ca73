"""Commands run in this process with a real terminal as their standard output, and text that attacks terminals."""

import os
import pty
import re
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infertui.cli.main import main

HOSTILE = (
    "a\x1b]0;title\x07b\x1b]52;c;ZXZpbA==\x1b\\c\x1b[2Jd\x1b[38;5;199me\x9b31mf\x9d8;;http://x\x9cg"
    "\u202eh\u2066i\u2028j\x7fk\x08l\x00m\ufeffn\u061co\x0cp\x85q"
)
"""Titles, clipboard, erasing, colours, C1 forms, links, direction overrides, separators, backspaces."""
_OURS = re.compile(r"\r\x1b\[K|\x1b\[[0-9;]*m|\r\n|\r|\n")
_FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def offences(shown: str) -> list[str]:
    """Where `shown` holds what may not reach a terminal: colours and our own progress line are allowed."""
    rest = _OURS.sub("", shown)
    found = [rest[max(0, hit.start() - 20) : hit.end() + 20] for hit in _FORBIDDEN.finditer(rest)]
    return found + ["a foreign colour"] * ("\x1b[38;5;199m" in shown)


def on_terminal(words: list[str], monkeypatch: pytest.MonkeyPatch, *, columns: int = 200) -> tuple[int, str]:
    """The exit code and everything that `infertui WORDS` writes to a terminal, standard error included."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    seen: list[bytes] = []
    reader = threading.Thread(target=_read, args=(ours, seen.append))
    reader.start()
    with (
        open(theirs, "w", encoding="utf-8", buffering=1, closefd=False) as out,
        monkeypatch.context() as patch,
    ):
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", out)
        patch.setattr(sys, "argv", ["infertui", *words])
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("TERM", "xterm-256color")
        try:
            main()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
    os.close(theirs)
    reader.join(10)
    os.close(ours)
    return code, b"".join(seen).decode("utf-8", "replace")


def _read(descriptor: int, take: Callable[[bytes], None]) -> None:
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # the other end was closed
            return
        if not piece:
            return
        take(piece)


def leaves(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every text in a document of lists and dictionaries."""
    match document:
        case str():
            yield path
        case dict():
            for key, value in document.items():
                yield from leaves(value, (*path, key))
        case list():
            for index, value in enumerate(document):
                yield from leaves(value, (*path, index))


def poisoned(document: Any, decodes: Callable[[Any], object], keep: frozenset[str] = frozenset()) -> int:
    """Put `HOSTILE` into every text of `document` with which it still `decodes`; in how many places it now stands."""
    count = 0
    for path in list(leaves(document)):
        if path[-1] in keep:
            continue
        place = document
        for step in path[:-1]:
            place = place[step]
        before = place[path[-1]]
        place[path[-1]] = HOSTILE
        try:
            decodes(document)
            count += 1
        except Exception:  # noqa: BLE001 (whatever it does not allow)
            place[path[-1]] = before
    return count
