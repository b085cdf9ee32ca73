"""The values of a sweep axis: a list, or the range grammar.

    axis   = item {"," item}
    item   = value | first "-" last "+" step | first "-" last "*" factor

Ranges are for numbers and hold their last value where the steps meet it: `0-40+10` is 0, 10, 20, 30, 40 and
`1-64*2` is 1, 2, 4, 8, 16, 32, 64. Integers stay integers; one fraction makes the whole range fractions.
"""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from infertui.config.fields import Field, Value, check_text, field_of, show, toml_path, unknown_key
from infertui.errors import ConfigError

MAX_POINTS = 10_000
"""More than anybody measures: an axis or a sweep beyond it is a slip of the keyboard."""

_NUMBER = r"-?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,3})?"
_RANGE = re.compile(rf"({_NUMBER})\s*-\s*({_NUMBER})\s*([+*])\s*({_NUMBER})")
_STEPLESS = re.compile(rf"({_NUMBER})\s*-\s*({_NUMBER})")
_GRAMMAR = "values and ranges with commas between: 0,10,20 or 0-40+10 or 1-64*2"


def points(text: str) -> list[int | float]:
    """The numbers of an axis in the range grammar, in the order written.

    Raises ConfigError for text outside the grammar, an empty range, and more than MAX_POINTS values.
    """
    found: list[int | float] = []
    for item in _items(text):
        found += _range(item) if _is_range(item) else [_number(item)]
        _limit(len(found))
    return found


def axis_values(path: str, axis: object, *, source: str = "", where: str = "") -> list[Value]:
    """The values that key `path` takes along `axis`, each checked as a value of that key.

    `where` is the axis' own path in the file, which errors name. Raises ConfigError.
    """
    where = where or path
    field = field_of(path)
    if field is None or field.type == "axes":
        raise unknown_key(path, axis, source=source)
    try:
        values = list(_values(field, axis, source, where))
    except _GrammarError as error:
        raise ConfigError(toml_path(where), error.problem, allowed=_GRAMMAR, source=source) from None
    if not values:
        raise ConfigError(toml_path(where), "the axis has no values", allowed=_GRAMMAR, source=source)
    return values


class _GrammarError(ConfigError):
    def __init__(self, problem: str) -> None:
        super().__init__("", problem, allowed=_GRAMMAR)


def _values(field: Field, axis: object, source: str, where: str) -> Iterator[Value]:
    if isinstance(axis, str):
        for number, item in enumerate(_items(axis)):
            _limit(number)
            if field.type in ("integer", "number") and _is_range(item):
                yield from (field.check(value, source=source, path=where) for value in _range(item))
            elif field.is_table:
                yield check_text(where, item, source=source)
            else:
                yield field.parse(item, source=source, path=where)
    elif isinstance(axis, Sequence) and not isinstance(axis, bytes | bytearray):
        _limit(len(axis))
        for value in axis:
            yield (
                label_text(where, value, source=source)
                if field.is_table
                else field.check(value, source=source, path=where)
            )
    else:
        raise _GrammarError(f"{show(axis)} is neither a list nor a range")


def label_text(path: str, value: object, *, source: str = "") -> str:
    """A label's value as text: numbers and true/false are welcome in files and become text."""
    if isinstance(value, str):
        return check_text(path, value, source=source)
    if isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() <= 128):
        return show(value)
    raise ConfigError(
        toml_path(path), f"{show(value)} is not a label", allowed="text, a number, true or false", source=source
    )


def _items(text: str) -> list[str]:
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise _GrammarError(f"{show(text)} has an empty place between its commas" if text.strip() else "it is empty")
    return items


def _is_range(item: str) -> bool:
    if _STEPLESS.fullmatch(item):
        raise _GrammarError(f"{show(item)} lacks a step, as in {show(item + '+1')} or {show(item + '*2')}")
    return _RANGE.fullmatch(item) is not None


def _number(item: str) -> int | float:
    if not re.fullmatch(_NUMBER, item):
        raise _GrammarError(f"{show(item)} is neither a number nor a range")
    return int(item) if _is_whole(item) else float(item)


def _range(item: str) -> list[int | float]:
    match = _RANGE.fullmatch(item)
    assert match is not None  # noqa: S101
    first, last, kind, by = match.groups()
    low, high, step = Decimal(first), Decimal(last), Decimal(by)  # exact: 0-1+0.1 ends in 1, not in 0.9999
    if low > high:
        raise _GrammarError(f"{show(item)} is empty: {first} is above {last}")
    if kind == "+" and step <= 0:
        raise _GrammarError(f"{show(item)} never ends: the step has to be above 0")
    if kind == "*" and (low <= 0 or step <= 1):
        raise _GrammarError(f"{show(item)} never ends: a factor has to be above 1, and start above 0")
    whole = all(_is_whole(part) for part in (first, last, by))
    found: list[int | float] = []
    value = low
    while value <= high:
        found.append(int(value) if whole else float(value))
        _limit(len(found))
        value = low + len(found) * step if kind == "+" else value * step
    return found


def _is_whole(number: str) -> bool:
    return not any(mark in number for mark in ".eE")


def _limit(count: int) -> None:
    if count > MAX_POINTS:
        raise _GrammarError(f"the axis has more than {MAX_POINTS:,} values")
