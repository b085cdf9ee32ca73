"""A file as entries, one by one: JSON lines, a JSON list, CSV with a heading, or plain lines. Bounded in memory.

A line that cannot be read is passed over and counted: logs end in the middle of one.
"""

import csv
import json
from collections.abc import Iterator
from itertools import islice
from typing import Literal

from msgspec import Struct

from infertui.formats.reader import SourceFile, kind
from infertui.load.log_entry import LogEntry, entry_of
from infertui.text import one_line

MOST_ENTRIES = 5_000_000
_LISTS = ("requests", "data", "prompts", "entries", "results", "conversations")
_MOST_COLUMNS = 1000
Form = Literal["JSON lines", "JSON", "CSV", "lines of text"]


class Skipped(Struct):
    """Lines and entries that were passed over: how many, and why the first of them was."""

    count: int = 0
    first: str = ""

    def add(self, where: str, why: str) -> None:
        """One more."""
        self.count += 1
        self.first = self.first or f"{where} {why}"


class LogFile:
    """An open file of entries. `form` is known from the beginning; `skipped` grows while entries are taken.

    Raises FormatError for what is no text, or is too large to be read as a whole where it has to be.
    """

    def __init__(self, source: SourceFile) -> None:
        self.skipped = Skipped()
        self.cut = False
        """Whether there was more than `MOST_ENTRIES`."""
        self._source = source
        self.form: Form = self._found_form()

    def entries(self) -> Iterator[LogEntry]:
        """The entries that tell anything, in order, at most `MOST_ENTRIES`."""
        count = 0
        for where, value in self._values():
            entry = entry_of(value)
            if not entry.tells:
                self.skipped.add(where, f"is {kind(value)}, and tells nothing of a request")
                continue
            if count == MOST_ENTRIES:
                self.cut = True
                return
            count += 1
            yield entry

    def _found_form(self) -> Form:
        start = self._source.first_character()
        if not start:
            self._source.refuse("", "is empty")
        head = [line.decode(errors="replace").strip() for _, line in islice(self._source.lines(), 3)]
        first = head[0] if head else ""
        if start == "[":
            return "JSON"
        if len(head) == 3 and all(isinstance(_decoded(line), dict) for line in head[1:]):
            return "JSON lines"  # whose first one was cut off, or is broken
        if start in '{"':
            if _decoded(first) is not None:
                return "JSON lines"
            return "JSON" if start == "{" else "lines of text"
        names = [name.strip().strip('"').lower() for name in first.split(_delimiter(first))]
        heading = len(names) > 1 or names == ["prompt"]
        probe = entry_of(dict.fromkeys(names, "1"))
        known = probe.prompt is not None or probe.prompt_tokens is not None or probe.at is not None
        return "CSV" if heading and known and len(names) <= _MOST_COLUMNS else "lines of text"

    def _values(self) -> Iterator[tuple[str, object]]:
        match self.form:
            case "JSON":
                yield from self._listed(self._source.document())
            case "JSON lines":
                for number, line in self._source.lines():
                    value = _decoded(line.decode(errors="replace"))
                    if value is None:
                        self.skipped.add(f"line {number}", "is no JSON")
                    else:
                        yield f"line {number}", value
            case "CSV":
                yield from self._rows()
            case _:
                for number, line in self._source.lines():
                    yield f"line {number}", line.decode(errors="replace").strip()

    def _listed(self, document: object) -> Iterator[tuple[str, object]]:
        if isinstance(document, dict):
            inner = next((document[name] for name in _LISTS if isinstance(document.get(name), list)), None)
            document = [document] if inner is None else inner
        if isinstance(document, list):
            yield from ((f"entry {number}", one) for number, one in enumerate(document, start=1))

    def _rows(self) -> Iterator[tuple[str, object]]:
        lines = (line.decode(errors="replace").replace("\0", "") for _, line in self._source.lines())
        first = next(lines)
        delimiter = _delimiter(first)
        names = next(csv.reader([first], delimiter=delimiter))
        rows = csv.reader(lines, delimiter=delimiter)
        while True:
            where = f"line {rows.line_num + 2}"
            try:
                row = next(rows, None)
            except csv.Error as error:
                self.skipped.add(where, one_line(error))
                continue
            if row is None:
                return
            yield where, dict(zip(names, row, strict=False))


def _decoded(text: str) -> object | None:
    """The value of a line; None for what is no JSON, and for null. NaN and Infinity are no numbers that count."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found


def _delimiter(text: str) -> str:
    return max(",;\t", key=text.count)
