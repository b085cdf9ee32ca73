"""The report that trtllm-bench, TensorRT-LLM's own benchmark, writes with `--report_json`.

What it counts is near to what infertui counts: output throughput is over all generated tokens, the first among them;
TPOT is (last - first) / (n - 1). Percentiles of times are in milliseconds.
"""

from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from infertui.config.schema import Dtype
from infertui.formats.imported_run import MOST_APART, Finding, as_given, loaded_as
from infertui.formats.reader import JsonObject, SourceFile
from infertui.measure.statistics import Distribution
from infertui.measure.summary import Summary
from infertui.results.setup import Value
from infertui.targets.engine.base import Loaded

TOOL = "trtllm-bench"
_PERCENTILES = ("p50", "p90", "p95", "p99", "minimum", "maximum", "average")
_DTYPES: dict[str, Dtype] = {"float16": "float16", "bfloat16": "bfloat16", "float32": "float32"}
_BACKENDS = {"Pytorch": "pytorch", "TRT": "engine"}


class Percentiles(Struct, frozen=True):
    """Of a figure over the requests: seconds, or tokens per second."""

    p50: float
    p90: float
    p95: float
    p99: float
    minimum: float
    maximum: float
    average: float


class Report(Struct, frozen=True, kw_only=True):
    """A `--report_json`. Seconds, tokens per second; None is not in the report. `problems` are its contradictions.

    `ttft`, `tpot` and `token_speed` are there with `--streaming` alone, `acceptance_*` with speculation alone.
    """

    model: str
    version: str
    backend: Literal["pytorch", "engine"] | str
    dtype: str
    quantization: str
    kv_cache_dtype: str
    gpu: str
    tensor_parallel: int
    max_batch_size: int | None
    max_num_tokens: int | None
    kv_fraction: float | None
    requests: int
    concurrency: float | None
    input_tokens: float
    output_tokens: float
    seconds: float
    requests_per_s: float
    output_per_s: float
    total_per_s: float
    output_per_s_per_gpu: float | None
    latency: Percentiles
    ttft: Percentiles | None = None
    tpot: Percentiles | None = None
    token_speed: Percentiles | None = None
    acceptance_rate: Percentiles | None = None
    acceptance_length: Percentiles | None = None
    problems: tuple[str, ...] = ()


def is_one(first: dict[str, object]) -> bool:
    """Whether an object is such a report."""
    return all(name in first for name in ("engine", "world_info", "request_info", "performance"))


def parse(content: bytes) -> Report:
    """Read a report. Raises FormatError naming what is missing or is no number."""
    source = SourceFile.of(content, f"the report of {TOOL}")
    return report_of(JsonObject(source.document(), "$", source.name))


def report_of(table: JsonObject) -> Report:
    """The report of a decoded document."""
    engine, world, asked, found = (
        table.table(name) for name in ("engine", "world_info", "request_info", "performance")
    )
    backend = engine.text("backend")
    report = Report(
        model=engine.text("model"),
        version=engine.text("version"),
        backend=_BACKENDS.get(backend, backend),
        dtype=engine.text("dtype"),
        quantization=engine.text("quantization") or "none",
        kv_cache_dtype=engine.text("kv_cache_dtype") or "auto",
        gpu=table.inside("machine").text("name"),
        tensor_parallel=world.count("tp_size"),
        max_batch_size=world.maybe_count("max_batch_size"),
        max_num_tokens=world.maybe_count("max_num_tokens"),
        kv_fraction=world.maybe_number("kv_cache_percentage"),
        requests=asked.count("num_requests"),
        concurrency=asked.maybe_number("avg_num_concurrent_requests"),
        input_tokens=asked.number("avg_input_length"),
        output_tokens=asked.number("avg_output_length"),
        seconds=found.number("total_latency_ms") / 1000,
        requests_per_s=found.number("request_throughput_req_s"),
        output_per_s=found.number("system_output_throughput_tok_s"),
        total_per_s=found.number("system_total_throughput_tok_s"),
        output_per_s_per_gpu=found.maybe_number("output_throughput_per_gpu_tok_s"),
        latency=_percentiles(found, "request_latency_percentiles_ms", 1000),
        **_streamed(table.maybe_table("streaming_metrics")),
        **_drafted(table.maybe_table("decoding_stats")),
    )
    return replace(report, problems=tuple(_problems(report)))


def read(documents: Iterable[JsonObject]) -> list[Finding]:
    """A run for each report."""
    return [_finding(report_of(table)) for table in documents]


def summary_of(report: Report) -> Summary:
    """One window of measuring: nothing was repeated, so there is no interval and no drift."""
    return Summary(
        iterations=1,
        requests=report.requests,
        failed=0,
        prompt_tokens=round(report.requests * report.input_tokens),
        output_tokens=round(report.requests * report.output_tokens),
        measured_s=report.seconds,
        output_throughput=report.output_per_s,
        total_throughput=report.total_per_s,
        latency=_distribution(report.latency, report.requests),
        ttft=_distribution(report.ttft, report.requests),
        tpot=_distribution(report.tpot, report.requests),
        tps=_distribution(report.token_speed, report.requests),
    )


def contradictions(report: Report) -> list[str]:
    """The reasons against a report whose figures deny each other."""
    return [f"the report contradicts itself: {problem}" for problem in report.problems]


def loaded_of(report: Report) -> Loaded:
    """What ran."""
    share = "" if report.kv_fraction is None else f": {report.kv_fraction:.0%} of what was free"
    found = loaded_as(
        TOOL,
        versions={"tensorrt_llm": report.version},
        device_name=report.gpu,
        dtype=_DTYPES.get(report.dtype, report.dtype),
        details={
            "backend": report.backend,
            "quantization": report.quantization,
            "kv_cache_dtype": report.kv_cache_dtype,
            "max_batch_size": report.max_batch_size,
            "max_num_tokens": report.max_num_tokens,
        },
    )
    return replace(found, device="cuda", memory_policy=f"KV pool{share}, reserved at load")


def _finding(report: Report) -> Finding:
    told: dict[str, Value] = {
        "engine.name": "tensorrt-llm",
        "engine.tensor_parallel": report.tensor_parallel,
        "engine.tensorrt_llm.backend": report.backend,
        "workload.num_prompts": report.requests,
    }
    told |= {"model.id": report.model} if report.model else {}
    told |= {"engine.dtype": report.dtype} if report.dtype in _DTYPES else {}
    for key, mean in (("input_len", report.input_tokens), ("output_len", report.output_tokens)):
        # A mean that is no whole number is of lengths that differ.
        told |= {f"workload.{key}": int(mean)} if mean and mean == int(mean) else {}
    together = "" if report.concurrency is None else f", {report.concurrency:g} at a time on average"
    return Finding(
        source=f"{TOOL} {report.version}".strip(),
        title=f"{TOOL} {report.model.rpartition('/')[2]}".strip(),
        summary=summary_of(report),
        config=told,
        loaded=loaded_of(report),
        notes=(f"all {report.requests} requests were sent at once{together}: they are one observation",),
        invalid=tuple(contradictions(report)),
    )


def _problems(report: Report) -> Iterable[str]:
    """A report whose own figures contradict each other is not to be believed in any."""
    if report.requests < 1 or report.seconds <= 0:
        yield "it measured nothing"
        return
    counted = report.requests * report.output_tokens / report.seconds
    if abs(counted - report.output_per_s) > MOST_APART * counted:
        yield (
            f"its output throughput is {report.output_per_s:.1f} tok/s, and its requests, tokens and seconds make "
            f"{counted:.1f}"
        )


def _streamed(group: JsonObject | None) -> dict[str, Any]:
    if group is None:
        return {}
    return {
        "ttft": _percentiles(group, "ttft_percentiles", 1000),
        "tpot": _percentiles(group, "tpot_percentiles", 1000),
        "token_speed": _percentiles(group, "gen_tps_percentiles", 1),
    }


def _drafted(group: JsonObject | None) -> dict[str, Any]:
    if group is None:
        return {}
    names = {"acceptance_rate": "draft_acceptance_rate", "acceptance_length": "acceptance_length"}
    return {
        ours: _percentiles(group, f"{theirs}_percentiles", 1)
        for ours, theirs in names.items()
        if group.has(f"{theirs}_percentiles")
    }


def _percentiles(group: JsonObject, key: str, divide_by: float) -> Percentiles:
    table = group.table(key)
    return Percentiles(*(table.number(name) / divide_by for name in _PERCENTILES))


def _distribution(found: Percentiles | None, n: int) -> Distribution | None:
    if found is None:
        return None
    return as_given(
        n, mean=found.average, median=found.p50, minimum=found.minimum, maximum=found.maximum, p90=found.p90,
        p95=found.p95, p99=found.p99,
    )  # fmt: skip
