"""`infertui run`: measure a configuration in the foreground."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from infertui.cli.flags import (
    REPORTS,
    DeviceFlag,
    InputLenFlag,
    ModelFlag,
    NewTokensFlag,
    OutFlag,
    PullFlag,
    ReportFlag,
    SetFlag,
    Ui,
    UiFlag,
    measured_here,
    pairs,
    refuse_with_queue,
    swept,
)
from infertui.cli.output import say
from infertui.config.engines.registry import SPECS, words
from infertui.env_file import with_env_file

if TYPE_CHECKING:
    from infertui.cli.running.foreground import Following
    from infertui.config.schema import Config
    from infertui.config.sources import Resolved
    from infertui.config.sweep import Variant
    from infertui.results.result import Result

_SWEPT_BY_LISTS = frozenset(
    {
        "workload.batch_size", "workload.input_len", "workload.output_len", "workload.temperature",
        "engine.name", "engine.dtype",
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

  infertui run baseline --mode eager,static,compile,cudagraph --report

  infertui run pytorch --model openai-community/gpt2 --pull

  infertui run --engine llama-cpp --model synthetic:tinyllama-1.1b --set engine.llama_cpp.n_gpu_layers=10

  infertui run synthetic:tinyllama-1.1b --profile auto      (after `infertui profile` of it)

[bold]infertui engines NAME[/bold] says which options an engine has; any option is a [bold]--set[/bold].
"""


def _help(what: str, listed: tuple[str, ...]) -> str:
    return f"{what}: {', '.join(listed)}."


class RunFlags(Struct, frozen=True, kw_only=True):
    """What was given on the command line; None: not given. Numbers stay texts, as each may be a list to sweep."""

    target: str | None
    model: str | None
    engine: str | None
    dtype: str | None
    mode: str | None
    attention: str | None
    quantization: str | None
    speculation: str | None
    draft_model: str | None
    tensor_parallel: str | None
    engine_python: str | None
    fallback: bool
    device: str | None
    batch_size: str | None
    input_len: str | None
    output_len: str | None
    prompts_file: str | None
    num_prompts: str | None
    iterations: str | None
    warmup: str | None
    min_seconds: str | None
    max_seconds: str | None
    temperature: str | None
    top_p: str | None
    seed: str | None
    label: tuple[str, ...]
    sets: tuple[str, ...]
    sweep: tuple[str, ...]
    out: Path
    pull: bool
    report: bool
    save_json: Path | None
    as_json: bool
    ui: Ui
    force: bool
    profile: str | None


def run(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[PRESET|FILE|MODEL]", help="A preset (`infertui config presets`), a TOML file, or a model."
        ),
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
    output_len: NewTokensFlag = None,
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
    temperature: Annotated[
        str | None, typer.Option("--temperature", metavar="T", help="0: greedy; above: sample with it.")
    ] = None,
    top_p: Annotated[
        str | None, typer.Option("--top-p", metavar="P", help="Sample within this probability mass: 1 is all.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option("--seed", metavar="N", help="Seed of weights, prompts and sampling.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="K=V", help="A note kept with the result; repeatable.")
    ] = None,
    sets: SetFlag = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option("--sweep", metavar="KEY=RANGE", help="An axis: 1,2,4 or 0-40+10 or 1-64*2; repeatable."),
    ] = None,
    out: OutFlag = REPORTS,
    pull: PullFlag = False,
    report: ReportFlag = False,
    save_json: Annotated[
        Path | None, typer.Option("--save-json", metavar="FILE", help="Also write six-field JSONL, a line a request.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each result as a line of JSON on standard output.")
    ] = False,
    ui: UiFlag = "auto",
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="Layers on the GPU as `infertui profile` found them best: auto, fast, balanced, performance, cpu.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Load even what the memory estimate refuses.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, where, how long, and what would fail; load nothing.")
    ] = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="Hand them to the runner in the background, print their ids, and return.")
    ] = False,
) -> None:
    """Measure one configuration, or a sweep of them."""
    asked = RunFlags(
        target=target,
        model=model,
        engine=engine,
        dtype=dtype,
        mode=mode,
        attention=attention,
        quantization=quantization,
        speculation=speculation,
        draft_model=draft_model,
        tensor_parallel=tensor_parallel,
        engine_python=engine_python,
        fallback=fallback,
        device=device,
        batch_size=batch_size,
        input_len=input_len,
        output_len=output_len,
        prompts_file=prompts_file,
        num_prompts=num_prompts,
        iterations=iterations,
        warmup=warmup,
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        label=tuple(label or ()),
        sets=tuple(sets or ()),
        sweep=tuple(sweep or ()),
        out=out,
        pull=pull,
        report=report,
        save_json=save_json,
        as_json=as_json,
        ui=ui,
        force=force,
        profile=profile,
    )
    if profile is not None:
        _profiled(asked, dry_run=dry_run, queue=queue)
        return
    resolved = _resolved(asked)
    config = resolved.config
    if dry_run:
        _foresee(asked, resolved)
    elif queue:
        _queue(asked, config)
    else:
        measured_here()
        raise typer.Exit(_measure(asked, config))


def _profiled(asked: RunFlags, *, dry_run: bool, queue: bool) -> None:
    """The run with a kept profile; where that has no room, with the next below it."""
    from infertui.cli.offload.profiled import SteppingDown, engine_of_kept, profiled

    asked = _with_model(asked)
    if asked.engine is None and asked.model is not None and asked.target is None:
        asked = replace(asked, engine=engine_of_kept(asked.model))
    _pull(asked, _variants(asked, _config(asked)))
    chosen = profiled(_resolved(asked), asked.profile or "")
    say(f"infertui: {chosen.told}", err=True)
    if dry_run:
        _foresee(asked, replace(_resolved(asked), config=chosen.config))
        return
    if queue:
        _queue(asked, chosen.config)
        return
    steps = SteppingDown(
        chosen, lambda config: _variants(asked, config), lambda text: say(f"infertui: {text}", err=True)
    )
    raise typer.Exit(steps.code(_measure(asked, chosen.config, steps.following)))


def _with_model(asked: RunFlags) -> RunFlags:
    """`infertui run MODEL --profile auto`: a target that is neither a preset nor a TOML file is the model."""
    from infertui.config import sources

    target = asked.target
    if target is None or asked.model is not None or target in sources.names() or target.endswith(".toml"):
        return asked
    return replace(asked, target=None, model=target)


def _pull(asked: RunFlags, variants: "list[Variant]") -> None:
    if asked.pull:
        from infertui.cli.machine.models import fetch_missing

        fetch_missing([variant.config for variant in variants])


def _config(asked: RunFlags) -> "Config":
    """The preset or file with what the environment, --set and the flags change. Raises ConfigError or UsageError."""
    return _resolved(asked).config


def _resolved(asked: RunFlags) -> "Resolved":
    from infertui.config.sources import load

    return load(asked.target, environ=with_env_file(), sets=asked.sets, flags=_flags(asked))


def _flags(asked: RunFlags) -> dict[str, tuple[str, object]]:
    """The key of the config that each flag sets or sweeps, with the flag's name and value. Raises UsageError."""
    given: dict[str, tuple[str, object]] = {
        "model.id": ("--model", asked.model),
        "engine.name": ("--engine", asked.engine),
        "engine.dtype": ("--dtype", asked.dtype),
        "engine.mode": ("--mode", asked.mode),
        "engine.attention": ("--attention", asked.attention),
        "engine.quantization": ("--quantization", asked.quantization),
        "engine.speculation": ("--speculation", asked.speculation),
        "engine.draft_model": ("--draft-model", asked.draft_model),
        "engine.tensor_parallel": ("--tensor-parallel", asked.tensor_parallel),
        "engine.python": ("--engine-python", asked.engine_python),
        "engine.fallback": ("--fallback", True if asked.fallback else None),
        "device.name": ("--device", asked.device),
        "workload.batch_size": ("--batch-size", asked.batch_size),
        "workload.input_len": ("--input-len", asked.input_len),
        "workload.output_len": ("--output-len", asked.output_len),
        "workload.prompts_file": ("--prompts-file", asked.prompts_file),
        "workload.num_prompts": ("--num-prompts", asked.num_prompts),
        "measurement.iterations": ("--iterations", asked.iterations),
        "measurement.warmup": ("--warmup", asked.warmup),
        "measurement.min_seconds": ("--min-seconds", asked.min_seconds),
        "measurement.max_seconds": ("--max-seconds", asked.max_seconds),
        "workload.temperature": ("--temperature", asked.temperature),
        "workload.top_p": ("--top-p", asked.top_p),
        "model.seed": ("--seed", asked.seed),
        "workload.seed": ("--seed", asked.seed),
        "device.force": ("--force", True if asked.force else None),
    }
    if asked.num_prompts is not None and asked.iterations is None:
        given["measurement.iterations"] = ("--num-prompts", 0)  # the number of requests decides, not the preset
    flags = {swept(key, value, _SWEPT_BY_LISTS): (flag, value) for key, (flag, value) in given.items()}
    for flag, prefix, texts in (("--label", "labels", asked.label), ("--sweep", "sweep.grid", asked.sweep)):
        flags |= {f"{prefix}.{key}": (flag, value) for key, value in pairs(flag, texts)}
    return flags


def _variants(asked: RunFlags, config: "Config") -> list["Variant"]:
    """The runs, named after their preset; a file lends no name, as most are called run.toml. Raises ConfigError."""
    from infertui.config import sources
    from infertui.config.sweep import variants_of

    return variants_of(config, asked.target if asked.target in sources.names() else "")


def _foresee(asked: RunFlags, resolved: "Resolved") -> None:
    from infertui.cli.running.dry_run import dry_run

    raise typer.Exit(dry_run(resolved, _variants(asked, resolved.config), asked.out, as_json=asked.as_json))


def _queue(asked: RunFlags, config: "Config") -> None:
    from infertui.cli.running.enqueue import enqueue
    from infertui.config.sweep import variants_of

    variants = variants_of(config, "")
    refuse_with_queue(
        {"--save-json": asked.save_json is not None, "--ui": asked.ui != "auto", "--report": asked.report}
    )
    _pull(asked, variants)
    title = Path(asked.target).name if asked.target else config.model.id
    enqueue(variants, title=title, out=asked.out, as_json=asked.as_json)


def _measure(asked: RunFlags, config: "Config", following: "Following" = lambda _: ()) -> int:
    """Measure them in the foreground, what follows of them, and write the report that was asked for: the exit code."""
    from infertui.cli.running.foreground import INTERRUPTED, run_in_foreground

    variants = _variants(asked, config)
    _pull(asked, variants)
    ended: list[Result] = []
    code = run_in_foreground(
        variants, out=asked.out, save_json=asked.save_json, as_json=asked.as_json, ui=asked.ui, following=following,
        take=ended.append,
    )  # fmt: skip
    if asked.report and code != INTERRUPTED:
        from infertui.cli.reading.lookup import opened
        from infertui.cli.reading.report import report_after

        report_after(asked.out, ended, opened(asked.out))
    return code
