"""llama-bench, llama.cpp's own benchmark: its JSON report read, and told as results that say who measured.

llama-bench feeds random token ids and takes no choice of tokens: its rates are those of llama.cpp without sampling. It
gives the time of each repetition as a whole, so first-token times and gaps are not available.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from infertui.config.engines.llama_cpp import LlamaCppOptions
from infertui.config.schema import Config, DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.config.toml import write
from infertui.engines.base import Loaded
from infertui.errors import ModelError, UsageError
from infertui.gpu.readings import GpuInfo
from infertui.measure.statistics import bootstrap_ratio, describe, drift
from infertui.measure.summary import Summary
from infertui.measure.validity import Verdict
from infertui.models.gguf_reader import GgufFile, read_parts
from infertui.runner.external import find_binary, run_external
from infertui.runner.fingerprint import fingerprint
from infertui.store.result import Result
from infertui.store.runs import Store, write_whole
from infertui.terminal_text import clean, shorten

NAME = "llama-bench"
REPORT = "llama-bench.json"
_OURS = frozenset(
    {"-m", "--model", "-o", "--output", "-oe", "--output-err", "-hf", "-hfr", "--hf-repo", "-v", "--verbose"}
)
_NS = 1_000_000_000
_MAX_TESTS = 10_000

_Count = Annotated[int, Meta(ge=0, le=1 << 53)]
_Text = Annotated[str, Meta(max_length=4096)]


class BenchTest(Struct, frozen=True):
    """One test of a report, by the names that llama-bench gives. Times are in nanoseconds, one sample a repetition."""

    n_prompt: Annotated[int, Meta(ge=0, le=1 << 22)]
    n_gen: Annotated[int, Meta(ge=0, le=1 << 20)]
    samples_ns: Annotated[tuple[Annotated[int, Meta(gt=0, le=1 << 62)], ...], Meta(min_length=1, max_length=1_000_000)]
    n_depth: Annotated[int, Meta(ge=0, le=1 << 22)] = 0
    build_commit: _Text = ""
    build_number: _Count = 0
    cpu_info: _Text = ""
    gpu_info: _Text = ""
    backends: _Text = ""
    model_filename: _Text = ""
    model_type: _Text = ""
    model_size: _Count = 0
    model_n_params: _Count = 0
    n_batch: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 2048
    n_ubatch: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 512
    n_threads: Annotated[int, Meta(ge=0, le=4096)] = 0
    n_gpu_layers: Annotated[int, Meta(ge=-1, le=2**31 - 1)] = -1
    type_k: _Text = "f16"
    type_v: _Text = "f16"
    flash_attn: Any = None
    test_time: _Text = ""

    @property
    def label(self) -> str:
        """As llama-bench's table names it: pp512, tg128, pp512+tg128, with @ and the depth where there is one."""
        parts = [f"{kind}{count}" for kind, count in (("pp", self.n_prompt), ("tg", self.n_gen)) if count]
        return "+".join(parts) + (f"@{self.n_depth}" if self.n_depth else "")

    @property
    def source(self) -> str:
        """Who measured."""
        return f"{NAME} build {shorten(clean(self.build_commit), 40) or 'unknown'}"


def parse_report(report: bytes) -> tuple[BenchTest, ...]:
    """The tests of a report that `llama-bench -o json` wrote. Raises UsageError for anything else."""
    try:
        tests = msgspec.json.decode(report, type=list[BenchTest])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"this is no JSON report of {NAME}: {shorten(clean(str(error)), 300)}", remedy=f"{NAME} -o json writes one."
        ) from error
    if not 0 < len(tests) <= _MAX_TESTS or not all(test.n_prompt or test.n_gen for test in tests):
        raise UsageError(f"the report of {NAME} holds {len(tests)} tests, or one of no tokens at all")
    return tuple(tests)


def bench_command(binary: Path, model: Path, options: Sequence[str]) -> list[str]:
    """The command line. Raises UsageError for options that would take the report away from us."""
    for option in options:
        if option.partition("=")[0] in _OURS:
            raise UsageError(f"{clean(option)} is set by infertui", remedy="Use --model for the file.")
    return [str(binary), "-m", str(model), "-o", "json", "--progress", *options]


def run_llama_bench(
    model: Path, options: Sequence[str], *, binary: str, out: Path, gpus: tuple[GpuInfo, ...], told: Any
) -> list[Result]:
    """Run llama-bench on a GGUF file and keep a result for each of its tests under `out`.

    Raises UsageError, ModelError, EngineError and StoreError.
    """
    program = find_binary(NAME, binary)
    file, _ = read_parts(model)
    store = Store(out)
    started = datetime.now().astimezone()
    folder = store.create_run(f"{NAME}-{model.stem}", started)
    try:
        report = run_external(bench_command(program, model, options), folder.log, told)
        write_whole(folder.path / REPORT, report)
        results = []
        for index, test in enumerate(parse_report(report)):
            if index:
                log = folder.log
                folder.close()
                folder = store.create_run(f"{NAME}-{model.stem}", started)
                write_whole(folder.log, log.read_bytes())
                write_whole(folder.path / REPORT, msgspec.json.encode([test]))
            result = result_of(test, folder.id, started, gpus, model, file)
            folder.write_config(write(result.config))
            folder.write_result(result)
            store.append(result)
            results.append(result)
        return results
    finally:
        folder.close()


def result_of(
    test: BenchTest, run: str, started: datetime, gpus: tuple[GpuInfo, ...], model: Path, file: GgufFile | None = None
) -> Result:
    """A test as a result, as far as it goes: what llama-bench does not say is not available."""
    on_gpu = bool(test.gpu_info) and test.n_gpu_layers != 0
    used = gpus if on_gpu else ()
    config = _config(test, model, on_gpu=on_gpu)
    random = file is not None and file.random_weights
    notes = [f"measured by {test.source}, not by infertui: no first-token times, no gaps, no telemetry"]
    if not test.n_gen:
        notes.append("prompt processing alone: no token was generated")
    if random:
        notes.append("random weights: the speed is the architecture's, the text means nothing")
    summary = _summary(test)
    return Result(
        id=run,
        name=f"{NAME} {test.label}",
        state="finished",
        started=started.isoformat(timespec="milliseconds"),
        config=config,
        fingerprint=fingerprint(config, used),
        verdict=Verdict(notes=tuple(notes)),
        summary=summary,
        phases={"measure": summary.measured_s},
        loaded=_loaded(test, file, on_gpu=on_gpu, random=random),
        source=test.source,
    )


def _config(test: BenchTest, model: Path, *, on_gpu: bool) -> Config:
    """The config that asks infertui's own engine for the same."""
    kept = {
        name: getattr(test, name)
        for name in ("type_k", "type_v")
        if getattr(test, name) in ("f16", "f32", "bf16", "q8_0", "q4_0")
    }
    flash = test.flash_attn not in (False, 0, "off", "0")
    layers = min(test.n_gpu_layers, 10_000)
    options = LlamaCppOptions(
        n_gpu_layers=layers, n_batch=test.n_batch, n_ubatch=test.n_ubatch, flash_attention=flash, **kept
    )
    return Config(
        model=ModelConfig(id=str(model)),
        engine=EngineConfig(name="llama-cpp", llama_cpp=options),
        workload=WorkloadConfig(
            input_len=max(1, test.n_prompt + test.n_depth), output_len=max(1, test.n_gen), prompts="random"
        ),
        measurement=MeasurementConfig(iterations=len(test.samples_ns)),
        device=DeviceConfig(name="auto" if on_gpu else "cpu", threads=test.n_threads),
        labels={NAME: test.label},
    )


def _summary(test: BenchTest) -> Summary:
    seconds = [sample / _NS for sample in test.samples_ns]
    count, total = len(seconds), sum(seconds)
    generated = [float(test.n_gen)] * count
    return Summary(
        iterations=count,
        requests=count,
        failed=0,
        prompt_tokens=test.n_prompt * count,
        output_tokens=test.n_gen * count,
        measured_s=total,
        output_throughput=test.n_gen * count / total if test.n_gen else None,
        output_throughput_interval=bootstrap_ratio(generated, seconds) if test.n_gen else None,
        total_throughput=(test.n_prompt + test.n_gen) * count / total,
        drift=drift([1 / sample for sample in seconds]),
        latency=describe(seconds),
    )


def _loaded(test: BenchTest, file: GgufFile | None, *, on_gpu: bool, random: bool) -> Loaded:
    known = {"weights": test.model_type, "backends": test.backends, "test": test.label, "time": test.test_time}
    return Loaded(
        engine=NAME,
        engine_requested=NAME,
        versions={NAME: f"{clean(test.build_commit)} ({test.build_number})"},
        device="cuda:0" if on_gpu and "CUDA" in test.backends else "gpu" if on_gpu else "cpu",
        device_name=shorten(clean(test.gpu_info if on_gpu else test.cpu_info), 200),
        dtype=file.weight_type() if file else "",
        attention="not known",
        parameters=test.model_n_params or None,
        weight_bytes=test.model_size or None,
        vocabulary=file.lengths.get("tokenizer.ggml.tokens", 0) if file else 0,
        random_weights=random,
        memory_policy="llama-bench's own",
        threads=test.n_threads or None,
        details={key: shorten(clean(value), 200) for key, value in known.items() if value},
    )


def gguf_path(text: str) -> Path:
    """The GGUF file that an argument names, or that is written for a model. Raises ModelError where there is none."""
    from infertui.models.resolve import resolve

    source = resolve(text)
    if source.kind != "gguf":
        raise ModelError(
            f"{source.label} is no GGUF file",
            remedy="llama-bench reads .gguf files; a run with engine.name = llama-cpp writes one and says where.",
        )
    return source.path
