"""Two runs side by side: what differs between them, how their figures differ, and how sure that is."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from infertui.analysis.comparability import Difference, differences, unlike
from infertui.analysis.energy import error_share, gross
from infertui.analysis.outcome import Basis, Figure
from infertui.analysis.summary_text import PEAKS
from infertui.measure.comparison import Better, Ratio, Totals, ratio
from infertui.measure.dependence import FEWEST, SEEN_FROM
from infertui.measure.energy import NOTED_ERROR
from infertui.measure.statistics import CONFIDENCE, Interval
from infertui.measure.tails import tail_ratio
from infertui.results.observations import Observation
from infertui.results.result import Result
from infertui.text import clean

__all__ = ["Basis", "Comparison", "Difference", "Figure", "compare", "judged"]

SINGLE_RUNS = (
    "Each side is a single run. The intervals hold what varies within these two processes, not what varies from one"
    " process to the next, which is often several percent: where it is 1 %, two of three such comparisons of equal"
    " things find a difference. `infertui bench` repeats both in turn."
)

TOLD_CORRELATION = 0.4
"""Correlation of neighbouring iterations from which it is told; below, noise looks like it."""


class Comparison(Struct, frozen=True):
    """What a reader needs, in reading order: what differs, what makes the runs unlike, and the figures.

    Energy is the results' own, with what its counter leaves open in the interval; how far batches differ is told by
    their shares by power samples. `notes` say what the intervals are worth.
    """

    first: str
    second: str
    differences: tuple[Difference, ...]
    unlike: tuple[str, ...]
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()


def compare(first: Result, second: Result, observed: tuple[Sequence[Observation], Sequence[Observation]]) -> Comparison:
    """The second run against the first, from their results and measured batches.

    Where no batches of a side are kept, as of an imported file, its figures are those of its summary, without interval.
    """
    figures = tuple(_figures(first, second, observed))
    return Comparison(
        clean(first.id),
        clean(second.id),
        tuple(differences(first, second)),
        tuple(dict.fromkeys(unlike(first, second))),
        figures,
        (*_notes(first, second, observed), *(_worth(figures) if first.id != second.id else ())),
    )


class _Kind(NamedTuple):
    key: str
    name: str
    better: Better
    show: str
    read: Callable[[Sequence[Observation]], Totals]
    whole: Callable[[Result], float | None]
    """The same of the whole run, where its batches are not kept."""


def _figures(
    first: Result, second: Result, observed: tuple[Sequence[Observation], Sequence[Observation]]
) -> Iterator[Figure]:
    for kind in _KINDS:
        sides = [kind.read(side) for side in observed]
        values = [
            (side.value if min(side.denominators) > 0 else None) if side.numerators else kind.whole(result)
            for side, result in zip(sides, (first, second), strict=True)
        ]
        kept = all(side.numerators for side in sides)
        found = ratio(*sides) if kept else of_two(*values)
        if kind.key in _ENERGIES and all(kind.whole(result) is not None for result in (first, second)):
            values = [kind.whole(result) for result in (first, second)]
            error = math.hypot(*(error_share(result) or 0.0 for result in (first, second)))
            found = _recentred(found, of_two(*values), error)
        fewest = min(len(side.numerators) for side in sides)
        depend = found is not None and found.correlation is not None
        wanting = _NOT_BY_ITERATION if not kept else "" if fewest < FEWEST else _DEPEND if depend else _NO_SPREAD
        yield Figure(
            kind.name, values[0], values[1], kind.better, found, kind.show, kind.key, observations=fewest,
            wanting=wanting,
        )  # fmt: skip
        if kind.key == "itl":
            yield _itl_p99(first, second, observed)
    name, one, other = memory(first, second)
    yield Figure(name, one, other, "lower", of_two(one, other), "bytes", "memory", "whole")


def _itl_p99(first: Result, second: Result, observed: tuple[Sequence[Observation], Sequence[Observation]]) -> Figure:
    """That of each run's own summary, over all its gaps; not available where a run has too few for it."""
    one, other = (result.summary.itl.known_p99 if result.summary.itl else None for result in (first, second))
    sides = [[seen.gaps for seen in side if seen.gaps is not None] for side in observed]
    found = tail_ratio(sides[0], sides[1], (one, other), 99) if one is not None and other is not None else None
    return Figure(
        "ITL p99", one, other, "lower", found, "bucketed", "itl-p99", observations=min(map(len, sides)),
        wanting=_FEW_GAPS if all(sides) else _NOT_BY_ITERATION,
    )  # fmt: skip


_FEW_GAPS = "too few independent gaps to say how sure"
_NOT_BY_ITERATION = "not kept by iteration, so how sure is not known"
_NO_SPREAD = "of figures that allow no interval"
_DEPEND = "iterations may depend on one another too much to say how sure: measure more, or longer ones"


def judged(comparison: Comparison, equal_within: float) -> Comparison:
    """The same comparison, in which figures count as equal within another band, a share."""
    return replace(
        comparison, figures=tuple(replace(figure, equal_within=equal_within) for figure in comparison.figures)
    )


def _recentred(found: Ratio | None, whole: Ratio | None, error: float) -> Ratio | None:
    """The ratio `whole` with the interval of `found`, widened by an independent `error` of so large a share.

    Both are half widths on the ratio's logarithm. The rank test knows nothing of that error: it is told where there is
    next to none.
    """
    if found is None or whole is None:
        return whole
    if found.interval is None:
        return replace(whole, correlation=found.correlation)
    center, widened = math.log(found.value), math.log1p(error)
    low = math.hypot(center - math.log(found.interval.low), widened)
    high = math.hypot(math.log(found.interval.high) - center, widened)
    interval = Interval(whole.value * math.exp(-low), whole.value * math.exp(high))
    p = found.p if error < NOTED_ERROR else None
    return Ratio(whole.value, interval, p, found.correlation, found.assumed)


def of_two(first: float | None, second: float | None) -> Ratio | None:
    """The ratio of two single values."""
    value = second / first if first is not None and second is not None and first > 0 and second > 0 else 0.0
    return Ratio(value) if 0 < value < math.inf else None


def memory(first: Result, second: Result) -> tuple[str, float | None, float | None]:
    """The first kind of memory that is known of both: its name, and their peaks in bytes."""
    for name, read in PEAKS.items():
        one, other = read(first), read(second)
        if one is not None and other is not None:
            return name, one, other
    one, other = (next((v for read in PEAKS.values() if (v := read(result)) is not None), None)
                  for result in (first, second))  # fmt: skip
    return ("memory, not of one kind", None, None) if one is not None and other is not None else ("memory", one, other)


def _notes(
    first: Result, second: Result, observed: tuple[Sequence[Observation], Sequence[Observation]]
) -> Iterator[str]:
    together = max((one.batches for side in observed for one in side), default=1)
    if together > 1:
        yield f"Of the longer run, {together} batches in a row count as one observation."
    benches = {result.bench.bench if result.bench else "" for result in (first, second)}
    if benches != {""} and len(benches) == 1:
        yield f"Both belong to one bench: `infertui compare --bench {clean(benches.pop())}` compares all its rounds."
    elif first.id != second.id:
        yield SINGLE_RUNS


def _worth(figures: Sequence[Figure]) -> Iterator[str]:
    """What the intervals take for granted, and how many of them there are."""
    sure = [figure for figure in figures if figure.ratio is not None and figure.ratio.interval is not None]
    seen = [(figure.ratio.correlation, figure.name) for figure in figures
            if figure.ratio is not None and figure.ratio.correlation is not None]  # fmt: skip
    if seen and max(seen)[0] > TOLD_CORRELATION:
        most, name = max(seen)
        yield (
            f"Iterations depend on those just before them (autocorrelation, {most:.1f} in {name}): intervals are wider"
            " for it, and there is none where they are worth too few independent ones."
        )
    assumed = [figure.name for figure in sure if figure.ratio is not None and figure.ratio.assumed]
    if assumed:
        yield (
            f"Of {', '.join(assumed)} it cannot be seen whether iterations depend on one another (autocorrelation):"
            f" that takes {SEEN_FROM} of them, or the times of their parts. These intervals assume that they do not,"
            " and are too narrow if they do."
        )
    if len(sure) > 1:
        yield (
            f"{len(sure)} figures are compared at once, each with an interval that is 95 % by itself: of runs that are"
            f" equal, up to {1 - CONFIDENCE ** len(sure):.0%} show a difference in at least one."
        )


def _throughput(observed: Sequence[Observation]) -> Totals:
    timed = [(one.tokens, one.seconds, one.stretches) for one in observed if one.seconds]
    return Totals(
        tuple(float(tokens) for tokens, _, _ in timed),
        tuple(seconds for _, seconds, _ in timed),
        tuple(stretches for _, _, stretches in timed),
    )


def _energy_over(count: Callable[[Observation], int]) -> Callable[[Sequence[Observation]], Totals]:
    def energy(observed: Sequence[Observation]) -> Totals:
        known = [(one.energy_j, count(one)) for one in observed if one.energy_j is not None and count(one)]
        return Totals(tuple(energy for energy, _ in known), tuple(float(number) for _, number in known))

    return energy


def _mean(read: Callable[[Observation], float | None]) -> Callable[[Sequence[Observation]], Totals]:
    return lambda observed: Totals.mean_of([value for one in observed if (value := read(one)) is not None])


def _mean_time(read: Callable[[Observation], float | None]) -> Callable[[Sequence[Observation]], Totals]:
    """Of what lasts as long as a batch, whose stretches tell how it came about."""

    def mean(observed: Sequence[Observation]) -> Totals:
        known = [(value, one.stretches) for one in observed if (value := read(one)) is not None]
        return Totals.mean_of([value for value, _ in known], tuple(stretches for _, stretches in known))

    return mean


def joules_per_request(result: Result) -> float | None:
    """Of the measured batches, gross; None where the energy is not known."""
    return gross(result).joules_per_request


_KINDS = (
    _Kind(
        "throughput", "throughput, tok/s", "higher", "number", _throughput,
        lambda result: result.summary.output_throughput,
    ),
    _Kind(
        "latency", "E2E mean", "lower", "seconds", _mean_time(lambda one: one.latency),
        lambda result: result.summary.latency.mean if result.summary.latency else None,
    ),
    _Kind(
        "ttft", "TTFT mean", "lower", "seconds", _mean(lambda one: one.ttft),
        lambda result: result.summary.ttft.mean if result.summary.ttft else None,
    ),
    _Kind(
        "tpot", "TPOT mean", "lower", "seconds", _mean_time(lambda one: one.tpot),
        lambda result: result.summary.tpot.mean if result.summary.tpot else None,
    ),
    _Kind(
        "itl", "ITL mean", "lower", "seconds", _mean_time(lambda one: one.itl),
        lambda result: result.summary.itl.mean if result.summary.itl else None,
    ),
    _Kind(
        "energy", "energy, J/token", "lower", "number", _energy_over(lambda one: one.tokens),
        lambda result: result.power.joules_per_token if result.power else None,
    ),
    _Kind(
        "energy-request", "energy, J/request", "lower", "number", _energy_over(lambda one: one.requests),
        joules_per_request,
    ),
)  # fmt: skip
_ENERGIES = frozenset({"energy", "energy-request"})
KEYS = (*(kind.key for kind in _KINDS), "itl-p99", "memory")
"""What figures are called in rules and by programs."""
