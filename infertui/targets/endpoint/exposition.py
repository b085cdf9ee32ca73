"""The text format of Prometheus, read as far as names are wanted.

https://prometheus.io/docs/instrumenting/exposition_formats/

A line that cannot be read is passed over: what a server counts is told beside what is measured here, and a broken line
of it must not cost the rest.
"""

import math
import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

_LABEL = re.compile(r'\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|(?=\}))')
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:.]*")
_ESCAPE = re.compile(r"\\(.)")
_MOST_SAMPLES = 100_000
_LONGEST_LINE = 1 << 16

Labels = tuple[tuple[str, str], ...]


class PageSample(Struct, frozen=True):
    """One value of a page; labels are sorted by name."""

    name: str
    labels: Labels
    value: float


def plain(name: str) -> str:
    """A name with which others are compared: exporters write `_` for `:`."""
    return name.replace(":", "_")


def samples(page: str, wanted: Iterable[str]) -> Iterator[PageSample]:
    """Those of the names that are wanted, in the order of the page; names as `plain` gives them.

    What is no number is left out, and a page of more samples than there can be ends early.
    """
    names = frozenset(map(plain, wanted))
    found = 0
    for line in page.split("\n"):
        if not line or line[0] == "#" or len(line) > _LONGEST_LINE:
            continue
        match = _NAME.match(line.lstrip(" \t"))
        if match is None or plain(match[0]) not in names:
            continue
        sample = _sample(plain(match[0]), line.lstrip(" \t")[match.end() :])
        if sample is not None:
            found += 1
            if found > _MOST_SAMPLES:
                return
            yield sample


def _sample(name: str, rest: str) -> PageSample | None:
    labels: list[tuple[str, str]] = []
    rest = rest.lstrip(" \t")
    if rest.startswith("{"):
        place = 1
        while match := _LABEL.match(rest, place):
            labels.append((match[1], _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], match[2])))
            place = match.end()
        while place < len(rest) and rest[place] in " \t":
            place += 1
        if rest[place : place + 1] != "}":
            return None
        rest = rest[place + 1 :]
    # Behind the value may stand a time, and in OpenMetrics an exemplar.
    value, *_ = rest.split(maxsplit=1) or [""]
    number = _number(value)
    return None if number is None else PageSample(name, tuple(sorted(labels)), number)


def _number(text: str) -> float | None:
    if "_" in text:  # which Python takes for a number's
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value
