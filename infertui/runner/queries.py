"""The reports folders that a runner is asked about: their results as a table, and comparisons.

Files are read in a thread, which is given up when nobody waits any more. All that open the table over a folder do so
here, since they share its index file.
"""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from infertui import regular_files
from infertui.analysis.bench import Bench, bench_report
from infertui.analysis.compare import compare
from infertui.analysis.decision.curves import curves_of
from infertui.analysis.decision.sweep_curve import SweepCurve
from infertui.analysis.limits import derivation
from infertui.errors import InfertuiError, StoreError, UsageError
from infertui.results.details import RunDetails, read_details
from infertui.results.index import ResultIndex, ResultPage, ResultQuery
from infertui.results.observations import Observation, read_observations
from infertui.results.result import Result
from infertui.results.runs import RESULT, RESULT_BYTES, Store, is_under_way
from infertui.results.upgrade import decode_result
from infertui.runner.blocking import run_blocking
from infertui.runner.capacity.folder import PREFIX, RECORD
from infertui.runner.control import Compared
from infertui.runner.recovery import recover
from infertui.text import clean


def open_table(root: Path, *, cache: Path | None = None) -> ResultIndex:
    """The table over the results in `root`, with shares of the limits also for those that were kept without."""
    return ResultIndex(root, cache=cache, derivation=derivation())


LOOK_S = 60.0
"""Runs that were cut off are looked for this often at most: it takes a look into every run's folder."""


class Reports:
    """Tables over reports folders, kept open. Called from threads: one at a time gets through to a folder."""

    def __init__(self) -> None:
        self._tables: dict[str, ResultIndex] = {}
        self._looked: dict[str, float] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def page(self, query: ResultQuery) -> ResultPage:
        """Rows of a folder. A look at it also gives runs that were cut off their results, once in a while."""
        with self._locks[query.out]:
            table = self._tables.get(query.out) or open_table(folder(query.out))
            self._tables[query.out] = table
            if time.monotonic() - self._looked.get(query.out, -math.inf) >= LOOK_S:
                recover(Store(folder(query.out)))
                self._looked[query.out] = time.monotonic()
            table.refresh()
            return table.page(query)

    def details(self, out: str, run: str) -> RunDetails:
        """Everything about a run; one that was cut off gets its result first. Raises StoreError where there is none.

        Of a search for a capacity what its clients printed, and telemetry.
        """
        search = folder(out) / run
        if run.startswith(PREFIX) and "/" not in run and (search / RECORD).exists():
            return read_details(search)
        store = Store(folder(out))
        recover(store, run)
        return read_details(store.folder_of(run))

    def delete(self, out: str, runs: Sequence[str]) -> None:
        """Delete runs that have ended. Raises UsageError for one that some process still measures, and StoreError."""
        store = Store(folder(out))
        for run in runs:
            if is_under_way(store.folder_of(run)):
                raise UsageError(f"{clean(run)} is under way", remedy="Cancel it first.")
        with self._locks[out]:
            store.delete(runs)

    def result(self, out: str, run: str) -> Result | None:
        """The result of a run, where it has one that can be read."""
        if not run:
            return None
        try:
            return decode_result(regular_files.read(Store(folder(out)).folder_of(run) / RESULT, RESULT_BYTES))
        except (OSError, InfertuiError, ValueError, msgspec.MsgspecError, RecursionError):
            return None


def folder(out: str) -> Path:
    """The reports folder of that name. Raises UsageError unless it is an absolute path."""
    path = Path(out)
    if not path.is_absolute() or "\0" in out:
        raise UsageError(f'the reports folder "{clean(out)}" is not an absolute path')
    return path


MOST_COMPARED = 24
"""Runs that are compared at once: more than anybody reads side by side."""
MOST_IN_CURVES = 1000
"""Runs that curves are made of: a result is 20 kB in memory."""
COMPARE_S = 600.0
"""What reading them may take: a run can have a million requests."""
T = TypeVar("T")


class _Abandoned(Exception):  # noqa: N818 (no error: nobody waits for the answer)
    """Ends the thread."""


async def abandonable(work: Callable[[threading.Event], T]) -> T:
    """Call `work` in a thread with an event that is set when the waiting ends; `work` looks at it now and then."""
    stop = threading.Event()
    try:
        return await run_blocking(lambda: work(stop), COMPARE_S)
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


def curves_of_runs(out: str, runs: Sequence[str], fewest: int = 3) -> tuple[SweepCurve, ...]:
    """Curves over each number that was swept in these runs. Runs without a result that can be read are left out.

    Raises UsageError for too many of them.
    """
    asked = set(runs)
    if len(asked) > MOST_IN_CURVES:
        raise UsageError(f"{len(asked):,} runs are too many to draw: up to {MOST_IN_CURVES:,}")
    return tuple(curves_of(Store(folder(out)).results_of(asked), max(2, fewest)))


def _bench_of(result: Result) -> str:
    return result.bench.bench if result.bench else ""


def _result(reports: Reports, store: Store, out: str, run: str) -> Result:
    result = reports.result(out, run) or store.result_of(run)
    if result is None:
        raise StoreError(f"{clean(run)} has no result in {clean(str(Path(out)))}: there is nothing to compare")
    return result
