"""Families of figures as Prometheus has them, and a page of their values. Pure: how a page is written is `text`'s.

A value that is not available is left out, and never zero.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from infertui.api.exporter.text import label_block

Kind = Literal["gauge", "counter"]
"""`counter`: it only grows while its series lasts, and its name ends in `_total`."""


class Family(Struct, frozen=True):
    """One figure: its name with the unit in it, what it is, and the labels that its series may have."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Kind = "gauge"


class ScrapedPage:
    """Values by families, in the order in which they were added."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Family, dict[str, float]]] = {}
        # The same labels come again and again: those of a GPU, of a run.
        self._blocks: dict[tuple[tuple[str, str], ...], str] = {}

    def add(self, family: Family, value: float | None, **labels: str) -> None:
        """Add a value; None and what is no number are left out, and so is a label without a value.

        Of two values with the same labels the later one stays: Prometheus refuses a page with both.
        """
        if value is None or not math.isfinite(value):
            return
        told = tuple(labels.items())
        block = self._blocks.get(told)
        if block is None:
            block = self._blocks[told] = label_block(labels)
        found = self._found.get(family.name)
        if found is None:
            found = self._found[family.name] = (family, {})
        found[1][block] = float(value)

    def families(self) -> Iterator[tuple[Family, Mapping[str, float]]]:
        """Each family that has a value, with its values by their labels as these are written."""
        yield from self._found.values()
