"""The simple form of the field: a line of JSON per request with `prompt, latency, tokens, memory_mb, power_w, tps`.

Latency is in seconds, memory in MiB, power in watts, `tps` the request's tokens per second. The lines do not tell which
requests ran together, and so neither how long the whole took: without the batch size from whoever imports them there
is no throughput, and all of them are one observation.
"""

from array import array
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from infertui.formats.imported_run import Finding, Given, described, failures, loaded_as, same
from infertui.formats.reader import JsonObject, SourceFile
from infertui.measure.records import RequestRecord
from infertui.measure.summary import Summary, with_drift, with_interval

FIELDS = ("prompt", "latency", "tokens", "memory_mb", "power_w", "tps")
NAME = "six-field JSONL"
_MAY_LACK = ("memory_mb", "power_w")
_LACKING = ("N/A", "n/a")
SOURCE = f"a program that the file does not name ({NAME})"


class SixField(Struct, frozen=True):
    """A request in this form. None is not available; a request that failed has no latency."""

    prompt: str
    latency: float | None
    tokens: int
    memory_mb: float | None
    power_w: float | None
    tps: float | None


def line_of(record: RequestRecord) -> bytes:
    """The line of a request."""
    row = SixField(record.prompt, record.latency, record.tokens, record.memory_mb, record.power_w, record.tps)
    return msgspec.json.encode(row) + b"\n"


def is_one(first: dict[str, object]) -> bool:
    """Whether a first line is of this form."""
    return all(name in first for name in ("prompt", "latency", "tokens"))


def read(source: SourceFile, given: Given) -> list[Finding]:
    """The one run of such a file, read line by line."""
    latencies, counts, speeds = array("d"), array("q"), array("d")
    memory = watts = 0.0
    powers = failed = requests = 0
    for record in _records(source, given.batch_size):
        requests += 1
        if record.latency is None:
            failed += 1
            continue
        latencies.append(record.latency)
        counts.append(record.tokens)
        if record.tps is not None:
            speeds.append(record.tps)
        memory = max(memory, record.memory_mb or 0.0)
        if record.power_w is not None:
            watts, powers = watts + record.power_w, powers + 1
    if not requests:
        source.refuse("", "has no request")
    summary = Summary(
        iterations=None,
        requests=requests,
        failed=failed,
        prompt_tokens=None,
        output_tokens=sum(counts),
        measured_s=None,
        latency=described(latencies),
        tps=described(speeds),
    )
    notes = []
    if given.batch_size and not failed:
        summary = _in_batches(summary, latencies, counts, given.batch_size)
    else:
        notes.append(
            "which requests ran together, the file does not tell: there is no throughput, and they are one observation"
        )
    length = same(counts)
    details = {
        "largest memory_mb": f"{memory:g}" if memory else None,
        "mean power_w": f"{watts / powers:g}" if powers else None,
    }
    return [
        Finding(
            source=SOURCE,
            title=source.name,
            summary=summary,
            config={"workload.num_prompts": requests, **({"workload.output_len": length} if length else {})},
            loaded=loaded_as("unknown", details=details),
            notes=tuple(notes),
            invalid=failures(failed, requests),
            records=lambda: _records(source, given.batch_size),
        )
    ]


def _in_batches(summary: Summary, latencies: "array[float]", counts: "array[int]", size: int) -> Summary:
    """With so many requests in each batch, one batch after another: a batch takes as long as its slowest request."""
    starts = range(0, len(latencies), size)
    seconds = [max(latencies[start : start + size]) for start in starts]
    tokens = [float(sum(counts[start : start + size])) for start in starts]
    total = sum(seconds)
    known = msgspec.structs.replace(
        summary,
        iterations=len(seconds),
        measured_s=total,
        output_throughput=sum(tokens) / total if total else None,
    )
    known = with_interval(known, tokens, seconds)
    return with_drift(known, [count / time for count, time in zip(tokens, seconds, strict=True) if time])


def _records(source: SourceFile, size: int | None) -> Iterator[RequestRecord]:
    """The requests as lines of requests.jsonl."""
    if size is None:
        yield from _at_once(source)
        return
    batch: list[RequestRecord] = []
    start, index = 0.0, 0
    for record in _each(source):
        batch.append(record)
        if len(batch) == size:
            yield from _batch(batch, index, start)
            start, index, batch = start + _longest(batch), index + 1, []
    if batch:
        yield from _batch(batch, index, start)


def _at_once(source: SourceFile) -> Iterator[RequestRecord]:
    """As one batch; those that failed behind it as another, since one that failed would take its batch with it."""
    failed = 0
    for record in _each(source):
        if record.error:
            failed += 1
        else:
            yield record
    if failed:
        for record in _each(source):
            if record.error:
                yield msgspec.structs.replace(record, batch=1)


def _each(source: SourceFile) -> Iterator[RequestRecord]:
    return (_record(source, number, line) for number, line in source.lines())


def _longest(batch: list[RequestRecord]) -> float:
    return max(record.latency or 0.0 for record in batch)


def _batch(batch: list[RequestRecord], index: int, start: float) -> Iterator[RequestRecord]:
    seconds = _longest(batch)
    for record in batch:
        yield msgspec.structs.replace(record, batch=index, start=start, batch_seconds=seconds)


def _nulled(value: object) -> object:
    """`value` with null for what a CPU lacks, where others write N/A."""
    if not isinstance(value, dict):
        return value
    return {key: None if key in _MAY_LACK and found in _LACKING else found for key, found in value.items()}


def _record(source: SourceFile, number: int, line: bytes) -> RequestRecord:
    table = JsonObject(_nulled(source.decode(line, first_line=number)), f"line {number}", source.name)
    prompt = table.values.get("prompt")
    if not isinstance(prompt, str):
        table.refuse("prompt", "is not text" if "prompt" in table.values else "is not there")
    if "latency" not in table.values:
        table.refuse("latency", "is not there")
    latency = table.maybe_number("latency")
    return RequestRecord(
        prompt=prompt.encode(errors="replace").decode(),
        prompt_tokens=None,
        tokens=table.count("tokens"),
        latency=latency,
        ttft=None,
        tpot=None,
        itl=None,
        tps=table.maybe_number("tps"),
        memory_mb=table.maybe_number("memory_mb"),
        power_w=table.maybe_number("power_w"),
        energy_j=None,
        start=0.0,
        batch=0,
        error="" if latency is not None else "the file gives no latency",
        own_times=True,
    )
