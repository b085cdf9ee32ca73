"""The filter of the results table: words of which all must match, made into a condition of SQL.

    llama batch_size>=4        text in any text column, case of ASCII letters ignored; a figure against a bound
    engine:trans  engine=simulator   a part of a column's text; the whole of it
    ttft<50ms  vram>20GiB  drift<5%  started>=2026-11-01   units as written, else those of the table's header
    state:failed  valid:no  flag:power-cap
    !synthetic  !state:failed  "two words"  model:"a b"      `!` is not; quotes keep blanks and colons together

A measured figure equals (`=`, `:`) whatever is within half a percent of it.
"""

import re
from datetime import datetime
from typing import Literal

from msgspec import Struct

from infertui.errors import UsageError
from infertui.text import clean

Operator = Literal[":", "=", ">", ">=", "<", "<="]

MAX_LENGTH = 500
TEXT_KEYS = (
    "id", "name", "state", "model", "engine", "mode", "form", "quantization", "dtype", "device", "error", "config_hash",
)  # fmt: skip
COUNT_KEYS = ("batch_size", "output_len", "iterations")
_TIME = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_BYTES = {"b": 1.0, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40,
          "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}  # fmt: skip
FIGURE_KEYS: dict[str, tuple[float, dict[str, float]]] = {
    "throughput": (1.0, {"tok/s": 1.0}),
    "prefill": (1.0, {"tok/s": 1.0}),
    "ttft": (1e-3, _TIME),
    "ttft_p99": (1e-3, _TIME),
    "tpot": (1e-3, _TIME),
    "itl": (1e-3, _TIME),
    "itl_p99": (1e-3, _TIME),
    "latency": (1.0, _TIME),
    "seconds": (1.0, _TIME),
    "vram": (2.0**30, _BYTES),
    "power": (1.0, {"w": 1.0, "kw": 1e3}),
    "joules_per_token": (1.0, {"j": 1.0, "mj": 1e-3, "j/tok": 1.0}),
    "drift": (0.01, {"%": 0.01}),
    "mbu": (0.01, {"%": 0.01}),
    "mfu": (0.01, {"%": 0.01}),
    "agreement": (0.01, {"%": 0.01}),
    "perplexity": (1.0, {}),
}
"""What a number without a unit is multiplied with (the unit of the table's header), and the units."""
ALIASES = {
    "run": "id", "batch": "batch_size", "b": "batch_size", "bs": "batch_size", "in": "input_len", "out": "output_len",
    "tok/s": "throughput", "tps": "throughput", "e2e": "latency", "w": "power", "j/tok": "joules_per_token",
    "energy": "joules_per_token", "time": "started", "date": "started", "gpu": "device", "flags": "flag",
    "hash": "config_hash", "ppl": "perplexity", "agrees": "agreement", "quant": "quantization", "reason": "error",
    "format": "form",
}  # fmt: skip
KEYS = (*TEXT_KEYS, *COUNT_KEYS, *FIGURE_KEYS, "input_len", "started", "valid", "flag")
# `synthetic:gpt2-124m` is the name of a model, and what people type to find it.
_NOT_KEYS = frozenset({"synthetic"})
_TOLERANCE = 0.005
_WORD = re.compile(r"([A-Za-z][\w/]*)(:|>=|<=|=|>|<)(.*)", re.DOTALL)
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?) ?([a-zµ%/]*)", re.IGNORECASE)
_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class FilterError(UsageError):
    """A word of a filter cannot be understood."""


class Term(Struct, frozen=True):
    """One condition. Without a key it is text in any text column; `value` is what the column is compared with."""

    key: str
    operator: Operator
    value: str | float | bool
    negated: bool = False


def fold(text: str) -> str:
    """`text` with its ASCII letters small: what SQLite's lower() does as well."""
    return text.encode(errors="replace").lower().decode()


def parse(text: str) -> tuple[Term, ...]:
    """The conditions of a filter, which must all hold. Raises FilterError and nothing else."""
    if len(text) > MAX_LENGTH:
        raise FilterError(f"the filter is longer than {MAX_LENGTH} characters")
    return tuple(_term(word, quoted) for word, quoted in _words(clean(text)))


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
    match = None if quoted else _WORD.fullmatch(body)
    if match is None or match[1].lower() in _NOT_KEYS:
        return Term("", ":", fold(body), negated)
    named, operator, value = match[1].lower(), match[2], match[3]
    key = ALIASES.get(named, named)
    if key not in KEYS:
        import difflib

        near = difflib.get_close_matches(key, (*KEYS, *ALIASES), n=1)
        hint = f"nearest: {near[0]}" if near else f'"{body}" in quotes finds that text'
        raise FilterError(f"{named} is no column; {hint}")
    if not value:
        raise FilterError(f"{named}{operator} needs a value, as in {_example(key)}")
    return Term(key, operator, _value(key, operator, value, named), negated)  # type: ignore[arg-type]


def _value(key: str, operator: str, text: str, named: str) -> str | float | bool:
    ordered = operator not in (":", "=")
    if key in COUNT_KEYS:
        return _number(named, text, 1.0, {})
    if key in FIGURE_KEYS:
        return _number(named, text, *FIGURE_KEYS[key])
    if key == "started" and ordered:
        return _moment(text)
    if key == "input_len" and (ordered or text.isdecimal()):
        return _number(named, text, 1.0, {})
    if ordered:
        raise FilterError(f"{named} is text: use {named}:{text} (a part of it) or {named}={text}")
    if key == "valid":
        if text.lower() not in _YES:
            raise FilterError(f"valid is yes or no, not {text!r}")
        return _YES[text.lower()]
    return fold(text)


def _number(named: str, text: str, scale: float, units: dict[str, float]) -> float:
    match = _NUMBER.fullmatch(text)
    known = ", ".join(units)
    if match is None:
        raise FilterError(f"{named} is a number, not {text!r}" + (f"; units: {known}" if units else ""))
    unit = match[2].lower()
    if unit and unit not in units:
        raise FilterError(f"{named} has no unit {match[2]!r}" + (f"; units: {known}" if units else ""))
    return float(match[1]) * (units[unit] if unit else scale)


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise FilterError(f"started is compared with a date or time such as 2026-11-01T08:30, not {text!r}") from None


def _example(key: str) -> str:
    if key in COUNT_KEYS or key == "input_len":
        return f"{key}>=4"
    if key in FIGURE_KEYS:
        unit = next(iter(FIGURE_KEYS[key][1]), "")
        return f"{key}<{'5' if unit == '%' else '50'}{unit}"
    return {
        "valid": "valid:no", "flag": "flag:power-cap", "started": "started>=2026-11-01", "state": "state:failed",
    }.get(key, f"{key}:text")  # fmt: skip


def where(terms: tuple[Term, ...]) -> tuple[str, list[str | float]]:
    """The conditions as SQL over the tables of `store.index`, and its parameters."""
    parts: list[str] = []
    parameters: list[str | float] = []
    for term in terms:
        sql, values = _condition(term)
        # What is not available matches no comparison, and so every negated one.
        parts.append(f"NOT coalesce({sql}, 0)" if term.negated else sql)
        parameters += values
    return " AND ".join(parts) or "1", parameters


def _condition(term: Term) -> tuple[str, list[str | float]]:
    key, operator, value = term.key, term.operator, term.value
    match key:
        case "":
            return "seq IN (SELECT seq FROM words WHERE instr(text, ?))", [value]
        case "valid":
            return "valid = ?", [int(value)]
        case "flag":
            return "instr(flags, ?)", [f"\n{value}\n" if operator == "=" else value]
        case "started" if isinstance(value, float):
            return f"started_at {operator} ?", [value]
        case "input_len" if isinstance(value, float):
            return f"(typeof(input_len) = 'integer' AND input_len {operator.replace(':', '=')} ?)", [value]
    if isinstance(value, str):
        return (f"lower({key}) = ?", [value]) if operator == "=" else (f"instr(lower({key}), ?)", [value])
    if operator in (":", "="):
        slack = abs(value) * _TOLERANCE if key in FIGURE_KEYS else 0.0
        return f"{key} BETWEEN ? AND ?", [value - slack, value + slack]
    return f"{key} {operator} ?", [value]
