"""Runs and benches by the beginning of their names."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infertui.store.result import Result
    from infertui.store.runs import Store


def runs_named(store: "Store", names: list[str]) -> "list[Result]":
    """The results of runs, each by its id or a beginning of it that no other has. Raises UsageError and StoreError."""
    found = {result.id: result for result in store.naming(*names)}
    return [found[_only(name, list(found), "run", store.root)] for name in names]


def bench_named(store: "Store", name: str) -> "list[Result]":
    """The results of a bench, by its name or a beginning of it that no other has. Raises UsageError and StoreError."""
    found = [result for result in store.naming(name) if result.bench]
    benches = dict.fromkeys(result.bench.bench for result in found if result.bench)
    chosen = _only(name, list(benches), "bench", store.root)
    return [result for result in found if result.bench and result.bench.bench == chosen]


def _only(name: str, known: list[str], what: str, out: Path) -> str:
    from infertui.errors import UsageError
    from infertui.terminal_text import clean

    if name in known:
        return name
    found = [one for one in known if one.startswith(name)] if name else []
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} {'benches' if what == 'bench' else 'runs'} begin with" if found else f"there is no {what}"
    raise UsageError(
        f"{problem} {clean(name)!r} in {clean(str(out))}",
        remedy=f"`infertui results --out {clean(str(out))}` lists the runs.",
    )
