"""`trtllm-bench`, the library's own benchmark, as a run from outside: its data set and its command line. Pure.

It sends all requests at once and up to `--concurrency` of them run together. `infertui.formats` reads its report.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct


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
