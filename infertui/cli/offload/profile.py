"""`infertui profile`: how many layers of a model to put on this GPU, measured."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.flags import (
    REPORTS,
    DeviceFlag,
    InputLenFlag,
    IterationsFlag,
    OutFlag,
    OutputLenFlag,
    SetFlag,
    Ui,
    UiFlag,
    refuse_with_queue,
)
from infertui.cli.output import console, say, say_json, warn
from infertui.env_file import with_env_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infertui.config.schema import Config
    from infertui.runner.offloading import Offloading

EPILOG = """[bold]Examples[/bold]

  infertui profile synthetic:tinyllama-1.1b --quantization q4_0

  infertui profile model-q4_k_m.gguf --full --ctx 4096

  infertui profile model.gguf --layers 0,10,20-40+5 --vram-ceiling 80%

  infertui profile model.gguf --dry-run      (what it would measure)

  infertui profile --continue profile-20260301-101500-3f9a      (measures what is missing)

  infertui profile --kept      (which profiles there are)

  infertui run --model model.gguf --profile auto      (runs with what it found)

Without --quick, --full or --layers it goes from coarse to fine: none, the most that fit under the ceiling, the edges of
the profiles, then where speed changes most; at most a quarter of the runs of an exhaustive sweep, or six.

Profiles by the share of the GPU's memory: [bold]FAST[/bold] below 50 %, [bold]BALANCED[/bold] 50 to 70 %,
[bold]PERFORMANCE[/bold] 70 to 85 %, [bold]CPU_FALLBACK[/bold] without layers there. They are kept, by model and GPU, in
~/.config/infertui/profiles.

A run that fails for want of memory is a row of the table, and the study goes on. Exit code 3: a run was invalid.
"""


def profile(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A GGUF file, a Hugging Face id, or synthetic:NAME.")
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="NAME", help="The engine; it has to have layers on the GPU.")
    ] = "llama-cpp",
    quick: Annotated[bool, typer.Option("--quick", help="None, half, most and all layers.")] = False,
    full: Annotated[bool, typer.Option("--full", help="None, about every eighth, and all layers.")] = False,
    layers: Annotated[
        str | None, typer.Option("--layers", metavar="LIST", help="These layers: 0,10,20-40+5; -1 for all.")
    ] = None,
    context: Annotated[
        str | None, typer.Option("--ctx", metavar="N", help="Positions of the KV cache; 0: what the workload needs.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="N", help="Most prompt tokens handed over at once (n_batch).")
    ] = None,
    ceiling: Annotated[
        str | None,
        typer.Option("--vram-ceiling", metavar="SHARE", help="Of the GPU's memory, others' use counted; 85%."),
    ] = None,
    quantization: Annotated[
        str | None,
        typer.Option("--quantization", metavar="NAME", help="Format of the weights: q4_0, q4_k_m, q8_0 and others."),
    ] = None,
    device: DeviceFlag = None,
    batch_size: Annotated[
        str | None, typer.Option("--batch-size", "-b", metavar="N", help="Sequences generated together.")
    ] = None,
    input_len: InputLenFlag = None,
    output_len: OutputLenFlag = None,
    iterations: IterationsFlag = None,
    sets: SetFlag = None,
    resume: Annotated[
        str, typer.Option("--continue", metavar="ID", help="Measure what a study still lacks, and show all of it.")
    ] = "",
    kept: Annotated[bool, typer.Option("--kept", help="List the profiles that are kept, and stop.")] = False,
    out: OutFlag = REPORTS,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON document.")] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw curves with ASCII characters alone.")] = False,
    ui: UiFlag = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be measured, and stop.")] = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="Hand the runs to the runner in the background, and return.")
    ] = False,
) -> None:
    """Measure a model with more and more layers on the GPU, and find how many are best."""
    from infertui.errors import UsageError

    if kept:
        _list_kept(as_json=as_json)
        return
    wanted = _Wanted(quick=quick, full=full, layers=layers)
    flags: dict[str, tuple[str, object]] = {
        "device.name": ("--device", device),
        "workload.batch_size": ("--batch-size", batch_size),
        "workload.input_len": ("--input-len", input_len),
        "workload.output_len": ("--output-len", output_len),
        "measurement.iterations": ("--iterations", iterations),
        "engine.quantization": ("--quantization", quantization),
    }
    if resume:
        from infertui.analysis.offload.card import parse_ceiling
        from infertui.cli.offload.study import continued

        changed = [model, layers, context, batch, *(value for _, value in flags.values()), *(sets or []), quick, full]
        if any(changed):
            raise UsageError("--continue goes on with a study as it was: nothing of what it measures can be changed")
        study = continued(out, resume, None if ceiling is None else parse_ceiling(ceiling))
    else:
        if not model:
            raise UsageError("which model?", remedy="infertui profile MODEL, or --continue ID.")
        flags |= {"model.id": ("MODEL", model), "engine.name": ("--engine", engine)}
        study = _begun(_config(flags, engine, context, batch, sets or []), wanted, ceiling, out)
    if dry_run:
        _list(study)
    elif queue:
        refuse_with_queue({"--ui": ui != "auto"})
        _enqueue(study, as_json=as_json)
    else:
        raise typer.Exit(_measure(study, ui, as_json=as_json, ascii_only=ascii_only))


class _Wanted:
    """Which layers were asked for. Raises UsageError for more than one way to say it."""

    def __init__(self, *, quick: bool, full: bool, layers: str | None) -> None:
        from infertui.errors import UsageError

        if quick + full + (layers is not None) > 1:
            raise UsageError("--quick, --full and --layers exclude each other")
        self._quick, self._full, self._layers = quick, full, layers

    def of(self, most: int) -> tuple[int, ...]:
        """Those of a model with so many; none: from coarse to fine."""
        from infertui.analysis.offload import layers

        if self._quick:
            return layers.quick(most)
        if self._full:
            return layers.full(most)
        return layers.custom(self._layers, most) if self._layers is not None else ()


def _config(
    flags: "Mapping[str, tuple[str, object]]", engine: str, context: str | None, batch: str | None, sets: list[str]
) -> "Config":
    """The config of the study's runs."""
    from infertui.analysis.offload.plan import USUAL
    from infertui.config.fields import FIELDS
    from infertui.config.sources import DEFAULT, load
    from infertui.errors import UsageError

    table = f"engine.{engine.replace('-', '_')}"
    given = dict(flags)
    for flag, key, value in (("--ctx", f"{table}.n_ctx", context), ("--batch", f"{table}.n_batch", batch)):
        if value is not None and key not in FIELDS:
            raise UsageError(f"{engine} has no {key.rpartition('.')[2]}, which {flag} sets")
        given[key] = (flag, value)
    asked = load(None, environ=with_env_file(), sets=sets, flags=given)
    if (
        asked.sources.get(f"{table}.n_gpu_layers", DEFAULT) != DEFAULT
        or asked.config.sweep.grid
        or asked.config.sweep.zip
    ):
        raise UsageError(
            "a study lets the number of layers vary, and nothing else",
            remedy=f"--layers LIST says which; leave {table}.n_gpu_layers and sweeps away.",
        )
    given |= {key: ("profile", value) for key, value in USUAL.items() if asked.sources.get(key) == DEFAULT}
    return load(None, environ=with_env_file(), sets=sets, flags=given).config


def _begun(config: "Config", wanted: _Wanted, ceiling: str | None, out: Path) -> "Offloading":
    from infertui.analysis.offload.card import CEILING, parse_ceiling
    from infertui.runner.offloading import begun

    return begun(config, wanted.of, out, CEILING if ceiling is None else parse_ceiling(ceiling))


def _list_kept(*, as_json: bool) -> None:
    from infertui.analysis.offload.kept import each_profiles, profiles_folder
    from infertui.cli.offload.text import kept_lines

    found = list(each_profiles(broken=lambda error: warn(f"{error.message}; it is left out")))
    if as_json:
        say_json(found)
        return
    if not found:
        say(f"none are kept in {profiles_folder()}: `infertui profile MODEL` measures some")
    for profiles in found:
        for line in kept_lines(profiles):
            say(line)


def _list(study: "Offloading") -> None:
    plan = study.plan
    for note in study.notes:
        say(f"note: {note}")
    missing = study.missing()
    if not missing:
        say("nothing is left to measure")
        return
    if plan.layers:
        for layers in missing:
            say(plan.variant(layers).name)
        return
    say(f"from coarse to fine: at most {plan.runs} of {plan.most + 1} points, first {missing[0]} layers")
    if guess := study.foreseen():
        ceiling = f"{100 * plan.card.ceiling:.3g}%"
        say(f"by the memory estimate {guess} of {plan.most} layers fit under {ceiling} of the memory")


def _enqueue(study: "Offloading", *, as_json: bool) -> None:
    from infertui.cli.running.enqueue import enqueue
    from infertui.runner.offloading import TITLE

    enqueue(study.for_queue(), title=TITLE, out=study.out, as_json=as_json)
    if not as_json:
        say(f"Afterwards: infertui profile --continue {study.plan.study}")


def _measure(study: "Offloading", ui: Ui, *, as_json: bool, ascii_only: bool) -> int:
    """Measure what is missing, print and keep what was found, and return the exit code."""
    from infertui.cli.offload.study import measure, tell_interrupted
    from infertui.cli.offload.text import study_lines
    from infertui.cli.running.foreground import INTERRUPTED
    from infertui.errors import StoreError

    stream = sys.stderr if as_json else sys.stdout
    for note in study.notes:
        say(f"note: {note}", stream=stream)
    most = "" if study.plan.layers else "at most "
    say(f"{study.plan.study}: {most}{study.plan.runs} of {study.plan.most + 1} points", stream=stream)
    code = measure(study, ui, quiet=as_json)
    found = study.found()
    if as_json:
        say_json(found)
    else:
        say("")
        width = console().width if sys.stdout.isatty() else None
        for line in study_lines(found, ascii_only=ascii_only, width=width):
            say(line)
    if code == INTERRUPTED:
        tell_interrupted(study)
        return code
    kept = study.keep()
    say(f"kept as {kept}", stream=stream)
    try:
        profiles = study.keep_profiles()
    except StoreError as error:
        warn(f"the profiles could not be kept for `infertui run --profile`: {error.message}")
        profiles = None
    if profiles is not None:
        subject = found.subject
        form = ["--quantization", subject.quantization] if subject.quantization != "auto" else []
        say(f"profiles: {profiles}", stream=stream)
        command = ["infertui", "run", "--model", subject.model, *form, "--profile", "auto"]
        say(shlex.join(command), stream=stream)
    return code
