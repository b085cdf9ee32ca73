"""What guidellm writes as benchmarks.json: a report with one benchmark for each rate that it tried.

Each metric is told apart by `successful`, `errored`, `incomplete` and `total`; figures here are of the successful
requests. Latency is in seconds, the others by the unit in their name. Its inter-token latency is (last - first) /
(n - 1) of a request, which infertui calls TPOT, and its distribution weighs requests by their tokens; its own
`time_per_output_token_ms` counts the first token in, and is not taken. Fields as in guidellm's
src/guidellm/benchmark/schemas and src/guidellm/schemas/request_stats.py and statistics.py.
"""

from collections.abc import Iterable, Iterator

from infertui.formats.imported_run import (
    UNKNOWN,
    Finding,
    Records,
    as_given,
    described,
    failures,
    loaded_as,
    moment_of,
    same,
)
from infertui.formats.reader import JsonObject
from infertui.measure.records import RequestRecord
from infertui.measure.statistics import Distribution
from infertui.measure.summary import Summary
from infertui.results.setup import Value

_MS = 1e-3
_MODEL_AT = (("args", "model"), ("args", "backend", "model"), ("args", "backend_kwargs", "model"),
             ("config", "backend", "model"), ("args", "backend_args", "model"))  # fmt: skip


def is_one(first: dict[str, object]) -> bool:
    """Whether an object is of this form."""
    benchmarks = first.get("benchmarks")
    if not isinstance(benchmarks, list) or not benchmarks or not isinstance(benchmarks[0], dict):
        return False
    metrics = benchmarks[0].get("metrics")
    return isinstance(metrics, dict) and "request_latency" in metrics


def read(documents: Iterable[JsonObject]) -> list[Finding]:
    """A run for each benchmark of each document."""
    return [_finding(table, benchmark) for table in documents for benchmark in table.tables("benchmarks")]


def _finding(table: JsonObject, benchmark: JsonObject) -> Finding:
    metrics = benchmark.table("metrics")
    good, failed, cut_off = _totals(benchmark, metrics)
    seconds = benchmark.maybe_number("duration")
    requests = _requests(benchmark, good)
    strategy = _strategy(benchmark)
    kind, together = strategy.text("type_"), strategy.text("streams") or strategy.text("max_concurrency")
    alone = kind == "synchronous" or together == "1"
    prompt, output = (_sum(metrics, f"{name}_token_count") for name in ("prompt", "output"))
    version = table.inside("metadata").text("guidellm_version")
    model = _model(table, benchmark)
    told: dict[str, Value | None] = {
        "model.id": model or None,
        "workload.num_prompts": good + failed or None,
        "workload.input_len": _length(metrics, "prompt_token_count"),
        "workload.output_len": _length(metrics, "output_token_count"),
    }
    return Finding(
        source=f"guidellm {version}" if version else "guidellm, of a version that the file does not tell",
        title=" ".join(part for part in ("guidellm", model.rpartition("/")[2], kind, _rate(strategy)) if part),
        summary=Summary(
            iterations=None,
            requests=good + failed,
            failed=failed,
            cut_off=cut_off,
            prompt_tokens=prompt,
            output_tokens=output,
            measured_s=seconds,
            output_throughput=_mean(metrics, "output_tokens_per_second"),
            total_throughput=_mean(metrics, "tokens_per_second"),
            latency=_figure(metrics, "request_latency", 1.0, good),
            ttft=_figure(metrics, "time_to_first_token_ms", _MS, good),
            # By request where they are all told; else as given, in which those of many tokens weigh more.
            tpot=described([_ms(one, "inter_token_latency_ms") for one in requests])
            or _figure(metrics, "inter_token_latency_ms", _MS, good),
            tps=described([_speed(one) for one in requests]),
        ),
        config={path: value for path, value in told.items() if value is not None},
        started=moment_of(benchmark.maybe_number("start_time")),
        loaded=loaded_as(
            UNKNOWN,
            details={
                "strategy": kind,
                "streams": together,
                "rate": strategy.text("rate"),
                "requests_per_second": _mean(metrics, "requests_per_second"),
                "request_concurrency": _mean(metrics, "request_concurrency"),
            },
        ),
        notes=(
            "one request at a time: each is an observation by its own latency"
            if alone
            else "its requests ran at the same time: they are one observation, and there is no interval",
        ),
        invalid=failures(failed, good + failed),
        records=_records(requests, seconds, alone=alone) if requests else None,
    )


def _totals(benchmark: JsonObject, metrics: JsonObject) -> tuple[int, int, int]:
    """Requests that succeeded, that failed, and that were in flight when the benchmark's time or count was up."""
    totals = metrics.maybe_table("request_totals") or benchmark.maybe_table("request_totals")
    if totals is None:
        metrics.refuse("request_totals", "is not there")
    return totals.count("successful"), totals.maybe_count("errored") or 0, totals.maybe_count("incomplete") or 0


def _strategy(benchmark: JsonObject) -> JsonObject:
    for place in ("config", "args"):
        found = benchmark.inside(place, "strategy")
        if found.values:
            return found
    return benchmark.inside("scheduler", "strategy")


def _rate(strategy: JsonObject) -> str:
    for key, words in (("streams", "streams"), ("rate", "req/s")):
        if told := strategy.text(key):
            return f"{told} {words}"
    return ""


def _model(table: JsonObject, benchmark: JsonObject) -> str:
    for within in (table, benchmark):
        for *path, key in _MODEL_AT:
            if model := within.inside(*path).text(key):
                return model
    return benchmark.inside("worker").text("backend_model")


def _good(metrics: JsonObject, key: str) -> JsonObject | None:
    found = metrics.maybe_table(key)
    return None if found is None else found.maybe_table("successful")


def _mean(metrics: JsonObject, key: str) -> float | None:
    found = _good(metrics, key)
    return None if found is None else found.maybe_number("mean")


def _sum(metrics: JsonObject, key: str) -> int | None:
    found = _good(metrics, key)
    total = None if found is None else found.maybe_number("total_sum")
    return None if total is None else round(total)


def _length(metrics: JsonObject, key: str) -> int | None:
    found = _good(metrics, key)
    if found is None or not found.has("min", "max"):
        return None
    return same([found.number("min"), found.number("max")]) or None


def _figure(metrics: JsonObject, key: str, scale: float, n: int) -> Distribution | None:
    found = _good(metrics, key)
    if found is None or not found.maybe_number("mean"):  # a metric without values, as TTFT without a stream, is zeros
        return None
    percentiles = found.inside("percentiles")

    def value(table: JsonObject, name: str) -> float | None:
        number = table.maybe_number(name)
        return None if number is None else number * scale

    return as_given(
        n, mean=value(found, "mean"), median=value(found, "median"), population_std=value(found, "std_dev"),
        minimum=value(found, "min"), maximum=value(found, "max"), p90=value(percentiles, "p90"),
        p95=value(percentiles, "p95"), p99=value(percentiles, "p99"),
    )  # fmt: skip


def _requests(benchmark: JsonObject, good: int) -> list[JsonObject]:
    """The successful requests where all of them are there: a sample of them would make figures of its own."""
    listed = benchmark.inside("requests")
    if not isinstance(listed.values.get("successful"), list):
        return []
    found = list(listed.tables("successful"))
    return found if len(found) == good else []


def _ms(request: JsonObject, key: str) -> float | None:
    value = request.maybe_number(key)
    return None if value is None else value * _MS


def _speed(request: JsonObject) -> float | None:
    latency, tokens = request.maybe_number("request_latency"), request.maybe_count("output_tokens")
    return tokens / latency if latency and tokens is not None else None


def _start(request: JsonObject) -> float:
    return request.maybe_number("request_start_time") or request.maybe_number("start_time") or 0.0


def _records(requests: list[JsonObject], seconds: float | None, *, alone: bool) -> Records:
    first = min(map(_start, requests))

    def records() -> Iterator[RequestRecord]:
        for number, request in enumerate(requests):
            latency = request.maybe_number("request_latency")
            yield RequestRecord(
                prompt="",
                prompt_tokens=request.maybe_count("prompt_tokens"),
                tokens=request.maybe_count("output_tokens") or 0,
                latency=latency,
                ttft=_ms(request, "time_to_first_token_ms"),
                tpot=_ms(request, "inter_token_latency_ms"),
                itl=None,
                tps=_speed(request),
                memory_mb=None,
                power_w=None,
                energy_j=None,
                start=max(0.0, _start(request) - first),
                batch=number if alone else 0,
                batch_seconds=latency if alone else seconds,
                own_times=True,
            )

    return records
