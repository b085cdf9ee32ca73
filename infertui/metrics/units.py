"""Units of metrics: what a heading says, what a filter takes, and how a value is written."""

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from infertui.units import format_bytes, format_number, format_seconds

Kind = Literal["text", "count", "figure", "moment", "flag", "words", "length"]
"""`figure` is measured, and equals what is within half a percent of it; `length` is a number of tokens, or a name."""
Written = Literal["number", "seconds", "bucketed", "bytes"]
"""How comparisons write its values; `bucketed` are seconds that are known to 1 %."""
_TIME = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_BYTES = {"B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40,
          "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}  # fmt: skip


class Unit(Struct, frozen=True):
    """A unit. Values are kept in base units (seconds, bytes, shares of 1); `scale` is one of `heading` in these.

    `units` are those that a filter takes, by name, small letters or large. `own` says that every cell has a unit of
    its own. `cells` are those that a column of it takes at least, and at most.
    """

    kind: Kind
    heading: str = ""
    scale: float = 1.0
    units: Mapping[str, float] = {}
    text: Callable[[float], str] = format_number
    written: Written = "number"
    cells: tuple[int, int] = (6, 8)
    own: bool = False
    whole: bool = False
    """Whether values are integers."""
    right: bool = True
    """Whether it stands on the right."""

    @property
    def usual(self) -> str:
        """The name of the unit that `scale` is one of; empty where a value needs none."""
        return next((name for name, size in self.units.items() if size == self.scale), "")


def _bucketed(value: float) -> str:
    return format_seconds(value, 2)


TEXT = Unit("text", cells=(8, 16), right=False)
RANGE = Unit("text")
COUNT = Unit("count", text=str, cells=(4, 6), whole=True)
MOMENT = Unit("moment", cells=(11, 19), right=False)
FLAG = Unit("flag", cells=(5, 5), right=False)
WORDS = Unit("words", cells=(12, 200), right=False)
LENGTH = Unit("length", cells=(6, 10))
NUMBER = Unit("figure")
TOKENS_PER_SECOND = Unit("figure", units={"tok/s": 1.0}, cells=(7, 13))
MILLISECONDS = Unit("figure", "ms", 1e-3, _TIME, format_seconds, "seconds", (8, 8), own=True)
BUCKETED = Unit("figure", "ms", 1e-3, _TIME, _bucketed, "bucketed", (7, 7), own=True)
SECONDS = Unit("figure", "s", 1.0, _TIME, format_seconds, "seconds", (8, 8), own=True)
DURATION = Unit("figure", "s", 1.0, _TIME, format_seconds, "seconds", (7, 8))
BYTES = Unit("figure", "", 2.0**30, _BYTES, format_bytes, "bytes", (9, 10), whole=True)
WATTS = Unit("figure", "W", 1.0, {"W": 1.0, "kW": 1e3}, lambda value: f"{format_number(value)} W", cells=(7, 7))
CELSIUS = Unit("figure", "C", 1.0, {"C": 1.0}, lambda value: f"{value:.0f} C", cells=(6, 6))
JOULES = Unit("figure", units={"J": 1.0, "mJ": 1e-3, "J/tok": 1.0}, cells=(5, 8))
SHARE = Unit("figure", "%", 0.01, {"%": 0.01}, "{:.1%}".format, cells=(6, 6))
CHANGE = Unit("figure", "%", 0.01, {"%": 0.01}, "{:+.1%}".format, cells=(7, 7))
