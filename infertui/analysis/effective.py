"""What really ran, as the engine found it by looking at itself: the same wording wherever a result is shown."""

from collections.abc import Iterator, Mapping

from infertui.results.number_format import form_of
from infertui.results.result import Result
from infertui.targets.engine.base import Loaded
from infertui.targets.engine.executed import executed
from infertui.text import clean
from infertui.units import format_bytes, format_seconds

DIVERGED = "diverged"
"""The mark of a run whose outputs are not the reference's."""
FALLBACK = "FALLBACK"
"""The name of the row that says so."""


def fallback_of(loaded: Loaded) -> str:
    """Which engine ran instead of which, and why; empty where it was the one that was asked for."""
    if not loaded.engine_requested or loaded.engine == loaded.engine_requested:
        return ""
    reason = loaded.fallback_reason or "no reason is known"
    return clean(f"{loaded.engine} was measured, NOT {loaded.engine_requested}, which cannot be used: {reason}")


def identity(result: Result, *, full: bool = False) -> list[tuple[str, str]]:
    """Name and value of what ran; with `full` also the files that libraries came from and everything else known."""
    loaded = result.loaded
    if loaded is None:
        return []
    rows = [(FALLBACK, fallback_of(loaded)), ("weights", _weights(result, loaded)), ("in force", _in_force(result))]
    rows += [("executed", _executed(result))] if full else []
    rows += [("getting ready", _ready(result)), ("speculation", _acceptance(result))]
    if full:
        rows[1:1] = [("engine", _engine(loaded)), *_libraries(loaded), ("device", _device(loaded))]
        rows += [("memory policy", loaded.memory_policy), ("counters", _counters(result)), *_facts(result)]
    return [(clean(name), clean(value)) for name, value in rows if value]


def in_force(result: Result, lever: str) -> str:
    """The word of a lever that the engine found in force; empty where it did not say."""
    return result.evidence.levers.get(lever, "") if result.evidence else ""


def ran(result: Result) -> str:
    """How steps were executed, in the one word that every table has for it; empty where the engine did not say."""
    found = result.evidence
    return executed(found.levers.get("mode", ""), found.compiled, found.graphs) if found else ""


def form(result: Result) -> str:
    """Number formats of weights and KV cache in one short word, such as `q4_1` or `f32 kv q4_0`; empty: not known."""
    levers = result.evidence.levers if result.evidence else {}
    return clean(form_of(result.loaded.dtype, levers)) if result.loaded else ""


def diverged(result: Result) -> bool:
    """Whether its outputs are beyond what the config allows against the reference's."""
    return result.quality is not None and bool(result.quality.beyond)


def caveats(result: Result) -> list[str]:
    """What has to stand beside the figures wherever results are listed or compared.

    That they are another engine's, of a run that says something else than its reference, or not infertui's own.
    """
    loaded = result.loaded
    marks = [f"fallback, not {loaded.engine_requested}"] if loaded and fallback_of(loaded) else []
    marks += [DIVERGED] if diverged(result) else []
    if result.imported:
        marks.append(f"imported from {result.imported}: {result.source}")
    elif result.source:
        marks.append(f"external: {result.source}")
    return [clean(mark) for mark in marks]


def told(result: Result, key: str) -> object | None:
    """The value of a key of the config, or of `summary.NAME`; None where an imported file does not tell it."""
    if key.startswith("summary."):
        found: object = getattr(result.summary, key.removeprefix("summary."))
        return found
    return result.setup.get(key)


def acceptance(counters: Mapping[str, int]) -> float | None:
    """The share of drafted tokens that were accepted; None where none were drafted."""
    drafted = counters.get("drafted_tokens", 0)
    return counters.get("accepted_tokens", 0) / drafted if drafted else None


def _engine(loaded: Loaded) -> str:
    asked = "" if loaded.engine == loaded.engine_requested else f", asked for {loaded.engine_requested}"
    return f"{loaded.engine}{asked}"


def _libraries(loaded: Loaded) -> Iterator[tuple[str, str]]:
    for name, version in loaded.versions.items():
        path = loaded.paths.get(name, "")
        yield name, f"{version}  {path}" if path else version


def _device(loaded: Loaded) -> str:
    threads = f", {loaded.threads} threads" if loaded.threads and loaded.device == "cpu" else ""
    kind = f" ({loaded.device})" if loaded.device else ""
    return f"{loaded.device_name}{kind}{threads}  {loaded.device_uuid}".strip()


def _weights(result: Result, loaded: Loaded) -> str:
    parts = [form(result) or loaded.dtype]
    if loaded.parameters is not None:
        parts.append(f"{loaded.parameters:,} parameters{', random' if loaded.random_weights else ''}")
    if loaded.weight_bytes is not None:
        parts.append(format_bytes(loaded.weight_bytes))
    if loaded.quantized_layers:
        parts.append(f"{loaded.quantized_layers} tensors quantized, the others {loaded.dtype}")
    if loaded.offloaded_layers:
        parts.append(f"on the GPU: {loaded.offloaded_layers} layers")
    return "  ".join(parts)


def _in_force(result: Result) -> str:
    """The levers: those that evidence speaks of, and the attention."""
    loaded, evidence = result.loaded, result.evidence
    levers = dict(evidence.levers) if evidence else {}
    if loaded and "attention" not in levers:
        levers["attention"] = loaded.attention
    reasons = evidence.reasons if evidence else {}
    return "  ".join(
        f"{name} {word}" + (f" ({reasons[name]})" if name in reasons else "") for name, word in sorted(levers.items())
    )


_COMPILED = {
    "fresh": "code compiled at this start", "cache": "compiled code read from a cache",
    "both": "code compiled, some of it read from a cache",
}  # fmt: skip
_GRAPHS = {"captured": "CUDA graphs captured and not used", "replayed": "CUDA graphs replayed"}


def _executed(result: Result) -> str:
    """How steps were executed, with what stands behind the word."""
    found = result.evidence
    if not found or not (found.compiled or found.graphs):
        return ""
    facts = [_COMPILED.get(found.compiled, ""), _GRAPHS.get(found.graphs, "")]
    return ran(result) + (f" ({', '.join(filter(None, facts))})" if any(facts) else "")


def _ready(result: Result) -> str:
    phases = (phase for phase in ("compile", "capture") if phase in result.phases)
    return "  ".join(f"{phase} {format_seconds(result.phases[phase])}" for phase in phases)


def _acceptance(result: Result) -> str:
    counters = result.evidence.counters if result.evidence else {}
    share = acceptance(counters)
    if share is None:
        return ""
    random = ", which means nothing for random weights" if result.loaded and result.loaded.random_weights else ""
    return f"accepted {counters.get('accepted_tokens', 0):,} of {counters['drafted_tokens']:,} ({share:.0%}){random}"


def _counters(result: Result) -> str:
    counters = result.evidence.counters if result.evidence else {}
    return "  ".join(f"{name} {count:,}" for name, count in sorted(counters.items()))


def _facts(result: Result) -> Iterator[tuple[str, str]]:
    yield from (result.loaded.details if result.loaded else {}).items()
    yield from (result.evidence.facts if result.evidence else {}).items()
