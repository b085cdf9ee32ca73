"""What the registry holds of a metric."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from infertui.metrics.units import Unit

if TYPE_CHECKING:
    from infertui.measure.comparison import Better, Totals
    from infertui.results.observations import Observation
    from infertui.results.result import Result

Value: TypeAlias = str | float | bool | None
"""In base units: seconds, bytes, joules, watts, tokens per second, shares of 1. None is not available."""
Statistic = Literal["", "p50", "p99", "mean", "total", "peak", "ratio"]
Level = Literal["run", "request", "step"]
"""What the statistic is over; `run`: there is one value a run."""
View = Literal["screen", "text", "markdown", "csv", "report", "filter"]
EVERYWHERE: frozenset[View] = frozenset({"screen", "text", "markdown", "csv", "report", "filter"})
NOT_AVAILABLE = "n/a"
LAST = 20
"""The rank of a column that gives way before all others where there is little room."""


class Column(Struct, frozen=True):
    """Its column where room is short. Of those that do not fit the highest `rank` goes first; 0 stays in any case.

    `heading` is for such a place, empty where the metric's label is short enough. `narrow` and `wide` are cells, 0 for
    what its unit takes.
    """

    rank: int = LAST
    narrow: int = 0
    wide: int = 0
    heading: str = ""


class ComparisonRow(Struct, frozen=True):
    """Its row where runs are compared, in their `order`. `key` is what `--fail-if` and programs call it.

    `observe` reads it of measured batches, which gives an interval; without it the values of whole runs are compared.
    `paired` says that the rounds of a bench compare it as well. `whole`: the values are the results' own where they are
    known, and the interval holds how far these may be off.
    """

    key: str
    order: int
    name: str = ""
    observe: "Callable[[Sequence[Observation]], Totals] | None" = None
    paired: bool = True
    whole: bool = False


class Metric(Struct, frozen=True, kw_only=True):
    """One figure, or one property, of a run.

    `read` is where it stands in a result, as `summary.ttft.p50`, or a function of one. What such a function looks at
    has to be named in `needs`, by the same dotted keys: a line of another version is read as a result in which all else
    is missing. `show` is how documents write it, where its unit does not say it all. `views` are the places that can
    show it; what is in `screen` or `filter` is in the index too.
    """

    key: str
    label: str
    help: str
    unit: Unit
    read: "str | Callable[[Result], Value]"
    needs: tuple[str, ...] = ()
    statistic: Statistic = ""
    level: Level = "run"
    better: "Better | None" = None
    aliases: tuple[str, ...] = ()
    views: frozenset[View] = EVERYWHERE
    csv: str = ""
    """Its heading in CSV, where that is not `key`."""
    document: str = ""
    """Its heading in Markdown and reports, where that is not `label`."""
    report: str = ""
    """Its heading in reports, where that is another one."""
    screen: Column = Column()
    text: Column = Column()
    """Its column in the table of `infertui results`."""
    show: "Callable[[Result], str] | None" = None
    absent: str = NOT_AVAILABLE
    compared: ComparisonRow | None = None
    ratio: str = ""
    """The key of the column with its ratio to a baseline's; empty for none."""
    settings: tuple[str, ...] = ()
    """Keys of configs that its column tells: where one of these varies among runs, that column is shown."""
    where_known: bool = False
    """Its column is left out of a table in which no run has it, unless it was asked for."""
    derived: bool = False
    """Of results that were kept without it, it follows from others: `analysis.limits.with_limits` adds it."""

    def value(self, result: "Result") -> Value:
        """What `result` says; None where it does not."""
        return _at(result, self.read) if isinstance(self.read, str) else self.read(result)

    def number(self, result: "Result") -> float | None:
        """The same of a metric that is a number."""
        found = self.value(result)
        return found if isinstance(found, int | float) else None

    def write(self, result: "Result") -> str:
        """As documents show it; the text may be foreign."""
        return self.show(result) if self.show is not None else self.written(self.value(result))

    def written(self, value: Value) -> str:
        """A value of it as text, in the unit that reads best."""
        if value is None or value == "":
            return self.absent
        if isinstance(value, bool):
            return "yes" if value else "no"
        return value if isinstance(value, str) else self.unit.text(value)

    @property
    def paths(self) -> tuple[str, ...]:
        """All keys of a result's line that it is read of."""
        return (*self.needs, self.read) if isinstance(self.read, str) else self.needs

    @property
    def stored(self) -> bool:
        """Whether the index has a column for it."""
        return bool(self.views & {"screen", "filter"}) and self.unit.kind not in ("words", "flag")

    @property
    def measured(self) -> bool:
        """Whether a run that failed has none."""
        return self.unit.kind == "figure" or bool(self.statistic)

    @property
    def csv_heading(self) -> str:
        """What stands above it in CSV."""
        return self.csv or self.key

    @property
    def heading(self) -> str:
        """What stands above it in Markdown."""
        return self.document or self.label

    @property
    def report_heading(self) -> str:
        """What stands above it in reports."""
        return self.report or self.heading

    @property
    def screen_heading(self) -> str:
        """What stands above it on the screen, without a unit."""
        return self.screen.heading or self.label

    @property
    def text_heading(self) -> str:
        """What stands above it in the table of `infertui results`."""
        return self.text.heading or self.label


@cache
def _names(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _at(result: object, path: str) -> Value:
    """The value at a dotted key; None from where there is none."""
    for name in _names(path):
        if result is None:
            return None
        result = getattr(result, name)
    return result  # type: ignore[return-value]
