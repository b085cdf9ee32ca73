"""Values of a config as they are typed and shown, both ways.

A path is flat, as `config.decode` has it: `workload.batch_size`, `labels.owner`, `sweep.grid.workload.batch_size`.
A key is what an axis may vary: a path outside the sweep.
"""

import tomllib
from collections.abc import Mapping

from infertui.config import toml
from infertui.config.fields import Value, parse_text, show
from infertui.config.parse import FlatValue, axis_key, check_axis
from infertui.config.ranges import axis_values
from infertui.config.schema import AxisValues
from infertui.errors import ConfigError

SWEEPS = ("sweep.grid", "sweep.zip")
_AXIS_ALLOWED = 'values and ranges with commas between: 0,10,20 or 0-40+10 or 1-64*2; or a list: ["a, b", "c"]'


def value_text(value: Value) -> str:
    """A value as one would type it; `parse` gives it back."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value)


def axis_text(key: str, axis: AxisValues) -> str:
    """An axis as one would type it: values with commas between, or a list as in TOML where those would mislead."""
    if isinstance(axis, str) and axis.isprintable() and not axis.lstrip().startswith("["):
        return axis
    values = axis_values(key, axis)
    joined = ",".join(value_text(value) for value in values)
    try:
        readable = joined.isprintable() and not joined.startswith("[")
        unmistakable = readable and axis_values(key, joined) == values
    except ConfigError:
        unmistakable = False
    return joined if unmistakable else toml.value_literal(list(values))


def axis_path(values: Mapping[str, FlatValue], key: str) -> str:
    """The path of the axis over `key`; empty where it is not swept."""
    return next((path for table in SWEEPS if (path := f"{table}.{key}") in values), "")


def shown(values: Mapping[str, FlatValue], key: str) -> str | None:
    """What stands in the line of `key`: its axis or its value, as typed; None where there is neither."""
    if path := axis_path(values, key):
        return text_at(values, path)
    return text_at(values, key)


def text_at(values: Mapping[str, FlatValue], path: str) -> str | None:
    """The text of the value at `path`, an axis included; None where there is none."""
    if path not in values:
        return None
    value = values[path]
    if key := axis_key(path):
        return axis_text(key, value if isinstance(value, str | list) else str(value))
    return value_text(value) if not isinstance(value, list) else axis_text(path, value)


def parse(path: str, text: str) -> FlatValue:
    """The value of `path` that `text` stands for. Raises ConfigError with the value, what is allowed, the nearest."""
    if not (key := axis_key(path)):
        return parse_text(path, text)
    value: object = text.strip()
    if text.lstrip().startswith("["):
        try:
            value = tomllib.loads(f"v = {text}")["v"]
        except (tomllib.TOMLDecodeError, ValueError, RecursionError):
            raise ConfigError(path, f"{show(text)} is no list", allowed=_AXIS_ALLOWED) from None
    return check_axis(path.removesuffix(f".{key}"), key, value, "")


def label_of(text: str) -> tuple[str, FlatValue]:
    """Path and value of the label that `key = value` stands for. Raises ConfigError."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError("labels", "a label is a key and a value", allowed="key = value, as in owner = me")
    path = f"labels.{name.strip()}"
    return path, parse(path, value.strip())


def explain(error: ConfigError) -> str:
    """An error as it stands under its field, which need not be named there again."""
    parts = [error.problem, f"allowed: {error.allowed}" if error.allowed else ""]
    text = "; ".join(part for part in parts if part)
    return f"{text}. {error.remedy}" if error.remedy else text
