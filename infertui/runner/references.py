"""Which run of a reports folder another one is compared with, found without reading them all."""

from collections.abc import Iterator

import msgspec

from infertui.errors import StoreError
from infertui.models.disk import read_at_most
from infertui.report.identity import in_force
from infertui.runner.tables import open_table
from infertui.store.filter import MAX_LENGTH
from infertui.store.index import ResultIndex, ResultQuery
from infertui.store.outputs import OUTPUTS
from infertui.store.result import Result
from infertui.store.runs import RESULT, Store
from infertui.terminal_text import clean

LOOKED_AT = 64
"""Runs whose results are read for each of the three kinds that are looked for: eager, unquantised, any."""
_MAX_RESULT_BYTES = 64 << 20
_PLAIN = ("", "none")
SAMPLED = "tokens were sampled (workload.temperature above 0): two runs need not say the same"


def find_reference(result: Result, store: Store) -> Result | None:
    """The run that `result` is compared with: the first of its kind, an eager and unquantised one before others.

    One whose times were disturbed still said what it said, and the first stays the first whatever comes later; one that
    diverged itself gives way. None where there is none, or none that is as near to the model as it is as `result`. The
    folder's index is asked, so that the time does not grow with its runs. Raises StoreError.
    """
    index = open_table(store.root)
    try:
        found = [other for other in _candidates(result, store, index) if _rank(other) <= _rank(result)]
    finally:
        index.close()
    return min(found, key=_preference, default=None)


def named_reference(run: str, store: Store) -> Result:
    """The run that a config names. Raises StoreError where there is no such run."""
    found = _read(run, store)
    if found is None:
        raise StoreError(f"quality.reference: there is no result of {clean(run)} in {clean(str(store.root))}")
    return found


def stands_alone(result: Result, reference: Result) -> str:
    """Why the outputs of two runs say nothing about each other; empty where they do."""
    if result.config.workload.temperature > 0 or reference.config.workload.temperature > 0:
        return SAMPLED
    if result.loaded is None or reference.loaded is None:
        return "what was loaded is not known"
    if result.loaded.random_weights != reference.loaded.random_weights:
        return "one of the two has random weights"
    if result.loaded.random_weights and not _same_draw(result, reference):
        return "random weights, which engines and devices draw for themselves"
    return ""


def _same_draw(one: Result, other: Result) -> bool:
    """Whether random weights were drawn alike: by one engine from one seed, on devices of one name."""
    here, there = one.loaded, other.loaded
    return (
        here is not None
        and there is not None
        and (here.engine, here.device_name) == (there.engine, there.device_name)
        and one.config.model.seed == other.config.model.seed
    )


def _rank(result: Result) -> tuple[bool, bool]:
    """How far a run is from the model as it is: smaller is nearer."""
    return in_force(result, "quantization") not in _PLAIN, in_force(result, "mode") not in ("", "eager")


def _preference(result: Result) -> tuple[tuple[bool, bool], bool, str]:
    """The least of these is the reference."""
    return _rank(result), bool(result.quality and result.quality.beyond), result.started


def _candidates(result: Result, store: Store, index: ResultIndex) -> Iterator[Result]:
    """Runs of its kind, of each of three filters the first LOOKED_AT."""
    workload, model = result.config.workload, clean(result.config.model.id).replace('"', "")
    base = f'model:"{model}" state=finished'
    if workload.temperature == 0:
        base += f" out={workload.output_len}"
        base += f" in={workload.input_len}" if workload.input_len else ""
    seen: set[str] = set()
    for extra in (" mode=eager quant=none", " quant=none", ""):
        if len(base + extra) > MAX_LENGTH:  # a very long path: look at the first runs of all
            query = ResultQuery(str(store.root), "state=finished", descending=False, limit=LOOKED_AT)
        else:
            query = ResultQuery(str(store.root), base + extra, descending=False, limit=LOOKED_AT)
        for row in index.page(query).rows:
            if row.id in seen or row.id == result.id:
                continue
            seen.add(row.id)
            try:
                other = _read(row.id, store)
                if other is not None and _of_its_kind(result, other) and _usable(result, other, store):
                    yield other
            except StoreError:
                continue  # what was deleted or put there meanwhile is no reference


def _usable(result: Result, other: Result, store: Store) -> bool:
    """Whether there is something to compare: tokens, or for a sampling run nothing but a perplexity."""
    if result.config.workload.temperature > 0:
        return other.quality is not None and other.quality.perplexity is not None
    path = store.folder_of(other.id) / OUTPUTS
    return path.is_file() and path.stat().st_size > 0


def _of_its_kind(result: Result, other: Result) -> bool:
    ours, theirs = result.config, other.config
    if other.state != "finished" or other.source or other.imported or other.loaded is None:
        return False
    if "short-output" in other.verdict.marks:
        return False
    if (ours.model.id, ours.model.revision) != (theirs.model.id, theirs.model.revision):
        return False
    if result.loaded is None or result.loaded.random_weights != other.loaded.random_weights:
        return False
    if result.loaded.random_weights and not _same_draw(result, other):
        return False
    return ours.workload.temperature > 0 or _same_prompts(result, other)


def _same_prompts(one: Result, other: Result) -> bool:
    ours, theirs = one.config.workload, other.config.workload

    def told(workload: object) -> tuple[object, ...]:
        return tuple(getattr(workload, name) for name in ("prompts_file", "input_len", "output_len", "temperature"))

    drawn = ours.prompts == "random" and not ours.prompts_file
    return (
        told(ours) == told(theirs)
        and (bool(ours.prompts_file) or ours.prompts == theirs.prompts)
        and (not drawn or ours.seed == theirs.seed)
    )


def _read(run: str, store: Store) -> Result | None:
    """The result in a run's folder; None where it cannot be read. Raises StoreError for what can be no run."""
    try:
        content = read_at_most(store.folder_of(run) / RESULT, _MAX_RESULT_BYTES)
        return msgspec.json.decode(content, type=Result) if content else None
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError):
        return None
