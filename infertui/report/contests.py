"""Who wins among runs of one workload, by how much, and how sure that is."""

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from infertui.analysis.compare import Comparison, Figure, compare, judged
from infertui.analysis.outcome import EQUAL_WITHIN
from infertui.report.subjects import Subject, workload_of, workload_words
from infertui.results.observations import read_observations


class Entrant(Struct, frozen=True):
    """A run beside the baseline of its contest."""

    subject: Subject
    comparison: Comparison


class Contest(Struct, frozen=True):
    """Runs of one workload. `winner` is the valid one of the highest throughput; None where there is none.

    `second` is the winner beside the next valid run: the lead over it, and whether there is one at all.
    """

    workload: str
    subjects: tuple[Subject, ...]
    baseline: Subject
    entrants: tuple[Entrant, ...]
    winner: Subject | None
    second: Entrant | None
    benched: bool = False
    """All its runs belong to benches, which compare them better: here they are not compared."""


def contests(
    subjects: Sequence[Subject],
    folder_of: Callable[[str], Path],
    *,
    baseline: str = "",
    equal_within: float = EQUAL_WITHIN,
    told: Callable[[], None],
) -> list[Contest]:
    """A contest for each workload, those of many runs first. `told` is called for every run that was compared.

    `baseline` is the id of the run to compare with. Where it is of another workload, or empty, the baseline is the
    bench's, else the first run. `equal_within` is the band in which figures count as equal. Raises StoreError.
    """
    groups: dict[tuple[object, ...], list[Subject]] = {}
    for subject in subjects:
        groups.setdefault(workload_of(subject.result), []).append(subject)
    ordered = sorted(groups.values(), key=lambda group: (-len(group), group[0].number))
    return [_contest(group, folder_of, baseline, equal_within, told) for group in ordered]


def throughput(comparison: Comparison) -> Figure:
    """The comparison's figure that decides."""
    return next(figure for figure in comparison.figures if figure.key == "throughput")


def _contest(
    group: Sequence[Subject],
    folder_of: Callable[[str], Path],
    baseline: str,
    equal_within: float,
    told: Callable[[], None],
) -> Contest:
    finished = [subject for subject in group if subject.result.state == "finished"]
    first = _baseline(group, baseline)
    able = sorted(
        (subject for subject in finished if not subject.against and subject.speed),
        key=lambda subject: -(subject.speed or 0.0),
    )
    benched = all(subject.result.bench is not None for subject in group)
    base = read_observations(folder_of(first.result.id)) if len(group) > 1 and not benched else []
    entrants = []
    second = None
    for subject in finished:
        if subject is first or benched:
            continue
        observed = read_observations(folder_of(subject.result.id))
        found = compare(first.result, subject.result, (base, observed))
        entrants.append(Entrant(subject, judged(found, equal_within)))
        told()
    if len(able) > 1 and not benched:
        winner, other = able[0], able[1]
        sides = (read_observations(folder_of(other.result.id)), read_observations(folder_of(winner.result.id)))
        second = Entrant(other, judged(compare(other.result, winner.result, sides), equal_within))
    return Contest(
        workload=workload_words(group[0].result),
        subjects=tuple(group),
        baseline=first,
        entrants=tuple(entrants),
        winner=able[0] if able else None,
        second=second,
        benched=benched,
    )


def _baseline(group: Sequence[Subject], wanted: str) -> Subject:
    for found in (
        [subject for subject in group if subject.result.id == wanted],
        [subject for subject in group if subject.result.bench is not None and subject.result.bench.baseline],
        [subject for subject in group if not subject.against],
    ):
        if found:
            return found[0]
    return group[0]
