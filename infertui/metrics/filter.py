"""The filter of results: words of which all must match. The screen, commands and the API take the same.

    llama batch_size>=4        text in any text column, case of ASCII letters ignored; a figure against a bound
    engine:trans  engine=simulator   a part of a column's text; the whole of it
    ttft<50ms  vram>20GiB  drift<5%  started>=2026-11-01   units as written, else those of the table's header
    state:failed  valid:no  flag:power-cap
    workload.seed=1  labels.owner=me   any key of the config
    !synthetic  !state:failed  "two words"  model:"a b"      `!` is not; quotes keep blanks and colons together

A measured figure equals (`=`, `:`) whatever is within half a percent of it. What can be named are the metrics of the
registry, by their keys and aliases.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from infertui.errors import UsageError
from infertui.integers import whole_number
from infertui.metrics.metric import Metric
from infertui.metrics.registry import find, metrics, names
from infertui.text import clean

if TYPE_CHECKING:
    from infertui.results.result import Result
    from infertui.results.table import ResultRow

Operator = Literal[":", "=", ">", ">=", "<", "<="]

MAX_LENGTH = 500
# `synthetic:gpt2-124m` is the name of a model, and what people type to find it.
_NOT_KEYS = frozenset({"synthetic"})
_TOLERANCE = 0.005
_LABELS = "labels."
_WORD = re.compile(r"([A-Za-z][\w/]*)(:|>=|<=|=|>|<)(.*)", re.DOTALL)
_CONFIG = re.compile(r"([a-z_]+\.[\w.-]*)(:|>=|<=|=|>|<)(.*)", re.DOTALL)
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?) ?([a-zµ%/]*)", re.IGNORECASE)
_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class FilterError(UsageError):
    """A word of a filter cannot be understood."""


class Term(Struct, frozen=True):
    """One condition. Without a key it is text in any text column; `value` is what the column is compared with.

    A key with a dot in it is one of the config.
    """

    key: str
    operator: Operator
    value: str | float | bool
    negated: bool = False

    @property
    def of_config(self) -> bool:
        """Whether it is about a key of the config."""
        return "." in self.key

    @property
    def slack(self) -> float:
        """How far from its value a figure still equals it."""
        known = find(self.key)
        measured = known is not None and known.unit.kind == "figure"
        return abs(self.value) * _TOLERANCE if measured and not isinstance(self.value, str) else 0.0


def fold(text: str) -> str:
    """`text` with its ASCII letters small: what SQLite's lower() does as well."""
    return text.encode(errors="replace").lower().decode()


def parse(text: str) -> tuple[Term, ...]:
    """The conditions of a filter, which must all hold. Raises FilterError and nothing else."""
    if len(text) > MAX_LENGTH:
        raise FilterError(f"the filter is longer than {MAX_LENGTH} characters")
    return tuple(_term(word, quoted) for word, quoted in _words(clean(text)))


def parse_arguments(texts: list[str]) -> tuple[Term, ...]:
    """The conditions of a command's arguments, each a filter. Raises FilterError.

    A whole argument KEY=VALUE of a text may have blanks in VALUE, and nothing at all: `"device=NVIDIA H200"`, `bench=`.
    """
    return tuple(term for text in texts for term in (_whole(clean(text)) or parse(text)))


def _whole(text: str) -> tuple[Term, ...]:
    """The one condition of such an argument; none where it is not of that form."""
    key, equals, value = text.partition("=")
    known = find(key.lower())
    textual = (known is not None and known.unit.kind == "text") or _is_config(key)
    others = value.split(" ")[1:]
    if not equals or not textual or '"' in value or (value and not others) or any(map(_condition_in, others)):
        return ()
    return (Term(key, "=", _config_value(key, "=", value)) if known is None else Term(known.key, "=", fold(value)),)


def _condition_in(word: str) -> bool:
    match = _WORD.fullmatch(word.lstrip("!"))
    return (match is not None and find(match[1].lower()) is not None) or _CONFIG.fullmatch(word) is not None


def _words(text: str) -> list[tuple[str, bool]]:
    """The words between blanks, and whether each began with a quote: it is text, whatever is in it."""
    words: list[tuple[str, bool]] = []
    word, quoted, open_quote, within = "", False, False, False
    for char in text:
        if char == '"':
            quoted = quoted or word.strip("!") == ""
            open_quote, within = not open_quote, True
        elif char == " " and not open_quote:
            if within:
                words.append((word, quoted))
            word, quoted, within = "", False, False
        else:
            word, within = word + char, True
    if open_quote:
        raise FilterError(f'the quote before {word!r} has no end: close it with "')
    return [*words, (word, quoted)] if within else words


def _term(word: str, quoted: bool) -> Term:
    body = word.lstrip("!")
    negated = (len(word) - len(body)) % 2 == 1
    if not body:
        raise FilterError(f"{word or chr(34) * 2}: there is no text to look for")
    of_config = None if quoted else _CONFIG.fullmatch(body)
    if of_config is not None and _is_table(of_config[1]):
        return _config_term(of_config[1], of_config[2], of_config[3], negated)
    match = None if quoted else _WORD.fullmatch(body)
    if match is None or match[1].lower() in _NOT_KEYS:
        return Term("", ":", fold(body), negated)
    named, operator, value = match[1].lower(), match[2], match[3]
    known = find(named)
    if known is None or "filter" not in known.views:
        import difflib

        near = difflib.get_close_matches(named, names(), n=1)
        hint = f"nearest: {near[0]}" if near else f'"{body}" in quotes finds that text'
        raise FilterError(f"{named} is no column; {hint}")
    if not value:
        raise FilterError(f"{named}{operator} needs a value, as in {example(known)}")
    return Term(known.key, operator, _value(known, operator, value, named), negated)  # type: ignore[arg-type]


def _value(known: Metric, operator: str, text: str, named: str) -> str | float | bool:
    ordered, kind, unit = operator not in (":", "="), known.unit.kind, known.unit
    if kind == "count":
        return _number(named, text, 1.0, {})
    if kind == "figure":
        return _number(named, text, unit.scale, dict(unit.units))
    if kind == "moment" and ordered:
        return _moment(text)
    if kind == "length" and (ordered or token_count(text) is not None):
        return _number(named, text, 1.0, {})
    if ordered:
        raise FilterError(f"{named} is text: use {named}:{text} (a part of it) or {named}={text}")
    if kind == "flag":
        if text.lower() not in _YES:
            raise FilterError(f"{named} is yes or no, not {text!r}")
        return _YES[text.lower()]
    return fold(text)


def _number(named: str, text: str, scale: float, units: dict[str, float]) -> float:
    match = _NUMBER.fullmatch(text)
    known = ", ".join(units)
    if match is None:
        raise FilterError(f"{named} is a number, not {text!r}" + (f"; units: {known}" if units else ""))
    if not match[2]:
        return float(match[1]) * scale
    size = next((size for name, size in units.items() if name.lower() == match[2].lower()), None)
    if size is None:
        raise FilterError(f"{named} has no unit {match[2]!r}" + (f"; units: {known}" if units else ""))
    return float(match[1]) * size


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise FilterError(f"started is compared with a date or time such as 2026-11-01T08:30, not {text!r}") from None


# Keys of the config


def _is_table(key: str) -> bool:
    """Whether a key is of a table that configs have, even if they do not have the key."""
    from infertui.config.fields import FIELDS  # where such a key is written: it takes a while

    table = key.partition(".")[0]
    return f"{table}." == _LABELS or any(path.startswith(f"{table}.") for path in FIELDS)


def _is_config(key: str) -> bool:
    if key.startswith(_LABELS) and key != _LABELS:
        return True
    from infertui.config.fields import FIELDS

    return "." in key and key in FIELDS


def _config_term(key: str, operator: str, text: str, negated: bool) -> Term:
    if not _is_config(key):
        from infertui.config.fields import nearest

        raise FilterError(f"there is no key {key} in a config; nearest: {nearest(key)}")
    if not text:
        raise FilterError(f"{key}{operator} needs a value")
    return Term(key, operator, _config_value(key, operator, text), negated)  # type: ignore[arg-type]


def _config_value(key: str, operator: str, text: str) -> str | float | bool:
    if key.startswith(_LABELS):
        value: str | float | bool = text
    else:
        from infertui.config.fields import parse_text

        try:
            value = parse_text(key, text, source="filter")
        except UsageError as error:
            raise FilterError(error.message) from None
    if operator not in (":", "=") and (isinstance(value, str | bool)):
        raise FilterError(f"{key} is no number: use {key}={text}")
    return value


# Matching


def matches(result: "Result", terms: tuple[Term, ...]) -> bool:
    """Whether all of them hold of a result."""
    from infertui.results.row import row_of

    row = row_of(result) if any(not term.of_config for term in terms) else None
    return all((_of_config(result, term) if row is None or term.of_config else holds(row, term)) for term in terms)


def holds(row: "ResultRow", term: Term) -> bool:
    """Whether a condition holds of a row. What is not available matches none, and so every negated one."""
    return _holds(row, term) is not term.negated


def _holds(row: "ResultRow", term: Term) -> bool:
    key, value = term.key, term.value
    if key == "":
        return any(str(value) in fold(text) for text in texts(row))
    if key == "valid":
        return row.valid is value
    if key == "flag":
        return str(value) in row.flags if term.operator == "=" else any(str(value) in flag for flag in row.flags)
    mine = getattr(row, key)
    if isinstance(value, str):
        text = fold(str(mine))
        return text == value if term.operator == "=" else value in text
    return _compares(_as_number(key, mine), term)


def _compares(mine: float | None, term: Term) -> bool:
    value = term.value
    if mine is None or isinstance(value, str):
        return False
    match term.operator:
        case ">":
            return mine > value
        case ">=":
            return mine >= value
        case "<":
            return mine < value
        case "<=":
            return mine <= value
        case _:
            return value - term.slack <= mine <= value + term.slack


def _as_number(key: str, mine: object) -> float | None:
    """A row's value as what it is compared as: seconds since 1970, a number of tokens, a figure."""
    if key == "started":
        return moment(str(mine))
    if isinstance(mine, str):
        return token_count(mine)
    return mine if isinstance(mine, int | float) else None


def token_count(text: str) -> int | None:
    """The number of tokens that a length is; None for a name, such as `0123`: no number is written so."""
    found = whole_number(text)
    return found if found is not None and str(found) == text else None


def moment(started: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 stamp; None where it is none."""
    try:
        return datetime.fromisoformat(started).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def texts(row: "ResultRow") -> Iterator[str]:
    """What text without a column is looked for in."""
    for metric in metrics("filter"):
        if metric.stored and metric.unit.kind in ("text", "moment", "length"):
            yield getattr(row, metric.key)
    yield from row.flags


def _of_config(result: "Result", term: Term) -> bool:
    key, value = term.key, term.value
    found = result.setup.get(key)  # what an imported file does not tell is like no value
    return _config_holds(found, term, value) is not term.negated


def _config_holds(found: object, term: Term, value: str | float | bool) -> bool:
    if isinstance(found, str) and isinstance(value, str) and term.operator == ":":
        return fold(value) in fold(found)
    if term.operator in (":", "="):
        return bool(found == value)
    return _compares(found if isinstance(found, int | float) else None, term)


# What can be written


def example(known: Metric) -> str:
    """A condition on it that makes sense."""
    if known.unit.kind in ("count", "length"):
        return f"{known.key}>=4"
    if known.unit.kind == "figure":
        unit = known.unit.usual
        return f"{known.key}<{'5' if unit == '%' else '50'}{unit}"
    return {
        "valid": "valid:no", "flag": "flag:power-cap", "started": "started>=2026-11-01", "state": "state:failed",
    }.get(known.key, f"{known.key}:text")  # fmt: skip


def keys() -> Iterator[tuple[str, str, str]]:
    """All that can be named: its names, an example, what it is."""
    for metric in metrics("filter"):
        yield ", ".join((metric.key, *metric.aliases)), example(metric), metric.help
