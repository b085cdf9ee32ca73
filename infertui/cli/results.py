"""`infertui results`: what was measured so far."""

import csv
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from infertui.cli.flags import REPORTS, OutFlag
from infertui.cli.output import DataOut, console, say, say_json, warn

if TYPE_CHECKING:
    from infertui.results.result import Result

EPILOG = """[bold]Examples[/bold]

  infertui results

  infertui results workload.batch_size=4 engine=transformers

  infertui results labels.owner=me valid=yes --csv > results.csv

  infertui results --markdown --columns "run,engine,mode,batch,output tok/s (95 % interval),MBU,valid"

  infertui results --agreement RUN_ID      (which runs generated the same tokens as that one)

  infertui results --agreement RUN_ID --bleu
"""

MANY_ROWS = 1000


def results(
    filters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Only these: a config key, state, engine, device, valid, id."),
    ] = None,
    out: OutFlag = REPORTS,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON per result.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values with a header.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="A table for a README or a pull request.")] = False,
    columns: Annotated[
        str, typer.Option("--columns", metavar="NAMES", help="Columns of --markdown by their headings, with commas.")
    ] = "",
    agreement: Annotated[
        str, typer.Option("--agreement", metavar="RUN", help="Compare generated tokens with those of that run.")
    ] = "",
    bleu: Annotated[
        bool, typer.Option("--bleu", help="With --agreement: BLEU between the outputs as text (needs sacrebleu).")
    ] = False,
) -> None:
    """List results, the newest last."""
    from infertui.cli.lookup import opened, without_result
    from infertui.cli.result_filter import matches, parse_filters
    from infertui.cli.streams import while_read
    from infertui.errors import UsageError

    if as_json + as_csv + as_markdown > 1:
        raise UsageError("--json, --csv and --markdown exclude each other")
    if agreement and (as_json or as_csv or as_markdown):
        raise UsageError("--agreement is a table of its own: without --json, --csv and --markdown")
    if bleu and not agreement:
        raise UsageError("--bleu goes with --agreement RUN, the run that others are compared with")
    if columns and not as_markdown:
        raise UsageError("--columns goes with --markdown")
    wanted = parse_filters(filters or [])
    store = opened(out)
    lines = store.each_result(warn=warn)
    # One at a time: there may be very many.
    found = (result for result in while_read(lines) if matches(result, wanted))
    if agreement:
        from infertui.cli.agreement import print_agreement

        print_agreement(store, agreement, list(found), bleu=bleu)
        return
    if as_json:
        _print_json(found)
    elif as_csv:
        writer = csv.writer(DataOut(), lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(csv_values(result) for result in found)
    elif as_markdown:
        from infertui.cli.markdown import markdown_lines

        for line in markdown_lines(found, [name.strip() for name in columns.split(",") if name.strip()]):
            say(line)
    elif not _print_table(found):
        say(f"no results in {out}" + (" that match" if wanted else "; `infertui run demo` makes one"), err=True)
    if not (wanted or as_json or as_csv or as_markdown):
        for line in without_result(store):
            say(line, err=True)


def _print_json(found: "Iterable[Result]") -> None:

    for result in found:
        say_json(result)


def _lever(name: str) -> "Callable[[Result], object]":
    """What was found in force."""

    def read(result: "Result") -> object:
        from infertui.analysis.effective import in_force

        return in_force(result, name) or None

    return read


def _ran(result: "Result") -> str:
    from infertui.analysis.effective import ran

    return ran(result)


CSV_COLUMNS: dict[str, "Callable[[Result], object]"] = {
    "id": lambda result: result.id,
    "name": lambda result: result.name,
    "started": lambda result: result.started,
    "state": lambda result: result.state,
    "valid": lambda result: result.verdict.valid,
    "reasons": lambda result: "; ".join(result.verdict.invalid),
    "model": lambda result: result.setup.model,
    "engine_requested": lambda result: result.setup.target.name,
    "engine_used": lambda result: result.loaded.engine if result.loaded else None,
    "source": lambda result: result.source or "infertui",
    "imported": lambda result: result.imported or None,
    "mode": lambda result: _ran(result) or None,
    **{lever: _lever(lever) for lever in ("attention", "quantization", "speculation", "tensor_parallel")},
    "format": lambda result: _form(result),
    "dtype": lambda result: result.loaded.dtype if result.loaded else None,
    "device": lambda result: result.loaded.device_name if result.loaded else None,
    "batch_size": lambda result: result.setup.batch_size,
    "prompt_tokens": lambda result: result.summary.prompt_tokens,
    "output_tokens": lambda result: result.summary.output_tokens,
    "iterations": lambda result: result.summary.iterations,
    "failed": lambda result: result.summary.failed,
    "output_throughput": lambda result: result.summary.output_throughput,
    "output_throughput_low": lambda result: _part(result.summary.output_throughput_interval, "low"),
    "output_throughput_high": lambda result: _part(result.summary.output_throughput_interval, "high"),
    "independence": lambda result: result.summary.independence or None,
    "prefill_throughput": lambda result: _prefill(result),
    "diverged": lambda result: _diverged(result),
    "p50_ttft_s": lambda result: _part(result.summary.ttft, "p50"),
    "p50_tpot_s": lambda result: _part(result.summary.tpot, "p50"),
    "p50_latency_s": lambda result: _part(result.summary.latency, "p50"),
    "mean_ttft_s": lambda result: _part(result.summary.ttft, "mean"),
    "mean_tpot_s": lambda result: _part(result.summary.tpot, "mean"),
    "compile_s": lambda result: result.phases.get("compile"),
    "capture_s": lambda result: result.phases.get("capture"),
    "mean_latency_s": lambda result: _part(result.summary.latency, "mean"),
    "p50_itl_s": lambda result: _part(result.summary.itl, "p50"),
    "p99_itl_s": lambda result: result.summary.itl.known_p99 if result.summary.itl else None,
    "energy_j": lambda result: _part(result.power, "energy_j"),
    "joules_per_token": lambda result: _part(result.power, "joules_per_token"),
    "joules_per_token_above_idle": lambda result: _part(result.power, "joules_per_token_above_idle"),
    "joules_per_request": lambda result: _joules_per_request(result),
    "tokens_per_s_per_w": lambda result: _part(result.power, "tokens_per_s_per_w"),
    "mean_power_w": lambda result: _part(result.power, "mean_power_w"),
    "idle_power_w": lambda result: _part(result.power, "idle_power_w"),
    "energy_error_j": lambda result: _part(result.power, "error_j"),
    "energy_source": lambda result: _part(result.power, "source"),
    "energy_window_s": lambda result: _part(result.power, "window_s"),
    "power_samples": lambda result: _part(result.power, "samples"),
    "largest_power_gap_s": lambda result: _part(result.power, "largest_gap_s"),
    "vram_process": lambda result: _part(result.device, "vram_process"),
    "allocated_peak": lambda result: result.summary.memory.allocated_peak,
    "resident_peak": lambda result: result.summary.memory.resident_peak,
    "vram_device_peak": lambda result: _part(result.device, "vram_device_peak"),
    "config_hash": lambda result: result.fingerprint.config_hash,
    "infertui": lambda result: result.fingerprint.infertui,
    "git_revision": lambda result: result.fingerprint.git_revision,
}


def csv_values(result: "Result") -> list[object]:
    """The line of a result under CSV_COLUMNS, safe for spreadsheets; empty for what is not available."""
    return [_csv_value(read(result)) for read in CSV_COLUMNS.values()]


def _prefill(result: "Result") -> float | None:
    from infertui.analysis.summary_text import prefill_throughput

    return prefill_throughput(result)


def _joules_per_request(result: "Result") -> object:
    from infertui.analysis.energy import gross

    return gross(result).joules_per_request


def _form(result: "Result") -> object:
    from infertui.analysis.effective import form

    return form(result) or None


def _diverged(result: "Result") -> object:
    """Empty where its outputs were compared with nothing."""
    from infertui.analysis.effective import diverged

    return diverged(result) if result.quality is not None else None


def _part(whole: object, name: str) -> object:
    return None if whole is None else getattr(whole, name)


def _csv_value(value: object) -> object:
    """Empty for what is not available; a leading apostrophe keeps spreadsheets from running a text as a formula."""
    from infertui.text import clean

    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


class TextColumn(NamedTuple):
    """A column of the table; those with the highest `rank` give way first in a narrow terminal."""

    name: str
    rank: int
    right: bool
    cell: "Callable[[Result], str]"


def text_columns() -> list[TextColumn]:
    """Of the table that people read, from left to right."""
    from infertui.analysis.energy import joules_text
    from infertui.analysis.summary_text import interval_text
    from infertui.text import clean
    from infertui.units import format_number

    def interval(result: "Result") -> str:
        return interval_text(result.summary, "-") or "-"

    def joules(result: "Result") -> str:
        return joules_text(result, result.power.joules_per_token if result.power else None)

    def speed(result: "Result") -> str:
        value = result.summary.output_throughput
        return format_number(value) if value is not None else "-"

    def prefill(result: "Result") -> str:
        value = _prefill(result)
        return format_number(value) if value is not None else "-"

    from infertui.analysis.effective import form, ran, told
    from infertui.analysis.time_text import itl_text, median_text

    return [
        TextColumn("run", 0, False, lambda result: clean(result.id)),
        TextColumn("engine", 2, False, lambda result: clean(_engine(result))),
        TextColumn("mode", 3, False, lambda result: clean(ran(result)) or "-"),
        TextColumn("format", 3, False, lambda result: form(result) or "-"),
        TextColumn("b", 2, True, lambda result: str(told(result, "workload.batch_size") or "-")),
        TextColumn("out", 4, True, lambda result: str(told(result, "workload.output_len") or "-")),
        TextColumn("tok/s", 0, True, speed),
        TextColumn("95 %", 6, True, interval),
        TextColumn("prefill tok/s", 11, True, prefill),
        TextColumn("TTFT p50", 5, True, lambda result: median_text(result.summary.ttft)),
        TextColumn("TPOT p50", 8, True, lambda result: median_text(result.summary.tpot)),
        TextColumn("ITL p50", 10, True, lambda result: itl_text(result.summary.itl)),
        TextColumn("J/tok", 9, True, joules),
        TextColumn("", 1, False, _mark),
    ]


def _print_table(found: "Iterable[Result]") -> bool:
    """As many columns as the terminal has room for; the run and its speed are never cut. False where there are none.

    Of each result no more than its cells is held.
    """
    from rich.table import Table
    from rich.text import Text

    terminal = console()
    columns = text_columns()
    rows = [
        (result.state == "finished" and result.verdict.valid, [column.cell(result) for column in columns])
        for result in found
    ]
    if not rows:
        return False
    widths = {
        at: max(len(column.name), *(len(cells[at]) for _, cells in rows)) + 2 for at, column in enumerate(columns)
    }
    if terminal.is_terminal:
        for at, column in sorted(enumerate(columns), key=lambda entry: -entry[1].rank):
            if column.rank and sum(widths.values()) - 2 > terminal.width:
                del widths[at]
    else:
        terminal.width = sum(widths.values())
    if len(rows) > MANY_ROWS:
        _print_many([columns[at] for at in widths], [[cells[at] for at in widths] for _, cells in rows])
        return True
    table = Table(box=None, pad_edge=False, header_style="bold")
    for at in widths:
        table.add_column(columns[at].name, justify="right" if columns[at].right else "left", overflow="fold")
    for believed, cells in rows:
        table.add_row(*(Text(cells[at], style="" if believed else "red") for at in widths))
    terminal.print(table)
    return True


def _print_many(columns: "Sequence[TextColumn]", rows: "Sequence[Sequence[str]]") -> None:
    """The same without colours: a table by rich holds and measures every cell many times over."""
    widths = [max(len(column.name), *(len(row[at]) for row in rows)) for at, column in enumerate(columns)]
    for row in ([column.name for column in columns], *rows):
        cells = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        say("  ".join(cells).rstrip())


def _engine(result: "Result") -> str:
    return result.loaded.engine if result.loaded else result.setup.target.name or ""


def _mark(result: "Result") -> str:
    from infertui.analysis.effective import caveats
    from infertui.text import clean

    against = ": ".join(("invalid", ", ".join(result.verdict.marks))) if result.verdict.marks else "invalid"
    state = result.state if result.state != "finished" else "" if result.verdict.valid else clean(against)
    return ", ".join(filter(None, (state, *caveats(result))))
