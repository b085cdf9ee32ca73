"""The knobs of a config: which keys a tuning session turns, what each takes, and what turning it asks of the target."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from infertui.config.engine_options import applies, drafts, owner_of, words_with
from infertui.config.engines.registry import SPECS
from infertui.config.engines.spec import EngineSpec
from infertui.config.fields import FIELDS, Field, Value, parse_text, show
from infertui.config.parse import FlatValue, build, flat_values
from infertui.config.schema import Config
from infertui.config.sweep import short_name
from infertui.errors import ConfigError
from infertui.targets.base import TargetKind
from infertui.telemetry.readings import CLOCK, POWER, SERVER, GpuSetting

Effect = Literal["live", "prepare", "reload"]
"""What a change asks for: `live` nothing, `prepare` that the engine gets ready anew, `reload` that the model is loaded
again. Each of them is followed by a warm-up."""

GPU = "gpu."
"""What the settings of a GPU begin with where they stand beside keys of a config."""
_GPU_WORDS = {
    POWER: "power limit in watts, until the session ends",
    CLOCK: "megahertz that the SM clock is locked to, until the session ends; 0: not locked",
}
_PREPARED = ("batch_size", "input_len", "output_len", "prompts", "prompts_file", "temperature", "top_k", "top_p")
"""Keys of `[workload]` that are part of what an engine gets ready for (`GenerationPlan`)."""
_SIZED = ("batch_size", "input_len", "output_len", "prompts", "prompts_file")
"""Those that an engine which is sized at load reserves memory for (`Capacity`)."""
_NOT_TURNED = frozenset({"workload.num_prompts", "engine.fallback"})
"""How much is measured is the session's to say, and a fallback is nothing to tune."""
_TURNED = ("workload", "engine")
_OF_ENGINE, _OF_ENDPOINT = ("workload", "engine", "device", "model", "labels"), ("workload", "load", "labels")
_OF_ENGINES = ("workload.batch_size",)
"""A key of the workload that a server is not asked."""
_LATER = ("device.threads",)
_DOUBLED_FROM = 64
"""Integers whose range is wider than this are stepped by doubling."""
_TENTHS_UP_TO = 100
"""Numbers that reach no further than this are stepped by tenths, or by a twentieth where they end at 1."""


class Knob(Struct, frozen=True):
    """One key that can be turned. `words` are those that the engine takes; a number has its limits."""

    key: str
    label: str
    value: Value
    default: Value
    effect: Effect
    description: str
    allowed: str
    words: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    whole: bool = False
    step: float = 0.0
    """By how much a number goes on; 0: as its range has it."""


def knobs_of(config: Config, gpu: Sequence[GpuSetting] = ()) -> tuple[Knob, ...]:
    """The knobs of a config, those of the workload first; of the engine's options those that it takes; last the
    settings of its GPUs that may be changed."""
    spec, flat = SPECS[config.engine.name], flat_values(config)
    kind = config.target.kind
    found = [field for field in FIELDS.values() if _is_knob(field, spec, config.engine.speculation, kind)]
    ordered = sorted(found, key=lambda field: not field.path.startswith("workload."))
    return (*(_knob(field, config, flat) for field in ordered), *(_gpu_knob(setting, config) for setting in gpu))


def _is_knob(field: Field, spec: EngineSpec, speculation: str, kind: TargetKind) -> bool:
    path = field.path
    if path in _NOT_TURNED or field.is_table or field.type == "text":
        return False
    if kind == "endpoint":
        return path.partition(".")[0] in ("workload", "load") and path not in _OF_ENGINES
    if path in _LATER:
        return True
    section = path.partition(".")[0]
    if section not in _TURNED:
        return False
    if section == "workload":
        return True
    return applies(spec, path) and (path != "engine.draft_tokens" or drafts(path, speculation))


def _knob(field: Field, config: Config, flat: Mapping[str, FlatValue]) -> Knob:
    spec = SPECS[config.engine.name]
    value, default = flat[field.path], field.default
    assert isinstance(value, bool | int | float | str)  # noqa: S101
    assert isinstance(default, bool | int | float | str)  # noqa: S101
    words = words_with(field.path, (spec,))
    return Knob(
        key=field.path,
        label=short_name(field.path),
        value=value,
        default=default,
        effect=effect_of(config, field.path),
        description=field.description,
        allowed=f"one of {', '.join(words)}" if words and field.type == "choice" else field.limits,
        words=words,
        minimum=field.minimum,
        maximum=field.maximum,
        whole=field.type == "integer",
    )


def _gpu_knob(setting: GpuSetting, config: Config) -> Knob:
    now, of_server = further_settings(config).get(setting.name, setting.was), setting.place == SERVER
    limits = f"from {setting.low:g} to {setting.high:g}"
    return Knob(
        key=setting.key,
        label=setting.name,
        value=int(now) if setting.whole else now,
        default=int(setting.was) if setting.whole else setting.was,
        effect="live",
        description=setting.description or _GPU_WORDS.get(setting.name, ""),
        allowed=f"not changeable: {setting.refused}" if setting.refused else limits,
        minimum=None if setting.refused else setting.low,
        maximum=None if setting.refused else setting.high,
        whole=setting.whole,
        step=0.0 if of_server else max(5.0, 5.0 * round((setting.high - setting.low) / 100)),
    )


def further_settings(config: Config) -> dict[str, float]:
    """What a config's labels say that settings of its GPUs are, or of its server: of a segment that changed some."""
    found = {}
    for key, text in config.labels.items():
        if key.startswith((GPU, SERVER)):
            with contextlib.suppress(ValueError):
                found[key.partition(".")[2]] = float(text)
    return found


def effect_of(config: Config, key: str) -> Effect:
    """What turning the knob asks of the target: of a server that is not ours, nothing; ours is started anew."""
    section, _, name = key.partition(".")
    if config.target.kind == "endpoint":
        return "live" if config.target.serve == "none" else "reload"
    spec = SPECS[config.engine.name]
    if key in spec.adapts:
        return "prepare"
    if section in ("model", "device", "engine"):
        return "reload"
    if section == "workload" and name in _SIZED and spec.sized_at_load:
        return "reload"
    return "prepare" if section == "workload" and name in _PREPARED else "live"


def effect_between(before: Config, after: Config) -> Effect:
    """The most that one of the keys asks for in which two configs differ."""
    if before.engine.name != after.engine.name:
        return "reload"
    found = {effect_of(after, key) for key in changed_keys(before, after)}
    return "reload" if "reload" in found else "prepare" if "prepare" in found else "live"


def changed_keys(before: Config, after: Config) -> dict[str, Value]:
    """The keys in which `after` differs, with its values. Tables of other engines than its own do not count."""
    old, new = flat_values(before), flat_values(after)
    settings = (f"labels.{GPU}", f"labels.{SERVER}")
    gone: dict[str, Value] = {key: "as before" for key in old if key.startswith(settings) and key not in new}
    return gone | {
        key: value
        for key, value in new.items()
        if isinstance(value, bool | int | float | str)
        and old.get(key) != value
        and ((owner := owner_of(key)) is None or owner.name == after.engine.name)
    }


def turned(config: Config, changes: Mapping[str, str], gpu: Sequence[GpuSetting] = ()) -> Config:
    """`config` with keys changed to what these texts stand for. Raises ConfigError for a key or value that cannot be,
    and where keys contradict each other. Settings of a GPU, `gpu.power_limit_w`, are kept as labels.

    With another engine, options that it does not take go back to their defaults unless they were changed as well.
    """
    flat = flat_values(config)
    for key, text in changes.items():
        if key.startswith((GPU, SERVER)):
            flat[f"labels.{key}"] = _gpu_value(key, text, gpu)
            continue
        endpoint = config.target.kind == "endpoint"
        if key.partition(".")[0] not in (_OF_ENDPOINT if endpoint else _OF_ENGINE):
            allowed = f"keys of {', '.join(_OF_ENDPOINT if endpoint else _OF_ENGINE)}"
            raise ConfigError(key, "is no knob of a tuning session", allowed=allowed)
        flat[key] = parse_text(key, text)
    if flat["engine.name"] != config.engine.name and (spec := SPECS.get(str(flat["engine.name"]))):
        for path, field in FIELDS.items():
            if path not in changes and path.startswith("engine.") and not applies(spec, path):
                flat[path] = field.default  # type: ignore[assignment]  # no table is below [engine]
    return build(flat)


def _gpu_value(key: str, text: str, gpu: Sequence[GpuSetting]) -> str:
    setting = next((setting for setting in gpu if setting.key == key), None)
    if setting is None:
        of_server = key.startswith(SERVER)
        whose, flag = ("the server", "--server-settings") if of_server else ("GPUs", "--gpu-settings")
        raise ConfigError(
            key,
            f"settings of {whose} are not to be changed in this session" if not gpu else "there is no such setting",
            allowed=", ".join(one.key for one in gpu),
            remedy="" if gpu else f"They are where that was asked for: {flag}.",
        )
    if setting.refused:
        raise ConfigError(key, f"cannot be changed: {setting.refused}")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (setting.low <= value <= setting.high) or (setting.whole and value != int(value)):
        allowed = f"a {'whole ' * setting.whole}number from {setting.low:g} to {setting.high:g}"
        raise ConfigError(key, f"{show(text)} is not allowed here", allowed=allowed)
    return f"{value:g}"


def stepped(knob: Knob, direction: int) -> Value | None:
    """The next value up (1) or down (-1); None at the end of what is allowed.

    Words follow their order; whole numbers of a wide range go by powers of two, others by one; small numbers by tenths,
    larger ones by doubling.
    """
    value = knob.value
    if isinstance(value, bool):
        return (not value) if value != (direction > 0) else None
    if isinstance(value, str):
        if value not in knob.words:
            return None
        at = knob.words.index(value) + direction
        return knob.words[at] if 0 <= at < len(knob.words) else None
    if knob.minimum is None or knob.maximum is None:
        return None
    found = _whole_step(knob, int(value), direction) if knob.whole else _number_step(knob, value, direction)
    # The end itself counts as a step; at 0 or -1 stands what means "the default" or "all".
    found = min(max(found, knob.minimum), knob.maximum)
    if found == value:
        return None
    return int(found) if knob.whole else float(found)


def _whole_step(knob: Knob, value: int, direction: int) -> int:
    assert knob.minimum is not None  # noqa: S101
    assert knob.maximum is not None  # noqa: S101
    if knob.maximum - knob.minimum <= _DOUBLED_FROM or value < 1 or (value == 1 and direction < 0):
        return value + direction
    power = 1 << (value.bit_length() - 1)
    if direction > 0:
        return power * 2
    return power if power != value else power // 2


def _number_step(knob: Knob, value: float, direction: int) -> float:
    assert knob.maximum is not None  # noqa: S101
    if knob.step:
        return value + direction * knob.step
    if knob.maximum <= 1:
        return round(value + direction * 0.05, 2)
    if knob.maximum <= _TENTHS_UP_TO:
        return round(value + direction * 0.1, 1)
    if value == 0:
        return 1.0 if direction > 0 else 0.0
    return value * 2 if direction > 0 else value / 2


def text_of(value: Value) -> str:
    """A value as it is typed: `turned` reads it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
