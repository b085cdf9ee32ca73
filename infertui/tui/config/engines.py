"""What the chosen engine makes of the form: which keys mean something, which words there are, what auto comes to."""

from collections.abc import Mapping

from infertui.config.endpoint import heeded_by_endpoints
from infertui.config.engine_options import (
    DRAFTING,
    NAME,
    applies,
    drafts,
    limits_with,
    named_engines,
    option_of,
    own_default,
    owner_of,
    takes,
    words_with,
)
from infertui.config.engines.spec import EngineSpec
from infertui.config.fields import FIELDS, Field, field_of
from infertui.config.parse import FlatValue, axis_key
from infertui.config.ranges import axis_values
from infertui.errors import ConfigError
from infertui.load.plan import DEFAULT_LOAD_S
from infertui.tui.config.form import values as texts

_SPECULATION = "engine.speculation"


def engines(values: Mapping[str, FlatValue]) -> tuple[EngineSpec, ...]:
    """The engines of the form's runs: one, or those of an axis over engine.name."""
    path = texts.axis_path(values, NAME)
    return named_engines(values.get(NAME, ""), values[path] if path else None)


def words(values: Mapping[str, FlatValue], key: str) -> tuple[str, ...]:
    """The words to choose from for `key`, those that the engines take; none for free values."""
    return words_with(key, engines(values))


def limits(values: Mapping[str, FlatValue], field: Field) -> str:
    """What is allowed for a key with the engines of the form."""
    return limits_with(field, engines(values))


def heeded(values: Mapping[str, FlatValue], key: str) -> bool:
    """Whether the value of `key` means anything with the engines of the form."""
    if not any(applies(spec, key) for spec in engines(values)):
        return False
    return key not in DRAFTING or _swept(values, _SPECULATION) or drafts(key, values.get(_SPECULATION))


_SEARCHES = "capacity.by"


def of_target(values: Mapping[str, FlatValue], key: str) -> bool:
    """Whether a key is heeded with the kind of target that is chosen, or is in the way there."""
    if key == "target.kind" or _swept(values, key) or _changed(values, key):
        return True
    if values.get("target.kind") == "endpoint":
        if key.startswith("capacity.") and key != _SEARCHES:
            return values.get(_SEARCHES) != FIELDS[_SEARCHES].default
        return heeded_by_endpoints(key, served=values.get("target.serve", "none") != "none")
    return not key.startswith(("target.", "load.", "capacity."))


def _changed(values: Mapping[str, FlatValue], key: str) -> bool:
    return key in FIELDS and key in values and values[key] != FIELDS[key].default


def shows(values: Mapping[str, FlatValue], key: str) -> bool:
    """Whether the line of `key` shows when nothing is looked for: it means something, or is in the way."""
    if not of_target(values, key):
        return False
    if heeded(values, key):
        return True
    at_rest = key in FIELDS and values.get(key) == FIELDS[key].default and not _swept(values, key)
    return owner_of(key) is None and not at_rest


def unheeded_because(values: Mapping[str, FlatValue], key: str) -> str:
    """Why `key` means nothing; empty where it does."""
    if heeded(values, key):
        return ""
    owner = owner_of(key)
    if owner is not None:
        return f"only with the engine {owner.name}"
    names = ", ".join(spec.name for spec in engines(values)) or "the engine"
    if any(applies(spec, key) for spec in engines(values)):
        return "only with speculation"
    return "Transformers needs no fallback" if key == "engine.fallback" else f"{names} takes no {key}"


def lacks_url(values: Mapping[str, FlatValue]) -> bool:
    """Whether a load on a server that runs already is not told where that is."""
    of_server = values.get("target.kind") == "endpoint" and values.get("target.serve", "none") == "none"
    return of_server and not _swept(values, "target.url") and not str(values.get("target.url", "")).strip()


def meaning(values: Mapping[str, FlatValue], key: str) -> str:
    """What the value of `key` stands for where it is 0 or empty: `from the prompts`; empty where it says it itself."""
    field = field_of(key)
    if field is None or field.is_table or key not in values or _swept(values, key):
        return ""
    if key == "target.url" and lacks_url(values):
        return "needed"
    if values.get("target.kind") == "endpoint" and values[key] == 0 and (said := _of_load(values, key)):
        return said
    return field.meaning(values[key])


def _of_load(values: Mapping[str, FlatValue], key: str) -> str:
    """What 0 stands for in a load where that is not what it is for an engine, or depends on other keys."""
    if key == "load.concurrency" and values.get("load.request_rate"):
        return "as many as come"
    if key == "workload.num_prompts":
        return "as many as time allows"
    bounded = any(values.get(other) for other in ("workload.num_prompts", "load.steps", "load.trace"))
    return f"{DEFAULT_LOAD_S:g}, as usual" if key == "measurement.max_seconds" and not bounded else ""


def comes_to(values: Mapping[str, FlatValue], key: str, word: str) -> str:
    """What `word` stands for where the engine decides: `eager` for the mode auto; empty for words that say it."""
    option, chosen = option_of(key), engines(values)
    if option is None or word != FIELDS[key].default:
        return ""
    meant = {spec.name: own_default(spec, option) for spec in chosen if option in spec.common}
    if set(meant.values()) <= {word}:
        return ""
    if len(set(meant.values())) == 1:
        return next(iter(meant.values()))
    return ", ".join(f"{own} with {name}" for name, own in meant.items())


def fitted(values: Mapping[str, FlatValue]) -> tuple[dict[str, FlatValue], tuple[str, ...]]:
    """The values with every option that the engines do not take back at its default, and what was, as `key = value`."""
    chosen, lost = engines(values), []
    found = dict(values)
    for key in FIELDS:
        axis = texts.axis_path(found, key)
        if owner_of(key) is not None:  # an axis alone is in the way: values of other engines' tables are kept
            if axis and not any(applies(spec, key) for spec in chosen):
                lost.append(f"{key} = {texts.shown(found, key)}")
                del found[axis]
        elif option_of(key) is not None and not all(_taken(found, key, spec) for spec in chosen):
            lost.append(f"{key} = {texts.shown(found, key)}")
            found.pop(axis, None)
            found[key] = _default(key)
    for key in DRAFTING:
        axis = texts.axis_path(found, key)
        if not heeded(found, key) and (axis or found.get(key) != _default(key)):
            lost.append(f"{key} = {texts.shown(found, key)}")
            found.pop(axis, None)
            found[key] = _default(key)
    return found, tuple(lost)


def _default(key: str) -> FlatValue:
    default = FIELDS[key].default
    assert not isinstance(default, Mapping)  # noqa: S101
    return default


def _taken(values: Mapping[str, FlatValue], key: str, spec: EngineSpec) -> bool:
    path = texts.axis_path(values, key)
    if not path:
        return takes(spec, key, values.get(key))
    try:
        return all(takes(spec, key, value) for value in axis_values(axis_key(path), values[path]))
    except ConfigError:
        return False


def _swept(values: Mapping[str, FlatValue], key: str) -> bool:
    return bool(texts.axis_path(values, key))


def reset_note(key: str, word: str, lost: tuple[str, ...]) -> str:
    """What to say when other keys went back to their defaults because `key` became `word`; empty for nothing."""
    subject = word if key == NAME else f"{key} = {word}"
    return f"{subject} does not take {', '.join(lost)}: back to the default." if lost else ""
