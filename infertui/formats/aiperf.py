"""What aiperf writes as profile_export_aiperf.json, and its ancestor genai-perf in the same form.

An object with one for each metric, `{unit, avg, p1 ... p99, min, max, std}`; a single figure has `avg` alone. The unit
is said beside every metric. Its inter-token latency is (E2E - TTFT) / (n - 1) of a request: what infertui calls TPOT.
Fields as in aiperf's src/aiperf/common/models/export_models.py and its page "profile_export_aiperf.json Schema".
"""

from collections.abc import Iterable

from infertui.formats.imported_run import (
    POPULATION,
    UNKNOWN,
    Finding,
    as_given,
    contradiction,
    failures,
    loaded_as,
    moment,
)
from infertui.formats.plausible import NOT_STREAMED
from infertui.formats.reader import JsonObject, is_number, printable
from infertui.measure.statistics import Distribution
from infertui.measure.summary import Summary

_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0}
_RATES = (
    "tokens/sec",
    "tokens/s",
    "tok/s",
    "tokens/second",
    "requests/sec",
    "requests/s",
    "requests/second",
    "per_sec",
)
_LATENCIES = ("request_latency", "time_to_first_token", "inter_token_latency")


def is_one(first: dict[str, object]) -> bool:
    """Whether an object is of this form."""
    metrics = [first.get(name) for name in (*_LATENCIES, "request_throughput", "output_token_throughput")]
    return sum(isinstance(metric, dict) and "unit" in metric for metric in metrics) >= 2


def read(documents: Iterable[JsonObject]) -> list[Finding]:
    """A run for each document."""
    return [_finding(table) for table in documents]


def _finding(table: JsonObject) -> Finding:
    told, errors = _single(table, "request_count"), _single(table, "error_request_count")
    failed = int(errors or 0)
    if told is None and failed and not table.has("request_latency"):
        told = 0.0  # where all of them failed there is no such metric
    good, cut_off = int(told or 0), 0
    asked = table.inside("input_config")
    if any(phase.has("duration") for phase in _phases(asked)) or asked.inside("loadgen").has("benchmark_duration"):
        cut_off = min(failed, _cancelled(table))
        failed -= cut_off
    duration = _time(table, "benchmark_duration")
    prompt = _total(table, "total_isl", "input_sequence_length", good)
    output = _total(table, "total_osl", "output_sequence_length", good)
    speed = _rate(table, "output_token_throughput")
    streams = _streams(asked)
    summary = Summary(
        iterations=None,
        requests=None if told is None else good + failed,
        failed=None if told is None and errors is None else failed,
        prompt_tokens=prompt,
        output_tokens=output,
        measured_s=duration,
        output_throughput=speed,
        total_throughput=_rate(table, "total_token_throughput"),
        latency=_distribution(table, "request_latency", good),
        ttft=_distribution(table, "time_to_first_token", good) if streams else None,
        tpot=_distribution(table, "inter_token_latency", good) if streams else None,
        cut_off=cut_off,
    )
    model, together = _model(asked), _load(asked, "concurrency")
    version = table.text("aiperf_version")
    return Finding(
        source=f"aiperf {version}" if version else "aiperf or genai-perf, of a version that the file does not tell",
        title=" ".join(part for part in (
            "aiperf", model.rpartition("/")[2], f"concurrency {together}" if together else "",
        ) if part),
        summary=summary,
        config={
            **({"model.id": model} if model else {}),
            **({"workload.num_prompts": good + failed} if told is not None and good + failed else {}),
        },
        started=moment(table.text("start_time")),
        loaded=loaded_as(
            UNKNOWN,
            device_name=_gpus(table),
            details={
                "concurrency": together,
                "request_rate": _load(asked, "request_rate") or _load(asked, "rate"),
                "arrival_pattern": _load(asked, "arrival_pattern"),
                "arrival_smoothness": _load(asked, "arrival_smoothness"),
                "request_throughput": _rate(table, "request_throughput"),
                "goodput": _rate(table, "goodput"),
                "benchmark_id": table.text("benchmark_id"),
            },
        ),
        notes=(
            "its percentiles are over requests that may have run at the same time",
            *(() if streams else (NOT_STREAMED,)),
            *((POPULATION,) if told is None else ()),
        ),
        invalid=(
            *failures(failed, None if told is None else good + failed),
            *(("the benchmark was cancelled",) if table.values.get("was_cancelled") is True else ()),
            *contradiction("output_token_throughput", speed, output / duration if output and duration else None),
        ),
    )  # fmt: skip


def _metric(table: JsonObject, key: str) -> JsonObject | None:
    if not table.has(key):
        return None
    return table.table(key)


def _single(table: JsonObject, key: str) -> float | None:
    metric = _metric(table, key)
    return None if metric is None else metric.maybe_number("avg")


def _scale(metric: JsonObject) -> float:
    unit = metric.text("unit")
    if unit not in _SECONDS:
        metric.refuse("unit", f"is {unit!r}, not one of {', '.join(_SECONDS)}")
    return _SECONDS[unit]


def _time(table: JsonObject, key: str) -> float | None:
    metric = _metric(table, key)
    found = None if metric is None else metric.maybe_number("avg")
    return None if metric is None or found is None else found * _scale(metric)


def _rate(table: JsonObject, key: str) -> float | None:
    metric = _metric(table, key)
    if metric is None:
        return None
    unit = metric.text("unit")
    if unit not in _RATES:
        metric.refuse("unit", f"is {unit!r}, not one of {', '.join(_RATES)}")
    return metric.maybe_number("avg")


def _total(table: JsonObject, total: str, mean: str, requests: int) -> int | None:
    """Tokens in all: as told, else the mean of a request times the requests where that is a whole number."""
    found = _single(table, total)
    if found is None and requests and (each := _single(table, mean)) is not None:
        found = each * requests
        if abs(found - round(found)) > 1e-6 * max(found, 1):
            return None
    return None if found is None else round(found)


def _distribution(table: JsonObject, key: str, n: int) -> Distribution | None:
    metric = _metric(table, key)
    if metric is None:
        return None
    scale = _scale(metric)

    def seconds(name: str) -> float | None:
        value = metric.maybe_number(name)
        return None if value is None else value * scale

    return as_given(
        n, mean=seconds("avg"), median=seconds("p50"), population_std=seconds("std"), minimum=seconds("min"),
        maximum=seconds("max"), p90=seconds("p90"), p95=seconds("p95"), p99=seconds("p99"),
    )  # fmt: skip


def _phases(asked: JsonObject) -> list[JsonObject]:
    """The phases that were measured, of newer configs."""
    listed = asked.values.get("phases")
    if not isinstance(listed, list) or not all(isinstance(phase, dict) for phase in listed):
        return []
    return [phase for phase in asked.tables("phases") if "warm" not in phase.text("name").lower()]


def _load(asked: JsonObject, key: str) -> str:
    """What the load was: the config of aiperf keeps it in two places, by its version, and genai-perf's in two more."""
    places = (*_phases(asked), asked.inside("loadgen"), asked, asked.inside("perf_analyzer", "stimulus"))
    for place in places:
        value = place.values.get(key)
        if isinstance(value, list) and len(value) == 1:
            (value,) = value
        if is_number(value):
            return f"{value:.12g}"
        if isinstance(value, str) and value:
            return printable(value)
    return ""


def _streams(asked: JsonObject) -> bool:
    """Whether tokens came one by one; without a stream its time to the first is that to the last."""
    return asked.inside("endpoint").values.get("streaming") is not False and asked.values.get("streaming") is not False


def _cancelled(table: JsonObject) -> int:
    """Requests that the end of the time cut off, which it counts among the errors."""
    listed, found = table.values.get("error_summary"), 0
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and (one := JsonObject(entry, "$.error_summary", table.name)).has("count"):
            details = one.inside("error_details")
            found += one.count("count") if "cancel" in details.text("type").lower() else 0
    return found


def _model(asked: JsonObject) -> str:
    """The first model that the config names, in whichever of the forms that there have been."""
    endpoint = asked.inside("endpoint")
    for names in (endpoint.values.get("model_names"), asked.values.get("model_names"), asked.values.get("model")):
        for name in names if isinstance(names, list) else [names]:
            if isinstance(name, str) and name.strip():
                return printable(name)
    items = asked.inside("models").values.get("items")
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            return printable(item["name"])
    return ""


def _gpus(table: JsonObject) -> str:
    """The GPUs of its telemetry, each name once."""
    endpoints = table.inside("telemetry_data", "endpoints")
    names = {
        endpoints.inside(endpoint, "gpus", gpu).text("gpu_name")
        for endpoint in endpoints.values
        for gpu in endpoints.inside(endpoint, "gpus").values
    }
    return printable(", ".join(sorted(name for name in names if name)))
