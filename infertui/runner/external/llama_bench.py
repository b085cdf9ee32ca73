"""llama-bench, llama.cpp's own benchmark, run on a model of ours: its tests kept as results that say who measured."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from infertui.config.schema import Config, DeviceConfig, EngineConfig, MeasurementConfig, ModelConfig, WorkloadConfig
from infertui.config.toml import write
from infertui.errors import ModelError, UsageError
from infertui.formats.llama_bench import (
    NAME,
    BenchTest,
    loaded_of,
    notes_of,
    on_gpu,
    options_of,
    parse_report,
    summary_of,
)
from infertui.measure.validity import Verdict
from infertui.models.gguf.read import GgufFile, read_parts
from infertui.results.result import Result
from infertui.results.runs import Store, write_whole
from infertui.runner.execution.fingerprint import fingerprint
from infertui.runner.external.process import find_binary, run_external
from infertui.telemetry.readings import GpuInfo
from infertui.text import clean

REPORT = "llama-bench.json"
_OURS = frozenset(
    {"-m", "--model", "-o", "--output", "-oe", "--output-err", "-hf", "-hfr", "--hf-repo", "-v", "--verbose"}
)


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
            folder.write_config(write(result.own_config))
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
    config = _config(test, model)
    random = file is not None and file.random_weights
    notes = [f"measured by {test.source}, not by infertui: no first-token times, no gaps, no telemetry"]
    notes += notes_of(test)
    if random:
        notes.append("random weights: the speed is the architecture's, the text means nothing")
    summary = summary_of(test)
    loaded = loaded_of(test)
    if file is not None:
        vocabulary = file.lengths.get("tokenizer.ggml.tokens", 0)
        loaded = replace(loaded, dtype=file.weight_type(), vocabulary=vocabulary, random_weights=random)
    return Result(
        id=run,
        name=f"{NAME} {test.label}",
        state="finished",
        started=started.isoformat(timespec="milliseconds"),
        config=config,
        fingerprint=fingerprint(config, gpus if on_gpu(test) else ()),
        verdict=Verdict(notes=tuple(notes)),
        summary=summary,
        phases={"measure": summary.measured_s or 0.0},
        loaded=loaded,
        source=test.source,
    )


def _config(test: BenchTest, model: Path) -> Config:
    """The config that asks infertui's own engine for the same."""
    return Config(
        model=ModelConfig(id=str(model)),
        engine=EngineConfig(name="llama-cpp", llama_cpp=options_of(test)),
        workload=WorkloadConfig(
            input_len=max(1, test.n_prompt + test.n_depth), output_len=max(1, test.n_gen), prompts="random"
        ),
        measurement=MeasurementConfig(iterations=len(test.samples_ns)),
        device=DeviceConfig(name="auto" if on_gpu(test) else "cpu", threads=test.n_threads or 0),
        labels={NAME: test.label},
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
