"""From a tree of tables to a Config, with one error that names the key, the value and what is allowed.

A config also has a flat form, `{"workload.batch_size": 4, "labels.owner": "me", "sweep.grid.workload.seed": [1, 2]}`:
the form in which layers are merged. What follows `labels.`, `sweep.grid.` and `sweep.zip.` is one key, dots and all.

A short name for what a config measures, to recognise the same measurement again.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from infertui.config.engine_options import (
    COMMON_OPTIONS,
    NAME,
    draft_problem,
    named_engines,
    option_problem,
    owner_of,
    path_of,
)
from infertui.config.fields import FIELDS, SECTIONS, TABLES, Value, check_text, field_of, show, toml_path, unknown_key
from infertui.config.ranges import MAX_POINTS, axis_values, label_text
from infertui.config.schema import AxisValues, Config, EngineConfig
from infertui.errors import ConfigError

FlatValue = Value | AxisValues
SourceOf = Callable[[str], str]
"""From a flat path to where its value came from, for errors that concern several keys."""


def decode(tree: Mapping[str, object], source: str = "") -> Config:
    """The Config that `tree` (as a TOML reader gives it) describes; keys left out have their defaults.

    Raises ConfigError for the first key that is unknown, of the wrong type or out of range, for keys that contradict
    each other, and for an impossible sweep.
    """
    return build(flatten(tree, source), lambda _path: source)


def flatten(tree: Mapping[str, object], source: str = "") -> dict[str, FlatValue]:
    """The flat form of `tree`, each value checked by itself. Raises ConfigError; contradictions are `build`'s."""
    if not isinstance(tree, Mapping):
        raise ConfigError(
            "", f"{show(tree)} is not a table of settings", allowed="the tables " + ", ".join(SECTIONS), source=source
        )
    flat: dict[str, FlatValue] = {}
    for path, value in _walk(tree, "", source):
        if path in flat:  # an axis with quotes around its key, and once more without
            raise ConfigError(toml_path(path), "it is there twice", allowed="each axis once", source=source)
        flat[path] = value
    return flat


def build(flat: Mapping[str, FlatValue], source_of: SourceOf = lambda _path: "") -> Config:
    """The Config of checked flat values. Raises ConfigError where they contradict each other."""
    tree: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
    for section in reversed(SECTIONS):
        if section:
            parent, _, key = section.rpartition(".")
            tree[parent][key] = tree[section]
    for table in TABLES:
        parent, _, key = table.rpartition(".")
        tree[parent][key] = {}
    swept: set[str] = set()
    for path, value in flat.items():
        table, key = _place(path)
        if table in TABLES:
            parent, _, name = table.rpartition(".")
            free = tree[parent][name]
            assert isinstance(free, dict)  # noqa: S101
            free[key] = value
            swept |= {key} if table != "labels" else set()
        else:
            tree[table][key] = value
    config = msgspec.convert(tree[""], Config)
    _check_together(config, swept, source_of)
    _check_sweep(config, source_of)
    return config


def flat_values(config: Config) -> dict[str, FlatValue]:
    """The flat form of a config, every key of it."""
    found: dict[str, FlatValue] = {}
    for path, field in FIELDS.items():
        value: Any = config
        for part in path.split("."):
            value = getattr(value, part)
        if field.is_table:
            found |= {f"{path}.{key}": entry for key, entry in value.items()}
        else:
            found[path] = value
    return found


def axis_key(path: str) -> str:
    """The key that a flat `sweep.*` path varies; empty for any other path."""
    table, key = _place(path)
    return key if table in TABLES and table != "labels" else ""


def _place(path: str) -> tuple[str, str]:
    for table in TABLES:
        if path.startswith(table + "."):
            return table, path[len(table) + 1 :]
    section, _, key = path.rpartition(".")
    return section, key


def _walk(tree: Mapping[str, object], prefix: str, source: str) -> Iterator[tuple[str, FlatValue]]:
    for raw, value in tree.items():
        path = prefix + str(raw)
        if "." in str(raw) and (path in FIELDS or path in SECTIONS):
            raise ConfigError(
                f'"{path}"',
                f"its dots stand inside the quotes (its value: {show(value, 40)})",
                allowed=f"{path} without quotes, or the key in its own [table]",
                source=source,
            )
        if not str(raw) or "." in str(raw) or not (path in SECTIONS or path in FIELDS):
            raise unknown_key(path, value, source=source)
        if path in SECTIONS or path in TABLES:
            if not isinstance(value, Mapping):
                raise ConfigError(
                    toml_path(path), f"{show(value)} is not a table", allowed=f"a table [{path}]", source=source
                )
            if path in SECTIONS:
                yield from _walk(value, path + ".", source)
            else:
                yield from (_label if path == "labels" else _axes)(path, value, source)
        else:
            yield path, FIELDS[path].check(value, source=source)


def _label(table: str, entries: Mapping[str, object], source: str) -> Iterator[tuple[str, FlatValue]]:
    for raw, value in entries.items():
        key = str(raw)
        if not key.strip():
            raise ConfigError("labels", f"{show(key)} is no name for a label", allowed="keys with text", source=source)
        path = f"{table}.{key}"
        check_text(path, key, source=source)
        yield path, label_text(path, value, source=source)


def _axes(table: str, entries: Mapping[str, object], source: str) -> Iterator[tuple[str, FlatValue]]:
    for key, value in _nested_axes(entries, "", source):
        yield f"{table}.{key}", check_axis(table, key, value, source)


def check_axis(table: str, key: str, value: object, source: str) -> AxisValues:
    """The axis over `key` in `table`, checked: ranges as they are written, lists with full names. ConfigError."""
    if field_of(key) is None or key.startswith("sweep."):
        raise ConfigError(
            toml_path(f"{table}.{key}"),
            f"there is no such key to sweep (its values: {show(value, 40)})",
            allowed="a dotted key such as workload.batch_size",
            source=source,
            remedy=unknown_key(key, value).remedy,
        )
    check_text(f"{table}.{key}", key, source=source)
    values = axis_values(key, value, source=source, where=f"{table}.{key}")
    return value if isinstance(value, str) else values


def _nested_axes(entries: Mapping[str, object], prefix: str, source: str) -> Iterator[tuple[str, object]]:
    """`workload.batch_size = [1, 2]` without quotes is a table in a table in TOML, and means the same."""
    for raw, value in entries.items():
        key = prefix + str(raw)
        if isinstance(value, Mapping) and value and (key in SECTIONS or key == "labels"):
            yield from _nested_axes(value, key + ".", source)
        else:
            yield key, value


class _Rule(NamedTuple):
    """Keys that have to agree. `problem` says what is wrong with a config, empty when nothing is."""

    keys: tuple[str, ...]
    problem: Callable[[Config], str]
    allowed: str


def _random_without_length(config: Config) -> str:
    work = config.workload
    random = work.prompts == "random" and not work.prompts_file and work.input_len == 0
    return "random prompts need a length, and it is 0" if random else ""


def _counts_disagree(config: Config) -> str:
    work, iterations = config.workload, config.measurement.iterations
    needed = math.ceil(work.num_prompts / work.batch_size)
    if not work.num_prompts or not iterations or needed == iterations:
        return ""
    return (
        f"{iterations} iterations of batch size {work.batch_size} are not the {work.num_prompts} requests of "
        f"workload.num_prompts, which make {needed}"
    )


def _greedy_yet_sampling(config: Config) -> str:
    work = config.workload
    if work.temperature or (work.top_k == 0 and work.top_p == 1):
        return ""
    key = f"top_k = {work.top_k}" if work.top_k else f"top_p = {work.top_p}"
    return f"0 is greedy, which leaves nothing to workload.{key}"


# The first key of each rule is the one that the error names.
_RULES = (
    _Rule(
        ("workload.input_len", "workload.prompts", "workload.prompts_file"),
        _random_without_length,
        'an integer from 1, or other prompts than "random"',
    ),
    _Rule(
        ("measurement.iterations", "workload.num_prompts", "workload.batch_size"),
        _counts_disagree,
        "measurement.iterations = 0 (the requests decide), workload.num_prompts = 0, or both in agreement",
    ),
    _Rule(
        ("workload.temperature", "workload.top_k", "workload.top_p"),
        _greedy_yet_sampling,
        "a temperature above 0, or top_k = 0 and top_p = 1",
    ),
)


def _check_together(config: Config, swept: set[str], source_of: SourceOf) -> None:
    """Apply the rules; those with a swept key wait for the variants, which have their values."""
    for rule in _RULES:
        if swept.isdisjoint(rule.keys) and (problem := rule.problem(config)):
            raise ConfigError(rule.keys[0], problem, allowed=rule.allowed, source=_sources(rule.keys, source_of))
    checks: list[tuple[tuple[str, ...], Callable[[EngineConfig], ConfigError | None]]] = [
        ((path_of(option), NAME), partial(option_problem, option=option)) for option in COMMON_OPTIONS
    ]
    checks.append((("engine.draft_model", "engine.draft_tokens", "engine.speculation"), draft_problem))
    for keys, check in checks:
        if swept.isdisjoint(keys) and (found := check(config.engine)) is not None:
            raise ConfigError(
                found.path, found.problem, allowed=found.allowed, source=_sources(keys, source_of), remedy=found.remedy
            )


def _sources(keys: Sequence[str], source_of: SourceOf) -> str:
    origins = {key: source_of(key) for key in keys}
    distinct = set(origins.values()) - {"default"}
    if len(distinct) <= 1:
        return distinct.pop() if distinct else ""
    return ", ".join(f"{origin} for {key}" for key, origin in origins.items() if origin != "default")


def _check_sweep(config: Config, source_of: SourceOf) -> None:
    grid, together = config.sweep.grid, config.sweep.zip
    _check_tables(config, source_of)
    for key in grid.keys() & together.keys():
        path = f"sweep.zip.{key}"
        raise ConfigError(toml_path(path), "the grid has this axis too", allowed="one of both", source=source_of(path))
    count = 1
    for key, axis in grid.items():
        path = f"sweep.grid.{key}"
        values = axis_values(key, axis, source=source_of(path), where=path)
        _distinct(path, values, source_of(path))
        count *= len(values)
        if count > MAX_POINTS:
            _too_many(path, count, source_of(path))
    columns = {
        key: axis_values(key, axis, source=source_of(path), where=path)
        for key, axis in together.items()
        if (path := f"sweep.zip.{key}")
    }
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        problem = "axes that advance together differ in length: " + ", ".join(
            f"{toml_path(key)} has {length}" for key, length in lengths.items()
        )
        raise ConfigError(
            "sweep.zip",
            problem,
            allowed="axes of equal length",
            source=_sources([f"sweep.zip.{key}" for key in columns], source_of),
        )
    if columns:
        source = _sources([f"sweep.zip.{key}" for key in columns], source_of)
        rows = list(zip(*columns.values(), strict=True))
        _distinct("sweep.zip", rows, source)
        if count * len(rows) > MAX_POINTS:
            _too_many("sweep.zip", count * len(rows), source)


def _check_tables(config: Config, source_of: SourceOf) -> None:
    """An axis over an option of an engine that no variant uses would measure the same again and again."""
    axes = {key: f"sweep.{table}.{key}" for table in ("grid", "zip") for key in getattr(config.sweep, table)}
    swept = config.sweep.grid.get(NAME, config.sweep.zip.get(NAME))
    used = named_engines(config.engine.name, swept)
    for key, path in axes.items():
        owner = owner_of(key)
        if owner is not None and owner not in used:
            raise ConfigError(
                toml_path(path),
                f"no variant of the sweep runs {owner.name}, whose option that is",
                allowed=f"options of {', '.join(spec.name for spec in used)}",
                source=_sources([path, NAME], source_of),
                remedy=f'engine.name = "{owner.name}" runs it.',
            )


def _distinct(path: str, values: Sequence[Value | tuple[Value, ...]], source: str) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise ConfigError(toml_path(path), f"{show(value)} occurs twice", allowed="different values", source=source)
        seen.add(value)


def _too_many(path: str, count: int, source: str) -> None:
    raise ConfigError(
        toml_path(path), f"the sweep makes {count:,} configurations", allowed=f"up to {MAX_POINTS:,}", source=source
    )


LENGTH = 12
_JUDGED = ("validity", "quality", "capacity")
_LATER = ("measurement.min_seconds",)
"""Keys that count only where they are set: they came later, and a config from before means the same as ever."""


def config_hash(config: Config) -> str:
    """The first 12 hex digits of the SHA-256 of the config as canonical JSON (sorted dotted keys, full values).

    Everything that is measured counts, defaults included. Labels do not, nor the sweep: a run means the same whatever
    it is called and whichever sweep it came from; nor what its figures are judged by afterwards, or a search for a
    capacity, of which there is no run. Of the engines' tables that of the chosen engine counts.
    """
    measured = {
        path: value
        for path, value in flat_values(config).items()
        if path in FIELDS
        and (path not in _LATER or value != FIELDS[path].default)
        and path.partition(".")[0] not in _JUDGED
        and ((owner := owner_of(path)) is None or owner.name == config.engine.name)
    }
    for path, value in measured.items():
        if FIELDS[path].type == "number" and isinstance(value, int):
            measured[path] = float(value)  # a config made in code may say 20 where a file gives 20.0
    return hashlib.sha256(msgspec.json.encode(measured, order="sorted")).hexdigest()[:LENGTH]
