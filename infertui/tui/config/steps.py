"""What the left and right keys do to a value: the next choice, the next sensible number."""

import bisect
from collections.abc import Sequence

from infertui.config.fields import Field, Value

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
