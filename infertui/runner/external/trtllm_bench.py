"""trtllm-bench, TensorRT-LLM's own benchmark: run on prompts of ours, its report kept as a result that names it.

Its prompts are the token ids that infertui's own engines get for the same random workload. All requests are sent at
once, and up to `--concurrency` of them run together; a result of infertui with batches of that size waits for each
batch to end before it sends the next. `infertui.formats` reads its report.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from infertui.config.engines.tensorrt_llm import TensorrtLlmOptions
from infertui.config.schema import Config, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.config.toml import write
from infertui.errors import ModelError, StoreError
from infertui.formats.trtllm_bench import TOOL, Report, contradictions, loaded_of, parse, summary_of
from infertui.load.batches import BatchSource
from infertui.measure.validity import Verdict
from infertui.models.resolve import ModelSource, resolve
from infertui.models.tokenizers import load_tokenizer
from infertui.results.result import Result
from infertui.results.runs import Store, write_whole
from infertui.runner.execution.fingerprint import fingerprint
from infertui.runner.external.process import find_binary, run_external
from infertui.targets.engine.base import Loaded
from infertui.telemetry.readings import GpuInfo
from infertui.text import clean


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


REPORT = "trtllm-bench.json"
DATASET = "trtllm-bench.jsonl"
EXTRA = "trtllm-bench.yaml"


class BenchOrder(Struct, frozen=True, kw_only=True):
    """What is to be measured: `requests` prompts of `input_len` random tokens, `batch_size` of them at a time."""

    model: str
    input_len: int
    output_len: int
    requests: int
    batch_size: int
    tensor_parallel: int = 1
    seed: int = 0
    warmup: int = 2
    backend: Literal["pytorch", "engine"] = "pytorch"
    engine_dir: str = ""


def run_trtllm_bench(
    order: BenchOrder, *, binary: str, out: Path, gpus: tuple[GpuInfo, ...], told: Callable[[str], None]
) -> Result:
    """Run trtllm-bench and keep its result under `out`. Raises UsageError, ModelError, EngineError and StoreError."""
    program = find_binary(TOOL, binary)
    source = resolve(order.model)
    _check(source, order)
    config = _config(order)
    prompts = _prompts(source, config.workload, order.requests)
    started = datetime.now().astimezone()
    store = Store(out)
    folder = store.create_run(f"{TOOL}-{Path(order.model).name}", started)
    try:
        report = folder.path / REPORT
        write_whole(folder.path / DATASET, dataset(prompts, order.output_len))
        write_whole(folder.path / EXTRA, extra_options())
        job = Job(
            model=order.model,
            model_path=source.path,
            dataset=folder.path / DATASET,
            report=report,
            concurrency=order.batch_size,
            max_input_len=order.input_len,
            max_seq_len=order.input_len + order.output_len,
            warmup=order.warmup,
            tensor_parallel=order.tensor_parallel,
            backend=order.backend,
            engine_dir=Path(order.engine_dir) if order.engine_dir else None,
            extra_options=folder.path / EXTRA,
        )
        # What it prints besides is for people; the figures are in the file.
        printed = run_external(command(str(program), job), folder.log, told)
        with folder.log.open("ab") as log:
            log.write(printed)
        result = result_of(_read(report), order, folder.id, started, gpus, source)
        folder.write_config(write(result.own_config))
        folder.write_result(result)
        store.append(result)
        return result
    finally:
        folder.close()


def result_of(
    report: Report, order: BenchOrder, run: str, started: datetime, gpus: tuple[GpuInfo, ...], source: ModelSource
) -> Result:
    """A report as a result, as far as it goes: what it does not say is not available."""
    config = _config(order)
    notes = [
        f"measured by {TOOL} {report.version}, not by infertui: no telemetry, no gaps between tokens",
        f"all {report.requests} requests were sent at once, {order.batch_size} run together",
    ]
    invalid = contradictions(report)
    if report.requests != order.requests or round(report.output_tokens) != order.output_len:
        invalid.append(
            f"{report.requests} requests of {report.output_tokens:g} tokens were measured, and {order.requests} of "
            f"{order.output_len} were asked for"
        )
    summary = summary_of(report)
    return Result(
        id=run,
        name=f"{TOOL} batch {order.batch_size}",
        state="finished",
        started=started.isoformat(timespec="milliseconds"),
        config=config,
        fingerprint=fingerprint(config, gpus),
        verdict=Verdict(invalid=tuple(invalid), notes=tuple(notes)),
        summary=summary,
        phases={"measure": summary.measured_s or 0.0},
        loaded=_loaded(report, source),
        source=f"{TOOL} {report.version}",
    )


def _check(source: ModelSource, order: BenchOrder) -> None:
    if source.kind not in ("local", "hub"):
        raise ModelError(
            f"{source.label} is no checkpoint that {TOOL} can load",
            remedy="It takes a Hugging Face id or directory with weights.",
        )
    longest = source.shape.max_positions
    if longest and order.input_len + order.output_len > longest:
        raise ModelError(
            f"{order.input_len} prompt and {order.output_len} output tokens exceed the model's {longest} positions"
        )


def _prompts(source: ModelSource, workload: WorkloadConfig, count: int) -> list[tuple[int, ...]]:
    tokenizer = load_tokenizer(source)
    batches = BatchSource(
        workload,
        (),
        encode=tokenizer.encode,
        vocabulary=source.shape.vocab,
        special_ids=tokenizer.all_special_ids,
    )
    prompts: list[tuple[int, ...]] = []
    while len(prompts) < count:
        prompts += [request.ids for request in batches.batch(len(prompts) // workload.batch_size)]
    return prompts[:count]


def _config(order: BenchOrder) -> Config:
    """The config that asks infertui's own engine for the same."""
    options = TensorrtLlmOptions(backend=order.backend, engine_dir=order.engine_dir)
    return Config(
        model=ModelConfig(id=order.model),
        engine=EngineConfig(name="tensorrt-llm", tensor_parallel=order.tensor_parallel, tensorrt_llm=options),
        workload=WorkloadConfig(
            batch_size=order.batch_size,
            input_len=order.input_len,
            output_len=order.output_len,
            prompts="random",
            num_prompts=order.requests,
            seed=order.seed,
        ),
        measurement=MeasurementConfig(warmup=order.warmup),
        labels={TOOL: "throughput"},
    )


def _loaded(report: Report, source: ModelSource) -> Loaded:
    loaded = loaded_of(report)
    return replace(
        loaded,
        device_name=loaded.device_name or "unknown GPU",
        parameters=source.shape.parameters if source.shape.exact else None,
        vocabulary=source.shape.vocab,
    )


def _read(path: Path) -> Report:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise StoreError(
            f"{TOOL} ended well and wrote no report to {clean(str(path))}: {error.strerror}",
            remedy="Its output is in worker.log beside it.",
        ) from error
