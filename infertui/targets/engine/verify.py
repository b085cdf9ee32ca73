"""Whether what was asked of an engine is in force: compared with what the engine found by looking at itself."""

from collections.abc import Iterator

from msgspec.structs import replace

from infertui.config.engines.spec import EngineSpec
from infertui.config.schema import DeviceConfig, EngineConfig
from infertui.errors import EngineError
from infertui.targets.engine.base import EffectiveSettings, Loaded
from infertui.text import clean

CHECKED = ("dtype", "mode", "attention", "quantization", "speculation", "tensor_parallel")
"""The options that effective settings speak of; they may leave out `dtype`, which the loaded model has as well."""
_NOT_ASKED = {"speculation": "none", "tensor_parallel": "1"}
_SILENT = "the engine does not say"

# Counters that have to stand still: what they count makes TTFT that of a shorter prompt.
_CACHED = ("cached_prompt_tokens", "prefix_cache_hits")

# Counters that have to grow while an option's decode steps run. Prompt lookup may find nothing to draft.
_PROOFS = {
    ("mode", "cudagraph"): "graph_replays",
    ("speculation", "draft-model"): "drafted_tokens",
    ("speculation", "eagle"): "drafted_tokens",
    ("speculation", "mtp"): "drafted_tokens",
}


def check_loaded(config: EngineConfig, loaded: Loaded) -> None:
    """Raise EngineError when another engine loaded, or another number format than the one that was asked for."""
    if loaded.engine != config.name:
        raise EngineError(
            f"engine.name is {config.name}, but {clean(loaded.engine) or 'nobody'} loaded the model",
            remedy="This is a bug of the engine: only `engine.fallback` may put another in its place.",
        )
    if config.dtype not in ("auto", loaded.dtype):
        raise _not_in_force("dtype", config.dtype, loaded.dtype, "", config.name)


def check_device(device: DeviceConfig, loaded: Loaded) -> None:
    """Raise EngineError when the model is on another kind of device, or computes with more or fewer threads.

    An engine may count GPUs from the one that was asked for, so that their numbers are not compared.
    """
    asked, found = device.name.partition(":")[0], loaded.device.partition(":")[0]
    if asked not in ("auto", found):
        raise EngineError(
            f"device.name = {device.name} was asked of {clean(loaded.engine)}, but the model is on {clean(found)}",
            remedy="Set device.name to where it can run; `infertui doctor` says what is there.",
        )
    if device.threads and loaded.threads not in (None, device.threads):
        raise EngineError(
            f"device.threads = {device.threads} was asked of {clean(loaded.engine)}, but it uses {loaded.threads}",
            remedy="Look for OMP_NUM_THREADS and its like in the environment, or leave device.threads out.",
        )


def check(config: EngineConfig, spec: EngineSpec, effective: EffectiveSettings, *, seen: bool = True) -> None:
    """Raise EngineError when an option that was asked for is not in force, or one is that was not.

    Asked for are those that are not at `auto`, of which the engine has to say what is in force, and `speculation` and
    `tensor_parallel`, whose `none` and 1 mean what they say. Where effective settings have a key `TABLE.OPTION` of the
    engine's own options, it has to agree with an option that is not at its default. `seen` is whether a batch was
    generated: before, what they call unseen is left open.
    """
    for common, asked in _asked(config, spec):
        if not seen and common in effective.unseen:
            continue
        found = effective.settings.get(common)
        if found is None and (asked == _NOT_ASKED.get(common) or common == "dtype" or "." in common):
            continue
        if found != asked:
            raise _not_in_force(common, asked, found, effective.reasons.get(common, ""), config.name)


def growth(before: EffectiveSettings, after: EffectiveSettings) -> dict[str, int]:
    """By how much each counter grew. Raises EngineError for one that went back: then it proves nothing."""
    grown = {name: count - before.counters.get(name, 0) for name, count in after.counters.items()}
    for name, by in grown.items():
        if by < 0:
            raise EngineError(f"the engine's counter {clean(name)} went back by {-by} while it measured")
    return grown


def while_measuring(effective: EffectiveSettings, grown: dict[str, int]) -> EffectiveSettings:
    """Evidence of a run: its counters are what they grew by. Graphs of earlier runs that it did not use are not its."""
    graphs = effective.graphs
    if graphs == "replayed" and "graph_replays" in grown and not grown["graph_replays"]:
        graphs = "captured"
    return replace(effective, counters=grown, graphs=graphs)


def check_growth(config: EngineConfig, grown: dict[str, int], output_len: int) -> None:
    """Raise EngineError when a counter that an option moves in each decode step stood still while measuring, or when
    prompts were taken from a prefix cache.

    Outputs of up to two tokens need no step that could be captured or drafted for.
    """
    for counter in _CACHED:
        if grown.get(counter):
            raise EngineError(
                f"{grown[counter]} prompt tokens came from a prefix cache while measuring, and none was asked for",
                remedy=f"Look for settings of {config.name} in the environment that turn prefix caching on.",
            )
    for (common, word), counter in _PROOFS.items():
        told = counter in grown or common == "speculation"
        if getattr(config, common) == word and told and not grown.get(counter) and output_len > 2:
            reason = f"its counter {counter} stood still while measuring"
            raise _not_in_force(common, word, "something else", reason, config.name)


def _asked(config: EngineConfig, spec: EngineSpec) -> Iterator[tuple[str, str]]:
    for common in CHECKED:
        asked = _word(getattr(config, common))
        if asked != "auto":
            yield common, asked
    chosen, usual = getattr(config, spec.table, None), spec.options()
    for option in spec.options.__struct_fields__ if chosen is not None else ():
        if getattr(chosen, option) != getattr(usual, option):
            yield f"{spec.table}.{option}", _word(getattr(chosen, option))


def _word(value: object) -> str:
    """A value as TOML writes it, texts without quotes."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _not_in_force(common: str, asked: str, found: str | None, reason: str, engine: str) -> EngineError:
    in_force = _SILENT if found is None else f"{clean(found) or 'nothing'} is in force"
    why = f": {clean(reason)}" if reason else ""
    return EngineError(
        f"engine.{common} = {asked} was asked of {engine}, but {in_force}{why}",
        remedy=f"Set engine.{common} to what the engine can do here, or leave it out; "
        f"`infertui engines {engine}` lists the words.",
    )
