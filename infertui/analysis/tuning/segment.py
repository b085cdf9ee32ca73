"""A segment of a tuning session: one setting, measured by itself, and held against others.

Whoever looks again and again, and stops when there is a difference, finds one more often than once in 20 where there is
none. So a segment that goes on is looked at when it has 3, 4, 6, 9, 13 ... observations, the k-th time with an
interval of 1 - 0.05 / (k (k + 1)): by Boole's inequality the chance of any false difference stays at 5 %, as the sum of
1 / (k (k + 1)) is 1. A segment whose length was fixed beforehand is looked at once, at its end, at 95 %. The best of m
segments was chosen by its figure: against it, the 5 % are divided by m (Bonferroni).

A segment that is lengthened until it is clear is looked at first when its said length is over, and then whenever it has
half as many observations more, at the same confidences.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from infertui.analysis.outcome import EQUAL_WITHIN
from infertui.analysis.tuning.knobs import Effect
from infertui.analysis.tuning.widest import widest_interval, widest_ratio
from infertui.config.fields import Value
from infertui.integers import Whole
from infertui.measure.clock import NS_PER_S
from infertui.measure.comparison import Ratio, Totals, independent_ratio, ratio
from infertui.measure.dependence import FEWEST
from infertui.measure.records import BatchRecord
from infertui.measure.statistics import CONFIDENCE, Interval, ratio_bounds
from infertui.metrics.observed import throughput
from infertui.metrics.registry import metric_of
from infertui.results.observations import Observation
from infertui.results.result import Error, Result, State

Finding = Literal["better", "worse", "equal", "unclear"]
GROWTH = 1.5
FIGURES = (
    "throughput", "low", "high", "ttft", "ttft_p99", "itl", "itl_p99", "vram", "power", "joules_per_token",
    "iterations", "failed",
)  # fmt: skip
"""The metrics that are kept of a segment, by their keys."""


class SegmentRatio(Struct, frozen=True):
    """The throughput of a segment as a multiple of another segment's, with its interval at that `confidence`.

    `looks` is how often it was looked at so far: once, where its length was fixed beforehand. None is not available.
    `processes`: the model was loaded anew between them, and what differs from process to process counts as well.
    """

    segment: Whole
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float = CONFIDENCE
    looks: Whole = 1
    finding: Finding = "unclear"
    processes: bool = False


class Segment(Struct, frozen=True):
    """One setting and what was measured of it: a line of segments.jsonl. Numbers count from 1.

    `run` is its run in the session's folder. `changes` are the keys in which it differs from the segment before, `name`
    those that differ from the first one. `returned`: the change before failed, and the last good setting is back.
    `pinned` is the run that it became among the ordinary results. `figures` are metrics by key, of which None is not
    available. `began` and `seconds`: when its change was made, in seconds from the session's start, and how long it
    lasted, getting ready included.
    """

    number: Whole
    run: str
    name: str
    changes: dict[str, Value]
    effect: Effect
    state: State
    began: float
    seconds: float
    figures: dict[str, float | None] = {}
    phases: dict[str, float] = {}
    previous: SegmentRatio | None = None
    best: SegmentRatio | None = None
    baseline: SegmentRatio | None = None
    error: Error | None = None
    invalid: tuple[str, ...] = ()
    returned: bool = False
    pinned: str = ""
    step: Whole = 0
    """The step of the script that it is, from 1; 0 of none."""
    process: Whole = 0
    """Grows with every load of the model."""
    rates: tuple[float, ...] = ()
    """Of a load on a server: tokens a second in equal parts of the window in which it had settled."""

    @property
    def measured(self) -> bool:
        """Whether it has a throughput."""
        return self.figures.get("throughput") is not None


def figures_of(result: Result, totals: Totals | None = None) -> dict[str, float | None]:
    """What is kept of a result; None is not available.

    Where there is no interval of its throughput, it is that of the observations, which are more of a load than the
    blocks of its figures, or else the widest one.
    """
    figures = {key: metric_of(key).number(result) for key in FIGURES}
    if figures["low"] is None and totals is not None and totals.numerators:
        found = _interval(totals)
        if found is not None:
            figures |= {"low": found.low, "high": found.high}
    return figures


def observed(batches: Iterable[BatchRecord]) -> Totals:
    """Tokens over seconds of batches; failed ones are left out."""
    return throughput(
        [
            Observation(batch.tokens, batch.seconds, None, None, None, None, stretches=_stretches(batch))
            for batch in batches
            if not batch.error
        ]
    )


def _stretches(batch: BatchRecord) -> tuple[float, ...]:
    return tuple(length / NS_PER_S for length in batch.stretches_ns)


def looks_until(observations: int, first: int = FEWEST) -> tuple[int, int]:
    """How often a segment with so many observations has been looked at, for the first time with `first`, and with how
    many the last time."""
    looks, at = 0, 0
    following = max(first, FEWEST)
    while following <= observations:
        looks, at = looks + 1, following
        following = max(following + 1, int(following * GROWTH))
    return looks, at


def confidence_at(look: int) -> float:
    """Of the interval of the so manieth look, from 1."""
    return 1 - (1 - CONFIDENCE) / (look * (look + 1))


def against(
    other: int,
    theirs: Totals,
    ours: Totals,
    *,
    fixed: bool,
    first: int = FEWEST,
    look: int = 0,
    among: int = 1,
    processes: bool = False,
) -> SegmentRatio:
    """Our throughput as a multiple of that of segment `other`.

    `fixed`: how long is measured was said beforehand, and this is the end; else it is looked at from `first`
    observations on, or for the so manieth time where that is told by `look`. `among`: the other was chosen as the best
    of so many.
    """
    at = len(ours.numerators)
    looks, at = (1, at) if fixed else (look, at) if look else looks_until(at, first)
    confidence = CONFIDENCE if fixed else confidence_at(max(1, looks))
    confidence = 1 - (1 - confidence) / max(1, among)
    found = _ratio(theirs, _first(ours, at), confidence) if at else None
    if found is None or found.interval is None:
        value = ours.value / theirs.value if ours.numerators and theirs.numerators and theirs.value > 0 else None
        return SegmentRatio(other, value, confidence=confidence, looks=looks, processes=processes)
    return SegmentRatio(
        other,
        found.value,
        found.interval.low,
        found.interval.high,
        confidence,
        looks,
        finding_of(found),
        processes,
    )


def _ratio(theirs: Totals, ours: Totals, confidence: float) -> Ratio | None:
    """Also where few observations depend on one another: with the widest interval that their stretches allow."""
    found = ratio(theirs, ours, confidence=confidence)
    if found is None or found.interval is not None:
        return found
    return Ratio(found.value, widest_ratio(theirs, ours, confidence=confidence), correlation=found.correlation)


def _first(totals: Totals, count: int) -> Totals:
    return Totals(totals.numerators[:count], totals.denominators[:count], totals.stretches[:count])


def _interval(totals: Totals) -> Interval | None:
    found = ratio_bounds(totals.numerators, totals.denominators, totals.stretches).interval
    return found or widest_interval(totals)


def known_within(totals: Totals, share: float) -> bool:
    """Whether the 95 % interval of a throughput reaches so far to either side at most."""
    found = _interval(totals)
    return found is not None and found.high <= totals.value * (1 + share)


def finding_of(found: Ratio) -> Finding:
    """`equal` where 1 is in the interval, and all of it within 2 %."""
    if found.interval is None:
        return "unclear"
    if found.differs:
        return "better" if found.value > 1 else "worse"
    low, high = found.interval.low, found.interval.high
    return "equal" if low >= 1 - EQUAL_WITHIN and high <= 1 + EQUAL_WITHIN else "unclear"


def best_of(segments: Iterable[Segment]) -> Segment | None:
    """The segment of highest throughput, the earliest of equal ones; None where none was measured."""
    measured = [segment for segment in segments if segment.measured]
    return max(measured, key=lambda segment: (segment.figures["throughput"] or 0.0, -segment.number), default=None)


def by_figures(other: Segment, figures: Mapping[str, float | None], *, among: int = 1) -> SegmentRatio:
    """The same by the two throughputs and their own intervals, of what has no batches, such as a load on a server: it
    is looked at once, at the end."""
    value, base = figures.get("throughput"), other.figures.get("throughput")
    if value is None or base is None:
        return SegmentRatio(other.number)
    bounds, theirs = (figures.get("low"), figures.get("high")), (other.figures.get("low"), other.figures.get("high"))
    found = independent_ratio(value, base, bounds, theirs)
    if found is None or found.interval is None or among > 1:
        return SegmentRatio(other.number, found.value if found else None)
    return SegmentRatio(other.number, found.value, found.interval.low, found.interval.high, finding=finding_of(found))


Compared = tuple[SegmentRatio | None, SegmentRatio | None, SegmentRatio | None]
"""Against the measured segment before, the best of those before, and the baseline; None where there is no other."""


def comparisons(
    number: int,
    ours: Totals,
    segments: Sequence[Segment],
    observed_of: Mapping[int, Totals],
    *,
    process: int,
    fixed: bool,
    first: int = FEWEST,
    look: int = 0,
    baseline: int = 0,
    figures: Mapping[str, float | None] | None = None,
) -> Compared:
    """Segment `number` against the measured one before it, the best of those before, and the baseline.

    None where there is no other, or this is it.
    """
    others = [one for one in segments if one.measured and one.number in observed_of and one.number != number]

    def held(other: Segment | None, among: int = 1) -> SegmentRatio | None:
        if other is None:
            return None
        if figures is not None and not (ours.numerators and observed_of[other.number].numerators):
            return by_figures(other, figures, among=among)
        return against(
            other.number,
            observed_of[other.number],
            ours,
            fixed=fixed,
            first=first,
            look=look,
            among=among,
            processes=other.process != process,
        )

    marked = next((one for one in others if one.number == baseline), None)
    return held(others[-1] if others else None), held(best_of(others), len(others)), held(marked)
