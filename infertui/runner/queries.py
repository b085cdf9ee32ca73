"""Comparisons that a screen asks for: read in a thread, and given up when nobody waits for them any more."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from infertui.analysis.bench import Bench, bench_report
from infertui.analysis.compare import compare
from infertui.errors import StoreError, UsageError
from infertui.results.observations import Observation, read_observations
from infertui.results.result import Result
from infertui.results.runs import Store
from infertui.runner.blocking import answered
from infertui.runner.control import Compared
from infertui.runner.reports import Reports, folder
from infertui.text import clean

MOST_COMPARED = 24
"""Runs that are compared at once: more than anybody reads side by side."""
COMPARE_S = 600.0
"""What reading them may take: a run can have a million requests."""
T = TypeVar("T")


class _Abandoned(Exception):  # noqa: N818 (no error: nobody waits for the answer)
    """Ends the thread."""


async def abandonable(work: Callable[[threading.Event], T]) -> T:
    """Call `work` in a thread with an event that is set when the waiting ends; `work` looks at it now and then."""
    stop = threading.Event()
    try:
        return await answered(lambda: work(stop), COMPARE_S)
    finally:
        stop.set()


def compared(reports: Reports, out: str, runs: Sequence[str], stop: threading.Event) -> Compared:
    """Every run but the first against the first, in order, and the bench that all of them belong to, if they do.

    Raises UsageError for fewer than two runs, or one named twice, or too many, and StoreError for a run without a
    result.
    """
    if len(set(runs)) != len(runs):
        raise UsageError("a run cannot be compared with itself: name each once")
    if not 2 <= len(runs) <= MOST_COMPARED:
        raise UsageError(f"{len(runs)} runs cannot be compared: name 2 to {MOST_COMPARED}, the baseline first")
    store = Store(folder(out))

    def look() -> None:
        if stop.is_set():
            raise _Abandoned

    def read(run: str) -> tuple[Result, list[Observation]]:
        look()
        return _result(reports, store, out, run), read_observations(store.folder_of(run), look=look)

    first, observed = read(runs[0])
    found, benches = [], {_bench_of(first)}
    for run in runs[1:]:  # two at a time: their batches may fill a lot of memory
        result, others = read(run)
        found.append(compare(first, result, (observed, others)))
        benches.add(_bench_of(result))
    name = benches.pop() if len(benches) == 1 else ""
    return Compared(tuple(found), bench_report(store.results_of_bench(name)) if name else None)


def benched(out: str, bench: str) -> Bench:
    """The paired result of a bench. Raises UsageError where the folder holds no result of it."""
    results = Store(folder(out)).results_of_bench(bench)
    if not results:
        raise UsageError(f"{clean(out)} holds no result of the bench {clean(bench)}")
    return bench_report(results)


def _bench_of(result: Result) -> str:
    return result.bench.bench if result.bench else ""


def _result(reports: Reports, store: Store, out: str, run: str) -> Result:
    result = reports.result(out, run) or store.result_of(run)
    if result is None:
        raise StoreError(f"{clean(run)} has no result in {clean(str(Path(out)))}: there is nothing to compare")
    return result
