"""The reports folder that a command is about, opened: runs that were cut off get their results first."""

from pathlib import Path
from typing import TYPE_CHECKING

from infertui.cli.output import say

if TYPE_CHECKING:
    from infertui.results.runs import Store


def opened(out: Path) -> "Store":
    """The store in `out`. What was recovered is told on standard error; a folder of others is read as it is."""
    from infertui.results.runs import BEGUN, Store

    store = Store(out)
    if store.folders_with(BEGUN):
        from infertui.runner.recovery import recover

        for result in recover(store):
            done = result.summary.iterations
            words = f"was cut off, {done} iterations are kept: {result.ended_by}"
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
