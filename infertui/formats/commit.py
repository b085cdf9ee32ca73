"""Runs of a file of another program put into a reports folder: all of them, or none."""

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from infertui.errors import StoreError
from infertui.formats.detect import Read
from infertui.formats.imported_run import Finding, Given, result_of
from infertui.formats.reader import SourceFile
from infertui.results.result import Result
from infertui.results.runs import RunFolder, Store

_LINES_AT_ONCE = 1000


def imported_before(store: Store, sha256: str) -> list[Result]:
    """The results of a file with this content, oldest first. Raises StoreError."""
    return [result for result in store.naming(sha256) if result.imported_sha256 == sha256]


def results_of(read: Read, source: SourceFile, given: Given, sha256: str, now: datetime) -> list[Result]:
    """The results of a file that was read, without ids."""
    return [result_of(finding, given, file=source.name, sha256=sha256, now=now) for finding in read.findings]


def keep(
    findings: tuple[Finding, ...], results: list[Result], store: Store, *, told: Callable[[int], None]
) -> list[Result]:
    """Write folder, request lines and result of each run, then all of them into the index; `told` counts requests.

    There is no run.toml: an imported run cannot be repeated. Whatever goes wrong, nothing is left. Raises StoreError,
    FormatError where the file changed since it was read, and what `told` raises to stop it.
    """
    folders: list[RunFolder] = []
    kept: list[Result] = []
    lines = 0
    try:
        for finding, result in zip(findings, results, strict=True):
            told(lines)
            folder = store.create_run(result.name, _moment(result.started))
            folders.append(folder)
            for chunk in _chunks(finding):
                folder.requests.append(*chunk)
                lines += len(chunk)
                told(lines)
            kept.append(msgspec.structs.replace(result, id=folder.id))
            folder.write_result(kept[-1])
            folder.close()
        store.append(*kept)
    except BaseException:
        for folder in folders:
            with contextlib.suppress(OSError, StoreError):
                folder.close()
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return kept


def _chunks(finding: Finding) -> Iterator[tuple[object, ...]]:
    records = finding.records() if finding.records else iter(())
    while chunk := tuple(itertools.islice(records, _LINES_AT_ONCE)):
        yield chunk


def _moment(started: str) -> datetime:
    return datetime.fromisoformat(started)
