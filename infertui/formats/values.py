"""Values of a decoded document, each taken with a check and, where it is wrong, refused by its path."""

from collections.abc import Iterator, Mapping
from typing import NoReturn

from infertui.formats.reader import Endless, is_number, refuse
from infertui.text import clean, shorten

MOST = 1e15
"""No time, rate or count of a benchmark is beyond this."""
MOST_ITEMS = 10_000_000
TEXT = 200
"""Characters of a name that are kept."""


class Table:
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

    def table(self, key: str) -> "Table":
        """The object of that key."""
        if not self.has(key):
            self.refuse(key, "is not there")
        return Table(self.values[key], self._of(key), self.name)

    def maybe_table(self, key: str) -> "Table | None":
        """The object of that key; None where there is none, or something else."""
        value = self.values.get(key)
        return Table(value, self._of(key), self.name) if isinstance(value, dict) else None

    def inside(self, *keys: str) -> "Table":
        """The object that these keys lead to, one within the other; an empty one where there is none."""
        found: Table = self
        for key in keys:
            found = found.maybe_table(key) or Table({}, found._of(key), self.name)
        return found

    def tables(self, key: str) -> Iterator["Table"]:
        """The objects of a list."""
        for number, value in enumerate(self._list(key)):
            yield Table(value, f"{self._of(key)}[{number}]", self.name)

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
    return shorten(clean(text), TEXT)


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
    return shorten(clean(repr(value)), 60)
