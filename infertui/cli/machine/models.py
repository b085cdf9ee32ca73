"""`infertui models`: what is here, what it needs, and downloading more."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from infertui.cli.help import CommandGroup
from infertui.cli.output import console, say, say_json

if TYPE_CHECKING:
    from pathlib import Path

    from infertui.config.schema import Config
    from infertui.models.hub.progress import PullProgress
    from infertui.models.local import LocalModel

INTERRUPTED = 130

app = typer.Typer(
    cls=CommandGroup, help="The models on this machine: list, show, download.", invoke_without_command=True
)

_HEADER = ("model", "parameters", "dtype", "on disk", "last used")
_RIGHT = frozenset({"parameters", "on disk"})
_NARROWEST_NAME = 20
_PLAIN_EVERY_S = 5.0

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
DeviceChoice = Literal["auto", "cpu", "cuda"]
DtypeChoice = Literal["auto", "float32", "float16", "bfloat16"]


@app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the models on this machine: the Hugging Face cache, model directories, and the synthetic ones.

    Directories are those in INFERTUI_MODELS_DIR (separated by colons) and ./models.
    """
    if context.invoked_subcommand is not None:
        return
    from infertui.models.hub.cache import cache_dir
    from infertui.models.local import local_models

    found = local_models()
    cache = _clean(str(cache_dir()))
    if as_json:
        _print_json({"cache": cache, "models": found})
        return
    _print_table([_row(model) for model in found])
    for model in found:
        if model.problem:
            again = f"; run `infertui models pull {model.id}`" if model.kind == "hub" and not model.complete else ""
            say(f"{model.id}: {model.problem}{again}")
    say(_summary(found, cache))


@app.command()
def pull(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="Hugging Face id: NAME or ORG/NAME.")],
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.", show_default="main")] = "",
) -> None:
    """Download a model from the Hugging Face hub. One that was cut off is resumed.

    Progress goes to standard error, the directory of the model to standard output. HF_TOKEN, HF_HOME and HF_ENDPOINT
    are respected.
    """
    try:
        path = fetch(model_id, revision)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    say(str(path))


def fetch_missing(configs: "Sequence[Config]") -> None:
    """Download the hub's models that configs name, to draft with as well, and that are not here, or not whole.

    Raises UsageError and ModelError; typer.Exit where it is interrupted.
    """
    from infertui.models.resolve import is_to_be_pulled

    named = [(config.model.id, config.model.revision) for config in configs]
    named += [(draft, "") for config in configs if (draft := config.engine.draft_model)]
    try:
        for model, revision in dict.fromkeys(named):
            if is_to_be_pulled(model, revision):
                fetch(model, revision)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def fetch(model_id: str, revision: str = "") -> "Path":
    """Download a model, showing progress on standard error: its directory. Raises UsageError and ModelError.

    KeyboardInterrupt leaves what has arrived, which is said.
    """
    from infertui.models.hub.download import RESUME_HINT
    from infertui.models.hub.download import pull as download

    try:
        with _shown_progress(model_id) as show:
            return download(model_id, revision, progress=show)
    except KeyboardInterrupt:
        say(f"infertui: interrupted. {RESUME_HINT}", err=True)
        raise


@app.command()
def show(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="Hugging Face id, directory, or synthetic:NAME.")],
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.", show_default="main")] = "",
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", "--bs", min=1, max=65536, help="Sequences generated together.")
    ] = 1,
    input_len: Annotated[
        int, typer.Option("--input-len", "--isl", min=0, max=1 << 22, help="Prompt tokens of each.")
    ] = 128,
    output_len: Annotated[
        int, typer.Option("--output-len", "--osl", min=1, max=1 << 20, help="Generated tokens of each.")
    ] = 64,
    dtype: Annotated[DtypeChoice, typer.Option(help="Number format of weights and compute.")] = "auto",
    device: Annotated[DeviceChoice, typer.Option(help="Where it would run; auto: a GPU if there is one.")] = "auto",
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="NAME", help="With its own way of holding weights and KV cache.")
    ] = None,
    quantization: Annotated[str | None, typer.Option(metavar="NAME", help="Number format of the weights.")] = None,
    tensor_parallel: Annotated[int | None, typer.Option(metavar="N", help="GPUs to split each layer over.")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key, as in engine.llama_cpp.n_gpu_layers=10; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a model's shape, what it takes in memory, and whether a workload would fit.

    With --engine it is what that engine takes with the options given; without, the arithmetic of the model alone.
    """
    from infertui.cli.machine.modelinfo import document, foreseen, lines
    from infertui.config.sources import load
    from infertui.models.hub.asking import telling

    flags: dict[str, tuple[str, object]] = {
        "model.id": ("ID", model_id),
        "model.revision": ("--revision", revision or None),
        "engine.name": ("--engine", engine),
        "engine.dtype": ("--dtype", dtype),
        "engine.quantization": ("--quantization", quantization),
        "engine.tensor_parallel": ("--tensor-parallel", tensor_parallel),
        "workload.batch_size": ("--batch-size", batch_size),
        "workload.input_len": ("--input-len", input_len or None),
        "workload.output_len": ("--output-len", output_len),
    }
    config = load(None, environ={}, sets=sets or [], flags=flags).config
    with telling(lambda text: say(text, err=True)):
        found = foreseen(config, device)
    if as_json:
        _print_json(document(found))
        return
    for line in lines(found):
        say(line)


def _row(model: "LocalModel") -> tuple[str, ...]:
    from infertui.units import format_about, format_bytes, format_count

    count = "-"
    if model.parameters is not None:
        count = format_count(model.parameters) if model.parameters_exact else format_about(model.parameters)
    used = "-" if model.last_used is None else time.strftime("%Y-%m-%d", time.localtime(model.last_used))
    size = "none" if model.kind == "synthetic" else format_bytes(model.size_bytes)
    return model.id + ("" if model.complete else " (!)"), count, model.dtype or "-", size, used


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns; in a terminal the names are cut to its width, in a pipe nothing is."""
    from infertui.text import shorten

    lines = [_HEADER, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - sum(widths[1:]) - 2 * len(widths[1:])
        widths[0] = max(_NARROWEST_NAME, min(widths[0], room))
    for line in lines:
        cells = [
            cell.rjust(width) if title in _RIGHT else shorten(cell, width).ljust(width)
            for title, cell, width in zip(_HEADER, line, widths, strict=True)
        ]
        say("  ".join(cells).rstrip())


def _summary(found: "Sequence[LocalModel]", cache: str) -> str:
    from infertui.units import format_bytes

    own = [model for model in found if model.kind != "synthetic"]
    count = "no models" if not own else "1 model" if len(own) == 1 else f"{len(own)} models"
    size = f", {format_bytes(sum(model.size_bytes for model in own))}" if own else ""
    return f"{count}{size}; the Hugging Face cache is {cache}"


@contextmanager
def _shown_progress(model_id: str) -> "Iterator[Callable[[PullProgress], None]]":
    """A bar in a terminal; otherwise a line now and then."""
    if not sys.stderr.isatty():
        yield _PlainProgress(model_id)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[amount]}", markup=False),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeRemainingColumn(compact=True),
    )
    started = time.monotonic()
    with Progress(*columns, console=console(err=True), expand=True) as bar:
        task = bar.add_task(f"{_clean(model_id)[-24:]}", total=None, amount="", speed="")

        def show(now: "PullProgress") -> None:
            bar.update(
                task,
                total=now.total_bytes or None,
                completed=now.done_bytes,
                description=_clean(now.file or model_id)[-24:],
                amount=_amount(now),
                speed=_speed(now, time.monotonic() - started),
            )

        yield show


class _PlainProgress:
    """Lines for logs: what is ahead, how far it is every few seconds, and the end."""

    def __init__(self, model_id: str) -> None:
        self._model = _clean(model_id)
        self._started = self._printed = time.monotonic()
        self._before: PullProgress | None = None

    def __call__(self, now: "PullProgress") -> None:
        """Print a line if it is time for one."""
        from infertui.units import format_bytes

        moment = time.monotonic()
        finished = now.files_done == now.files_total
        if self._before is None:
            say(f"{self._model}: {now.files_total} files, {format_bytes(now.total_bytes)}", err=True)
        elif now != self._before and (finished or moment - self._printed >= _PLAIN_EVERY_S):
            share = 100 * now.done_bytes / now.total_bytes if now.total_bytes else 100
            parts = [f"{share:.0f} %", _amount(now)]
            if now.done_bytes > now.resumed_bytes:
                parts.append(_speed(now, moment - self._started))
            if now.resumed_bytes:
                parts.append(f"{format_bytes(now.resumed_bytes)} were here before")
            say(f"{self._model}: {', '.join(parts)}", err=True)
            self._printed = moment
        self._before = now


def _amount(now: "PullProgress") -> str:
    from infertui.units import format_bytes

    return f"{format_bytes(now.done_bytes)} of {format_bytes(now.total_bytes)}"


def _speed(now: "PullProgress", seconds: float) -> str:
    from infertui.units import format_bytes

    return f"{format_bytes(max(0, now.done_bytes - now.resumed_bytes) / seconds)}/s" if seconds > 0 else ""


def _print_json(document: dict[str, Any]) -> None:

    say_json(document, indent=2)


def _clean(text: str) -> str:
    from infertui.text import clean

    return clean(text)
