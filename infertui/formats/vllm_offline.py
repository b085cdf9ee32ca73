"""What `vllm bench throughput` and `vllm bench latency` write with --output-json. Neither names the model.

Throughput: `elapsed_time` (seconds), `num_requests`, `total_num_tokens` (prompt and output together),
`requests_per_second`, `tokens_per_second` (of both). Latency: seconds of each iteration, a batch each, and
`percentiles` by number. Fields as in vllm/benchmarks/throughput.py and latency.py.
"""

from collections.abc import Iterable, Iterator

import msgspec

from infertui.formats.imported_run import Finding, Given, contradiction, described, loaded_as
from infertui.formats.reader import JsonObject
from infertui.measure.records import RequestRecord
from infertui.measure.summary import Summary, with_drift, with_interval

THROUGHPUT = "vllm bench throughput"
LATENCY = "vllm bench latency"


def is_throughput(first: dict[str, object]) -> bool:
    """Whether an object is of the first form."""
    return all(name in first for name in ("elapsed_time", "num_requests", "tokens_per_second"))


def is_latency(first: dict[str, object]) -> bool:
    """Whether an object is of the second form."""
    return all(name in first for name in ("avg_latency", "latencies"))


def read_throughput(documents: Iterable[JsonObject], given: Given) -> list[Finding]:
    """A run for each document. How many of the tokens were generated follows from a given output length alone."""
    return [_throughput(table, given) for table in documents]


def _throughput(table: JsonObject, given: Given) -> Finding:
    seconds, requests = table.number("elapsed_time"), table.count("num_requests")
    tokens, speed = table.count("total_num_tokens"), table.number("tokens_per_second")
    if seconds <= 0:
        table.refuse("elapsed_time", "is 0")
    output = given.output_len * requests if given.output_len else 0
    if output > tokens:
        table.refuse("total_num_tokens", f"is {tokens}, fewer than {given.output_len} for each of {requests} requests")
    return Finding(
        source=THROUGHPUT,
        title=f"{THROUGHPUT} {table.name}",
        summary=Summary(
            iterations=None,
            requests=requests,
            failed=0,
            prompt_tokens=tokens - output if output else None,
            output_tokens=output or None,
            measured_s=seconds,
            output_throughput=output / seconds if output else None,
            total_throughput=speed,
        ),
        config={"workload.num_prompts": requests, "engine.name": "vllm"},
        loaded=loaded_as("vllm", details={"requests_per_second": table.text("requests_per_second")}),
        invalid=(
            *contradiction("tokens_per_second", speed, tokens / seconds),
            *contradiction("requests_per_second", table.maybe_number("requests_per_second"), requests / seconds),
        ),
    )


def read_latency(documents: Iterable[JsonObject], given: Given) -> list[Finding]:
    """A run for each document. Tokens, and so throughput, follow from a given batch size and output length alone."""
    return [_latency(table, given) for table in documents]


def _latency(table: JsonObject, given: Given) -> Finding:
    seconds = table.numbers("latencies")
    if not seconds or min(seconds) <= 0:
        table.refuse("latencies", "holds no time, or one of 0")
    count, total = len(seconds), sum(seconds)
    summary = Summary(
        iterations=count,
        requests=None,
        failed=0,
        prompt_tokens=None,
        output_tokens=None,
        measured_s=total,
        latency=described(seconds),
    )
    summary = with_drift(summary, [1 / time for time in seconds])
    size, length = given.batch_size, given.output_len
    if size and length:
        summary = msgspec.structs.replace(
            summary,
            requests=size * count,
            output_tokens=size * length * count,
            prompt_tokens=size * given.input_len * count if given.input_len else None,
            output_throughput=size * length * count / total,
            total_throughput=size * (length + given.input_len) * count / total if given.input_len else None,
        )
        summary = with_interval(summary, [float(size * length)] * count, seconds)

    def records() -> Iterator[RequestRecord]:
        at = 0.0
        for number, time in enumerate(seconds):
            for _ in range(size or 0):
                yield RequestRecord(
                    prompt="", prompt_tokens=given.input_len, tokens=length or 0, latency=time, ttft=None, tpot=None,
                    itl=None, tps=(length or 0) / time, memory_mb=None, power_w=None, energy_j=None, start=at,
                    batch=number, batch_seconds=time,
                )  # fmt: skip
            at += time

    return Finding(
        source=LATENCY,
        title=f"{LATENCY} {table.name}",
        summary=summary,
        config={"engine.name": "vllm", "measurement.iterations": count},
        loaded=loaded_as("vllm"),
        invalid=contradiction("avg_latency", table.number("avg_latency"), total / count),
        records=records if size and length else None,
    )
