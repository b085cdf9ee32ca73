"""What a report is written from: runs, read from a folder of them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from infertui.analysis.bench import Bench, bench_report
from infertui.analysis.outcome import EQUAL_WITHIN
from infertui.errors import StoreError
from infertui.report.contests import Contest, contests
from infertui.report.series import Batches, Telemetry, read_batches, read_telemetry
from infertui.report.subjects import Subject, subjects
from infertui.results.observations import requests_lost
from infertui.results.result import Result

DETAILED = 60
"""Runs whose details a report shows; all are in its JSON."""
_TRACED = 6


class Material(Struct, frozen=True):
    """Everything that the pages and charts are made of. Mappings are by run id."""

    subjects: tuple[Subject, ...]
    contests: tuple[Contest, ...]
    batches: dict[str, Batches]
    telemetry: dict[str, Telemetry]
    """Of the runs that matter most: the winners, the baselines, then the others in order."""
    benches: tuple[Bench, ...] = ()
    traceable: int = 0
    """Runs that telemetry could have been shown of."""
    lost: frozenset[str] = frozenset()
    """Runs whose requests are gone, by id: their figures are what the result kept, and no more can be said of them."""
    untraced: tuple[str, ...] = ()
    """Why telemetry of runs that it would have been shown of cannot be read."""


def collect(
    results: Sequence[Result],
    folder_of: Callable[[str], Path],
    *,
    baseline: str = "",
    equal_within: float = EQUAL_WITHIN,
    told: Callable[[str], None] = lambda _: None,
) -> Material:
    """Read what the runs' folders hold and compare the runs. `told` is called with what is being done.

    Runs without a folder, such as imported ones, have their results alone. Raises StoreError.
    """
    found = subjects(results)
    batches = {}
    for subject in found:
        told(f"reading run {subject.number} of {len(found)}")
        batches[subject.result.id] = read_batches(folder_of(subject.result.id))
    count = 0

    def compared() -> None:
        nonlocal count
        count += 1
        told(f"comparing: {count}")

    settled = contests(found, folder_of, baseline=baseline, equal_within=equal_within, told=compared)
    telemetry: dict[str, Telemetry] = {}
    untraced = []
    for subject in foremost(found, settled):
        if len(telemetry) == _TRACED:
            break
        try:
            read = read_telemetry(folder_of(subject.result.id), subject.result)
        except StoreError as error:  # the run's figures do not rest on it
            untraced.append(f"Run {subject.number} ({subject.label}): no telemetry is shown: {error.message}")
            continue
        if read is not None and any(value is not None for value in (*read.power, *read.memory)):
            telemetry[subject.result.id] = read
    return Material(
        subjects=tuple(found),
        contests=tuple(settled),
        batches=batches,
        telemetry=telemetry,
        benches=tuple(_benches(results, equal_within)),
        traceable=sum(1 for run in found if batches[run.result.id].n),
        lost=frozenset(run.result.id for run in found if requests_lost(folder_of(run.result.id), run.result)),
        untraced=tuple(untraced),
    )


def _benches(results: Sequence[Result], equal_within: float) -> Iterator[Bench]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.bench is not None:
            groups.setdefault(result.bench.bench, []).append(result)
    return (bench_report(group, equal_within=equal_within) for group in groups.values())


def foremost(subjects: Sequence[Subject], settled: Sequence[Contest]) -> list[Subject]:
    """All runs, those first that a reader asks for first: each contest's winner and baseline."""
    first = [one for contest in settled for one in (contest.winner, contest.baseline) if one is not None]
    numbers = dict.fromkeys(subject.number for subject in (*first, *subjects))
    by_number = {subject.number: subject for subject in subjects}
    return [by_number[number] for number in numbers]
