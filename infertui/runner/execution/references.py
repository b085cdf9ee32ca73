"""Which run of a reports folder another one is compared with, found without reading them all; BLEU between two runs."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from infertui.errors import ModelError, StoreError
from infertui.measure.precision import HALF, loss, significant_bits
from infertui.measure.quality import bleu
from infertui.metrics.filter import MAX_LENGTH
from infertui.metrics.number_format import kv_form_of
from infertui.metrics.reads import in_force
from infertui.models.disk import read_at_most
from infertui.models.resolve import resolve
from infertui.models.tokenizers import load_tokenizer
from infertui.results.index import ResultIndex, ResultQuery
from infertui.results.result import Result
from infertui.results.runs import OUTPUTS, RESULT, Store
from infertui.results.upgrade import decode_result
from infertui.runner.queries import open_table
from infertui.text import clean

LOOKED_AT = 64
"""Runs whose results are read for each of the kinds that are looked for: eager, unquantised, any, the latest."""
RESAID = 64
"""Runs that are held against a new reference at the most."""
_MAX_RESULT_BYTES = 64 << 20
_PLAIN = ("", "none")
SAMPLED = "tokens were sampled (workload.temperature above 0): two runs need not say the same"


def find_reference(result: Result, store: Store) -> Result | None:
    """The run that `result` is compared with: the one nearest to the model as it is, of equally near ones the first.

    One whose times were disturbed still said what it said; one that diverged itself gives way. It has a prompt in
    common with `result`, whatever file that came from. None where there is none that is as near to the model as
    `result`. The folder's index is asked, so that the time does not grow with its runs. Raises StoreError.
    """
    ours = _prompts(result, store)
    near = [other for other in _listed(result, store) if _rank(other) <= _rank(result)]
    return next((other for other in sorted(near, key=_preference) if _comparable(result, other, ours, store)), None)


def find_farther(result: Result, store: Store) -> list[Result]:
    """Runs that are farther from the model than `result`, and were held against such ones: against it they should be.

    Those that a config compares with a run by name, or with none, are left out. Raises StoreError.
    """
    if result.own_config.workload.temperature > 0:
        return []
    ours = _prompts(result, store)
    return [
        other
        for other in _listed(result, store)
        if other.own_config.quality.reference == "auto"
        and other.quality is not None
        and _rank(result) < _rank(other)
        and _comparable(result, other, ours, store)
    ][:RESAID]


def computes_exactly(result: Result) -> bool:
    """Whether rounding seldom decides between two tokens: all is in float32, or the KV cache alone in float16."""
    dtype, weights, cache = _formats(result)
    return dtype == weights == "float32" and significant_bits(cache) >= HALF


def named_reference(run: str, store: Store) -> Result:
    """The run that a config names. Raises StoreError where there is no such run."""
    found = _read(run, store)
    if found is None:
        raise StoreError(f"quality.reference: there is no result of {clean(run)} in {clean(str(store.root))}")
    return found


def stands_alone(result: Result, reference: Result) -> str:
    """Why the outputs of two runs say nothing about each other; empty where they do."""
    if (result.setup.temperature or 0) > 0 or (reference.setup.temperature or 0) > 0:
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
        and one.setup.get("model.seed") == other.setup.get("model.seed")
    )


def _formats(result: Result) -> tuple[str, str, str]:
    """What is computed in, what the weights are held in, and the KV cache, whose coarser half counts."""
    dtype = result.loaded.dtype if result.loaded else ""
    told = in_force(result, "quantization")
    settings = result.effective.settings if result.effective else {}
    cache = kv_form_of(settings)
    held = cache.split("/") if cache else []
    return dtype, dtype if told in _PLAIN else told, min(held, key=significant_bits, default=dtype)


def _rank(result: Result) -> tuple[float, bool]:
    """How far a run is from the model as it is: smaller is nearer."""
    return loss(_formats(result)), in_force(result, "mode") not in ("", "eager")


def _preference(result: Result) -> tuple[tuple[float, bool], bool, str]:
    """The least of these is the reference."""
    return _rank(result), bool(result.quality and result.quality.beyond), result.started


def _listed(result: Result, store: Store) -> list[Result]:
    index = open_table(store.root)
    try:
        return list(_candidates(result, store, index))
    finally:
        index.close()


def _prompts(result: Result, store: Store) -> frozenset[str]:
    return frozenset(store.outputs(result.id)) if result.own_config.workload.temperature == 0 else frozenset()


def _comparable(result: Result, other: Result, ours: frozenset[str], store: Store) -> bool:
    """Whether both had a prompt in common; it is not asked of what was sampled, and of a run that kept no tokens."""
    if result.own_config.workload.temperature > 0 or not ours:
        return True
    try:
        return not ours.isdisjoint(store.outputs(other.id))
    except StoreError:
        return False


def _candidates(result: Result, store: Store, index: ResultIndex) -> Iterator[Result]:
    """Runs of its kind, of each of some filters the first LOOKED_AT, and the last of all."""
    workload, model = result.own_config.workload, clean(result.own_config.model.id).replace('"', "")
    base = f'model:"{model}" state=finished'
    if workload.temperature == 0:
        base += f" out={workload.output_len}"
        base += f" in={workload.input_len}" if workload.input_len else ""
    seen: set[str] = set()
    for extra, latest in ((" mode=eager quant=none", False), (" quant=none", False), ("", False), ("", True)):
        # With a very long path: look at the first runs of all.
        text = base + extra if len(base + extra) <= MAX_LENGTH else "state=finished"
        query = ResultQuery(str(store.root), text, descending=latest, limit=LOOKED_AT)
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
    if result.own_config.workload.temperature > 0:
        return other.quality is not None and other.quality.perplexity is not None
    path = store.folder_of(other.id) / OUTPUTS
    return path.is_file() and path.stat().st_size > 0


def _of_its_kind(result: Result, other: Result) -> bool:
    if other.state != "finished" or other.source or other.config is None or other.loaded is None:
        return False
    ours, theirs = result.own_config, other.config
    if "short-output" in other.verdict.marks:
        return False
    if (ours.model.id, ours.model.revision) != (theirs.model.id, theirs.model.revision):
        return False
    if result.loaded is None or result.loaded.random_weights != other.loaded.random_weights:
        return False
    if result.loaded.random_weights and not _same_draw(result, other):
        return False
    return ours.workload.temperature > 0 or (
        ours.workload.output_len == theirs.workload.output_len and theirs.workload.temperature == 0
    )


def _read(run: str, store: Store) -> Result | None:
    """The result in a run's folder; None where it cannot be read. Raises StoreError for what can be no run."""
    try:
        content = read_at_most(store.folder_of(run) / RESULT, _MAX_RESULT_BYTES)
        return decode_result(content) if content else None
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError):
        return None


def outputs_bleu(
    model: str, revision: str, reference: Mapping[str, Sequence[int]], other: Mapping[str, Sequence[int]]
) -> float:
    """Of the prompts that both have; the keys name prompts in both.

    Raises ModelError where the model is not here, has random weights or no tokenizer.json, or no prompt is in both;
    UsageError and EngineError where a library is missing.
    """
    source = resolve(model, revision)
    if source.kind == "synthetic":
        raise ModelError(f"{clean(model)} has random weights: its output is no text")
    if source.kind == "gguf":
        raise ModelError(f"{clean(model)} is a GGUF file: its tokenizer is in no tokenizer.json")
    shared = [name for name in reference if name in other]
    if not shared:
        raise ModelError("the two runs have no prompt in common")
    decode = load_tokenizer(source).decode
    return bleu([decode(reference[name]) for name in shared], [decode(other[name]) for name in shared])
