"""What really ran, as the engine found it by looking at itself: the same wording wherever a result is shown."""

from collections.abc import Iterator

from infertui.metrics.reads import acceptance, fallback_of, form, ran
from infertui.results.result import Result
from infertui.targets.engine.base import Loaded
from infertui.text import clean
from infertui.units import format_bytes, format_seconds

FALLBACK = "FALLBACK"
"""The name of the row that says so."""


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
    """The options: those that effective settings speak of, and the attention."""
    loaded, effective = result.loaded, result.effective
    settings = dict(effective.settings) if effective else {}
    if loaded and loaded.attention and "attention" not in settings:
        settings["attention"] = loaded.attention
    reasons = effective.reasons if effective else {}
    return "  ".join(
        f"{name} {word}" + (f" ({reasons[name]})" if name in reasons else "") for name, word in sorted(settings.items())
    )


_COMPILED = {
    "fresh": "code compiled at this start", "cache": "compiled code read from a cache",
    "both": "code compiled, some of it read from a cache",
}  # fmt: skip
_GRAPHS = {"captured": "CUDA graphs captured and not used", "replayed": "CUDA graphs replayed"}


def _executed(result: Result) -> str:
    """How steps were executed, with what stands behind the word."""
    found = result.effective
    if not found or not (found.compiled or found.graphs):
        return ""
    facts = [_COMPILED.get(found.compiled, ""), _GRAPHS.get(found.graphs, "")]
    return ran(result) + (f" ({', '.join(filter(None, facts))})" if any(facts) else "")


def _ready(result: Result) -> str:
    phases = (phase for phase in ("compile", "capture") if phase in result.phases)
    return "  ".join(f"{phase} {format_seconds(result.phases[phase])}" for phase in phases)


def _acceptance(result: Result) -> str:
    counters = result.effective.counters if result.effective else {}
    share = acceptance(counters)
    if share is None:
        return ""
    random = ", which means nothing for random weights" if result.loaded and result.loaded.random_weights else ""
    return f"accepted {counters.get('accepted_tokens', 0):,} of {counters['drafted_tokens']:,} ({share:.0%}){random}"


def _counters(result: Result) -> str:
    counters = result.effective.counters if result.effective else {}
    return "  ".join(f"{name} {count:,}" for name, count in sorted(counters.items()))


def _facts(result: Result) -> Iterator[tuple[str, str]]:
    yield from (result.loaded.details if result.loaded else {}).items()
    yield from (result.effective.facts if result.effective else {}).items()
