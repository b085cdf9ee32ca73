"""`infertui results`: what was measured so far."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from infertui.store.result import Result

EPILOG = """[bold]Examples[/bold]

  infertui results

  infertui results workload.batch_size=4 engine=transformers

  infertui results labels.owner=me valid=yes --csv > results.csv

  infertui results --markdown --columns "run,engine,mode,batch,output tok/s (95 % interval),MBU,valid"

  infertui results --agreement RUN_ID      (which runs generated the same tokens as that one)
"""


def results(
    filters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Only these: a config key, state, engine, device, valid, id."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where runs are kept.")] = Path("reports"),
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON per result.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values with a header.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="A table for a README or a pull request.")] = False,
    columns: Annotated[
        str, typer.Option("--columns", metavar="NAMES", help="Columns of --markdown by their headings, with commas.")
    ] = "",
    agreement: Annotated[
        str, typer.Option("--agreement", metavar="RUN", help="Compare generated tokens with those of that run.")
    ] = "",
) -> None:
    """List results, the newest last."""
    import msgspec

    from infertui.errors import UsageError
    from infertui.store.runs import Store
    from infertui.terminal_text import clean

    if as_json + as_csv + as_markdown > 1:
        raise UsageError("--json, --csv and --markdown exclude each other")
    if agreement and (as_json or as_csv or as_markdown):
        raise UsageError("--agreement is a table of its own: without --json, --csv and --markdown")
    if columns and not as_markdown:
        raise UsageError("--columns goes with --markdown")
    wanted = [_parse_filter(text) for text in filters or []]
    found = [
        result
        for result in Store(out).results(warn=lambda text: typer.echo(f"warning: {text}", err=True))
        if all(_matches(result, key, value) for key, value in wanted)
    ]
    if agreement:
        from infertui.cli.agreement import print_agreement

        print_agreement(Store(out), agreement, found)
        return
    if as_json:
        for result in found:
            sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows([_csv_value(read(result)) for read in CSV_COLUMNS.values()] for result in found)
    elif as_markdown:
        from infertui.cli.markdown import markdown_table

        typer.echo(markdown_table(found, [name.strip() for name in columns.split(",") if name.strip()]))
    elif found:
        _print_table(found)
    else:
        typer.echo(f"no results in {out}" + (" that match" if wanted else "; `infertui run demo` makes one"), err=True)
    if not (wanted or as_json or as_csv or as_markdown):
        for run_id in Store(out).without_result():
            typer.echo(f"without a result, still running or cut off: {clean(run_id)}", err=True)


def _parse_filter(text: str) -> tuple[str, str]:
    from infertui.config.fields import FIELDS, nearest
    from infertui.errors import UsageError

    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not of the form KEY=VALUE", remedy="For example: infertui results state=failed")
    if key not in SHORT_KEYS and key not in FIELDS and not key.startswith("labels."):
        raise UsageError(
            f"there is no key {key!r} to filter by; nearest: {nearest(key)}",
            remedy=f"Keys: {', '.join(SHORT_KEYS)}, labels.NAME, and those of `infertui config keys`.",
        )
    return key, value


def _matches(result: "Result", key: str, value: str) -> bool:
    if key in SHORT_KEYS:
        return SHORT_KEYS[key](result) == value
    if key.startswith("labels."):
        return result.config.labels.get(key.removeprefix("labels.")) == value
    from infertui.config.decode import flat_values
    from infertui.config.fields import parse_text

    return bool(flat_values(result.config)[key] == parse_text(key, value, source="filter"))


SHORT_KEYS: dict[str, "Callable[[Result], str]"] = {
    "id": lambda result: result.id,
    "name": lambda result: result.name,
    "state": lambda result: result.state,
    "valid": lambda result: "yes" if result.verdict.valid else "no",
    "engine": lambda result: result.loaded.engine if result.loaded else result.config.engine.name,
    "device": lambda result: result.loaded.device_name if result.loaded else "",
    "model": lambda result: result.config.model.id,
}


def _lever(name: str) -> "Callable[[Result], object]":
    """What was found in force."""

    def read(result: "Result") -> object:
        from infertui.report.identity import in_force

        return in_force(result, name) or None

    return read


CSV_COLUMNS: dict[str, "Callable[[Result], object]"] = {
    "id": lambda result: result.id,
    "name": lambda result: result.name,
    "started": lambda result: result.started,
    "state": lambda result: result.state,
    "valid": lambda result: result.verdict.valid,
    "reasons": lambda result: "; ".join(result.verdict.invalid),
    "model": lambda result: result.config.model.id,
    "engine_requested": lambda result: result.config.engine.name,
    "engine_used": lambda result: result.loaded.engine if result.loaded else None,
    "source": lambda result: result.source or "infertui",
    **{lever: _lever(lever) for lever in ("mode", "attention", "quantization", "speculation", "tensor_parallel")},
    "dtype": lambda result: result.loaded.dtype if result.loaded else None,
    "device": lambda result: result.loaded.device_name if result.loaded else None,
    "batch_size": lambda result: result.config.workload.batch_size,
    "prompt_tokens": lambda result: result.summary.prompt_tokens,
    "output_tokens": lambda result: result.summary.output_tokens,
    "iterations": lambda result: result.summary.iterations,
    "failed": lambda result: result.summary.failed,
    "output_throughput": lambda result: result.summary.output_throughput,
    "output_throughput_low": lambda result: _part(result.summary.output_throughput_interval, "low"),
    "output_throughput_high": lambda result: _part(result.summary.output_throughput_interval, "high"),
    "mean_ttft_s": lambda result: _part(result.summary.ttft, "mean"),
    "mean_tpot_s": lambda result: _part(result.summary.tpot, "mean"),
    "compile_s": lambda result: result.phases.get("compile"),
    "capture_s": lambda result: result.phases.get("capture"),
    "mean_latency_s": lambda result: _part(result.summary.latency, "mean"),
    "p50_itl_s": lambda result: _part(result.summary.itl, "p50"),
    "p99_itl_s": lambda result: _part(result.summary.itl, "p99"),
    "energy_j": lambda result: _part(result.power, "energy_j"),
    "joules_per_token": lambda result: _part(result.power, "joules_per_token"),
    "mean_power_w": lambda result: _part(result.power, "mean_power_w"),
    "allocated_peak": lambda result: result.summary.memory.allocated_peak,
    "vram_device_peak": lambda result: _part(result.device, "vram_device_peak"),
    "config_hash": lambda result: result.fingerprint.config_hash,
    "infertui": lambda result: result.fingerprint.infertui,
    "git_revision": lambda result: result.fingerprint.git_revision,
}


def _part(whole: object, name: str) -> object:
    return None if whole is None else getattr(whole, name)


def _csv_value(value: object) -> object:
    """Empty for what is not available; a leading apostrophe keeps spreadsheets from running a text as a formula."""
    from infertui.terminal_text import clean

    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


class _Column(NamedTuple):
    """A column of the table; those with the highest `rank` give way first in a narrow terminal."""

    name: str
    rank: int
    right: bool
    cell: "Callable[[Result], str]"


def _columns() -> list[_Column]:
    from infertui.terminal_text import clean
    from infertui.units import format_number, format_seconds

    def interval(result: "Result") -> str:
        found = result.summary.output_throughput_interval
        return f"{format_number(found.low)}-{format_number(found.high)}" if found else "-"

    def joules(result: "Result") -> str:
        value = result.power.joules_per_token if result.power else None
        return format_number(value) if value is not None else "n/a"

    def speed(result: "Result") -> str:
        value = result.summary.output_throughput
        return format_number(value) if value is not None else "-"

    from infertui.report.identity import in_force

    return [
        _Column("run", 0, False, lambda result: clean(result.id)),
        _Column("engine", 2, False, lambda result: clean(SHORT_KEYS["engine"](result))),
        _Column("mode", 3, False, lambda result: clean(in_force(result, "mode")) or "-"),
        _Column("dtype", 7, False, lambda result: result.loaded.dtype.replace("float", "f") if result.loaded else "-"),
        _Column("b", 2, True, lambda result: str(result.config.workload.batch_size)),
        _Column("out", 4, True, lambda result: str(result.config.workload.output_len)),
        _Column("tok/s", 0, True, speed),
        _Column("95 %", 6, True, interval),
        _Column("TTFT", 5, True, lambda r: format_seconds(r.summary.ttft.mean) if r.summary.ttft else "-"),
        _Column("ITL", 8, True, lambda r: format_seconds(r.summary.itl.p50) if r.summary.itl else "-"),
        _Column("J/tok", 9, True, joules),
        _Column("", 1, False, _mark),
    ]


def _print_table(found: list["Result"]) -> None:
    """As many columns as the terminal has room for; the run and its speed are never cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    columns = [(column, [column.cell(result) for result in found]) for column in _columns()]
    widths = {id(column): max(len(column.name), *map(len, cells)) + 2 for column, cells in columns}
    if console.is_terminal:
        for column, _ in sorted(columns, key=lambda entry: -entry[0].rank):
            if column.rank and sum(widths.values()) - 2 > console.width:
                del widths[id(column)]
    else:
        console.width = sum(widths.values())
    shown = [(column, cells) for column, cells in columns if id(column) in widths]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, _ in shown:
        table.add_column(column.name, justify="right" if column.right else "left", overflow="fold")
    for row, result in enumerate(found):
        style = "" if result.state == "finished" and result.verdict.valid else "red"
        table.add_row(*(Text(cells[row], style=style) for _, cells in shown))
    console.print(table)


def _mark(result: "Result") -> str:
    from infertui.report.identity import caveats

    state = result.state if result.state != "finished" else "" if result.verdict.valid else "invalid"
    return ", ".join(filter(None, (state, *caveats(result))))
