"""What a level of load showed of each objective, in blocks of time, so that it can be seen how sure it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from infertui.measure.itl import bucket_bounds
from infertui.measure.load.columns import Columns, columns_of
from infertui.measure.load.figures import Window
from infertui.measure.load.slo import Slo, SloTerm
from infertui.measure.records import Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ERRORS = "errors"
"""The objective that there always is: a server that refuses what it cannot do keeps no others."""
ERRORS_ALLOWED = 0.01
ATTAINMENT = 0.95
"""Share of the requests that have to keep an objective that names no statistic."""
BLOCKS = 12
Kind = Literal["mean", "share"]


class Objective(Struct, frozen=True):
    """A ratio of sums, and how much of it is allowed: seconds of a mean, or the share of what is beyond a limit."""

    name: str
    kind: Kind
    allowed: float


class TermBlocks(Struct, frozen=True):
    """Of one objective: what is above and below the line of the ratio, a number for each block."""

    above: tuple[float, ...] = ()
    below: tuple[float, ...] = ()


class LevelSeen(Struct, frozen=True):
    """One stay at a level. `terms` are those of `objectives`, in their order.

    `overloaded`: latencies rose all the time, so that the level is more than the server can do. `stay` counts the stays
    of a search, and `at` is when this one began, in seconds of measuring. `disturbed`: the client itself was measured,
    or what else ran beside it.
    """

    level: float
    stay: int
    at: float
    seconds: float
    requests: int
    terms: tuple[TermBlocks, ...]
    overloaded: bool = False
    disturbed: bool = False


def objectives(slo: Slo, attainment: float = ATTAINMENT) -> tuple[Objective, ...]:
    """What has to be kept."""
    return (*(_objective(term, attainment) for term in slo.terms), Objective(ERRORS, "share", ERRORS_ALLOWED))


def _objective(term: SloTerm, attainment: float) -> Objective:
    if term.statistic == "mean":
        return Objective(term.text, "mean", term.limit_s)
    share = 1 - (int(term.statistic.removeprefix("p")) / 100 if term.statistic else attainment)
    return Objective(term.text, "share", share)


def unknown(seen: LevelSeen, wanted: Sequence[Objective]) -> tuple[str, ...]:
    """Objectives of which no request that was answered says anything, such as TTFT where answers come at once."""
    failed, ended = (sum(each) for each in (seen.terms[-1].above, seen.terms[-1].below))
    if failed >= ended:
        return ()
    counts = [
        sum(term.below) - (failed if objective.kind == "share" else 0)
        for term, objective in zip(seen.terms, wanted, strict=True)
    ]
    return tuple(objective.name for objective, count in zip(wanted, counts, strict=True) if count <= 0)


def observe(
    requests: Sequence[Request],
    slo: Slo,
    window: Window,
    *,
    origin_ns: int,
    level: float,
    from_due: bool = False,
) -> LevelSeen:
    """What requests that ended in the window tell of each objective; those that this side ended tell nothing.

    `from_due`: latencies count from when a request was due, else from when it was sent.
    """
    columns = columns_of(requests, origin_ns)
    inside = columns.where((columns.end > window.start) & (columns.end <= window.end) & ~columns.aborted)
    failed = inside.failed.astype(float)
    terms = [*(_blocks(inside, term, from_due=from_due) for term in slo.terms), _of(failed, failed * 0 + 1)]
    return LevelSeen(level, 0, 0.0, window.seconds, len(inside), tuple(terms))


def _blocks(columns: Columns, term: SloTerm, *, from_due: bool) -> TermBlocks:
    """Failed requests are beyond any limit, and have no part in a mean."""
    import numpy as np

    failed = columns.failed
    if term.latency == "itl" and term.statistic:
        gaps = [one.itl if good else None for one, good in zip(columns.requests, columns.good, strict=True)]
        counts = np.array([0 if each is None else each.count for each in gaps], dtype=float)
        if term.statistic == "mean":
            return _of(np.array([0.0 if each is None else (each.mean or 0.0) * each.count for each in gaps]), counts)
        over = np.array([0.0 if each is None else _beyond(each.histogram, term.limit_s) for each in gaps])
        return _of(over + failed, counts + failed)
    own = columns.own(term, from_due=from_due)
    known = columns.good & np.isfinite(own)
    if term.statistic == "mean":
        return _of(np.where(known, own, 0.0), known.astype(float))
    kept = own <= term.limit_s if term.equal else own < term.limit_s
    return _of((failed | (known & ~kept)).astype(float), (failed | known).astype(float))


def _beyond(histogram: dict[int, int], limit: float) -> float:
    """How many gaps are longer; of those in the limit's own bucket the part that lies above it."""
    over = 0.0
    for bucket, count in histogram.items():
        low, high = bucket_bounds(bucket)
        if low >= limit:
            over += count
        elif high > limit:
            over += count * (high - limit) / (high - low)
    return over


def _of(above: "Floats", below: "Floats") -> TermBlocks:
    import numpy as np

    count = min(BLOCKS, len(above))
    if not count:
        return TermBlocks()
    edges = np.linspace(0, len(above), count + 1).astype(int)[:-1]
    return TermBlocks(tuple(np.add.reduceat(above, edges).tolist()), tuple(np.add.reduceat(below, edges).tolist()))
