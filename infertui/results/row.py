"""A row of the results table, made from a result or from a line of results.jsonl of this version or another."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, TypeAlias, cast

import msgspec
from msgspec import Meta

from infertui.measure.validity import DISTURBING_THROTTLES, NOTED_DRIFT
from infertui.metrics.marks import short_words, telling
from infertui.metrics.partial import partial
from infertui.metrics.reads import memory
from infertui.metrics.registry import stored
from infertui.results.result import Result
from infertui.results.table import ResultRow
from infertui.results.upgrade import SCHEMA, check_schema, decode_result, error_kind
from infertui.text import clean

_HEAD = (
    "schema", "name", "state", "started", "source", "imported", "told", "verdict.invalid", "verdict.notes",
    "verdict.marks", "verdict.against", "summary.output_throughput_interval", "summary.iterations", "summary.drift",
    "loaded.engine", "loaded.engine_requested", "loaded.random_weights", "device.throttles", "quality.beyond",
    "error.kind", "limits.mbu",
)  # fmt: skip
"""Keys that are looked at beside those of metrics."""
if TYPE_CHECKING:
    ResultLine: TypeAlias = Result
else:
    ResultLine = partial(
        Result,
        [*_HEAD, *(path for metric in stored() for path in metric.paths)],
        {"id": Annotated[str, Meta(min_length=1)]},
    )
"""A line of results.jsonl, as far as the table needs it. Whatever another version left out is not available."""
_FIELDS = tuple(
    (metric.key, metric, metric.unit.kind in ("text", "moment", "length")) for metric in stored()
)  # fmt: skip


_lines = msgspec.json.Decoder(ResultLine)


def read_line(line: bytes) -> ResultLine:
    """A line of any schema. Raises what msgspec raises for what is none, and NewerSchemaError."""
    found = _lines.decode(line)
    if found.imported and _schema_of(found) < SCHEMA:
        return _lines.decode(msgspec.json.encode(decode_result(line)))
    return found


def row_of(line: Result, derived: Mapping[str, float | None] | None = None) -> ResultRow:
    """The row of a result: every text cleaned, every figure as measured.

    `derived` are figures that follow from others, for a line without. Raises NewerSchemaError for a line of which this
    version does not know what it means.
    """
    check_schema(_schema_of(line), line.id)
    values: dict[str, object] = {}
    for key, metric, is_text in _FIELDS:
        value = metric.value(line)
        values[key] = clean(str(value)) if is_text and value else "" if is_text else value
    interval = line.summary.output_throughput_interval
    return ResultRow(
        **values | dict(derived or {}),
        valid=not line.verdict.invalid,
        flags=_flags(line),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        vram_of=memory(line)[1],
    )


def _schema_of(line: Result) -> int:
    """Lines of before there was one do not tell it."""
    return cast("int | None", line.schema) or 0


def lacks_limits(line: Result) -> bool:
    """Whether a line was kept without shares of the device's limits, and may hold what they follow from."""
    measured = line.loaded is not None and line.loaded.engine != "simulator" and bool(line.summary.iterations)
    return line.limits is None and measured and not line.imported


def _flags(line: Result) -> tuple[str, ...]:
    """Short words for what a reader should know before believing a row; the worst first."""
    loaded = line.loaded
    flags = []
    if line.state == "failed":
        kind = line.error.kind if line.error else "error"
        kind = kind if _schema_of(line) else error_kind(kind)
        flags.append(clean(short_words(kind)).replace(" ", "-") or "error")
    elif line.state == "interrupted":
        flags.append("interrupted")
    elif line.verdict.invalid:
        flags += ["invalid", *map(clean, telling(line.verdict))]  # the reason beside it: there may be room for no more
    if loaded and loaded.engine_requested and loaded.engine != loaded.engine_requested:
        flags.append("fallback")
    if line.imported:
        flags.append("imported")
    elif line.source:
        flags.append("external")
    flags += [clean(mark) for mark in line.verdict.marks] or _marks_of_old(line)
    if line.quality and line.quality.beyond:
        flags.append("diverged")
    if loaded and loaded.random_weights:
        flags.append("synthetic")
    return tuple(dict.fromkeys(flags))


def _marks_of_old(line: Result) -> list[str]:
    """What a verdict without marks tells in words and figures: it was kept before there were any."""
    against, throttles = line.verdict.invalid, (line.device.throttles if line.device else None) or ()
    told = {
        "foreign": any(text.startswith("another process used") for text in against),
        "thermal": any("thermal" in name for name in throttles),
        "throttle": any(name in DISTURBING_THROTTLES and "thermal" not in name for name in throttles),
        "short-output": any(text.startswith("output length not reached") for text in against),
        "gpu-lost": any(text.startswith("telemetry of the GPU was lost") for text in against),
        "power-cap": "power-cap" in throttles,
        "drift": line.summary.drift is not None and abs(line.summary.drift) > NOTED_DRIFT,
        "noisy": any(text.startswith("throughput varied") for text in line.verdict.notes),
    }
    return [mark for mark, holds in told.items() if holds]
