"""Which keys of `[engine]` an engine takes, and which words there: read from its description, asked by everybody.

An option that the chosen engine does not take has to stay at its default, so that no config says what nobody heeds.
"""

import difflib
import typing
from collections.abc import Mapping, Sequence

from infertui.config.engines.registry import SPECS
from infertui.config.engines.spec import CommonOption, EngineSpec
from infertui.config.fields import FIELDS, Field, Value, show
from infertui.config.ranges import axis_values
from infertui.config.schema import EngineConfig
from infertui.errors import ConfigError

NAME = "engine.name"
COMMON_OPTIONS: tuple[CommonOption, ...] = typing.get_args(CommonOption)
# Keys that only mean something beside an option.
DRAFTING = ("engine.draft_model", "engine.draft_tokens")
_WITHOUT_DRAFT_MODEL = ("none", "prompt-lookup", "mtp")
TABLES: Mapping[str, EngineSpec] = {f"engine.{spec.table}": spec for spec in SPECS.values()}
"""The table of each engine's own options, by its dotted path."""


def path_of(option: CommonOption) -> str:
    """The key of an option: `engine.mode`."""
    return f"engine.{option}"


def option_of(path: str) -> CommonOption | None:
    """The option whose key that is."""
    return next((option for option in COMMON_OPTIONS if path_of(option) == path), None)


def owner_of(path: str) -> EngineSpec | None:
    """The engine in whose table a key stands; None for every other key."""
    return TABLES.get(path.rpartition(".")[0])


def words(spec: EngineSpec, option: CommonOption) -> tuple[str, ...] | None:
    """The words that an engine takes for an option, the key's default first; None: it takes what the schema does."""
    default = str(FIELDS[path_of(option)].default)
    taken = spec.common.get(option)
    if taken is None:
        return (default,)
    if taken == ():
        return FIELDS[path_of(option)].choices or None
    return tuple(dict.fromkeys((default, *taken)))


def takes(spec: EngineSpec, path: str, value: object) -> bool:
    """Whether an engine takes `value` for the key at `path`; True for keys that are no option."""
    option = option_of(path)
    return option is None or (allowed := words(spec, option)) is None or str(value) in allowed


def applies(spec: EngineSpec, path: str) -> bool:
    """Whether a key of `[engine]` means something to an engine at all: its options, and the keys of its own table."""
    if (owner := owner_of(path)) is not None:
        return owner.name == spec.name
    if path in DRAFTING:
        return "speculation" in spec.common
    if path == "engine.fallback":
        return spec.name != FIELDS[NAME].default
    option = option_of(path)
    return option is None or option in spec.common


def drafts(path: str, speculation: object) -> bool:
    """Whether a key of DRAFTING means something with that speculation."""
    return speculation not in (_WITHOUT_DRAFT_MODEL if path == "engine.draft_model" else ("none",))


def own_default(spec: EngineSpec, option: CommonOption) -> str:
    """What the default of an option comes to with an engine: `auto` may stand for `compile`."""
    default = str(FIELDS[path_of(option)].default)
    taken = spec.common.get(option, ())
    return taken[0] if taken and default not in taken else default


def words_with(path: str, engines: Sequence[EngineSpec]) -> tuple[str, ...]:
    """The words that one of `engines` or another takes for a key, in the order of the schema; none for free values."""
    choices, option = FIELDS[path].choices if path in FIELDS else (), option_of(path)
    if option is None or not engines:
        return choices
    return tuple(word for word in choices if any(takes(spec, path, word) for spec in engines))


def limits_with(field: Field, engines: Sequence[EngineSpec]) -> str:
    """What is allowed for a key with `engines`: an option's words are theirs alone."""
    chosen = words_with(field.path, engines)
    return f"one of {', '.join(chosen)}" if chosen != field.choices else field.limits


def option_fields(spec: EngineSpec) -> tuple[Field, ...]:
    """The options of an engine's own table."""
    return tuple(field for path, field in FIELDS.items() if owner_of(path) is spec)


def option_problem(engine: EngineConfig, option: CommonOption) -> ConfigError | None:
    """Why an engine cannot do as an option says, and what it can."""
    spec, path, value = SPECS[engine.name], path_of(option), getattr(engine, option)
    allowed = words(spec, option)
    if allowed is None or str(value) in allowed:
        return None
    field = FIELDS[path]
    if option not in spec.common:
        others = [name for name, other in SPECS.items() if takes(other, path, value)]
        return ConfigError(
            path,
            f"{spec.name} takes no {path}, and it is {show(value)}",
            allowed=f"{show(field.default)} with engine.name = {show(spec.name)}",
            remedy=f"Engines that take it: {', '.join(others)}." if others else "",
        )
    near = difflib.get_close_matches(str(value), allowed, n=1)
    return ConfigError(
        path,
        f"{spec.name} does not take {show(value)}",
        allowed=f"one of {', '.join(allowed)} with engine.name = {show(spec.name)}",
        remedy=f'Did you mean "{near[0]}"?' if near else "",
    )


def draft_problem(engine: EngineConfig) -> ConfigError | None:
    """Why the keys about drafting contradict each other."""
    speculation = engine.speculation
    if engine.draft_model and not drafts("engine.draft_model", speculation):
        return ConfigError(
            "engine.draft_model",
            f"engine.speculation = {show(speculation)} has no draft model, and it is {show(engine.draft_model)}",
            allowed='"", or an engine.speculation that drafts with a model',
        )
    if engine.draft_tokens and not drafts("engine.draft_tokens", speculation):
        return ConfigError(
            "engine.draft_tokens",
            f"nothing is drafted with engine.speculation = none, and it is {engine.draft_tokens}",
            allowed="0, or an engine.speculation that drafts",
        )
    if speculation == "draft-model" and not engine.draft_model:
        return ConfigError(
            "engine.draft_model",
            "engine.speculation = draft-model needs the model that drafts, and it is empty",
            allowed="a model, as model.id",
        )
    return None


def named_engines(name: object, axis: object = None) -> tuple[EngineSpec, ...]:
    """The engines of a config: those of an axis over engine.name, else the one called `name`. Others are left out."""
    names: list[Value] = [str(name)]
    if isinstance(axis, str | list):
        try:
            names = axis_values(NAME, axis)
        except ConfigError:
            names = []
    return tuple(SPECS[str(found)] for found in dict.fromkeys(names) if str(found) in SPECS)
