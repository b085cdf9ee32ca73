"""What `vllm bench serve --save-result` writes, and the older benchmark_serving.py: the interchange form of the field.
SGLang's bench_serving, which descends from the latter, writes nearly the same.

One object of JSON; with `--append-result` one on each line. Times of distributions are in milliseconds, those of single
requests (`--save-detailed`) in seconds. A request's E2E latency is TTFT plus its gaps, its TPOT (E2E - TTFT) / (n - 1);
a gap is that between two chunks of the stream, whatever they held. Standard deviations are of the population.
Fields as in vllm/benchmarks/serve.py.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from infertui.formats.imported_run import (
    UNKNOWN,
    Finding,
    Records,
    as_given,
    contradiction,
    described,
    failures,
    gaps_of,
    loaded_as,
    moment,
    same,
    sample_std,
)
from infertui.formats.reader import JsonObject
from infertui.measure.itl import Gaps, merge_gaps
from infertui.measure.records import RequestRecord
from infertui.measure.statistics import Distribution
from infertui.measure.summary import Summary, with_drift, with_interval
from infertui.results.setup import Value

SOURCE, SGLANG = "vllm bench serve", "sglang bench_serving"
# Programs that the file names as its backend; the other words, such as `openai`, name a protocol.
_ENGINES = {"vllm": "vllm", "tensorrt-llm": "tensorrt-llm", "openvino": "openvino"}
_OTHERS = ("sglang", "lmdeploy", "tgi", "llama.cpp", "scalellm", "deepspeed-mii")
# What else it tells, by the names that are shown.
_SHOWN = {
    "backend": "backend", "request_rate": "request_rate", "burstiness": "burstiness",
    "max_concurrency": "max_concurrency", "requests/s": "request_throughput", "goodput": "request_goodput",
    "peak concurrency": "max_concurrent_requests", "peak tokens/s": "max_output_tokens_per_s",
    "tokenizer": "tokenizer_id", "acceptance rate": "spec_decode_acceptance_rate",
    "acceptance length": "spec_decode_acceptance_length", "accept_length": "accept_length",
    "mean concurrency": "concurrency", "dataset": "dataset_name",
}  # fmt: skip
_SIGNS = (
    "duration", "completed", "total_input_tokens", "total_output_tokens", "num_prompts", "max_concurrency",
    *(f"{what}_{name}_ms" for name in ("ttft", "tpot", "itl", "e2el", "e2e_latency") for what in ("mean", "median")),
)  # fmt: skip
_ENOUGH = 3
EXPORTED = "infertui_version"
"""A key of ours in files that infertui wrote itself, beside the metadata that the form allows."""


class _Request(Struct, frozen=True):
    prompt_tokens: int | None
    tokens: int
    ttft: float
    gaps: tuple[float, ...]
    latency: float
    start: float
    error: str
    batch: int | None = None
    batch_seconds: float | None = None

    @property
    def tpot(self) -> float | None:
        return (self.latency - self.ttft) / (self.tokens - 1) if self.tokens > 1 else None

    @property
    def itl(self) -> Gaps | None:
        return gaps_of(self.gaps, self.tokens - 1)


def is_one(first: dict[str, object]) -> bool:
    """Whether an object is of this form: it may lack what the rest of it does without."""
    rates = [first[name] for name in ("request_throughput", "output_throughput") if name in first]
    plain = bool(rates) and not any(isinstance(rate, dict | list | str) for rate in rates)
    return plain and sum(name in first for name in _SIGNS) >= _ENOUGH


def is_sglang(first: dict[str, object]) -> bool:
    """Whether an object is a line of SGLang's bench_serving. Its older versions wrote medians alone of some times."""
    return is_one(first) and any(f"{what}_e2e_latency_ms" in first for what in ("mean", "median", "p99"))


def read(documents: Iterable[JsonObject]) -> list[Finding]:
    """A run for each document."""
    return [_finding(table, SOURCE) for table in documents]


def read_sglang(documents: Iterable[JsonObject]) -> list[Finding]:
    """A run for each line of SGLang's."""
    return [_finding(table, SGLANG) for table in documents]


class _Counts(Struct, frozen=True):
    """What was counted; None is told neither by the summary nor by the single requests."""

    completed: int | None
    failed: int | None
    prompt: int | None
    output: int | None

    @property
    def requests(self) -> int | None:
        return None if self.completed is None else self.completed + (self.failed or 0)

    @property
    def gaps(self) -> int:
        """How many there were between tokens, if each was a chunk; 0 where that is not known."""
        return 0 if self.output is None or self.completed is None else max(self.output - self.completed, 0)


def _counts(table: JsonObject, requests: Sequence[_Request], good: Sequence[_Request]) -> _Counts:
    completed, failed, sent = (table.maybe_count(name) for name in ("completed", "failed", "num_prompts"))
    if completed is None and requests:
        completed = len(good)
    if completed is None and sent is not None and failed is not None:
        completed = max(0, sent - failed)
    if failed is None and completed is not None and sent is not None:
        failed = max(0, sent - completed)
    if failed is None and requests:
        failed = len(requests) - len(good)
    output = table.maybe_count("total_output_tokens")
    if output is None and good:
        output = sum(request.tokens for request in good)
    return _Counts(completed, failed, table.maybe_count("total_input_tokens"), output)


def _finding(table: JsonObject, source: str) -> Finding:
    latency = "e2e_latency" if source == SGLANG else "e2el"
    if not (table.has("output_throughput") or table.has("total_output_tokens")):
        table.refuse("output_throughput", "is not there: only benchmarks of generation are read")
    seconds, speed = table.maybe_number("duration"), table.maybe_number("output_throughput")
    requests = _requests(table)
    good = [request for request in requests if not request.error]
    counts = _counts(table, requests, good)
    completed, failed, output = counts.completed or 0, counts.failed or 0, counts.output
    summary = Summary(
        iterations=None,
        requests=None if counts.requests is None else completed + failed,
        failed=counts.failed,
        prompt_tokens=counts.prompt,
        output_tokens=output,
        measured_s=seconds,
        output_throughput=speed,
        total_throughput=table.maybe_number("total_token_throughput") or table.maybe_number("total_throughput"),
        latency=_figure(table, latency, completed, [request.latency for request in good]),
        ttft=_figure(table, "ttft", completed, [request.ttft for request in good]),
        tpot=_figure(table, "tpot", completed, [request.tpot for request in good]),
        tps=described([request.tokens / request.latency for request in good if request.latency]),
        itl=_observed(
            merge_gaps(gaps for request in good if (gaps := request.itl)) or _gaps(table, counts.gaps), seconds
        ),
    )
    batched = all(request.batch is not None for request in requests) and bool(requests) and not failed
    if batched:
        summary = _in_batches(summary, requests)
    model = table.text("model_id") or table.inside("server_info").text("model_path")
    backend, ours = table.text("backend"), table.text(EXPORTED)
    engine = (table.text("infertui_engine") or backend) if ours else _engine(backend)
    return Finding(
        source=(table.text("infertui_source") or f"infertui {ours}") if ours else source,
        title=_title(table, model, source),
        summary=summary,
        config=_config(table, model, engine, requests, good),
        started=moment(table.text("date")),
        loaded=replace(
            loaded_as(
                engine or UNKNOWN,
                device_name=table.text("infertui_device"),
                dtype=table.text("infertui_dtype"),
                details={name: table.text(key) for name, key in _SHOWN.items()},
            ),
            random_weights=table.values.get("infertui_random_weights") is True,
        ),
        notes=() if batched else _notes(table),
        invalid=(
            *failures(failed, counts.requests),
            *_more_than_sent(table, completed),
            *contradiction("output_throughput", speed, output / seconds if seconds and output is not None else None),
            *(contradiction("completed", completed, len(good)) if requests else ()),
            *(contradiction("total_output_tokens", output, sum(one.tokens for one in good)) if good else ()),
            *_apart(table, good, latency),
            *(table.texts("infertui_invalid") if table.has("infertui_invalid") else ()),
            *((f"the run was {state}",) if (state := table.text("infertui_state")) not in ("", "finished") else ()),
        ),
        records=_records(requests, seconds, one_by_one=_one_by_one(table)) if requests else None,
    )


def _more_than_sent(table: JsonObject, completed: int) -> Iterator[str]:
    """Where the file has counted more that came back than went out."""
    sent = table.maybe_count("num_prompts")
    if sent is not None and completed > sent:
        yield f"the file contradicts itself: {completed} requests completed of {sent} sent"


def _in_batches(summary: Summary, requests: Sequence[_Request]) -> Summary:
    """With the batches that a file of ours tells: each is an observation, as where it was measured."""
    tokens: dict[int | None, float] = {}
    seconds: dict[int | None, float] = {}
    for request in requests:
        tokens[request.batch] = tokens.get(request.batch, 0.0) + request.tokens
        seconds[request.batch] = request.batch_seconds or 0.0
    times = list(seconds.values())
    known = replace(
        summary,
        iterations=len(times),
    )
    known = with_interval(known, list(tokens.values()), times)
    return with_drift(known, [count / time for count, time in zip(tokens.values(), times, strict=True) if time])


def _engine(backend: str) -> str:
    """The program that served, where the backend names one: SGLang's names add the protocol, as in `vllm-chat`."""
    named = {"trt": "tensorrt-llm"}.get(backend, backend)
    return next((name for name in (*_ENGINES, *_OTHERS) if named == name or named.startswith(f"{name}-")), "")


def _gaps(table: JsonObject, count: int) -> Gaps | None:
    """The gaps as far as the summary tells them; `count` is the most that there can have been, 0: it is not told."""

    def seconds(key: str) -> float | None:
        found = table.maybe_number(f"{key}_itl_ms")
        return None if found is None else found / 1000

    mean, median, std = seconds("mean"), seconds("median"), seconds("std")
    if not (mean or median):  # without a stream they are written as zeros
        return None
    return Gaps(
        count=0, mean=mean, minimum=seconds("min"), maximum=seconds("max"), p50=median, p90=seconds("p90"),
        p99=seconds("p99"), histogram={}, std=None if std is None else sample_std(std, count), steps=count,
    )  # fmt: skip


def _observed(gaps: Gaps | None, seconds: float | None) -> Gaps | None:
    """With no more observations than there were steps after one another: sequences that ran together share theirs."""
    each = gaps and (gaps.mean or gaps.p50)
    if gaps is None or not each or not seconds:
        return gaps
    known = gaps.steps or gaps.count
    steps = max(1, round(min(seconds / each, known)))
    return replace(gaps, steps=steps) if known else gaps


def _title(table: JsonObject, model: str, source: str) -> str:
    if table.has(EXPORTED) and table.text("label"):
        return table.text("label")  # of a run of ours: it says the rest already
    parts = [table.text("label") or source, model.rpartition("/")[2]]
    rate, together = table.text("request_rate"), table.text("max_concurrency")
    parts += [f"{rate} req/s"] if rate not in ("", "inf", "Infinity") else []
    parts += [f"concurrency {together}"] if together else []
    return " ".join(part for part in parts if part)


def _config(
    table: JsonObject, model: str, engine: str, requests: Sequence[_Request], good: Sequence[_Request]
) -> dict[str, Value]:
    told: dict[str, Value | None] = {
        "model.id": model or None,
        "engine.name": _ENGINES.get(engine),
        "workload.num_prompts": table.maybe_count("num_prompts"),
        "workload.input_len": same([request.prompt_tokens or 0 for request in requests]) or None,
        "workload.output_len": same([request.tokens for request in good]) or None,
    }
    return {path: value for path, value in told.items() if value is not None}


def _notes(table: JsonObject) -> tuple[str, ...]:
    if _one_by_one(table):
        return ("one request at a time: each is an observation by its own latency",)
    return ("its requests ran at the same time: they are one observation, and there is no interval",)


def _one_by_one(table: JsonObject) -> bool:
    return table.maybe_number("max_concurrency") == 1


def _figure(table: JsonObject, name: str, completed: int, values: Sequence[float | None]) -> Distribution | None:
    """Over the single requests where they are told; else as far as the file gives it, which is in milliseconds."""
    if values:
        return described(values)

    def seconds(key: str) -> float | None:
        found = table.maybe_number(f"{key}_{name}_ms")
        return None if found is None else found / 1000

    mean, median = seconds("mean"), seconds("median")
    if not (mean or median):  # what was not measured, as TTFT without streaming, is zeros
        return None
    return as_given(
        completed, mean=mean, median=median, population_std=seconds("std"), p90=seconds("p90"), p95=seconds("p95"),
        p99=seconds("p99"),
    )  # fmt: skip


def _apart(table: JsonObject, good: Sequence[_Request], latency: str) -> Iterator[str]:
    """Where the means of the file are not those of its requests."""
    for name, values in (("ttft", [one.ttft for one in good]), (latency, [one.latency for one in good])):
        key = f"mean_{name}_ms"
        if values and table.has(key):
            yield from contradiction(key, table.number(key), 1000 * math.fsum(values) / len(values))


def _requests(table: JsonObject) -> list[_Request]:
    """The single requests of `--save-detailed`; none without it."""
    if not table.has("ttfts", "output_lens") or not (table.has("itls") or table.has("latencies")):
        return []
    tokens, ttfts = table.numbers("output_lens"), table.numbers("ttfts")
    count = len(tokens)
    gaps = table.lists_of_numbers("itls") if table.has("itls") else [[]] * count
    errors = table.texts("errors") if table.has("errors") else ["" if length else "failed" for length in tokens]
    prompts = table.numbers("input_lens") if table.has("input_lens") else []
    latencies = table.numbers("latencies") if table.has("latencies") else [
        ttft + math.fsum(inner) for ttft, inner in zip(ttfts, gaps, strict=False)
    ]  # fmt: skip
    starts = table.numbers("start_times") if table.has("start_times") else [0.0] * count
    for name, found in (
        ("ttfts", ttfts), ("itls", gaps), ("errors", errors), ("latencies", latencies), ("start_times", starts),
        ("input_lens", prompts or tokens),
    ):  # fmt: skip
        if len(found) != count:
            table.refuse(name, f"has {len(found)} entries, and output_lens has {count}")
    batches, batch_seconds = _batches(table, count)
    first = min(starts, default=0.0)
    return [
        _Request(
            prompt_tokens=int(prompts[number]) if prompts else None,
            tokens=int(tokens[number]),
            ttft=ttfts[number],
            gaps=tuple(gaps[number]),
            latency=latencies[number],
            start=starts[number] - first,
            error=errors[number],
            batch=batches[number],
            batch_seconds=batch_seconds[number],
        )
        for number in range(count)
    ]


def _batches(table: JsonObject, count: int) -> tuple[Sequence[int | None], Sequence[float | None]]:
    """Which requests were one batch, and its seconds: only files of ours tell."""
    keys = ("infertui_batches", "infertui_batch_seconds")
    if not table.has(EXPORTED, *keys):
        return [None] * count, [None] * count
    found, seconds = (table.numbers(key) for key in keys)
    for key, values in zip(keys, (found, seconds), strict=True):
        if len(values) != count:
            table.refuse(key, f"has {len(values)} entries, and output_lens has {count}")
    return [int(number) for number in found], seconds


def _records(requests: Sequence[_Request], seconds: float | None, *, one_by_one: bool) -> Records:
    """The requests as lines: one batch of all that ran at the same time, and those that failed behind it."""

    def records() -> Iterator[RequestRecord]:
        told = any(request.batch is not None for request in requests)
        order = requests if one_by_one or told else sorted(requests, key=lambda request: bool(request.error))
        for number, request in enumerate(order):
            failed = bool(request.error)
            yield RequestRecord(
                prompt="",
                prompt_tokens=request.prompt_tokens,
                tokens=request.tokens,
                latency=None if failed else request.latency,
                ttft=None if failed else request.ttft,
                tpot=None if failed else request.tpot,
                itl=None if failed else request.itl,
                tps=None if failed or not request.latency else request.tokens / request.latency,
                memory_mb=None,
                power_w=None,
                energy_j=None,
                start=request.start,
                batch=(number if one_by_one else int(failed)) if request.batch is None else request.batch,
                error=request.error,
                batch_seconds=request.batch_seconds or (request.latency if one_by_one else seconds),
                own_times=True,
            )

    return records
