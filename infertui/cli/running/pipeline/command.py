"""`infertui pipeline`: from a model to a report by one command."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from infertui.cli.flags import (
    REPORTS,
    BatchSizeFlag,
    DeviceFlag,
    InputLenFlag,
    LabelFlag,
    NewTokensFlag,
    OutFlag,
    SetInAllFlag,
    Ui,
    UiFlag,
    pairs,
)
from infertui.cli.output import say, say_json

if TYPE_CHECKING:
    from infertui.config.schema import Config
    from infertui.config.sources import Resolved
    from infertui.pipeline.outcome import Found
    from infertui.pipeline.plan import Outlook, PipelinePlan
    from infertui.pipeline.state import PipelineFile
    from infertui.pipeline.steps import Steps

EPILOG = """[bold]Examples[/bold]

  infertui pipeline synthetic:gpt2-124m

  infertui pipeline openai-community/gpt2 --quick      (downloads it first)

  infertui pipeline synthetic:tinyllama-1.1b --dry-run      (the steps, and how long they take)

  infertui pipeline ./my-model --engines llama-cpp:q8_0,transformers:compile -b 8 --isl 512 --osl 128

  infertui pipeline TinyLlama/TinyLlama-1.1B-Chat-v1.0 --engines tensorrt-llm --fallback --rounds 10

The steps: [bold]pull[/bold] the model where it is not here, [bold]choose[/bold] what to measure, [bold]build[/bold] a
TensorRT engine where one is asked for, [bold]measure[/bold] the baseline (PyTorch, nothing compiled) and the others in
turns, [bold]compare[/bold], [bold]report[/bold]. Without --engines these are the fastest that can be used here, found
by a short run of each, and TensorRT-LLM where it is installed. ENGINE[:WORD...] names an engine with words of its
options, or KEY=VALUE: transformers:compile, llama-cpp:q8_0, vllm:tensor_parallel=2.

Everything goes to OUT/NAME: report.html, report.md, report.json, charts/, summary.txt, and pipeline.json, which says
how far it is. The same command goes on where it was cut off; a pipeline that is finished shows what it found.

Exit codes: 0 all is well, 1 something that was asked for could not be measured, 3 a run was invalid, 130 interrupted.
"""
ASKED_FROM_S = 600.0
"""A pipeline of so many seconds is not begun in a terminal without asking."""


class PipelineFlags(Struct, frozen=True, kw_only=True):
    """What was given on the command line; None: not given."""

    model: str | None
    engines: str
    baseline: str
    quick: bool
    name: str
    rounds: int | None
    batch_size: str | None
    input_len: str | None
    output_len: str | None
    dtype: str | None
    device: str | None
    config: str | None
    fallback: bool
    label: tuple[str, ...]
    sets: tuple[str, ...]
    out: Path
    charts: bool
    anew: bool
    yes: bool
    as_json: bool
    ui: Ui


def pipeline(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Hugging Face id, directory, GGUF file or synthetic:NAME."),
    ] = None,
    engines: Annotated[
        str, typer.Option("--engines", metavar="LIST", help="What to measure: llama-cpp,transformers:compile.")
    ] = "",
    baseline: Annotated[
        str, typer.Option("--baseline", metavar="ENGINE", help="What the others are compared with.")
    ] = "transformers:eager",
    quick: Annotated[
        bool, typer.Option("--quick", help="3 rounds of few batches; the usual order decides what is measured.")
    ] = False,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Its folder; else it is named by the model.")
    ] = "",
    rounds: Annotated[
        int | None, typer.Option("--rounds", "-r", min=1, max=1000, metavar="N", help="Rounds; 5, or 3 with --quick.")
    ] = None,
    batch_size: BatchSizeFlag = None,
    input_len: InputLenFlag = None,
    output_len: NewTokensFlag = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", metavar="TYPE", help="auto, float32, float16 or bfloat16, of all of them.")
    ] = None,
    device: DeviceFlag = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="PRESET|FILE", help="What to measure with, in place of the usual.")
    ] = None,
    fallback: Annotated[
        bool, typer.Option("--fallback", help="Measure Transformers, marked so, where an engine cannot be used.")
    ] = False,
    label: LabelFlag = None,
    sets: SetInAllFlag = None,
    out: OutFlag = REPORTS,
    charts: Annotated[bool, typer.Option("--charts/--no-charts", help="Draw charts, which needs matplotlib.")] = True,
    anew: Annotated[bool, typer.Option("--anew", help="Choose and measure again, also what is there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a download, or a long time.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say the steps and how long they take, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    ui: UiFlag = "auto",
) -> None:
    """Measure a model on its fastest engine beside PyTorch, and write the report: everything by one command."""
    asked = PipelineFlags(
        model=model, engines=engines, baseline=baseline, quick=quick, name=name, rounds=rounds, batch_size=batch_size,
        input_len=input_len, output_len=output_len, dtype=dtype, device=device, config=config, fallback=fallback,
        label=tuple(label or ()), sets=tuple(sets or ()), out=out, charts=charts, anew=anew, yes=yes,
        as_json=as_json, ui=ui,
    )  # fmt: skip
    if dry_run:
        _foretell(asked)
    else:
        raise typer.Exit(_run(asked))


def _foretell(asked: PipelineFlags) -> None:
    from infertui.cli.reading.lookup import opened
    from infertui.pipeline.foresight import outlook
    from infertui.pipeline.plan import plan

    folder, wanted = _wanted(asked)
    taken_up = _taken_up(asked, folder, wanted)
    seen = outlook(taken_up, opened(asked.out))
    planned = plan(taken_up, seen, charts=asked.charts)
    if asked.as_json:
        say_json(_plan_document(taken_up, folder, planned, seen), indent=2)
        return
    for line in _plan_lines(taken_up, folder, planned, seen):
        say(line)


def _run(asked: PipelineFlags) -> int:
    """Do what is to be done yet, and show what was found: the exit code."""
    from infertui.cli.reading.lookup import opened
    from infertui.cli.running.pipeline.host import CommandHost
    from infertui.errors import InfertuiError
    from infertui.pipeline.foresight import outlook
    from infertui.pipeline.host import InterruptedPipelineError
    from infertui.pipeline.plan import plan
    from infertui.pipeline.state import held, write
    from infertui.pipeline.steps import Steps

    folder, wanted = _wanted(asked)
    stream = sys.stderr if asked.as_json else sys.stdout
    store = opened(asked.out)
    with held(folder):
        taken_up = _taken_up(asked, folder, wanted)
        if not taken_up.finished:
            seen = outlook(taken_up, store)
            planned = plan(taken_up, seen, charts=asked.charts)
            for line in _plan_lines(taken_up, folder, planned, seen):
                say(line, stream=stream)
            if not _may_begin(asked, planned, seen):
                return 1
        else:
            say(f"{folder} is finished: --anew measures again", stream=stream)
        write(folder, taken_up)
        steps = Steps(
            folder, taken_up, store, CommandHost(asked.out, asked.ui, quiet=asked.as_json, charts=asked.charts)
        )
        try:
            done = steps.run()
        except InterruptedPipelineError as error:
            say(f"infertui: {error.message}. {_how_to_go_on(folder)}", err=True)
            return error.exit_code
        except InfertuiError:
            say(_how_to_go_on(folder), err=True)
            raise
    return _shown(asked, folder, done, steps)


def _how_to_go_on(folder: Path) -> str:
    from infertui.text import clean

    return f"What is done is kept in {clean(str(folder))}: the same command goes on."


def _wanted(asked: PipelineFlags) -> "tuple[Path, PipelineFile]":
    """The folder, and the pipeline that the command line asks for. Raises UsageError and ConfigError."""
    from datetime import datetime

    from infertui.errors import UsageError
    from infertui.pipeline.arms import BASELINE, parse_arm, parse_arms
    from infertui.pipeline.plan import QUICK_ROUNDS, USUAL_ROUNDS, name_of
    from infertui.pipeline.state import PipelineFile, is_of_others
    from infertui.results.runs import is_run_folder
    from infertui.text import clean, quoted

    baseline = parse_arm(asked.baseline, "--baseline").name
    engines = tuple(arm.name for arm in parse_arms(asked.engines, "--engines")) if asked.engines else ()
    engines = tuple(one for one in engines if one != baseline)
    if asked.engines and not engines:
        raise UsageError(
            f"--engines names the baseline {baseline} alone", remedy="Name another engine or mode beside it."
        )
    base = _base(asked)
    sides = engines if baseline == BASELINE else (baseline, *engines)
    name = asked.name or name_of(base, sides, quick=asked.quick)
    if name in (".", "..") or "/" in name or "\0" in name or name.startswith(".") or not name.isprintable():
        raise UsageError(
            f"--name {quoted(name)} is no name of a folder",
            remedy="Name it without /, leading dots and control characters.",
        )
    folder = asked.out / name
    if is_run_folder(folder):
        raise UsageError(f"{clean(str(folder))} is the folder of a run", remedy="Name another one with --name.")
    if is_of_others(folder):
        raise UsageError(
            f"{clean(str(folder))} is there, and was not made by a pipeline",
            remedy="Name another one with --name; this one is left alone.",
        )
    rounds = asked.rounds or (QUICK_ROUNDS if asked.quick else USUAL_ROUNDS)
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return folder, PipelineFile(name, now, base, baseline, rounds, engines, asked.quick)


def _base(asked: PipelineFlags) -> "Config":
    """The config that all arms share: what was given, else what is usual for a pipeline."""
    from infertui.config.sources import DEFAULT, load
    from infertui.config.sweep import rooted
    from infertui.env_file import with_env_file
    from infertui.errors import UsageError
    from infertui.pipeline.plan import QUICK, USUAL

    given: dict[str, tuple[str, object]] = {
        "model.id": ("MODEL", asked.model),
        "engine.dtype": ("--dtype", asked.dtype),
        "engine.fallback": ("--fallback", True if asked.fallback else None),
        "device.name": ("--device", asked.device),
        "workload.batch_size": ("--batch-size", asked.batch_size),
        "workload.input_len": ("--input-len", asked.input_len),
        "workload.output_len": ("--output-len", asked.output_len),
    }
    given |= {f"labels.{key}": ("--label", value) for key, value in pairs("--label", asked.label)}

    def resolved(more: dict[str, tuple[str, object]]) -> "Resolved":
        return load(asked.config, environ=with_env_file(), sets=asked.sets, flags={**given, **more})

    known = resolved({})
    if known.sources.get("model.id", DEFAULT) == DEFAULT:
        raise UsageError(
            "no model is named", remedy="For example: infertui pipeline synthetic:gpt2-124m. MODEL_ID names one, too."
        )
    usual = QUICK if asked.quick else USUAL
    open_keys = {key for key in usual if known.sources.get(key, DEFAULT) == DEFAULT}
    if known.sources.get("workload.prompts_file", DEFAULT) != DEFAULT:
        open_keys -= {"workload.prompts", "workload.input_len"}  # these prompts are meant as they come
    found = resolved({key: ("usual", usual[key]) for key in usual if key in open_keys}).config
    if found.sweep.grid or found.sweep.zip:
        raise UsageError(
            "a pipeline has no sweep", remedy=f"Name one value for {', '.join((*found.sweep.grid, *found.sweep.zip))}."
        )
    return rooted(found)


def _taken_up(asked: PipelineFlags, folder: Path, wanted: "PipelineFile") -> "PipelineFile":
    """What is in the folder already, as far as it is to be done; `wanted` where nothing is. Raises UsageError."""
    from msgspec.structs import replace

    from infertui.errors import UsageError
    from infertui.pipeline.state import SUMMARY, read
    from infertui.text import clean

    kept = None if asked.anew else read(folder)
    if kept is None:
        return wanted
    if unlike := _unlike(kept, wanted):
        raise UsageError(
            f"{clean(str(folder))} holds another pipeline: {'; '.join(unlike[:4])}",
            remedy="--name NAME begins another one; --anew begins again in its place.",
        )
    if asked.rounds is not None and asked.rounds > kept.rounds:
        kept = replace(kept, rounds=asked.rounds).undone_from("measure")
    if not (folder / SUMMARY).is_file():
        return kept.undone_from("compare")
    return kept if (folder / "report.html").is_file() else kept.undone_from("report")


def _unlike(kept: "PipelineFile", wanted: "PipelineFile") -> list[str]:
    """What the two do not have in common of what was asked for, the kept one's first."""
    from infertui.pipeline.arms import differing

    told = [
        f"{flag} {', '.join(one) or '(none)'} -> {', '.join(other) or '(none)'}"
        for flag, one, other in (
            ("--engines", kept.engines, wanted.engines),
            ("--baseline", (kept.baseline,), (wanted.baseline,)),
            ("--quick", ("yes",) * kept.quick, ("yes",) * wanted.quick),
        )
        if one != other
    ]
    return told + differing(kept.base, wanted.base)


def _may_begin(asked: PipelineFlags, planned: "PipelinePlan", seen: "Outlook") -> bool:
    """Ask in a terminal before a download or a long time, unless told not to; elsewhere nobody could answer."""
    long = planned.estimate is not None and planned.estimate.seconds > ASKED_FROM_S
    if asked.yes or not (seen.waiting or long) or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    return typer.confirm("Begin?", default=True, err=True)


def _plan_lines(pipeline: "PipelineFile", folder: Path, planned: "PipelinePlan", seen: "Outlook") -> list[str]:
    from infertui.text import clean, shorten

    lines = [f"pipeline {pipeline.name}: {pipeline.base.model.id}; everything goes to {folder}"]
    for number, step in enumerate(planned.steps, 1):
        took = "done" if step.done else step.estimate.text if step.estimate and step.estimate.seconds else ""
        what = shorten(step.what, 100)
        lines.append(f"  {number} {step.step:<8} {what}" + (f" ({took})" if took else ""))
    lines.append(f"  {_duration(planned, waiting=seen.waiting)}")
    lines += [shorten(f"  not here: {one.name}: {one.reason}", 160) for one in seen.left_out]
    return [clean(line) for line in lines]


def _duration(planned: "PipelinePlan", *, waiting: bool) -> str:
    whole = planned.estimate
    if whole is None:
        return "how long that takes is not known" + (" before the model is here" if waiting else "")
    besides = f", besides {' and '.join(planned.unknown)}" if planned.unknown else ""
    rough = "; that is rough, from the model's size: earlier runs would tell better" if whole.rough else ""
    return f"in all {whole.text}{besides}{rough}"


def _plan_document(pipeline: "PipelineFile", folder: Path, planned: "PipelinePlan", seen: "Outlook") -> dict[str, Any]:
    whole = planned.estimate
    return {
        "name": pipeline.name,
        "folder": str(folder),
        "model": pipeline.base.model.id,
        "steps": [
            {"step": one.step, "what": one.what, "done": one.done, "seconds": one.estimate and one.estimate.seconds}
            for one in planned.steps
        ],
        "seconds": whole and whole.seconds,
        "rough": whole is not None and whole.rough,
        "not_here": seen.left_out,
    }


def _shown(asked: PipelineFlags, folder: Path, done: "PipelineFile", steps: "Steps") -> int:
    """Print what was found, and return the exit code."""
    from infertui.pipeline import outcome

    found = outcome.found(steps.results())
    if asked.as_json:
        say_json(_document(done, folder, found), indent=2)
    else:
        say("")
        for line in outcome.lines(done, found, folder):
            say(line)
    if found.bench.failed or any(one.asked for one in done.left_out):
        say("What could not be measured is tried again with --anew.", err=True)
    return _exit_code(done, found)


def _document(done: "PipelineFile", folder: Path, found: "Found") -> dict[str, Any]:
    from infertui.report.files import files_of

    return {
        "name": done.name,
        "folder": str(folder),
        "model": done.base.model.id,
        "steps": done.steps,
        "arms": [arm.name for arm in done.arms],
        "chosen_by": done.chosen_by,
        "trials": done.trials,
        "left_out": done.left_out,
        "with_invalid": found.with_invalid,
        "bench": found.bench,
        "files": [str(path) for path in files_of(folder)],
    }


def _exit_code(done: "PipelineFile", found: "Found") -> int:
    if found.bench.failed or any(one.asked for one in done.left_out) or not found.bench.comparisons:
        return 1
    return 3 if found.bench.invalid else 0
