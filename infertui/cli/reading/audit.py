"""`infertui audit`: a file of prompts or a log of requests as lengths and arrivals, and as a workload to measure."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.output import say, say_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from infertui.analysis.audit import Arrivals, Audit, Concurrency, Lengths
    from infertui.config.schema import Config

EPILOG = """[bold]Examples[/bold]

  infertui audit prompts.txt                       (plain lines: one prompt each)

  infertui audit requests.jsonl                    (an OpenAI-style log: usage, created, latency where they are there)

  infertui audit trace.csv --target "ttft<500ms" -o workload.toml

  infertui audit prompts.jsonl --model synthetic:tinyllama-1.1b --json

  infertui run workload.toml --model MODEL         (measures it)
"""
_BAR = 40


def audit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, JSON, CSV with a heading, or plain lines.")],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="ID", help="Count tokens of texts with this model's tokenizer.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the workload as TOML, to be run.")
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="FILTER", help="A latency to keep to, as ttft<500ms: a label; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Read a prompts file or a log of requests: lengths, arrivals, concurrency; write it as a workload."""
    from infertui.analysis.audit import audit as count
    from infertui.errors import UsageError
    from infertui.formats.reader import SourceFile
    from infertui.formats.request_log.source import LogFile
    from infertui.metrics.filter import parse_arguments
    from infertui.regular_files import is_same_file
    from infertui.text import clean

    wanted = targets or []
    if any(not term.key or term.of_config for term in parse_arguments(wanted)):
        raise UsageError("--target is a bound of a figure", remedy='Write it like --target "ttft<500ms".')
    if output is not None and is_same_file(output, file):
        raise UsageError(
            f"--output {clean(str(output))} is the file that is read, which it would replace",
            remedy="Name another one, as in -o workload.toml.",
        )
    tokens = _counter(model) if model else None
    with SourceFile.open(file) as source:
        log = LogFile(source)
        found = count(log.entries(), tokens)
        if not found.entries:
            source.refuse("", f"holds no request: {log.skipped.first or 'it is empty'}")
    notes = []
    if log.skipped.count:
        notes.append(f"{log.skipped.count:,} passed over, the first: {log.skipped.first}")
    if log.cut:
        notes.append(f"only the first {found.entries:,} entries were read")
    if found.arrivals is not None and found.arrivals.own_clock:
        notes.append("the time stamps are no dates, and are taken as seconds: rates are wrong where they are not")
    if found.arrivals is not None and found.arrivals.coarse:
        notes.append("the time stamps are whole seconds: too coarse for the gaps between so many requests")
    config = None if output is None else _workload(found, file, model, wanted, notes)
    if as_json:
        say_json({"file": clean(str(file)), "form": log.form, "audit": found, "notes": notes}, indent=1)
    else:
        say(f"{clean(str(file))}: {found.entries:,} entries, {log.form}")
        _print(found)
        for note in notes:
            say(f"note: {note}", err=True)
    if output is not None and config is not None:
        _write(output, config)
        command = shlex.join(["infertui", "run", clean(str(output))])
        say(f"wrote {clean(str(output))}: {command}", err=as_json)


def _counter(model: str) -> "Callable[[str], int]":
    from infertui.models.resolve import resolve
    from infertui.models.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(resolve(model))
    return lambda text: len(tokenizer.encode(text))


def _print(found: "Audit") -> None:
    if found.prompts is None and found.outputs is None:
        say("no lengths are told")
    for name, lengths in (("prompts", found.prompts), ("outputs", found.outputs)):
        if lengths is not None:
            _print_lengths(name, lengths, found)
    if found.arrivals is not None:
        _print_arrivals(found.arrivals)
    else:
        say("\narrivals: n/a (fewer than two time stamps)")
    if found.concurrency is not None:
        _print_concurrency(found.concurrency)


def _print_lengths(name: str, lengths: "Lengths", found: "Audit") -> None:
    asked = f", {found.asked:,} as asked for at most" if name == "outputs" and found.asked else ""
    say(f"\n{name}, {lengths.unit} ({lengths.count:,} of {found.entries:,} entries{asked})")
    say(
        f"  p50 {lengths.p50:,}  p90 {lengths.p90:,}  p99 {lengths.p99:,}  max {lengths.most:,}"
        f"  min {lengths.least:,}  mean {lengths.mean:,.1f}"
    )
    most = max(count for _, _, count in lengths.bins)
    labels = [f"{low:,}" if low == high else f"{low:,}-{high:,}" for low, high, _ in lengths.bins]
    width = max(map(len, labels))
    for label, (_, _, count) in zip(labels, lengths.bins, strict=True):
        bar = "#" * max(round(count / most * _BAR), 1 if count else 0)
        say(f"  {label:>{width}}  {bar} {count:,}")


def _print_arrivals(arrivals: "Arrivals") -> None:
    from infertui.units import format_number, format_seconds

    rate = "n/a" if arrivals.rate is None else f"{format_number(arrivals.rate)} requests/s"
    burst = "n/a" if arrivals.burstiness is None else f"{arrivals.burstiness:.2f}"
    say(f"\narrivals ({arrivals.count:,} over {format_seconds(arrivals.span_s)})")
    say(f"  rate {rate}  burstiness {burst} (1: Poisson, 0: a clock)  peak {arrivals.peak:,} in a second")
    if arrivals.gap_p50 is not None and arrivals.gap_p99 is not None:
        say(f"  gaps p50 {format_seconds(arrivals.gap_p50)}  p99 {format_seconds(arrivals.gap_p99)}")


def _print_concurrency(concurrency: "Concurrency") -> None:
    from infertui.units import format_number, format_seconds

    mean = "n/a" if concurrency.mean is None else format_number(concurrency.mean)
    say(f"\nconcurrency ({concurrency.count:,} durations)")
    say(f"  mean {mean}  max {concurrency.most:,}")
    p50, p99 = format_seconds(concurrency.duration_p50), format_seconds(concurrency.duration_p99)
    say(f"  durations p50 {p50}  p99 {p99}")


def _workload(found: "Audit", file: Path, model: str, targets: list[str], notes: list[str]) -> "Config":
    """The workload as a config: the file's own prompts where it can be measured with, else random ones of its median.

    Facts that no key holds are labels, beside the target.
    """
    from infertui.config.schema import Config, ModelConfig, WorkloadConfig

    defaults = WorkloadConfig()
    outputs, prompts = found.outputs, found.prompts
    known = outputs is not None and outputs.unit == "tokens"
    output_len = min(max(1, outputs.p50), 1 << 20) if outputs is not None and known else defaults.output_len
    if not known:
        notes.append(f"no output tokens are told: output_len is the default, {defaults.output_len}")
    busy = found.concurrency.mean if found.concurrency is not None else None
    batch = min(max(1, round(busy)), 65536) if busy is not None else 1
    if _measures(file):
        load = WorkloadConfig(batch_size=batch, output_len=output_len, prompts_file=str(file.absolute()))
    elif prompts is not None and prompts.unit == "tokens":
        length = min(max(1, prompts.p50), 1 << 22)
        load = WorkloadConfig(batch_size=batch, output_len=output_len, prompts="random", input_len=length)
    else:
        load = WorkloadConfig(batch_size=batch, output_len=output_len)
        notes.append("no prompt can be taken from it, nor its tokens: the workload has the bundled short prompts")
    return Config(
        model=ModelConfig(id=model) if model else ModelConfig(), workload=load, labels=_labels(found, file, targets)
    )


def _measures(file: Path) -> bool:
    """Whether a run can take its prompts from the file."""
    from infertui.errors import InfertuiError
    from infertui.load.prompts import read_prompts

    try:
        return bool(read_prompts(file))
    except InfertuiError:
        return False


def _labels(found: "Audit", file: Path, targets: list[str]) -> dict[str, str]:
    from infertui.text import one_line
    from infertui.units import format_number

    labels = {"audited": one_line(file.name, 100)}
    if targets:
        labels["target"] = one_line(" ".join(targets), 200)
    for name, lengths in (("prompt", found.prompts), ("output", found.outputs)):
        if lengths is not None:
            percentiles = f"p50 {lengths.p50}, p90 {lengths.p90}, p99 {lengths.p99}"
            labels[f"{name}_{lengths.unit}"] = f"{percentiles}, max {lengths.most}"
    if found.arrivals is not None and found.arrivals.rate is not None:
        labels["rate"] = f"{format_number(found.arrivals.rate)} requests/s, peak {found.arrivals.peak} in a second"
        if found.arrivals.burstiness is not None:
            labels["burstiness"] = f"{found.arrivals.burstiness:.2f}"
    return labels


def _write(output: Path, config: "Config") -> None:
    from infertui.config.toml import write
    from infertui.errors import UsageError
    from infertui.regular_files import exists, is_file
    from infertui.text import clean

    if not output.name or (exists(output) and not is_file(output)):
        raise UsageError(f"--output {clean(str(output))} is not a file")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(write(config), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--output {clean(str(output))}: {error.strerror}") from error
