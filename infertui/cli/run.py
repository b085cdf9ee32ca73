"""`infertui run`: measure a configuration in the foreground."""

import re
from pathlib import Path
from typing import Annotated

import typer

from infertui.cli.flags import REPORTS, DeviceFlag, InputLenFlag, ModelFlag, OutFlag, UiFlag, pairs, refuse_with_queue
from infertui.cli.output import say
from infertui.config.engines.registry import SPECS, words

_RANGE = re.compile(r",|^-?[\d.]+--?[\d.]+[+*]")
_SWEPT_BY_LISTS = frozenset(
    {
        "workload.batch_size", "workload.input_len", "workload.output_len", "engine.name", "engine.dtype",
        "engine.mode", "engine.attention", "engine.quantization", "engine.speculation", "engine.tensor_parallel",
    }
)  # fmt: skip
_ENGINES = ", ".join(SPECS)

EPILOG = """[bold]Examples[/bold]

  infertui run demo

  infertui run baseline --batch-size 4 --max-new-tokens 200 --prompts-file prompts.txt

  infertui run --model synthetic:gpt2-124m --device cpu --isl 128 --osl 64 --batch-size 1,2,4

  infertui run baseline --model openai-community/gpt2 --label owner=me

  infertui run reports/RUN_ID/run.toml      (repeats that run)

  infertui run baseline --batch-size 1,2,4,8 --queue      (goes on when the terminal closes)

  infertui run baseline --mode eager,static,compile,cudagraph

  infertui run --engine llama-cpp --model synthetic:tinyllama-1.1b --set engine.llama_cpp.n_gpu_layers=10

[bold]infertui engines NAME[/bold] says which options an engine has; any option is a [bold]--set[/bold].
"""


def _help(what: str, listed: tuple[str, ...]) -> str:
    return f"{what}: {', '.join(listed)}."


def run(
    target: Annotated[
        str | None, typer.Argument(metavar="[PRESET|FILE]", help="A preset (`infertui config presets`) or a TOML file.")
    ] = None,
    model: ModelFlag = None,
    engine: Annotated[str | None, typer.Option("--engine", metavar="NAME", help=f"{_ENGINES}.")] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", metavar="TYPE", help="auto, float32, float16 or bfloat16.")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option("--mode", metavar="NAME", help=_help("How steps are executed", ("auto", *words("mode")))),
    ] = None,
    attention: Annotated[
        str | None, typer.Option("--attention", metavar="NAME", help=_help("Attention kernels", words("attention")))
    ] = None,
    quantization: Annotated[
        str | None,
        typer.Option("--quantization", metavar="NAME", help=_help("Format of the weights", words("quantization"))),
    ] = None,
    speculation: Annotated[
        str | None,
        typer.Option("--speculation", metavar="NAME", help=_help("How tokens are drafted", words("speculation"))),
    ] = None,
    draft_model: Annotated[
        str | None, typer.Option("--draft-model", metavar="ID", help="The model that drafts, as --model.")
    ] = None,
    tensor_parallel: Annotated[
        str | None, typer.Option("--tensor-parallel", "--tp", metavar="N", help="GPUs that share every layer.")
    ] = None,
    engine_python: Annotated[
        str | None,
        typer.Option("--engine-python", metavar="PATH", help="Python of the environment that has the engine."),
    ] = None,
    fallback: Annotated[
        bool, typer.Option("--fallback", help="Measure Transformers, marked so, where the engine cannot be used.")
    ] = False,
    device: DeviceFlag = None,
    batch_size: Annotated[
        str | None, typer.Option("--batch-size", "-b", metavar="N", help="Sequences in a batch; a list sweeps: 1,2,4.")
    ] = None,
    input_len: InputLenFlag = None,
    output_len: Annotated[
        str | None,
        typer.Option("--output-len", "--osl", "--max-new-tokens", metavar="N", help="Tokens to generate, exactly."),
    ] = None,
    prompts_file: Annotated[
        str | None, typer.Option("--prompts-file", metavar="FILE", help="Prompts: lines, JSON, JSONL, ShareGPT or CSV.")
    ] = None,
    num_prompts: Annotated[
        str | None, typer.Option("--num-prompts", metavar="N", help="Requests to measure in all.")
    ] = None,
    iterations: Annotated[
        str | None, typer.Option("--iterations", "-n", metavar="N", help="Batches to measure.")
    ] = None,
    warmup: Annotated[
        str | None, typer.Option("--warmup", metavar="N", help="Batches before measuring, or auto.")
    ] = None,
    min_seconds: Annotated[
        str | None,
        typer.Option("--min-seconds", metavar="S", help="Measure further batches until so long was measured."),
    ] = None,
    max_seconds: Annotated[
        str | None, typer.Option("--max-seconds", metavar="S", help="Start no further batch after this long.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option("--seed", metavar="N", help="Seed of weights, prompts and sampling.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="K=V", help="A note kept with the result; repeatable.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the config; repeatable.")
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option("--sweep", metavar="KEY=RANGE", help="An axis: 1,2,4 or 0-40+10 or 1-64*2; repeatable."),
    ] = None,
    out: OutFlag = REPORTS,
    save_json: Annotated[
        Path | None, typer.Option("--save-json", metavar="FILE", help="Also write six-field JSONL, a line a request.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each result as a line of JSON on standard output.")
    ] = False,
    ui: UiFlag = "auto",
    force: Annotated[bool, typer.Option("--force", help="Load even what the memory estimate refuses.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the configurations that would run, and stop.")
    ] = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="Hand them to the runner in the background, print their ids, and return.")
    ] = False,
) -> None:
    """Measure one configuration, or a sweep of them."""
    import os

    from infertui.config import sources
    from infertui.config.sources import load
    from infertui.config.sweep import variants_of

    given: dict[str, tuple[str, object]] = {
        "model.id": ("--model", model),
        "engine.name": ("--engine", engine),
        "engine.dtype": ("--dtype", dtype),
        "engine.mode": ("--mode", mode),
        "engine.attention": ("--attention", attention),
        "engine.quantization": ("--quantization", quantization),
        "engine.speculation": ("--speculation", speculation),
        "engine.draft_model": ("--draft-model", draft_model),
        "engine.tensor_parallel": ("--tensor-parallel", tensor_parallel),
        "engine.python": ("--engine-python", engine_python),
        "engine.fallback": ("--fallback", True if fallback else None),
        "device.name": ("--device", device),
        "workload.batch_size": ("--batch-size", batch_size),
        "workload.input_len": ("--input-len", input_len),
        "workload.output_len": ("--output-len", output_len),
        "workload.prompts_file": ("--prompts-file", prompts_file),
        "workload.num_prompts": ("--num-prompts", num_prompts),
        "measurement.iterations": ("--iterations", iterations),
        "measurement.warmup": ("--warmup", warmup),
        "measurement.min_seconds": ("--min-seconds", min_seconds),
        "measurement.max_seconds": ("--max-seconds", max_seconds),
        "model.seed": ("--seed", seed),
        "workload.seed": ("--seed", seed),
        "device.force": ("--force", True if force else None),
    }
    if num_prompts is not None and iterations is None:
        given["measurement.iterations"] = ("--num-prompts", 0)  # the number of requests decides, not the preset
    flags = {_swept(key, value): (flag, value) for key, (flag, value) in given.items()}
    for flag, prefix, texts in (("--label", "labels", label), ("--sweep", "sweep.grid", sweep)):
        flags |= {f"{prefix}.{key}": (flag, value) for key, value in pairs(flag, texts or [])}
    resolved = load(target, environ=os.environ, sets=sets or [], flags=flags)
    # A preset lends its runs its name; a file does not, as most are called run.toml.
    variants = variants_of(resolved.config, target if target in sources.names() else "")
    if dry_run:
        for variant in variants:
            say(variant.name or "one configuration")
        return
    if queue:
        from infertui.cli.enqueue import enqueue

        refuse_with_queue({"--save-json": save_json is not None, "--ui": ui != "auto"})
        title = Path(target).name if target else resolved.config.model.id
        enqueue(variants_of(resolved.config, ""), title=title, out=out, as_json=as_json)
        return
    from infertui.cli.foreground import run_in_foreground

    raise typer.Exit(run_in_foreground(variants, out=out, save_json=save_json, as_json=as_json, ui=ui))


def _swept(key: str, value: object) -> str:
    """A list or range given to a plain flag is an axis of the sweep."""
    if key in _SWEPT_BY_LISTS and isinstance(value, str) and _RANGE.search(value):
        return f"sweep.grid.{key}"
    return key
