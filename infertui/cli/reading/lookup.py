"""Runs and benches by the beginning of their names, in a reports folder whose interrupted runs are recovered first."""

from pathlib import Path
from typing import TYPE_CHECKING

from infertui.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infertui.errors import UsageError
    from infertui.results.result import Result
    from infertui.results.runs import Store


def runs_named(store: "Store", names: list[str]) -> "list[Result]":
    """The results of runs, each by its id or a beginning of it that no other has. Raises UsageError and StoreError."""
    found = {result.id: result for result in store.naming(*names)}
    check_ended(store, [name for name in names if not _begun(name, found)])
    return [found[_only(name, list(found), "run", store.root)] for name in names]


def bench_named(store: "Store", name: str) -> "list[Result]":
    """The results of a bench, by its name or a beginning of it that no other has. Raises UsageError and StoreError."""
    found = [result for result in store.naming(name) if result.bench]
    benches = dict.fromkeys(result.bench.bench for result in found if result.bench)
    chosen = _only(name, list(benches), "bench", store.root)
    return [result for result in found if result.bench and result.bench.bench == chosen]


def check_ended(store: "Store", names: list[str]) -> None:
    """Raise UsageError for a run, by its id or the beginning of it, that has a folder and no result."""
    unmeasured = store.without_result() if names else []
    for name in names:
        if runs := _begun(name, unmeasured):
            raise _without_result(store, runs[0])


def _begun(name: str, known: "Iterable[str]") -> list[str]:
    return [one for one in known if one.startswith(name)] if name else []


def _without_result(store: "Store", run: str) -> "UsageError":
    """Why a run that has a folder cannot be named yet, or any more."""
    from infertui.errors import UsageError
    from infertui.results.runs import is_under_way
    from infertui.text import clean

    if is_under_way(store.root / run):
        return UsageError(f"{clean(run)} is still running: it has no result yet", remedy="Wait for its end.")
    return UsageError(
        f"{clean(run)} was cut off, and left nothing that a result could be made of",
        remedy=f"Repeat it: infertui run {clean(str(store.root / run / 'run.toml'))}",
    )


def _only(name: str, known: list[str], what: str, out: Path) -> str:
    from infertui.errors import UsageError
    from infertui.text import clean

    if name in known:
        return name
    found = _begun(name, known)
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} {'benches' if what == 'bench' else 'runs'} begin with" if found else f"there is no {what}"
    raise UsageError(
        f"{problem} {clean(name)!r} in {clean(str(out))}",
        remedy=f"`infertui results --out {clean(str(out))}` lists the runs.",
    )


def opened(out: Path) -> "Store":
    """The store in `out`. What was recovered is told on standard error; a folder of others is read as it is."""
    from infertui.results.runs import BEGUN, Store

    store = Store(out)
    if store.folders_with(BEGUN):
        from infertui.metrics.registry import metric_of
        from infertui.runner.recovery import recover

        for result in recover(store):
            iterations = metric_of("iterations").value(result)
            kept = "its requests" if result.load else f"{iterations} iterations"
            words = f"was cut off, {kept} are kept: {result.ended_by}"
            if result.state != "interrupted":
                words = f"has {result.state}, and is in the index now"
            say(f"{result.id} {words}", err=True)
    return store


def without_result(store: "Store") -> list[str]:
    """What there is to say of runs that have no result, a line each."""
    from infertui.results.runs import is_under_way

    return [
        f"{'still running' if is_under_way(store.root / run) else 'cut off, and without a result'}: {run}"
        for run in store.without_result()
    ]
