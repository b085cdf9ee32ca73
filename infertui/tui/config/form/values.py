"""Values of a config as they are typed and shown, both ways.

A path is flat, as `config.parse` has it: `workload.batch_size`, `labels.owner`, `sweep.grid.workload.batch_size`.
A key is what an axis may vary: a path outside the sweep.

What the left and right keys do to a value: the next choice, the next sensible number.
"""

import bisect
import tomllib
from collections.abc import Mapping, Sequence

from infertui.config import toml
from infertui.config.fields import Field, Value, parse_text, show
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


# Sizes are tried in powers of two; where a step of its own makes sense it stands here; other integers go by one, other
# numbers through 1, 2, 5, 10, 20, ...
_DOUBLING = frozenset(
    {
        "workload.batch_size", "workload.input_len", "workload.output_len", "workload.num_prompts", "workload.top_k",
        "device.threads",
    }
)  # fmt: skip
_BY = {"workload.temperature": 0.1, "workload.top_p": 0.05, "measurement.sample_hz": 1.0}
_SERIES = [mantissa * 10.0**exponent for exponent in range(10) for mantissa in (1, 2, 5)]


def step(field: Field, value: Value, direction: int, options: Sequence[str] = ()) -> Value | None:
    """The value next to `value`, `direction` 1 or -1; the same at an end, None where there is nothing to step through.

    Choices go around. `options` are words to offer for a text field, and stand in for the choices of another.
    """
    if field.type == "boolean":
        return not value
    words = tuple(options) or field.choices
    if field.type in ("choice", "text"):
        return _next_word(words, value, direction) if words else None
    if isinstance(value, str):  # a word among numbers stands below the smallest
        return value if direction < 0 else field.check(_whole(field, field.minimum or 0))
    number = _next_number(field, float(value), direction)
    if number == value and direction < 0 and field.choices:
        return field.choices[-1]
    return field.check(_whole(field, number))


def _next_word(words: Sequence[str], value: Value, direction: int) -> str:
    if value not in words:
        return words[0 if direction > 0 else -1]
    return words[(words.index(str(value)) + direction) % len(words)]


def _next_number(field: Field, value: float, direction: int) -> float:
    low, high = field.minimum or 0, field.maximum or 0
    found = min(max(_unlimited(field, value, direction, low), low), high)
    return value if field.above_minimum and found <= low else found


def _unlimited(field: Field, value: float, direction: int, low: float) -> float:
    if field.path in _DOUBLING:
        return _double(int(value)) if direction > 0 else _halve(int(value))
    if by := _BY.get(field.path, 1.0 if field.type == "integer" else 0.0):
        return round(value + direction * by, 9)
    if direction > 0:
        return _SERIES[min(bisect.bisect_right(_SERIES, value), len(_SERIES) - 1)]
    place = bisect.bisect_left(_SERIES, value)
    return _SERIES[place - 1] if place else low


def _double(value: int) -> int:
    return 1 << value.bit_length()


def _halve(value: int) -> int:
    return 1 << ((value - 1).bit_length() - 1) if value > 1 else 0


def _whole(field: Field, value: float) -> float:
    return int(value) if field.type == "integer" else value
