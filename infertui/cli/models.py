"""`infertui models`: what is here, what it needs, and downloading more."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from infertui.cli.output import console, say, say_json

if TYPE_CHECKING:
    from infertui.config.schema import Dtype
    from infertui.models.catalogue import LocalModel
    from infertui.models.fit import DeviceKind, MemoryEstimate
    from infertui.models.pull import PullProgress
    from infertui.models.resolve import ModelSource

INTERRUPTED = 130

app = typer.Typer(help="The models on this machine: list, show, download.", invoke_without_command=True)

_HEADER = ("model", "parameters", "dtype", "on disk", "last used")
_RIGHT = frozenset({"parameters", "on disk"})
_NARROWEST_NAME = 20
_PLAIN_EVERY_S = 5.0
_DTYPES: "tuple[Dtype, ...]" = ("float32", "float16", "bfloat16")

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
    from infertui.models.catalogue import local_models
    from infertui.models.hub_cache import cache_dir

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
    from infertui.models.pull import RESUME_HINT
    from infertui.models.pull import pull as download

    try:
        with _shown_progress(model_id) as show:
            path = download(model_id, revision, progress=show)
    except KeyboardInterrupt:
        say(f"infertui: interrupted. {RESUME_HINT}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    say(str(path))


@app.command()
def show(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="Hugging Face id, directory, or synthetic:NAME.")],
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.", show_default="main")] = "",
    batch_size: Annotated[int, typer.Option(min=1, max=65536, help="Sequences generated together.")] = 1,
    input_len: Annotated[int, typer.Option(min=0, max=1 << 22, help="Prompt tokens of each.")] = 128,
    output_len: Annotated[int, typer.Option(min=1, max=1 << 20, help="Generated tokens of each.")] = 64,
    dtype: Annotated[DtypeChoice, typer.Option(help="Number format of weights and compute.")] = "auto",
    device: Annotated[DeviceChoice, typer.Option(help="Where it would run; auto: a GPU if there is one.")] = "auto",
    as_json: Json = False,
) -> None:
    """Show a model's shape, what it takes in memory, and whether a workload would fit."""
    from infertui.models.fit import estimate
    from infertui.models.resolve import resolve

    source = resolve(model_id, revision)
    where, kind, free = _free_memory(device)
    needed = estimate(
        source.shape,
        dtype=dtype,
        device_kind=kind,
        batch_size=batch_size,
        input_len=input_len,
        output_len=output_len,
        weights_on_disk=source.weights_bytes_on_disk,
    )
    too_long = _too_long(source, input_len, output_len)
    if as_json:
        _print_json(_document(source, needed, where, free, too_long))
        return
    for line in _description(source):
        say(line)
    say("")
    say(f"Memory for batch {batch_size}, {input_len} prompt and {output_len} output tokens, on {where}:")
    for line in needed.explain(free):
        say(f"  {line}")
    if free is None:
        say("  how much is free is not available")
    if too_long:
        say(f"  {too_long}")


def _description(source: "ModelSource") -> Iterator[str]:
    from infertui.models.shapes import kv_bytes_per_token, weight_bytes
    from infertui.units import format_bytes, format_count

    shape = source.shape
    facts = {
        "architecture": f"{shape.architecture}: {shape.layers} layers, hidden {shape.hidden}, MLP {shape.intermediate}",
        "attention": f"{shape.heads} heads of {shape.head_dim}, {shape.kv_heads} KV heads",
        "vocabulary": f"{shape.vocab}, {'tied' if shape.tied_embeddings else 'separate'} output embeddings",
        "positions": str(shape.max_positions or "no limit named"),
        "parameters": f"{'' if shape.exact else 'about '}{shape.parameters:,} ({format_count(shape.parameters)})",
        "checkpoint": shape.dtype or "dtype not named",
    }
    if shape.sliding_layers:
        facts["attention"] += f"; {shape.sliding_layers} layers within {shape.sliding_window} tokens"
    if shape.experts:
        facts["experts"] = f"{shape.experts}, {shape.active_experts} active per token"
        facts["parameters"] += f", {format_count(shape.active_parameters)} active"
    if shape.quantization:
        facts["checkpoint"] += f", quantized ({shape.quantization})"
    if source.weights_bytes_on_disk:
        facts["checkpoint"] += f", {format_bytes(source.weights_bytes_on_disk)} of weights on disk"
    if source.revision:
        facts["revision"] = source.revision
    facts["path"] = _clean(str(source.path))
    yield source.label
    for name, fact in facts.items():
        yield f"  {name:<13} {fact}"
    yield ""
    yield f"  {'dtype':<13} {'weights':>9}  KV cache per token"
    for dtype in _DTYPES:
        weights, cache = weight_bytes(shape, dtype), kv_bytes_per_token(shape, dtype)
        yield f"  {dtype:<13} {format_bytes(weights):>9}  {format_bytes(cache)}"


def _document(
    source: "ModelSource", needed: "MemoryEstimate", where: str, free: int | None, too_long: str
) -> dict[str, Any]:
    from infertui.models.shapes import kv_bytes_per_token, weight_bytes

    return {
        "id": source.id,
        "kind": source.kind,
        "path": str(source.path),
        "revision": source.revision,
        "weights_bytes_on_disk": source.weights_bytes_on_disk,
        "shape": source.shape,
        "weight_bytes": {dtype: weight_bytes(source.shape, dtype) for dtype in _DTYPES},
        "kv_bytes_per_token": {dtype: kv_bytes_per_token(source.shape, dtype) for dtype in _DTYPES},
        "estimate": needed,
        "total_bytes": needed.total,
        "device": where,
        "free_bytes": free,
        "fits": None if free is None else needed.total <= free,
        "problem": too_long,
    }


def _too_long(source: "ModelSource", input_len: int, output_len: int) -> str:
    from infertui.errors import ConfigError
    from infertui.models.fit import check_positions

    try:
        check_positions(source.shape, input_len, output_len)
    except ConfigError as error:
        return error.message
    return ""


def _free_memory(device: DeviceChoice) -> "tuple[str, DeviceKind, int | None]":
    """What to call the device, its kind, and its free bytes as measured now; None where that is not available."""
    if device != "cpu":
        from infertui.gpu.nvml import Nvml, NvmlUnavailableError
        from infertui.gpu.visible import visible_from_environment

        try:
            nvml = Nvml.open()
        except NvmlUnavailableError:
            nvml = None
        if nvml is not None:
            import os

            try:
                gpus = visible_from_environment(os.environ, nvml.devices())
                if gpus:
                    sample = nvml.sample(gpus[0])
                    known = sample.memory_total is not None and sample.memory_used is not None
                    free = (sample.memory_total or 0) - (sample.memory_used or 0) if known else None
                    return f"GPU {gpus[0].label} {gpus[0].name}", "cuda", free
            finally:
                nvml.close()
        if device == "cuda":
            return "a GPU", "cuda", None
    from infertui.gpu.host import HostReader

    host = HostReader().sample()
    known = host.memory_total is not None and host.memory_used is not None
    return "the CPU", "cpu", (host.memory_total or 0) - (host.memory_used or 0) if known else None


def _row(model: "LocalModel") -> tuple[str, ...]:
    from infertui.units import format_bytes, format_count

    count = "-"
    if model.parameters is not None:
        count = ("" if model.parameters_exact else "~") + format_count(model.parameters)
    used = "-" if model.last_used is None else time.strftime("%Y-%m-%d", time.localtime(model.last_used))
    size = "none" if model.kind == "synthetic" else format_bytes(model.size_bytes)
    return model.id + ("" if model.complete else " (!)"), count, model.dtype or "-", size, used


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns; in a terminal the names are cut to its width, in a pipe nothing is."""
    from infertui.terminal_text import shorten

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
    from infertui.terminal_text import clean

    return clean(text)
