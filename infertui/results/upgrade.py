"""Lines of results.jsonl, of every schema there was: decoded as they are, or brought up to today's step by step.

A step turns the JSON object of one schema into that of the next. Keys that were only ever added need none: what a line
does not have takes its default. A step stays for ever, and with it a kept line in tests/results/lines/.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, get_args

import msgspec
from msgspec import Struct

from infertui.measure.summary import COUNTS
from infertui.results.result import Result, Schema
from infertui.results.setup import JUDGED, Value

SCHEMA: int = max(get_args(Schema))
"""The one that is written."""

Line = dict[str, Any]


class NewerSchemaError(msgspec.ValidationError):
    """A line that a newer infertui has written: what its keys mean is not known here."""

    def __init__(self, schema: int, run: str) -> None:
        super().__init__(
            f"it was written by a newer infertui: its schema is {schema}, this one reads up to {SCHEMA}; "
            "update infertui to read it"
        )
        self.run = run


class _Head(Struct, frozen=True, gc=False):
    schema: int = 0
    id: str = ""


_head = msgspec.json.Decoder(_Head)
_BEGUN = re.compile(rb'\{"id":"([^"\\]+)"')
_result = msgspec.json.Decoder(Result)
_line = msgspec.json.Decoder(Line)

_WORDS_OF_0 = {
    "infertui": "error",
    "doesnotfit": "does-not-fit",
    "oddconfig": "model",
    "_grammar": "config",
    "format": "usage",
    "filter": "usage",
    "missingmatplotlib": "engine",
    "nvmlunavailable": "nvml-unavailable",
    "runnerunavailable": "runner-unavailable",
    "untrustedsocket": "untrusted-socket",
    "runnerexists": "runner-exists",
    "otherversion": "other-version",
    "readonly": "read-only",
}
"""Before there was a number, `error.kind` was made of the name of a class in Python."""


def decode_result(line: bytes | bytearray) -> Result:
    """A line, or a result.json. Raises NewerSchemaError, and whatever msgspec raises for what is no result."""
    head = _head.decode(line)
    check_schema(head.schema, head.id)
    if head.schema == SCHEMA:
        return _result.decode(line)
    return msgspec.convert(upgraded(line), Result, str_keys=True)


def upgraded(line: bytes | bytearray) -> Line:
    """The JSON object of a line of an older schema, as today's has it. Raises what `decode_result` does."""
    head = _head.decode(line)
    check_schema(head.schema, head.id)
    found = _line.decode(line)
    for step in _STEPS[head.schema :]:
        found = step(found)
    return found | {"schema": SCHEMA}


def id_of(line: bytes | bytearray) -> str:
    """The id of the run that a line is about; empty where it has none. Raises what msgspec raises for what is no JSON.

    Lines that infertui wrote begin with it, and are not looked at any further.
    """
    begun = _BEGUN.match(line)
    return begun[1].decode() if begun else _head.decode(line).id


def check_schema(schema: int, run: str) -> None:
    """Raises NewerSchemaError for a number that is not known, and ValidationError for one that there cannot be."""
    if schema > SCHEMA:
        raise NewerSchemaError(schema, run)
    if schema < 0:
        raise msgspec.ValidationError(f"there is no schema {schema}")


def is_newer(line: bytes) -> bool:
    """Whether a line that cannot be read is one that a newer infertui has written."""
    try:
        return _head.decode(line).schema > SCHEMA
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False


def error_kind(word: str) -> str:
    """Today's word for the kind of an error, whichever schema it is of."""
    return _WORDS_OF_0.get(word, word)


def _from_0(line: Line) -> Line:
    """The kinds of errors got words of their own."""
    error = line.get("error")
    if not isinstance(error, dict) or not isinstance(kind := error.get("kind"), str):
        return line
    return line | {"error": error | {"kind": error_kind(kind)}}


def _from_1(line: Line) -> Line:
    """Imported runs lost a config of defaults, of which a list said what meant nothing."""
    unknown, config, summary = line.get("unknown", []), line.get("config"), line.get("summary")
    if not line.get("imported") or not isinstance(config, dict) or not isinstance(summary, dict):
        return line
    if not isinstance(unknown, list):
        raise msgspec.ValidationError("Expected `array` - at `$.unknown`")
    known = {key: value for key, value in _flat(config) if key not in unknown}
    told = {key: value for key, value in known.items() if key.partition(".")[0] not in JUDGED - {"labels"}}
    counts = {name: None for name in COUNTS if f"summary.{name}" in unknown}
    rest = {key: value for key, value in line.items() if key != "unknown"}
    return rest | {"config": None, "told": told, "summary": summary | counts}


def _flat(table: Line, above: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif isinstance(value, str | int | float):
            yield f"{above}{name}", value


_STEPS: tuple[Callable[[Line], Line], ...] = (_from_0, _from_1)
"""The n-th takes a line of schema n."""
