"""A file of another program, read with bounds: its lines one by one, or its JSON as a whole."""

import errno
import hashlib
import io
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn, Self

from infertui.errors import UsageError
from infertui.text import clean, shorten

MOST_BYTES = 256 << 20
"""A document of JSON, and a table of CSV, is held in memory as a whole: larger ones are refused."""
MOST_LINE = 16 << 20
"""The longest line of a file that is read line by line, of which the size as a whole is not limited."""
_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff")


class FormatError(UsageError):
    """A file that cannot be imported: its name, where in it, and why."""


def refuse(name: str, where: str, reason: str, remedy: str = "") -> NoReturn:
    """Raise a FormatError; `where` is a line or the path of a value, empty for the file as a whole."""
    at = f", {where}" if where else ""
    raise FormatError(f"{shorten(clean(name), 200)}{at}: {shorten(clean(reason), 300)}", remedy=remedy)


class Source:
    """An open file: `name` as it may be shown, `size` in bytes. Raises FormatError wherever it cannot be read."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = shorten(clean(name), 200) or "?"
        self._stream = stream
        self.size = stream.seek(0, os.SEEK_END)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a regular file. Links, folders, pipes and devices are refused, without waiting for a pipe's writer."""
        name = path.name or str(path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ELOOP:
                refuse(str(path), "", "is a link", "Name the file that it points to.")
            refuse(str(path), "", error.strerror or str(error))
        except ValueError as error:
            refuse(str(path), "", str(error))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            refuse(str(path), "", "is not a regular file")
        return cls(os.fdopen(descriptor, "rb"), name)

    @classmethod
    def of(cls, content: bytes, name: str = "report.json") -> Self:
        """What is already in memory."""
        return cls(io.BytesIO(content), name)

    def close(self) -> None:
        """Release the file."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def digest(self) -> str:
        """SHA-256 of the content, by which the same file is known again."""
        self._stream.seek(0)
        found = hashlib.sha256()
        while chunk := self._read(1 << 20):
            found.update(chunk)
        return found.hexdigest()

    def first_character(self) -> str:
        """The first character that is no blank. Refuses what is no text in UTF-8, as far as the beginning tells."""
        self._stream.seek(0)
        head = self._read(4096)
        if head.startswith(_WIDE):
            self.refuse("line 1", "is text in UTF-16", "Save it as UTF-8.")
        if b"\0" in head:
            self.refuse("line 1", "is binary, not text")
        return head.removeprefix(_BOM).lstrip()[:1].decode(errors="replace")

    def lines(self, limit: int = MOST_LINE) -> Iterator[tuple[int, bytes]]:
        """The lines that are not blank, with their numbers from 1."""
        self._stream.seek(0)
        number, at = 0, 0
        while True:
            self._stream.seek(at)  # whoever reads the file for something else meanwhile moves it
            line = self._readline(limit + 1)
            if not line:
                return
            number, at = number + 1, at + len(line)
            if len(line) > limit:
                self.refuse(f"line {number}", f"is longer than {limit >> 20} MiB")
            if number == 1:
                line = line.removeprefix(_BOM)
            if line.strip():
                yield number, line

    def check_size(self) -> None:
        """Refuse what is too large to be held in memory."""
        if self.size > MOST_BYTES:
            self.refuse(
                "",
                f"has {self.size:,} bytes, and is read as a whole: at most {MOST_BYTES >> 20} MiB",
                "Save it without the times of single requests.",
            )

    def whole(self) -> bytes:
        """All of it, up to MOST_BYTES."""
        self.check_size()
        self._stream.seek(0)
        return self._read(MOST_BYTES).removeprefix(_BOM)

    def document(self) -> object:
        """All of it as one JSON value."""
        return self.decode(self.whole(), first_line=1)

    def decode(self, content: bytes, *, first_line: int) -> object:
        """A JSON value. Keys that stand twice are refused.

        Python's NaN, which JSON does not know, is how its programs write what is not available: null. Its Infinity, as
        of a request rate without limit, is kept as `Endless`, and refused where it would count as a number.
        """
        seen: list[str] = []

        def constant(word: str) -> object:
            return None if word == "NaN" else Endless(word)

        def table(pairs: list[tuple[str, object]]) -> dict[str, object]:
            found = dict(pairs)
            if len(found) < len(pairs):
                twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
                seen.append(twice)
                found[twice] = _Wrong("stands twice")
            return found

        where = f"line {first_line}"
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line = first_line + content.count(b"\n", 0, error.start)
            self.refuse(f"line {line}", f"byte {error.start + 1} is no UTF-8")
        try:
            value: object = json.loads(text, parse_constant=constant, object_pairs_hook=table)
        except json.JSONDecodeError as error:
            self.refuse(f"line {first_line + error.lineno - 1}", f"is no JSON, at column {error.colno}: {error.msg}")
        except RecursionError:
            self.refuse(where, "is nested too deeply")
        except ValueError:  # more digits than Python reads
            self.refuse(where, "holds a number of too many digits")
        if seen:
            path, reason = _find_wrong(value)
            self.refuse(f"{where}, {path}" if first_line > 1 else path, reason)
        return value

    def refuse(self, where: str, reason: str, remedy: str = "") -> NoReturn:
        """Raise a FormatError about this file."""
        refuse(self.name, where, reason, remedy)

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except OSError as error:
            self.refuse("", error.strerror or str(error))

    def _readline(self, size: int) -> bytes:
        try:
            return self._stream.readline(size)
        except OSError as error:
            self.refuse("", error.strerror or str(error))


class Endless(str):
    """Infinity or -Infinity, as Python's programs write them."""


class _Wrong(str):
    """A value that is to be refused, and why; text, so that it passes through the decoder."""


def _find_wrong(value: object) -> tuple[str, str]:
    """Where such a value stands, and its reason. The value may be nested as deeply as the decoder allows."""
    rest: list[tuple[str, object]] = [("$", value)]
    while rest:
        path, found = rest.pop()
        if isinstance(found, _Wrong):
            return path, str(found)
        if isinstance(found, dict):
            rest += [(f"{path}.{name}", one) for name, one in found.items()]
        elif isinstance(found, list):
            rest += [(f"{path}[{number}]", one) for number, one in enumerate(found)]
    return "$", "holds what JSON does not know"


def is_number(value: object) -> bool:
    """Whether a decoded value is a finite number; JSON's true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False
