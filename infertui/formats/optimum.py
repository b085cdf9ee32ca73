"""What optimum-benchmark writes: benchmark_report.json, and benchmark.json, which holds it with its config.

A report has an object for each of `prefill`, `decode`, `generate` and `per_token`, with `latency` in seconds: values of
the iterations, an iteration a batch, and their statistics, whose deviation is that of the population. Prefill lasts
until a batch has its first token, decode from there to its last; `per_token` has the gaps between steps. How many
tokens there were, the config alone tells, or whoever imports the report. Fields as in
optimum_benchmark/benchmark/report.py and trackers/latency.py.
"""

import math
from collections.abc import Iterable, Sequence

from infertui.formats.imported_run import UNKNOWN, Finding, Given, as_given, gaps_of, loaded_as
from infertui.formats.reader import JsonObject
from infertui.measure.records import EngineMemory
from infertui.measure.statistics import Distribution, describe
from infertui.measure.summary import Summary, with_drift, with_interval
from infertui.results.setup import Value

NAME = "optimum-benchmark"
_PARTS = ("prefill", "decode", "generate", "per_token", "forward", "call", "load_model")
_ENGINES = {"pytorch": "transformers", "vllm": "vllm", "openvino": "openvino", "tensorrt-llm": "tensorrt-llm",
            "llama_cpp": "llama-cpp"}  # fmt: skip


def is_one(first: dict[str, object]) -> bool:
    """Whether an object is of this form."""
    report = first.get("report")
    found = report if isinstance(report, dict) else first
    return any(_is_part(found.get(name)) for name in _PARTS)


def _is_part(part: object) -> bool:
    latency = part.get("latency") if isinstance(part, dict) else None
    return isinstance(latency, dict) and "mean" in latency and "unit" in latency


def read(documents: Iterable[JsonObject], given: Given) -> list[Finding]:
    """A run for each document."""
    return [_finding(table, given) for table in documents]


def _finding(table: JsonObject, given: Given) -> Finding:
    report = table.maybe_table("report") or table
    prefill, decode, whole = (report.inside(name, "latency") for name in ("prefill", "decode", "generate"))
    if not prefill.values or not (decode.values or whole.values):
        table.refuse("report" if report is not table else "decode", "is of no generation of text: it cannot be read")
    config = table.inside("config")
    asked, backend = config.inside("scenario"), config.inside("backend")
    batch = asked.inside("input_shapes").maybe_count("batch_size") or given.batch_size
    length = asked.inside("input_shapes").maybe_count("sequence_length") or given.input_len
    steps = report.inside("per_token", "latency")
    new = asked.inside("generate_kwargs").maybe_count("max_new_tokens") or _new(steps, decode) or given.output_len
    seconds = _whole(prefill, decode, whole)
    count = len(seconds)
    tokens = batch * new if batch and new else 0
    prompt = batch * length if batch and length else 0
    total = math.fsum(seconds)
    summary = Summary(
        iterations=count or None,
        requests=batch * count if batch and count else None,
        failed=0 if batch and count else None,
        prompt_tokens=prompt * count or None,
        output_tokens=tokens * count or None,
        measured_s=total if count else None,
        output_throughput=tokens * count / total if total else None,
        total_throughput=(tokens + prompt) * count / total if tokens and prompt and total else None,
        latency=describe(seconds) or _spread(whole),
        ttft=_spread(prefill),
        tpot=_spread(decode, 1 / (new - 1)) if new and new > 1 else None,
        itl=gaps_of(steps.numbers("values"), steps.maybe_count("count") or 0) if steps.has("values") else None,
        memory=EngineMemory(
            allocated_peak=_bytes(report, "max_allocated"), reserved_peak=_bytes(report, "max_reserved")
        ),
        prefill_throughput=_rate(prompt, prefill),
    )  # fmt: skip
    if tokens and total:
        summary = with_interval(summary, [float(tokens)] * count, seconds)
    summary = with_drift(summary, [1 / each for each in seconds if each])
    if not tokens:
        summary = _without_speed(summary)
    model, name = backend.text("model"), backend.text("name")
    told: dict[str, Value | None] = {
        "model.id": model or None,
        "engine.name": _ENGINES.get(name),
        "engine.dtype": backend.text("torch_dtype") or backend.text("dtype") or None,
        "workload.batch_size": batch,
        "workload.input_len": length,
        "workload.output_len": new,
        "measurement.iterations": count or None,
    }
    version = config.inside("environment").text("optimum_benchmark_version")
    return Finding(
        source=f"{NAME} {version}".strip(),
        title=" ".join(part for part in (config.text("name") or NAME, model.rpartition("/")[2]) if part),
        summary=summary,
        config={path: value for path, value in told.items() if value is not None},
        loaded=loaded_as(
            _ENGINES.get(name) or name or UNKNOWN,
            device_name=_device(config, backend),
            dtype=backend.text("torch_dtype") or backend.text("dtype"),
            details={"backend": name, "decode tok/s": _value(report, "decode"), "task": backend.text("task")},
        ),
        notes=("each batch is an observation; decode leaves the first token out, and output throughput does not",),
    )


def _without_speed(summary: Summary) -> Summary:
    from msgspec.structs import replace

    return replace(summary, output_throughput=None, output_throughput_interval=None, total_throughput=None)


def _values(latency: JsonObject) -> list[float]:
    return latency.numbers("values") if latency.has("values") else []


def _whole(prefill: JsonObject, decode: JsonObject, whole: JsonObject) -> list[float]:
    """Seconds of each batch from its beginning to its last token."""
    if found := _values(whole):
        return found
    first, rest = _values(prefill), _values(decode)
    return [one + other for one, other in zip(first, rest, strict=True)] if len(first) == len(rest) else []


def _new(steps: JsonObject, decode: JsonObject) -> int | None:
    """Tokens of a sequence by the gaps between them, of which there is one less in every batch."""
    gaps, batches = steps.maybe_count("count"), decode.maybe_count("count")
    return gaps // batches + 1 if gaps and batches and gaps % batches == 0 else None


def _spread(latency: JsonObject, share: float = 1.0) -> Distribution | None:
    """Of a time, or of a share of it."""
    if values := _values(latency):
        return describe([value * share for value in values])

    def seconds(key: str) -> float | None:
        found = latency.maybe_number(key)
        return None if found is None else found * share

    return as_given(
        latency.maybe_count("count") or 0, mean=seconds("mean"), median=seconds("p50"),
        population_std=seconds("stdev"), p90=seconds("p90"), p95=seconds("p95"), p99=seconds("p99"),
    )  # fmt: skip


def _rate(tokens: int, latency: JsonObject) -> float | None:
    mean = latency.maybe_number("mean")
    return tokens / mean if tokens and mean else None


def _bytes(report: JsonObject, key: str) -> int | None:
    """The larger of prefill's and decode's, which are in units of a million bytes."""
    found = [report.inside(name, "memory") for name in ("prefill", "decode")]
    known = [value for memory in found if (value := memory.maybe_number(key)) is not None]
    return round(max(known) * 1e6) if known else None


def _value(report: JsonObject, name: str) -> float | None:
    return report.inside(name, "throughput").maybe_number("value")


def _device(config: JsonObject, backend: JsonObject) -> str:
    """The GPUs of its environment where it ran on one, else the CPU."""
    around = config.inside("environment")
    gpus: Sequence[str] = around.texts("gpu") if isinstance(around.values.get("gpu"), list) else [around.text("gpu")]
    named = ", ".join(dict.fromkeys(name for name in gpus if name))
    return named if backend.text("device") == "cuda" and named else around.text("cpu")
