"""`infertui import`: results of other programs, read from their files into the same table."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.flags import REPORTS, OutFlag
from infertui.cli.output import progress, say, say_json

if TYPE_CHECKING:
    from infertui.formats.imported_run import Given
    from infertui.results.result import Result
    from infertui.results.runs import Store

EPILOG = """[bold]Examples[/bold]

  infertui import vllm-infqps-concurrency16.json --device "NVIDIA H200"

  infertui import llama-bench.csv benchmarks.json --label site=lab --dry-run

  infertui import requests.jsonl --model gpt2 --batch-size 8      (eight lines are one batch, one batch after another)

Read are: six-field JSONL (prompt, latency, tokens, memory_mb, power_w, tps), the JSON of vllm bench serve, throughput
and latency, llama-bench -o json, jsonl or csv, trtllm-bench --report_json, aiperf's profile_export_aiperf.json and
genai-perf's, guidellm's benchmarks.json, the JSONL of sglang's bench_serving and optimum-benchmark's report. What a
file is, its content says, not its name. What it does not tell is shown as not available; what you know of it, say with
--model, --device, --batch-size, --input-len and --output-len. A file is imported as a whole or not at all, and the same
content once.
"""

_ASKED = {
    "model.id": "model", "workload.batch_size": "batch size", "workload.input_len": "input length",
    "workload.output_len": "output length", "summary.prompt_tokens": "prompt tokens",
    "summary.output_tokens": "output tokens", "summary.measured_s": "measured time",
}  # fmt: skip


def import_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of other programs.")],
    out: OutFlag = REPORTS,
    labels: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A note to keep with them; repeatable.")
    ] = None,
    model: Annotated[str, typer.Option("--model", metavar="ID", help="The model, where a file does not tell it.")] = "",
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="What it ran on, likewise.")] = "",
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, max=65536, help="Requests of each batch, likewise.")
    ] = None,
    input_len: Annotated[
        int | None, typer.Option("--input-len", min=1, max=1 << 22, help="Prompt tokens of each request, likewise.")
    ] = None,
    output_len: Annotated[
        int | None, typer.Option("--output-len", min=1, max=1 << 20, help="Generated tokens of each, likewise.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be imported, and write nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Import content that was imported before once more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document about all files.")] = False,
) -> None:
    """Read results of other programs into the table, marked as imported."""
    from infertui.errors import UsageError
    from infertui.formats.imported_run import Given
    from infertui.formats.reader import FormatError
    from infertui.results.runs import Store
    from infertui.text import clean

    given = Given(model, device, _labels(labels or []), batch_size, input_len, output_len)
    store, told, interrupt = Store(out), [], _Interrupt()
    for path in files:
        try:
            told.append(_import(path, store, given, interrupt, dry_run=dry_run, again=again))
        except FormatError as error:
            told.append(
                {"file": clean(str(path)), "status": "refused", "reason": error.message, "remedy": error.remedy}
            )
        except KeyboardInterrupt:
            progress("")
            say(f"infertui: {clean(str(path))}: interrupted, and nothing of it was imported", err=True)
            raise
        if not as_json:
            _print(told[-1])
        if interrupt.asked:
            raise KeyboardInterrupt
    if as_json:
        say_json(told)
    if refused := sum(one["status"] == "refused" for one in told):
        raise UsageError(f"{refused} of {len(files)} files could not be imported") if len(files) > 1 else typer.Exit(2)


def _labels(texts: list[str]) -> dict[str, str]:
    from infertui.errors import UsageError
    from infertui.text import clean

    labels = {}
    for text in texts:
        key, equals, value = clean(text).partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--label {clean(text)!r} is not of the form KEY=VALUE", remedy="As in --label site=lab.")
        labels[key.strip()] = value
    return labels


class _Interrupt:
    """Ctrl-C while a file is written: it waits until `check` is called, so that nothing is left between two steps."""

    def __init__(self) -> None:
        self.asked = False

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Holds it back in here."""
        before = signal.signal(signal.SIGINT, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def check(self, requests: int) -> None:
        """Say how far the file is, or raise KeyboardInterrupt."""
        if self.asked:
            raise KeyboardInterrupt
        progress(f"{requests:,} requests")

    def _ask(self, _number: int, _frame: object) -> None:
        self.asked = True


def _import(
    path: Path, store: "Store", given: "Given", interrupt: _Interrupt, *, dry_run: bool, again: bool
) -> dict[str, object]:
    """What was done with a file, as the JSON tells it. Raises FormatError and StoreError."""
    from datetime import datetime

    from infertui.formats.commit import imported_before, keep, results_of
    from infertui.formats.detect import read
    from infertui.formats.reader import SourceFile
    from infertui.text import clean

    with SourceFile.open(path) as source:
        sha256 = source.digest()
        file = {"file": clean(str(path)), "sha256": sha256}
        before = imported_before(store, sha256)
        if before and not again:
            return {**file, "status": "known", "runs": [_told(result) for result in before]}
        found = read(source, given)
        results = results_of(found, source, given, sha256, datetime.now().astimezone())
        if not dry_run:
            with interrupt.waiting():
                results = keep(found.findings, results, store, told=interrupt.check)
    status = "would import" if dry_run else "imported"
    return {**file, "status": status, "form": found.form, "runs": [_told(result) for result in results]}


def _told(result: "Result") -> dict[str, object]:
    from infertui.metrics.registry import metric_of

    loaded = result.loaded
    missing = [name for key, name in _ASKED.items() if key in result.untold]
    if loaded is not None:
        told = (("engine", loaded.engine != "unknown"), ("device", loaded.device_name), ("dtype", loaded.dtype))
        missing += [name for name, is_told in told if not is_told]
    return {
        "id": result.id,
        "name": result.name,
        "source": result.source,
        "valid": result.verdict.valid,
        "invalid": list(result.verdict.invalid),
        "output_throughput": metric_of("throughput").number(result),
        "prefill_throughput": metric_of("prefill").number(result),
        "cut_off": result.summary.cut_off,
        "mean_latency_s": metric_of("latency_mean").number(result),
        "not_available": missing,
    }


def _print(told: dict[str, object]) -> None:
    from infertui.text import clean
    from infertui.units import format_number, format_seconds

    progress("")
    status = told["status"]
    if status == "refused":
        say(f"infertui: {told['reason']}", err=True)
        if told["remedy"]:
            say(f"{told['remedy']}", err=True)
        return
    runs = told["runs"]
    assert isinstance(runs, list)  # noqa: S101
    words = {
        "known": "was imported before; --again imports it once more",
        "imported": f"imported, {told.get('form')}",
        "would import": f"would be imported, {told.get('form')}",
    }
    say(f"{told['file']}: {words[str(status)]}")
    for run in runs:
        speed, latency = run["output_throughput"], run["mean_latency_s"]
        figures = [f"{format_number(speed)} tok/s" if speed is not None else "throughput n/a"]
        figures += [f"prefill {format_number(run['prefill_throughput'])} tok/s"] if run["prefill_throughput"] else []
        figures += [f"E2E mean {format_seconds(latency)}"] if latency is not None else []
        say(f"  {run['id'] or '(no id yet)'}  {clean(run['name'])}  {'  '.join(figures)}")
        if status != "known" and run["not_available"]:
            say(f"    not told: {', '.join(run['not_available'])}")
        if run["cut_off"]:
            say(f"    cut off at the end: {run['cut_off']}")
        for reason in run["invalid"]:
            say(f"    invalid: {clean(reason)}")
