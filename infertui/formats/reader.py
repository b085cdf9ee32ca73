"""A file of another program, read with bounds.

Its lines one by one, or its JSON as a whole. Each value is taken with a check and, where it is wrong, refused by its
path.
"""

import errno
import hashlib
import io
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NoReturn, Self

from infertui.errors import UsageError
from infertui.text import one_line

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
    raise FormatError(f"{one_line(name)}{at}: {one_line(reason, 300)}", remedy=remedy)


class SourceFile:
    """An open file: `name` as it may be shown, `size` in bytes. Raises FormatError wherever it cannot be read."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = one_line(name) or "?"
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


MOST = 1e15
"""No time, rate or count of a benchmark is beyond this."""
MOST_ITEMS = 10_000_000
TEXT = 200
"""Characters of a name that are kept."""


class JsonObject:
    """A JSON object and its path, as in `$.benchmarks[0].metrics`. Raises FormatError for values of the wrong kind."""

    def __init__(self, value: object, path: str, name: str) -> None:
        if not isinstance(value, dict):
            refuse(name, path, f"is {kind(value)}, not an object")
        self.values: Mapping[str, object] = value
        self.path = path
        self.name = name

    def has(self, *keys: str) -> bool:
        """Whether all of these are there and are not null."""
        return all(self.values.get(key) is not None for key in keys)

    def table(self, key: str) -> "JsonObject":
        """The object of that key."""
        if not self.has(key):
            self.refuse(key, "is not there")
        return JsonObject(self.values[key], self._of(key), self.name)

    def maybe_table(self, key: str) -> "JsonObject | None":
        """The object of that key; None where there is none, or something else."""
        value = self.values.get(key)
        return JsonObject(value, self._of(key), self.name) if isinstance(value, dict) else None

    def inside(self, *keys: str) -> "JsonObject":
        """The object that these keys lead to, one within the other; an empty one where there is none."""
        found: JsonObject = self
        for key in keys:
            found = found.maybe_table(key) or JsonObject({}, found._of(key), self.name)
        return found

    def tables(self, key: str) -> Iterator["JsonObject"]:
        """The objects of a list."""
        for number, value in enumerate(self._list(key)):
            yield JsonObject(value, f"{self._of(key)}[{number}]", self.name)

    def number(self, key: str, *, lowest: float = 0.0) -> float:
        """A number that has to be there."""
        found = self.maybe_number(key, lowest=lowest)
        if found is None:
            self.refuse(key, "is not there")
        return found

    def maybe_number(self, key: str, *, lowest: float = 0.0) -> float | None:
        """A finite number from `lowest` up; None where there is none."""
        value = self.values.get(key)
        return None if value is None else self._number(value, self._of(key), lowest)

    def count(self, key: str) -> int:
        """A whole number that has to be there. `4.0` is one, as many programs write counts through a float."""
        found = self.maybe_count(key)
        if found is None:
            self.refuse(key, "is not there")
        return found

    def maybe_count(self, key: str) -> int | None:
        """A whole number, not negative; None where there is none."""
        value = self.maybe_number(key)
        if value is not None and value != int(value):
            self.refuse(key, f"is {value:g}, not a whole number")
        return None if value is None else int(value)

    def numbers(self, key: str) -> list[float]:
        """A list of numbers, none of them negative."""
        path = self._of(key)
        return [self._number(value, f"{path}[{number}]", 0.0) for number, value in enumerate(self._list(key))]

    def lists_of_numbers(self, key: str) -> list[list[float]]:
        """A list of such lists."""
        path, found = self._of(key), []
        for number, inner in enumerate(self._list(key)):
            if not isinstance(inner, list):
                refuse(self.name, f"{path}[{number}]", f"is {kind(inner)}, not a list")
            found.append([self._number(value, f"{path}[{number}][{at}]", 0.0) for at, value in enumerate(inner)])
        return found

    def texts(self, key: str) -> list[str]:
        """A list of texts; empty for null."""
        found = []
        for number, value in enumerate(self._list(key)):
            if value is not None and not isinstance(value, str):
                refuse(self.name, f"{self._of(key)}[{number}]", f"is {kind(value)}, not text")
            found.append(printable(value or ""))
        return found

    def text(self, key: str) -> str:
        """A name, cleaned and cut to a length that can be shown; empty where there is none."""
        value = self.values.get(key)
        if value is None or isinstance(value, dict | list):
            return ""
        if isinstance(value, Endless):
            return value.replace("Infinity", "inf")
        return printable(str(value))

    def refuse(self, key: str, reason: str) -> NoReturn:
        """Raise a FormatError about the value of a key."""
        refuse(self.name, self._of(key), reason)

    def _number(self, value: object, path: str, lowest: float) -> float:
        if isinstance(value, Endless):
            refuse(self.name, path, f"is {value}, which is no number of JSON")
        if not is_number(value):
            refuse(self.name, path, f"is {kind(value)}, not a number")
        assert isinstance(value, int | float)  # noqa: S101
        if not lowest <= value <= MOST:
            refuse(self.name, path, f"is {value:.6g}, and has to be from {lowest:g} to {MOST:g}")
        return float(value)

    def _list(self, key: str) -> list[object]:
        value = self.values.get(key)
        if value is None:
            self.refuse(key, "is not there")
        if not isinstance(value, list):
            self.refuse(key, f"is {kind(value)}, not a list")
        if len(value) > MOST_ITEMS:
            self.refuse(key, f"has {len(value):,} entries, more than {MOST_ITEMS:,}")
        return value

    def _of(self, key: str) -> str:
        return f"{self.path}.{key}"


def printable(text: str) -> str:
    """A name from a file, safe and short."""
    return one_line(text, TEXT)


def kind(value: object) -> str:
    """A value as a message shows it."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 200:
        return "a number of too many digits"
    return one_line(repr(value), 60)
