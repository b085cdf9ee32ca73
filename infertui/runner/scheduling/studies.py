"""How entries that were queued together ended, and what is told of it: a sweep, a bench, or one run alone. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from infertui.metrics.marks import in_short, short_words
from infertui.runner.scheduling.queue_store import ENDED, Entry
from infertui.text import clean
from infertui.units import format_number

Fate = Literal["ok", "invalid", "queued", "running", "failed", "refused", "interrupted", "cancelled", "skipped"]
"""An entry's state, where `finished` is divided by whether its figures count."""
Severity = Literal["information", "warning", "error"]
FATES: tuple[Fate, ...] = (
    "running", "queued", "ok", "failed", "refused", "invalid", "interrupted", "cancelled", "skipped",
)  # fmt: skip
"""In the order in which they are told."""


def fate(entry: Entry) -> Fate:
    """What became of an entry."""
    if entry.state == "finished":
        return "invalid" if entry.valid is False else "ok"
    return entry.state


def fates(entries: Iterable[Entry]) -> dict[Fate, int]:
    """How many there are of each, as far as there are any, in the order in which they are told."""
    counts = Counter(map(fate, entries))
    return {one: counts[one] for one in FATES if counts[one]}


def best(entries: Iterable[Entry]) -> Entry | None:
    """That with the highest throughput among those whose figures count."""
    measured = [entry for entry in entries if entry.throughput is not None and entry.valid is not False]
    return max(measured, key=lambda entry: entry.throughput or 0.0, default=None)


class Study(Struct, frozen=True):
    """Entries of one group, in order."""

    entries: tuple[Entry, ...]

    @property
    def over(self) -> bool:
        """Whether all of them have ended."""
        return all(entry.state in ENDED for entry in self.entries)

    @property
    def label(self) -> str:
        """What it is called: of a single entry with its name."""
        first = self.entries[0]
        return clean((first.label if len(self.entries) == 1 else first.title) or "run")

    @property
    def severity(self) -> Severity:
        """How much it matters: something failed, something else is not as it should be, or all is well."""
        found = fates(self.entries)
        if "failed" in found or "refused" in found:
            return "error"
        return "information" if found.keys() <= {"ok"} else "warning"

    @property
    def text(self) -> str:
        """How it ended, in a sentence or two."""
        return told(self.entries[0]) if len(self.entries) == 1 else self._of_several()

    def _of_several(self) -> str:
        parts = []
        for one, count in fates(self.entries).items():
            marks = dict.fromkeys(entry.marks[0] for entry in self.entries if fate(entry) == one and entry.marks)
            parts.append(f"{count} {one}" + (f" ({in_short(marks)})" if marks else ""))
        said = f"{self.label} is over, {len(self.entries)} runs: {', '.join(parts)}."
        fastest = best(self.entries)
        if fastest is not None and fastest.throughput is not None:
            said += f" Fastest: {fastest.name or f'#{fastest.id}'}, {format_number(fastest.throughput)} tok/s."
        return clean(said)


def study_of(entries: Iterable[Entry], entry: Entry) -> Study:
    """The study that an entry belongs to, as the queue has it; it alone where the queue has none of it any more."""
    return Study(tuple(other for other in entries if other.group == entry.group) or (entry,))


def told(entry: Entry) -> str:
    """How one entry ended: `demo bs=4 finished: 976 tok/s, but it is invalid: other processes used 82 % of ...`."""
    name = entry.label or "run"
    speed = "" if entry.throughput is None else f": {format_number(entry.throughput)} tok/s"
    match fate(entry):
        case "ok":
            said = f"{name} finished{speed}"
        case "invalid":
            why = f": {entry.reason}" if entry.reason else ""
            said = f"{name} finished{speed}, but is invalid{why}"
        case "failed":
            kind = f" ({short_words(entry.marks[0])})" if entry.marks and entry.marks[0] != "error" else ""
            said = f"{name} failed{kind}" + (f": {entry.reason}" if entry.reason else "")
        case "refused":
            said = f"#{entry.id} {name} is refused: {entry.reason}"
        case other:
            kept = "; what it measured is kept" if entry.run else ""
            said = f"{name} was {other}{kept}"
    return clean(said)
