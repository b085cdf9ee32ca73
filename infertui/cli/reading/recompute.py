"""`infertui recompute`: derive kept results anew from their runs' own files."""

from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.flags import REPORTS, OutFlag
from infertui.cli.output import say, warn
from infertui.metrics.metric import NOT_AVAILABLE

if TYPE_CHECKING:
    from infertui.runner.recompute import Outcome

EPILOG = """[bold]Examples[/bold]

  infertui recompute --dry-run      (what would change, figure by figure)

  infertui recompute RUN_ID --out reports
"""


def recompute(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN_ID]...", help="Only these runs; else all.")] = None,
    out: OutFlag = REPORTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
) -> None:
    """Derive kept results anew from their runs' files, by today's rules: percentiles, intervals, energy, marks.

    What changed is told figure by figure, and what was kept before stays in the run's folder as superseded.jsonl.

    A run is valid or not by the thresholds that its own run.toml has; others of today are marks and notes.
    """
    from infertui.cli.reading.lookup import check_ended, opened
    from infertui.errors import UsageError
    from infertui.runner.recompute import Recomputation
    from infertui.text import clean

    store = opened(out)
    if not store.index.exists():
        raise UsageError(f"there are no results in {clean(str(out))}", remedy="Name their folder with --out.")
    check_ended(store, runs or [])
    counts = {"changed": 0, "unchanged": 0, "refused": 0}
    for outcome in Recomputation(store, warn=warn).outcomes(runs or ()):
        kind = "refused" if outcome.refused else "changed" if outcome.changes else "unchanged"
        counts[kind] += 1
        _tell(outcome)
        if outcome.changes and outcome.result and outcome.old and not dry_run:
            store.supersede(outcome.old, outcome.result)
    done = "would change" if dry_run else "recomputed"
    say(f"{counts['changed']} {done}, {counts['unchanged']} as they were, {counts['refused']} cannot be recomputed")


def _tell(outcome: "Outcome") -> None:
    if outcome.refused:
        say(f"{outcome.run}: {outcome.refused}")
        return
    if outcome.changes:
        say(f"{outcome.run}: {len(outcome.changes)} changed")
    for change in outcome.changes:
        if isinstance(change.before, list | tuple) or isinstance(change.after, list | tuple):
            before, after = _texts(change.before), _texts(change.after)
            for sign, texts, others in (("-", before, after), ("+", after, before)):
                for text in texts:
                    if text not in others:
                        say(f"  {change.key}  {sign} {text}")
            continue
        say(f"  {change.key}  {_value(change.before)} -> {_value(change.after)}")
    for text in outcome.left if outcome.changes else ():
        say(f"  note: {text}")


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list | tuple) else []


def _value(value: object) -> str:
    if value is None:
        return NOT_AVAILABLE
    return f"{value:.6g}" if isinstance(value, float) else str(value)
