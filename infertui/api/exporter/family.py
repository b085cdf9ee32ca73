"""Families of figures as Prometheus has them, and a page of their values. Pure: how they are written is `text`'s.

A value that is not available is left out, and never zero.
"""

import math
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from infertui.text import one_line

Kind = Literal["gauge", "counter", "unknown"]
"""`counter`: it only grows while its series lasts, and its name ends in `_total`."""
LONGEST_LABEL = 200
"""Characters of a label's value: names of models and titles may be anything."""


class Family(Struct, frozen=True):
    """One figure: its name with the unit in it, what it is, and the labels that its series may have."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Kind = "gauge"


class FamilySeries(Struct, frozen=True):
    """One value of a family."""

    labels: dict[str, str]
    value: float


class ScrapedPage:
    """Values by families, in the order in which they were added."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Family, dict[tuple[str, ...], FamilySeries]]] = {}
        self._texts: dict[str, str] = {}

    def add(self, family: Family, value: float | None, **labels: str) -> None:
        """Add a value; None and what is no number are left out, and so is a label without a value.

        Of two values with the same labels the later one stays: Prometheus refuses a page with both.
        """
        if value is None or not math.isfinite(value):
            return
        texts = self._texts
        told = {name: text for name, given in labels.items() if (text := texts.get(given) or self._text(given))}
        _, series = self._found.setdefault(family.name, (family, {}))
        series[tuple(told.get(name, "") for name in family.labels)] = FamilySeries(told, float(value))

    def _text(self, given: str) -> str:
        """Of a label; the same ones come again and again."""
        found = self._texts[given] = one_line(given, LONGEST_LABEL)
        return found

    def families(self) -> Iterator[tuple[Family, tuple[FamilySeries, ...]]]:
        """Each family that has a value, with its series."""
        for family, series in self._found.values():
            yield family, tuple(series.values())
