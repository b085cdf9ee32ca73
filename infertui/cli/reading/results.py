"""`infertui results`: what was measured so far."""

import csv
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from infertui.cli.flags import REPORTS, OutFlag
from infertui.cli.output import DataOut, console, say, say_json, warn

if TYPE_CHECKING:
    from infertui.metrics.metric import Metric
    from infertui.results.result import Result

EPILOG = """[bold]Examples[/bold]

  infertui results

  infertui results workload.batch_size=4 engine=transformers

  infertui results "ttft<50ms batch>=4 valid:yes"      (quotes: shells read < and > themselves)

  infertui results labels.owner=me valid=yes --csv > results.csv

  infertui results --markdown --columns "run,engine,mode,batch,output tok/s (95 % interval),MBU,valid"

  infertui results --agreement RUN_ID      (which runs generated the same tokens as that one)

  infertui results --agreement RUN_ID --bleu
"""

MANY_ROWS = 1000


def results(
    filters: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILTER]...",
            help="Only these, as in the screen's filter: ttft<50ms, batch>=4, valid:yes, engine=transformers, any key"
            " of the config as in workload.batch_size=4. All must hold.",
        ),
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
    from infertui.cli.reading.lookup import opened, without_result
    from infertui.cli.streams import while_read
    from infertui.errors import UsageError
    from infertui.metrics.filter import matches, parse_arguments

    if as_json + as_csv + as_markdown > 1:
        raise UsageError("--json, --csv and --markdown exclude each other")
    if agreement and (as_json or as_csv or as_markdown):
        raise UsageError("--agreement is a table of its own: without --json, --csv and --markdown")
    if bleu and not agreement:
        raise UsageError("--bleu goes with --agreement RUN, the run that others are compared with")
    if columns and not as_markdown:
        raise UsageError("--columns goes with --markdown")
    wanted = parse_arguments(filters or [])
    store = opened(out)
    lines = store.each_result(warn=warn)
    # One at a time: there may be very many.
    found = (result for result in while_read(lines) if matches(result, wanted))
    if agreement:
        from infertui.cli.reading.agreement import print_agreement

        print_agreement(store, agreement, list(found), bleu=bleu)
        return
    if as_json:
        _print_json(found)
    elif as_csv:
        from infertui.metrics.table import csv_header, csv_values

        writer = csv.writer(DataOut(), lineterminator="\n")
        writer.writerow(csv_header())
        writer.writerows(csv_values(result) for result in found)
    elif as_markdown:
        from infertui.cli.reading.markdown import markdown_lines

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


def _print_table(found: "Iterable[Result]") -> bool:
    """As many columns as the terminal has room for; the run and its speed are never cut. False where there are none.

    Of each result no more than its cells is held.
    """
    from rich.table import Table
    from rich.text import Text

    from infertui.metrics.registry import metrics
    from infertui.metrics.table import text_cells

    terminal = console()
    columns = metrics("text")
    rows = [(result.state == "finished" and result.verdict.valid, text_cells(result)) for result in found]
    if not rows:
        return False
    widths = {
        at: max(len(column.text_heading), *(len(shown[at]) for _, shown in rows)) + 2
        for at, column in enumerate(columns)
    }
    if terminal.is_terminal:
        for at, column in sorted(enumerate(columns), key=lambda entry: -entry[1].text.rank):
            if column.text.rank and sum(widths.values()) - 2 > terminal.width:
                del widths[at]
    else:
        terminal.width = sum(widths.values())
    if len(rows) > MANY_ROWS:
        _print_many([columns[at] for at in widths], [[shown[at] for at in widths] for _, shown in rows])
        return True
    table = Table(box=None, pad_edge=False, header_style="bold")
    for at in widths:
        justify: Literal["left", "right"] = "right" if columns[at].unit.right else "left"
        table.add_column(columns[at].text_heading, justify=justify, overflow="fold")
    for believed, shown in rows:
        table.add_row(*(Text(shown[at], style="" if believed else "red") for at in widths))
    terminal.print(table)
    return True


def _print_many(columns: "Sequence[Metric]", rows: "Sequence[Sequence[str]]") -> None:
    """The same without colours: a table by rich holds and measures every cell many times over."""
    names = [column.text_heading for column in columns]
    widths = [max(len(name), *(len(row[at]) for row in rows)) for at, name in enumerate(names)]
    for row in (names, *rows):
        cells = (
            cell.rjust(width) if column.unit.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        say("  ".join(cells).rstrip())
