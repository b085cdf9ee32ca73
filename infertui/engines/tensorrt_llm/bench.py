"""`trtllm-bench`, the library's own benchmark, as a run from outside: its data set, its command line and its report.

Pure. What it counts is near to what infertui counts: output throughput is over all generated tokens, the first among
them; TPOT is (last - first) / (n - 1). It sends all requests at once and up to `--concurrency` of them run together.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from infertui.errors import StoreError
from infertui.terminal_text import clean, shorten

TOOL = "trtllm-bench"
_PERCENTILES = ("p50", "p90", "p95", "p99", "minimum", "maximum", "average")
_MOST_APART = 0.02


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


class Job(Struct, frozen=True, kw_only=True):
    """What `trtllm-bench throughput` is to measure. `concurrency` is how many requests run together."""

    model: str
    model_path: Path
    dataset: Path
    report: Path
    concurrency: int
    max_input_len: int
    max_seq_len: int
    warmup: int = 2
    tensor_parallel: int = 1
    backend: Literal["pytorch", "engine"] = "pytorch"
    engine_dir: Path | None = None
    extra_options: Path | None = None


def dataset(prompts: Iterable[Sequence[int]], output_len: int) -> bytes:
    """The data set: a line of JSON for each prompt, by token ids, so that no tokenizer comes between."""
    lines = (
        msgspec.json.encode({"task_id": number, "output_tokens": output_len, "input_ids": list(ids)})
        for number, ids in enumerate(prompts)
    )
    return b"".join(line + b"\n" for line in lines)


def extra_options() -> bytes:
    """The file for `--extra_llm_api_options`, in YAML: block reuse off, which the command line has no option for."""
    return b"kv_cache_config:\n  enable_block_reuse: false\n"


def command(tool: str, job: Job) -> tuple[str, ...]:
    """The command line. End-of-sequence is ignored unless it is told otherwise, so that lengths are exact."""
    words = [tool, "--model", job.model, "--model_path", str(job.model_path), "throughput"]
    words += ["--backend", "tensorrt" if job.backend == "engine" else "pytorch"]
    if job.engine_dir:
        words += ["--engine_dir", str(job.engine_dir)]
    words += [
        *("--dataset", str(job.dataset)),
        *("--max_batch_size", str(job.concurrency)),
        *("--max_input_len", str(job.max_input_len)),
        *("--max_seq_len", str(job.max_seq_len)),
        *("--concurrency", str(job.concurrency)),
        *("--warmup", str(job.warmup)),
        *("--tp", str(job.tensor_parallel)),
        "--streaming",
        *("--report_json", str(job.report)),
    ]
    if job.extra_options:
        words += ["--extra_llm_api_options", str(job.extra_options)]
    return tuple(words)


def parse(content: bytes) -> Report:
    """Read a report. Raises StoreError naming what is missing or is no number."""
    try:
        report = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"the report of {TOOL} is not valid JSON: {shorten(clean(str(error)), 200)}") from error
    engine, world, asked, found = (_table(report, name) for name in _GROUPS)
    machine = report.get("machine")
    streaming, decoding = report.get("streaming_metrics"), report.get("decoding_stats")
    backend = _text(engine, "backend")
    result = Report(
        model=_text(engine, "model"),
        version=_text(engine, "version"),
        backend={"Pytorch": "pytorch", "TRT": "engine"}.get(backend, backend),
        dtype=_text(engine, "dtype"),
        quantization=_text(engine, "quantization") or "none",
        kv_cache_dtype=_text(engine, "kv_cache_dtype") or "auto",
        gpu=_text(machine, "name") if isinstance(machine, dict) else "",
        tensor_parallel=round(_number(world, "world_info.tp_size")),
        max_batch_size=_maybe_int(world, "max_batch_size"),
        max_num_tokens=_maybe_int(world, "max_num_tokens"),
        kv_fraction=_maybe(world, "kv_cache_percentage"),
        requests=round(_number(asked, "request_info.num_requests")),
        concurrency=_maybe(asked, "avg_num_concurrent_requests"),
        input_tokens=_number(asked, "request_info.avg_input_length"),
        output_tokens=_number(asked, "request_info.avg_output_length"),
        seconds=_number(found, "performance.total_latency_ms") / 1000,
        requests_per_s=_number(found, "performance.request_throughput_req_s"),
        output_per_s=_number(found, "performance.system_output_throughput_tok_s"),
        total_per_s=_number(found, "performance.system_total_throughput_tok_s"),
        output_per_s_per_gpu=_maybe(found, "output_throughput_per_gpu_tok_s"),
        latency=_percentiles(found, "performance.request_latency_percentiles_ms", 1000),
        **_streamed(streaming),
        **_drafted(decoding),
    )
    return msgspec.structs.replace(result, problems=tuple(_problems(result)))


_GROUPS = ("engine", "world_info", "request_info", "performance")


def _problems(report: Report) -> Iterable[str]:
    """A report whose own figures contradict each other is not to be believed in any."""
    if report.requests < 1 or report.seconds <= 0:
        yield "it measured nothing"
        return
    counted = report.requests * report.output_tokens / report.seconds
    if abs(counted - report.output_per_s) > _MOST_APART * counted:
        yield (
            f"its output throughput is {report.output_per_s:.1f} tok/s, and its requests, tokens and seconds make "
            f"{counted:.1f}"
        )


def _streamed(group: object) -> dict[str, Any]:
    if not isinstance(group, dict):
        return {}
    return {
        "ttft": _percentiles(group, "streaming_metrics.ttft_percentiles", 1000),
        "tpot": _percentiles(group, "streaming_metrics.tpot_percentiles", 1000),
        "token_speed": _percentiles(group, "streaming_metrics.gen_tps_percentiles", 1),
    }


def _drafted(group: object) -> dict[str, Any]:
    if not isinstance(group, dict):
        return {}
    names = {"acceptance_rate": "draft_acceptance_rate", "acceptance_length": "acceptance_length"}
    return {
        ours: _percentiles(group, f"decoding_stats.{theirs}_percentiles", 1)
        for ours, theirs in names.items()
        if group.get(f"{theirs}_percentiles") is not None
    }


def _table(report: object, name: str) -> dict[str, Any]:
    found = report.get(name) if isinstance(report, dict) else None
    if not isinstance(found, dict):
        raise StoreError(f"the report of {TOOL} has no {name}", remedy="It is what --report_json writes at the end.")
    return found


def _percentiles(group: dict[str, Any], path: str, divide_by: float) -> Percentiles:
    table = group.get(path.rpartition(".")[2])
    if not isinstance(table, dict):
        raise StoreError(f"the report of {TOOL} has no {path}")
    return Percentiles(*(_number(table, f"{path}.{name}") / divide_by for name in _PERCENTILES))


def _number(table: dict[str, Any], path: str) -> float:
    value = table.get(path.rpartition(".")[2])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StoreError(f"{path} in the report of {TOOL} is {shorten(clean(repr(value)), 60)}, not a number")
    return float(value)


def _maybe(table: dict[str, Any], name: str) -> float | None:
    value = table.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _maybe_int(table: dict[str, Any], name: str) -> int | None:
    value = _maybe(table, name)
    return None if value is None else round(value)


def _text(table: dict[str, Any], name: str) -> str:
    value = table.get(name)
    return shorten(clean(str(value)), 200) if value is not None else ""
