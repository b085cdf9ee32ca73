"""A script of changes for a tuning session: TOML or lines of JSON, read and checked."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from infertui import regular_files
from infertui.analysis.tuning.knobs import GPU, text_of
from infertui.config.fields import field_of, show, unknown_key
from infertui.config.parse import flat_values
from infertui.config.ranges import axis_values
from infertui.config.schema import Config
from infertui.config.toml_text import loads
from infertui.errors import ConfigError, UsageError
from infertui.runner.tuning.state import TuningStep
from infertui.telemetry.readings import SERVER
from infertui.text import clean

MOST_BYTES = 4 << 20
MOST_SECONDS = 86400.0
SEGMENT = "segment"
_FORM = '[[segment]] tables or lines of JSON, each with keys such as "workload.batch_size" and perhaps "seconds"'


def read_script(path: Path) -> tuple[TuningStep, ...]:
    """The steps of a file. Raises UsageError and ConfigError, which name file and line."""
    name = clean(str(path))
    try:
        content = regular_files.read(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        raise UsageError(f"the script {name} cannot be read: {clean(str(error))}") from None
    steps = _of_toml(content, name) if path.suffix == ".toml" else _of_lines(content, name)
    if not steps:
        raise UsageError(f"the script {name} holds no step", remedy=f"It is made of {_FORM}.")
    return tuple(steps)


def _of_toml(content: bytes, name: str) -> list[TuningStep]:
    tree = loads(content, name)
    found = tree.get(SEGMENT)
    if not isinstance(found, list) or set(tree) != {SEGMENT}:
        raise UsageError(f"the script {name} is not a list of segments", remedy=f"It is made of {_FORM}.")
    return [_step(_flat(entry), f"{name}, segment {number}") for number, entry in enumerate(found, start=1)]


def _of_lines(content: bytes, name: str) -> list[TuningStep]:
    steps = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(
                f"{name}, line {number} is not JSON: {clean(str(error))[:200]}", remedy=f"It is made of {_FORM}."
            ) from None
        steps.append(_step(entry, f"{name}, line {number}"))
    return steps


def _flat(entry: object, prefix: str = "") -> object:
    """Tables inside tables, as `workload.batch_size` without quotes makes them in TOML, by their dotted keys."""
    if not isinstance(entry, dict):
        return entry
    flat: dict[str, object] = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            inner = _flat(value, f"{prefix}{key}.")
            flat |= inner if isinstance(inner, dict) else {}
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _step(entry: object, where: str) -> TuningStep:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{where} is {show(entry)}", remedy=f"It is made of {_FORM}.")
    changes = {str(key): value for key, value in entry.items() if key != "seconds"}
    seconds = entry.get("seconds")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float)
                                or not 0 < seconds <= MOST_SECONDS):  # fmt: skip
        raise ConfigError(
            "seconds", f"{show(seconds)} is not allowed here", allowed=f"a number above 0, at most {MOST_SECONDS:g}",
            source=where,
        )  # fmt: skip
    for key, value in changes.items():
        field = field_of(key)
        if key.startswith((GPU, SERVER)):
            continue  # what they take is known on the machine alone
        if field is None:
            raise unknown_key(key, value, source=where)
        if not field.is_table:
            field.check(value, source=where)
    texts = {key: text_of(value) for key, value in changes.items()}
    return TuningStep(texts, None if seconds is None else float(seconds))


def turns(config: Config, texts: Sequence[tuple[str, str]]) -> tuple[TuningStep, ...]:
    """A step for the start, and one for each value of each KEY=LIST in turn; the start's own value needs none where it
    is the first. Raises ConfigError."""
    steps = [TuningStep()]
    for number, (key, text) in enumerate(texts):
        if key.startswith((GPU, SERVER)):
            steps += [TuningStep({key: one.strip()}) for one in text.split(",")]
            continue
        values = axis_values(key, text)
        if not number and flat_values(config).get(key) == values[0]:
            values = values[1:]
        steps += [TuningStep({key: text_of(value)}) for value in values]
    return tuple(steps)
