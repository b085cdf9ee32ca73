"""The reports folders that a runner is asked about: their results, run by run and as a table."""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from infertui import regular_files
from infertui.errors import InfertuiError, UsageError
from infertui.results.details import RunDetails, read_details
from infertui.results.index import ResultIndex, ResultPage, ResultQuery
from infertui.results.result import Result
from infertui.results.runs import RESULT, RESULT_BYTES, Store, is_under_way
from infertui.results.upgrade import decode_result
from infertui.runner.recovery import recover
from infertui.runner.tables import open_table
from infertui.text import clean

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
        """Everything about a run; one that was cut off gets its result first. Raises StoreError where there is none."""
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
