"""`infertui build`: make a TensorRT engine of a model, with the library's own tools."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infertui.cli.output import console, say, say_json
from infertui.endings import heeded

if TYPE_CHECKING:
    from infertui.targets.engine.tensorrt_llm.build.builder import BuildOutcome, Prepared
    from infertui.targets.engine.tensorrt_llm.build.progress import BuildProgress

INTERRUPTED = 130
EPILOG = (
    "[bold]infertui build meta-llama/Llama-3.1-8B --precision fp16 --batch-size 8[/bold] builds an engine, which a run "
    "with engine.tensorrt_llm.backend = engine then finds by itself."
)
_ENGINE = "tensorrt-llm"
_PLAIN_EVERY_S = 30.0


class _Precision(StrEnum):
    """See `recipe.Precision`, which typer cannot read; a test holds the two together."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"
    INT4_AWQ = "int4-awq"
    W4A8_AWQ = "w4a8-awq"
    INT8_SQ = "int8-sq"
    NVFP4 = "nvfp4"


def build(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Hugging Face id or directory.")] = None,
    model_id: Annotated[str, typer.Option("--model-id", metavar="MODEL", help="The same as MODEL.")] = "",
    precision: Annotated[_Precision, typer.Option(help="Number format of the weights.")] = _Precision.FP16,
    batch_size: Annotated[int, typer.Option(min=1, max=65536, help="Most sequences at once.")] = 8,
    max_input_len: Annotated[int, typer.Option(min=1, max=1 << 22, help="Longest prompt, in tokens.")] = 1024,
    max_output_len: Annotated[int, typer.Option(min=1, max=1 << 20, help="Longest output, in tokens.")] = 1024,
    tensor_parallel: Annotated[int, typer.Option(min=1, max=64, help="GPUs that share the model.")] = 1,
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.", show_default="main")] = "",
    out: Annotated[str, typer.Option(metavar="DIR", help="The engine's folder.", show_default="in the cache")] = "",
    force: Annotated[bool, typer.Option("--force", help="Build even where the engine is there.")] = False,
    examples: Annotated[str, typer.Option(metavar="DIR", help="TensorRT-LLM's examples, of the same version.")] = "",
    calibration: Annotated[
        str, typer.Option(metavar="DIR", help="Data set for quantizing.", show_default="the script's own, downloaded")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document about what was built.")] = False,
) -> None:
    """Build a TensorRT engine, with TensorRT-LLM 1.0 to 1.2; later versions need and have none.

    Progress goes to standard error, the engine's folder to standard output. Engines are kept by model, version, GPU
    and options, and built once. Not run on hardware by infertui's makers.
    """
    model = _named(model, model_id)
    _elsewhere()
    from pathlib import Path

    from infertui.targets.engine.tensorrt_llm.build.builder import Order, build, prepare
    from infertui.targets.engine.tensorrt_llm.build.recipe import PRECISIONS, BuildOptions

    chosen = next(word for word in PRECISIONS if word == precision.value)
    order = Order(
        model=model,
        options=BuildOptions(chosen, batch_size, max_input_len, max_output_len, tensor_parallel),
        revision=revision,
        out=Path(out) if out else None,
        force=force,
        examples=examples,
        calibration=calibration,
    )
    try:
        with _interruptible():
            prepared = prepare(order)
            if dry_run:
                _print_plan(prepared, as_json=as_json)
                return
            with _shown(model) as show:
                done = build(prepared, show)
    except KeyboardInterrupt:
        say("infertui: interrupted. Nothing of the engine was left.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    _print_done(done, as_json=as_json)


def _named(model: str | None, model_id: str) -> str:
    """The model, named in one way or the other. Raises UsageError."""
    from infertui.errors import UsageError

    if model and model_id and model != model_id:
        raise UsageError("MODEL and --model-id name two models", remedy="Leave one of them out.")
    if not (found := model or model_id):
        raise UsageError("no model is named", remedy="For example: infertui build meta-llama/Llama-3.1-8B")
    return found


def _elsewhere() -> None:
    """Where TensorRT-LLM lives in another Python, go on there; this does not come back."""
    from infertui.config.schema import EngineConfig
    from infertui.targets.engine.environments import environment_for, interpreter_for

    python = interpreter_for(EngineConfig(name=_ENGINE))
    if python is None:
        return
    from infertui.errors import EngineError
    from infertui.text import clean

    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(  # noqa: S606 (no shell is wanted)
            python, [str(python), "-P", "-m", "infertui", *sys.argv[1:]], environment_for(python)
        )
    except OSError as error:
        raise EngineError(
            f"{clean(str(python))} cannot be run: {error.strerror}",
            remedy=f"Name another: infertui engines use {_ENGINE} --python PATH",
        ) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a terminal that hangs up, or a scheduler's SIGTERM, end a build as Ctrl-C does: cleaned up."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_plan(prepared: "Prepared", *, as_json: bool) -> None:
    commands = [list(step.command) for step in prepared.steps]
    if as_json:
        _print_json(
            {
                "engine_dir": str(prepared.target),
                "cached": prepared.kept,
                "key": prepared.key,
                "needed_bytes": prepared.needed_bytes,
                "commands": commands,
            }
        )
        return
    from infertui.text import clean

    for command in commands:
        say(clean(shlex.join(command)))
    if prepared.kept:
        say(f"infertui: {clean(str(prepared.target))} is there already; --force builds it again.", err=True)


def _print_done(done: "BuildOutcome", *, as_json: bool) -> None:
    if as_json:
        _print_json(done)
        return
    from infertui.text import clean
    from infertui.units import format_bytes, format_seconds

    steps = ", ".join(f"{name} {format_seconds(seconds)}" for name, seconds in done.seconds.items())
    how = "was there already" if done.cached else f"built: {steps}"
    say(f"infertui: {how}, {format_bytes(done.bytes)}", err=True)
    say(clean(done.engine_dir))


def _print_json(document: Any) -> None:

    say_json(document, indent=2)


@contextmanager
def _shown(model: str) -> "Iterator[Callable[[BuildProgress], None]]":
    """A line that is redrawn in a terminal; otherwise a line for each stage, and now and then."""
    if not sys.stderr.isatty():
        yield _Plain()
        return
    from rich.text import Text

    terminal = console(err=True)
    with terminal.status("") as status:

        def show(now: "BuildProgress") -> None:
            line = Text(_told(now))
            if now.line:
                line.append(f"  {now.line}", style="dim")
            line.truncate(max(20, terminal.width - 4), overflow="ellipsis")
            status.update(line)

        yield show


class _Plain:
    """Lines for logs."""

    def __init__(self) -> None:
        self._stage = ""
        self._printed = 0.0

    def __call__(self, now: "BuildProgress") -> None:
        stage = f"{now.step} {now.stage}"
        if stage == self._stage and time.monotonic() - self._printed < _PLAIN_EVERY_S:
            return
        self._stage, self._printed = stage, time.monotonic()
        say(_told(now), err=True)


def _told(now: "BuildProgress") -> str:
    from infertui.units import format_seconds

    part = f" {now.fraction:.0%}" if now.fraction is not None else ""
    return f"{now.step}: {now.stage}{part}, {format_seconds(now.elapsed_s)}"
