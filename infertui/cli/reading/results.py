"""`infertui results`: what was measured so far."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from infertui.cli.flags import REPORTS, OutFlag
from infertui.cli.output import DataOut, console, say, say_json, warn

if TYPE_CHECKING:
    from infertui.metrics.metric import Metric
    from infertui.results.result import Result
    from infertui.results.runs import Store

EPILOG = """[bold]Examples[/bold]

  infertui results

  infertui results workload.batch_size=4 engine=transformers

  infertui results "ttft<50ms batch>=4 valid:yes"      (quotes: shells read < and > themselves)

  infertui results labels.owner=me valid=yes --csv > results.csv

  infertui results --columns +tok/s/W,gpu_utilization,temperature      (beside the usual ones)

  infertui results --markdown --columns "run,engine,mode,batch,output tok/s (95 % interval),MBU,valid"

  infertui results --baseline RUN_ID      (times its throughput, and the gain in %)

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
        str,
        typer.Option(
            "--columns",
            metavar="NAMES",
            help="Columns by their headings or keys, with commas; any key of the config is one. A + in front adds them"
            " to the usual ones.",
        ),
    ] = "",
    baseline: Annotated[
        str, typer.Option("--baseline", metavar="RUN", help="Show each run's throughput against that run's.")
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
    if (columns or baseline) and (as_json or agreement):
        raise UsageError("--columns and --baseline go with the table, --markdown and --csv")
    wanted = parse_arguments(filters or [])
    store = opened(out)

    # One at a time: there may be very many.
    def found(warned: "Callable[[str], None]" = warn) -> "Iterator[Result]":
        return (result for result in while_read(store.each_result(warn=warned)) if matches(result, wanted))

    if agreement:
        from infertui.cli.reading.agreement import print_agreement

        print_agreement(store, agreement, list(found()), bleu=bleu)
        return
    if as_json:
        _print_json(found())
    elif not _print_columns(
        found, store, columns, baseline, form="csv" if as_csv else "markdown" if as_markdown else "text"
    ):
        say(f"no results in {out}" + (" that match" if wanted else "; `infertui run demo` makes one"), err=True)
    if not (wanted or as_json or as_csv or as_markdown):
        for line in without_result(store):
            say(line, err=True)


def _print_json(found: "Iterable[Result]") -> None:

    for result in found:
        say_json(result)


def _print_columns(
    found: "Callable[..., Iterator[Result]]",
    store: "Store",
    columns: str,
    baseline: str,
    *,
    form: Literal["text", "csv", "markdown"],
) -> bool:
    """A table with the columns asked for, or the usual ones and what varies. False for no rows, where that is odd."""
    from infertui.analysis.decision.relative import relative_columns
    from infertui.analysis.limits import with_limits
    from infertui.cli.reading.lookup import runs_named
    from infertui.metrics.table import chosen

    names = [name.strip() for name in columns.removeprefix("+").split(",") if name.strip()]
    against = relative_columns(runs_named(store, [baseline])[0]) if baseline else []
    asked = chosen(names, against) if baseline else _without_baseline(names)
    own = asked if names and not columns.startswith("+") else None
    keys = {metric.key for metric in asked}
    added = [*([] if own is not None else asked), *(one for one in against if one.key not in keys)]
    derived = any(metric.derived for metric in asked)

    def rows(*warned: "Callable[[str], None]") -> "Iterator[Result]":
        return map(with_limits, found(*warned)) if derived else found(*warned)

    if form == "csv":
        _print_csv(rows, own, added)
    elif form == "markdown":
        from infertui.cli.reading.markdown import lines_of

        for line in lines_of(rows(), own, added):
            say(line)
    else:
        return _print_table(rows(), own, added)
    return True


def _without_baseline(names: "Sequence[str]") -> "list[Metric]":
    """The columns of these names. Raises UsageError, also for one that only a baseline gives."""
    from infertui.analysis.decision.relative import RELATIVE
    from infertui.errors import UsageError
    from infertui.metrics.table import chosen

    for name in names:
        if name.lower() in RELATIVE:
            raise UsageError(
                f"{name.lower()} is against another run's throughput", remedy="--baseline RUN says which, and adds it."
            )
    return chosen(names)


def _print_csv(
    found: "Callable[..., Iterator[Result]]", own: "Sequence[Metric] | None", added: "Sequence[Metric]"
) -> None:
    """What varies has to be known before the heading: results are read twice, which costs less than to hold them."""
    from infertui.metrics.table import csv_columns, csv_header, csv_values
    from infertui.metrics.varying import Variation

    varying = Variation()
    if own is None:
        for result in found(lambda _: None):
            varying.take(result)
    shown = [*(csv_columns(varying.found()) if own is None else own), *added]
    writer = csv.writer(DataOut(), lineterminator="\n")
    writer.writerow(csv_header(shown))
    writer.writerows(csv_values(result, shown) for result in found())


def _print_table(found: "Iterable[Result]", own: "Sequence[Metric] | None", added: "Sequence[Metric]") -> bool:
    """As many columns as the terminal has room for; the run and its speed are never cut. False where there are none.

    Of each result no more than its cells is held.
    """
    from rich.table import Table
    from rich.text import Text

    from infertui.metrics.registry import metrics
    from infertui.metrics.table import Rows

    terminal = console()
    table_rows = Rows(metrics("text") if own is None else own, added, varying=own is None)
    valid: list[bool] = []
    for result in found:
        table_rows.take(result)
        valid.append(result.state == "finished" and result.verdict.valid)
    if not valid:
        return False
    columns, cells = table_rows.settled()
    rows = list(zip(valid, cells, strict=True))
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
