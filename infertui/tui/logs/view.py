"""The journal of a run: what its worker wrote, and what the runner had to say, in the order in which it came."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from infertui.tui.terminal.sanitize import safe

_KEPT = 5000
_OVERLAP = 4096
Kind = Literal["log", "note", "fault", "gap"]


class LogItem(Struct, frozen=True):
    """A line. `time` is when it was seen, as `12:03:11`; empty for what was there before anyone looked."""

    number: int
    kind: Kind
    time: str
    text: str


class Journal:
    """Lines of one run, in the order in which they were seen. The oldest go when there are too many."""

    def __init__(self) -> None:
        self.items: list[LogItem] = []
        self.partial = ""
        """The log's last line, as long as it has no end."""
        self._log = ""
        self._read = False
        self._notes: dict[Kind, int] = {}
        self._number = 0

    def add_notes(self, kind: Literal["note", "fault"], texts: Iterable[str], time: str) -> bool:
        """Take in all notes so far, of which only the new ones are added; whether there were any."""
        texts = list(texts)
        known = self._notes.get(kind, 0)
        for text in texts[known:]:
            self._add(kind, time, text)
        self._notes[kind] = len(texts)
        return len(texts) > known

    def add_log(self, log: str, time: str) -> bool:
        """Take in the end of the log as it is now; whether it changed.

        What was there at the first look has no time. When the end has moved on further than it overlaps with what was
        read before, a line says so.
        """
        if self._read and log == self._log:
            return False
        new, gap = self._news(log)
        if gap:
            self._add("gap", time, "part of the log was not read")
            self.partial = ""
        *complete, self.partial = (self.partial + new).split("\n")
        for line in complete:
            self._add("log", time if self._read else "", line)
        self._log, self._read = log, True
        return True

    def _news(self, log: str) -> tuple[str, bool]:
        if log.startswith(self._log):
            return log[len(self._log) :], False
        tail = self._log[-_OVERLAP:]
        at = log.rfind(tail)
        return (log, True) if at < 0 else (log[at + len(tail) :], False)

    def _add(self, kind: Kind, time: str, text: str) -> None:
        self._number += 1
        self.items.append(LogItem(self._number, kind, time, safe(text)))
        del self.items[:-_KEPT]


class LogRow(Struct, frozen=True):
    """A screen line: the piece of an item that begins `at` this character."""

    item: LogItem
    piece: str
    at: int = 0


def rows_of(items: Iterable[LogItem], width: int, *, wrap: bool) -> list[LogRow]:
    """The screen lines of some items; with `wrap` long texts go on in further lines."""
    rows = []
    for item in items:
        if not wrap or len(item.text) <= width or width < 1:
            rows.append(LogRow(item, item.text))
            continue
        rows += [LogRow(item, item.text[at : at + width], at) for at in range(0, len(item.text), width)]
    return rows


def find(rows: list[LogRow], needle: str, start: int, by: int) -> int | None:
    """Index of the next row, after `start` in direction `by` and round the end, that holds `needle` in any case."""
    needle = needle.casefold()
    for step in range(1, len(rows) + 1):
        index = (start + by * step) % len(rows)
        if needle in rows[index].item.text.casefold() and not rows[index].at:
            return index
    return None
