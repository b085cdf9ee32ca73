"""The results table as it is asked for and answered: plain values, which a screen can import at no cost."""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from infertui.integers import Whole
from infertui.metrics.metric import Metric
from infertui.metrics.registry import metrics, stored
from infertui.metrics.varying import AskedSettings, Varied

MAX_LIMIT = 1000
"""Rows that a page holds at most."""
VramOf = Literal["", "process", "allocator", "resident"]
"""Which peak `vram` is: of the run's processes on the GPU, of the allocator, or of memory resident on a CPU."""


class RowHead(Struct, frozen=True):
    """What a row has beside the registry's metrics: which run it is, and what qualifies its figures.

    `low` and `high` bound the throughput's 95 % interval, `asked` is what was asked for beside the defaults. `flags`
    are short words such as `invalid`, `synthetic`, `power-cap`.
    """

    id: str
    name: str
    state: str
    started: str
    valid: bool
    flags: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    vram_of: VramOf = ""
    asked: AskedSettings = AskedSettings()


def _field(metric: Metric) -> tuple[str, Any, Any]:
    """A text is empty where it is not available, a number None."""
    if metric.unit.kind in ("text", "moment", "length"):
        return metric.key, str, ""
    return metric.key, Whole | None if metric.unit.whole else float | None, None


if TYPE_CHECKING:
    Column: TypeAlias = str

    class ResultRow(RowHead, frozen=True):
        """One run in the table: the head, and a field for each metric that is stored, in base units."""

        def __init__(self, **values: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...
else:
    Column = Literal[tuple(metric.key for metric in metrics("screen"))]
    ResultRow = msgspec.defstruct(
        "ResultRow",
        [_field(metric) for metric in stored() if metric.key not in RowHead.__struct_fields__],
        bases=(RowHead,),
        module=__name__,
        frozen=True,
    )


class ResultQuery(Struct, frozen=True):
    """Which rows: of the folder `out` (absolute), those that `filter` lets through, in order, `limit` from `offset`."""

    out: str
    filter: str = ""
    sort: Column = "started"
    descending: bool = True
    offset: int = 0
    limit: int = 200
    find: str = ""
    """A run that should be on the page: where it matches the filter, `offset` gives way to it."""


class ResultPage(Struct, frozen=True):
    """The rows, and how many there are: in the folder, and that match. `version` changes with the folder's results.

    `offset` is a multiple of the limit where it had to give way to `find`. At most MAX_LIMIT rows come at once.
    """

    total: int
    matching: int
    offset: int
    rows: tuple[ResultRow, ...]
    version: int = 0
    found: int | None = None
    """The place, from 0, of the run that was to be found; None where it does not match."""
    skipped: int = 0
    """Lines of results.jsonl that cannot be read."""
    newer: int = 0
    """Those among them that a newer infertui has written."""
    varied: tuple[Varied, ...] = ()
    """What is not the same in all that match."""
