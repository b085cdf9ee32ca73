"""Whether runs generated the same tokens as one of them, prompt by prompt."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from infertui.cli.table import print_table
from infertui.errors import UsageError
from infertui.measure.agreement import agreement
from infertui.report.identity import in_force
from infertui.terminal_text import clean

if TYPE_CHECKING:
    from infertui.store.result import Result
    from infertui.store.runs import Store

HEAD = ("run", "engine", "mode", "dtype", "prompts", "equal", "same tokens", "parts first at")


def print_agreement(store: "Store", reference: str, results: "Sequence[Result]") -> None:
    """A row for each result beside `reference`, a run's id. Raises UsageError where that kept no tokens."""
    ours = store.outputs(reference)
    if not ours:
        raise UsageError(
            f"no generated tokens are kept of {clean(reference)}",
            remedy="Name a run of `infertui results` whose folder holds an outputs.jsonl.",
        )
    known = next((result for result in store.results(warn=lambda _: None) if result.id == reference), None)
    others = [result for result in results if result.id != reference]
    print_table(HEAD, list(_rows(store, ours, _engine(known) if known else "", others)))


def _engine(result: "Result") -> str:
    return result.loaded.engine if result.loaded else result.config.engine.name


def _rows(
    store: "Store", ours: dict[str, tuple[int, ...]], whose: str, results: "Sequence[Result]"
) -> Iterator[tuple[str, ...]]:
    for result in results:
        engine = _engine(result)
        dtype = result.loaded.dtype if result.loaded else "-"
        what = (clean(result.id), clean(engine), clean(in_force(result, "mode")) or "-", clean(dtype))
        theirs = store.outputs(result.id)
        found = agreement(ours, theirs)
        if found.share is None:
            yield (*what, "0", "-", "-", "nothing was kept" if not theirs else "no prompt in common")
            continue
        at = "-" if found.first_divergence is None else f"token {found.first_divergence + 1}"
        if not found.exact and engine != whose and result.loaded and result.loaded.random_weights:
            at += ": random weights, which engines draw for themselves"
        yield (*what, str(found.prompts), f"{found.equal} of {found.prompts}", f"{found.share:.1%}", at)
