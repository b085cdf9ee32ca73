"""Where the values of a config come from, and which of them counts.

In order of precedence: flags, `--set key=value`, environment, `.env`, file, preset, default. Each of these is a Layer
of flat values, already checked one by one; `resolve` merges them and remembers for every key where its value came from.

The configurations that ship with infertui, by name: TOML files under `data/presets`.

A preset holds only what sets it apart from the defaults. Its leading comment says, in the first
paragraph, what it is for.
"""

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path

from msgspec import Struct

from infertui import paths
from infertui.config import toml
from infertui.config.engine_options import NAME, named_engines
from infertui.config.engines.registry import engine_called
from infertui.config.fields import FIELDS, SECTIONS, TABLES, field_of, nearest, parse_text, show
from infertui.config.parse import FlatValue, axis_key, build, check_axis, flatten
from infertui.config.precision import as_the_engine_says, key_of_precision, precision_of
from infertui.config.ranges import label_text
from infertui.config.schema import Config
from infertui.config.toml_text import loads
from infertui.env_file import Environment
from infertui.errors import ConfigError, UsageError
from infertui.paths import expand
from infertui.regular_files import exists, is_dir, is_file
from infertui.text import clean, quoted

_SUFFIX = ".toml"


def names() -> list[str]:
    """Every preset's name, sorted."""
    return sorted(entry.name.removesuffix(_SUFFIX) for entry in _folder().iterdir() if entry.name.endswith(_SUFFIX))


def preset(name: str) -> dict[str, object]:
    """The tables of a preset, unchecked. Raises ConfigError with the nearest name for one that does not exist."""
    return loads(_file(name).read_bytes(), f"preset {name}")


def description(name: str) -> str:
    """What a preset is for: one sentence or two, on one line. Raises ConfigError for an unknown name."""
    lines = _file(name).read_text(encoding="utf-8").splitlines()
    paragraph = itertools.takewhile(lambda line: line.strip("# ") and line.startswith("#"), lines)
    return " ".join(line.lstrip("# ").strip() for line in paragraph)


def unknown(name: str) -> ConfigError:
    """The error for a name that is neither a preset nor a file."""
    near = difflib.get_close_matches(name[:100], names(), n=1, cutoff=0.5)
    remedy = f"Did you mean {near[0]}? " if near else ""
    if engine := engine_called(name):
        own = [one for one in names() if flatten(preset(one)).get(NAME) == engine]
        remedy = f"{engine} is an engine: infertui run gpu-medium --engine {engine}. "
        remedy += f"Presets with it: {', '.join(own)}. " if own else ""
    return ConfigError(
        "",
        f"there is no preset or file {quoted(name, 100)}",
        allowed="a TOML file, a model as of --model, or a preset: " + ", ".join(names()),
        remedy=remedy + "`infertui config presets` says what each is for.",
    )


def _file(name: str) -> Traversable:
    if name not in names():
        raise unknown(name)
    return _folder() / f"{name}{_SUFFIX}"


def _folder() -> Traversable:
    return paths.data() / "presets"


DEFAULT = "default"
_PREFIX = "INFERTUI_"
_PRECISION = "TRT_PRECISION"
_GENERIC = {
    "MODEL_ID": "model.id",
    "BATCH_SIZE": "workload.batch_size",
    "MAX_NEW_TOKENS": "workload.output_len",
    _PRECISION: "engine.dtype",
    "CUDA_VISIBLE_DEVICES": "device.visible",
}
_GENERIC_NAMES = tuple(_GENERIC)
_MODEL = "model.id"
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_NO_GPU = ("", "NoDevFiles")
_VARIABLES = {field.environment: field for field in FIELDS.values()}
_SECTION_VARIABLES = tuple(
    _PREFIX + section.upper() for section in (*SECTIONS, "labels") if section and "." not in section
)


class Layer(Struct, frozen=True):
    """Flat values of one origin. `origins` names a closer source for a key, such as the variable it came from."""

    source: str
    values: Mapping[str, FlatValue]
    origins: Mapping[str, str] = {}
    precisions: frozenset[str] = frozenset()
    """The keys whose value is a precision, to be said in the words of the engine that is chosen."""

    def origin(self, path: str) -> str:
        """Where the value of `path` came from."""
        return self.origins.get(path, self.source)


class Resolved(Struct, frozen=True):
    """A config, and for every key of it (labels and sweep axes included) where its value came from."""

    config: Config
    sources: Mapping[str, str]

    def changed(self) -> list[str]:
        """The keys that something set, by dotted path."""
        return [path for path, source in self.sources.items() if source != DEFAULT]


def load(
    target: str | None,
    *,
    environ: Mapping[str, str],
    sets: Sequence[str] = (),
    flags: Mapping[str, tuple[str, object]] | None = None,
) -> Resolved:
    """The config that a command line asks for. `target` is a preset, a TOML file, a model, or None for the defaults.

    What `names_model` takes is a model. Ending in `.toml` or with a `/` it is a file, otherwise a preset, or a file
    where there is no such preset.
    `sets` are `key=value` texts, `flags` maps a key to the flag's name and its value (None: not given).
    Raises ConfigError or UsageError.
    """
    flags = dict(flags or {})
    if target is not None and names_model(target):
        flag, other = flags.get(_MODEL, ("", None))
        if other is not None:
            raise UsageError(f"{clean(target)[:100]} is a model, and {flag} names another", remedy="Leave one of them.")
        flags[_MODEL], target = ("MODEL", target), None
    layers = [flag_layer(flags), set_layer(sets), environment_layer(environ)]
    if target is not None:
        layers.append(file_layer(target) if _names_file(target) else preset_layer(target))
    return resolve([*layers, default_layer()])


def resolve(layers: Iterable[Layer]) -> Resolved:
    """Merge `layers`, the one that counts most first; the last has to be complete (`default_layer`).

    Labels and sweep axes merge one by one. A plain value for a key ends a sweep over that key which comes from a
    layer below, as does an axis over it in the sweep's other table. Raises ConfigError for contradictions.
    """
    values: dict[str, FlatValue] = {}
    sources: dict[str, str] = {}
    precisions: set[str] = set()
    for layer in reversed(list(layers)):
        for path in layer.values:
            for lower in (f"sweep.{table}.{axis_key(path) or path}" for table in SECTIONS["sweep"]):
                if lower != path:
                    values.pop(lower, None)
                    sources.pop(lower, None)
        values.update(layer.values)
        sources |= {path: layer.origin(path) for path in layer.values}
        precisions = precisions - layer.values.keys() | layer.precisions
    for path in precisions & values.keys():
        values[path] = as_the_engine_says(str(values[path]), named_engines(values[NAME], _axis_over(NAME, values)))
    return Resolved(build(values, lambda path: sources.get(path, "")), sources)


def default_layer() -> Layer:
    """The default of every key."""
    return Layer(
        DEFAULT, {path: field.default for path, field in FIELDS.items() if not isinstance(field.default, Mapping)}
    )


def preset_layer(name: str) -> Layer:
    """A bundled configuration. Raises ConfigError for an unknown name."""
    return Layer(f"preset {name}", flatten(preset(name), f"preset {name}"))


def file_layer(path: str | Path) -> Layer:
    """A TOML file. Raises ConfigError when it cannot be read or says something impossible."""
    source = f"file {clean(str(path))}"
    return Layer(source, flatten(toml.read(path), source))


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """The variables MODEL_ID, BATCH_SIZE, MAX_NEW_TOKENS, TRT_PRECISION, CUDA_VISIBLE_DEVICES; INFERTUI_* beats them.

    INFERTUI_WORKLOAD_BATCH_SIZE is workload.batch_size, and so on for every key; INFERTUI_LABELS_OWNER is labels.owner
    and INFERTUI_SWEEP_GRID_WORKLOAD_BATCH_SIZE an axis. Empty variables count as unset, except that an empty
    CUDA_VISIBLE_DEVICES hides every GPU, as it does in CUDA. What the environment sets counts before what an env file
    does, whichever of their variables says it. Raises ConfigError.
    """
    levels = environ.levels if isinstance(environ, Environment) else (("environment", environ),)
    values: dict[str, FlatValue] = {}
    origins: dict[str, str] = {}
    precisions: set[str] = set()
    for level, variables in levels:
        for path, variable in _named(variables, level).items():
            text = variables[variable]
            precisions = precisions - {path} | ({path} if variable == _PRECISION else set())
            if variable == _PRECISION:
                text = precision_of(path, text, f"{level} {variable}")
            if variable == "CUDA_VISIBLE_DEVICES" and text.strip() in _NO_GPU:
                text = "-1"
            origins[path] = f"{level} {variable}"
            values[path] = _parse(path, text, origins[path])
    return Layer("environment", values, origins, frozenset(precisions))


def _named(variables: Mapping[str, str], level: str) -> dict[str, str]:
    """The keys that `variables` set, each with the name of its variable."""
    named: dict[str, str] = {}
    for variable in (*_GENERIC_NAMES, *sorted(name for name in variables if name.startswith(_PREFIX))):
        text = variables.get(variable)
        if text is not None and (text.strip() or variable == "CUDA_VISIBLE_DEVICES"):
            path = key_of_precision(text) if variable == _PRECISION else _GENERIC.get(variable)
            path = path or _path_of(variable, level)
            if path:
                named[path] = variable
    return named


def set_layer(assignments: Sequence[str]) -> Layer:
    """`key=value` texts, as given to `--set`; the last one for a key counts. Raises UsageError or ConfigError."""
    values: dict[str, FlatValue] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                f"--set {show(assignment)}: a key, an equals sign and a value are needed",
                remedy=f"For example: --set {nearest(key.strip() or 'workload.batch_size')}=VALUE",
            )
        path = _unquoted(key.strip())
        values[path] = _parse(path, text, "--set")
    return Layer("--set", values)


def flag_layer(flags: Mapping[str, tuple[str, object]]) -> Layer:
    """Command line flags: key -> (the flag's name, its value as text or typed; None: not given). Raises ConfigError."""
    given = {path: (flag, value) for path, (flag, value) in flags.items() if value is not None}
    return Layer(
        "flag",
        {path: _typed(path, value, flag) for path, (flag, value) in given.items()},
        {path: flag for path, (flag, _) in given.items()},
    )


def _typed(path: str, value: object, source: str) -> FlatValue:
    field = field_of(path)
    if isinstance(value, str) or field is None:
        return _parse(path, str(value), source)
    if field.type == "labels":
        return label_text(path, value, source=source)
    return _axis(path, value, source) if field.type == "axes" else field.check(value, source=source)


def _parse(path: str, text: str, source: str) -> FlatValue:
    if axis_key(path):
        return _axis(path, text, source)
    return parse_text(path, text, source=source)


def _axis(path: str, value: object, source: str) -> FlatValue:
    key = axis_key(path)
    return check_axis(path.removesuffix(f".{key}"), key, value, source)


def _axis_over(path: str, values: Mapping[str, FlatValue]) -> FlatValue | None:
    return next((values[axis] for table in SECTIONS["sweep"] if (axis := f"sweep.{table}.{path}") in values), None)


def names_model(target: str) -> bool:
    """Whether a target can only be a model: `synthetic:NAME`, a GGUF file, a folder with a config.json, or ORG/NAME
    where nothing on disk begins like that."""
    if target.startswith("synthetic:") or target.lower().endswith(".gguf"):
        return True
    if target in names() or target.endswith(_SUFFIX):
        return False
    path = expand(target)
    if is_dir(path):
        return is_file(path / "config.json")
    return bool(_HUB_ID.fullmatch(target)) and not exists(path) and not is_dir(path.parent)


def _names_file(target: str) -> bool:
    if target.endswith(".toml") or "/" in target:
        return True
    if target in names():
        return False
    try:
        return Path(target).is_file()
    except (OSError, ValueError):  # no file can have such a name
        return False


def _unquoted(key: str) -> str:
    """`sweep.grid."workload.batch_size"` as TOML has it, without the quotes."""
    for table in TABLES:
        free = key.removeprefix(table + ".")
        if free != key and len(free) > 2 and free[0] == free[-1] and free[0] in "\"'":
            return f"{table}.{free[1:-1]}"
    return key


def _path_of(variable: str, level: str) -> str:
    """The key that an INFERTUI_* variable sets; empty for variables that are none of the config's business."""
    if (field := _VARIABLES.get(variable)) and not field.is_table:
        return field.path
    for table in TABLES:
        start = FIELDS[table].environment + "_"
        rest = variable.removeprefix(start)
        if rest not in ("", variable):
            if table == "labels":
                return f"{table}.{rest.lower()}"
            return f"{table}.{_swept_by(rest, variable, level)}"
    concerned = any(variable == section or variable.startswith(section + "_") for section in _SECTION_VARIABLES)
    near = difflib.get_close_matches(variable[:100], _VARIABLES, n=1, cutoff=0.0 if concerned else 0.92)
    if concerned or near:
        raise _no_such_variable(variable, near[0] if near else "", level)
    return ""


def _swept_by(rest: str, variable: str, level: str) -> str:
    if rest.startswith("LABELS_") and rest != "LABELS_":
        return "labels." + rest.removeprefix("LABELS_").lower()
    field = _VARIABLES.get(_PREFIX + rest)
    if field is None or field.is_table:
        near = difflib.get_close_matches(_PREFIX + rest[:100], _VARIABLES, n=1, cutoff=0.0)[0]
        raise _no_such_variable(variable, variable.removesuffix(rest) + near.removeprefix(_PREFIX), level)
    return field.path


def _no_such_variable(variable: str, near: str, level: str) -> ConfigError:
    return ConfigError(
        clean(variable)[:120],
        "this variable names no key",
        allowed="INFERTUI_<TABLE>_<KEY> for the keys of `infertui config keys`",
        source=level,
        remedy=f"The nearest variable is {near}." if near else "",
    )
