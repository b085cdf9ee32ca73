"""`infertui report`: runs as a document that can be handed to somebody else."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from infertui.cli.flags import EqualWithinFlag, FilterFlag, band_of
from infertui.cli.output import progress, say, say_json, warn

if TYPE_CHECKING:
    from infertui.errors import UsageError
    from infertui.metrics.filter import Term
    from infertui.report.produce import ReportOrder, WrittenReport
    from infertui.results.result import Result
    from infertui.results.runs import Store

EPILOG = """[bold]Examples[/bold]

  infertui report

  infertui report RUN RUN RUN --baseline RUN --out h200-modes --title "Modes on an H200"

  infertui report --filter labels.table=modes --filter workload.batch_size=8

  infertui report --filter "ttft<50ms batch>=4 engine=transformers"

  infertui report --bench BENCH --from /data/reports --out /tmp/report

RUN is a run's id, or its beginning where that is enough. Open report.html in a browser, on a phone as well; report.md
with charts/ is for a repository, report.json for programs.
"""

NEWEST = 40


def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help=f"Ids of runs; without any the newest {NEWEST} valid ones."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the report goes.")] = Path("report"),
    source: Annotated[Path, typer.Option("--from", metavar="DIR", help="Where runs are kept.")] = Path("reports"),
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Its heading.")] = "",
    baseline: Annotated[
        str,
        typer.Option("--baseline", metavar="RUN", help="What the others are compared with; else the first of them."),
    ] = "",
    equal_within: EqualWithinFlag = "",
    bench: Annotated[str, typer.Option("--bench", metavar="ID", help="The runs of this bench.")] = "",
    filters: FilterFlag = None,
    newest: Annotated[
        int, typer.Option("--last", metavar="N", min=1, max=1000, help="Without RUN: so many of the newest.")
    ] = NEWEST,
    every: Annotated[
        bool, typer.Option("--all", help="Without RUN: invalid, failed and interrupted ones as well.")
    ] = False,
    charts: Annotated[
        bool | None,
        typer.Option("--charts/--no-charts", help="Draw charts; if left out: where matplotlib is."),
    ] = None,
    date: Annotated[str, typer.Option("--date", metavar="TEXT", help="Its date; else that of the newest run.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="What was written, as JSON.")] = False,
) -> None:
    """Write a report about runs: report.html, report.md, report.json and charts."""
    from infertui.cli.reading.lookup import opened
    from infertui.metrics.filter import parse_arguments
    from infertui.report.produce import ReportOrder

    named = Named(tuple(runs or ()), bench, parse_arguments(filters or []), baseline, newest, every)
    order = ReportOrder(out, title, date, equal_within=band_of(equal_within), charts=charts is not False)
    order = with_charts_if_possible(order) if charts is None else order
    named.check()
    order.check()
    store = opened(source)
    order, chosen = _chosen(named, store, order)
    if not chosen:
        raise _nothing(named, source)
    written = write(order, chosen, store)
    if as_json:
        files = [str(path) for path in written.paths]
        say_json({"files": files, "runs": [result.id for result in chosen], "bytes": written.bytes})
    else:
        _tell(written)


class Named(NamedTuple):
    """Which runs are meant: by their ids, by their bench, by filters; without any of these the newest ones."""

    runs: tuple[str, ...]
    bench: str
    filters: "tuple[Term, ...]"
    baseline: str
    newest: int
    every: bool

    def check(self) -> None:
        """Raise UsageError where they are named in more than one way."""
        from infertui.errors import UsageError

        if sum(map(bool, (self.runs, self.bench, self.filters))) > 1:
            raise UsageError(
                "RUN, --bench and --filter exclude each other", remedy="Say in one way which runs are meant."
            )


def _chosen(named: Named, store: "Store", order: "ReportOrder") -> "tuple[ReportOrder, list[Result]]":
    """The runs that are meant, the baseline among them; and the order, which knows that one, and what is left out."""
    from msgspec.structs import replace

    from infertui.cli.reading.lookup import bench_named, runs_named

    first = runs_named(store, [named.baseline])[0] if named.baseline else None
    left_out: list[str] = []
    if named.runs:
        chosen = runs_named(store, list(dict.fromkeys(named.runs)))
    elif named.bench:
        chosen = bench_named(store, named.bench)
    else:
        chosen, left_out = _newest(_results(store.index), named.filters, named.newest, valid_only=not named.every)
    if first is not None and all(result.id != first.id for result in chosen):
        chosen.insert(0, first)
    return replace(order, baseline=first.id if first else "", left_out=(*order.left_out, *left_out)), chosen


def _nothing(named: Named, source: Path) -> "UsageError":
    from infertui.errors import UsageError
    from infertui.text import clean

    where = clean(str(source))
    return UsageError(
        f"no runs to report about in {where}" + ("" if named.every or named.runs else ", or none that are valid"),
        remedy=f"`infertui results --out {where}` lists what is there; --all takes invalid ones too.",
    )


def write(order: "ReportOrder", results: "Sequence[Result]", store: "Store") -> "WrittenReport":
    """Write it, with progress in a terminal, and warn of runs whose files are not whole. Raises StoreError."""
    from infertui.report.produce import produce

    written = produce(order, results, store.folder_of, told=progress)
    progress("")
    for text in written.warnings:
        warn(text)
    return written


def with_charts_if_possible(order: "ReportOrder") -> "ReportOrder":
    """The order without charts, which is said, where matplotlib is not there."""
    from msgspec.structs import replace

    from infertui.errors import InfertuiError
    from infertui.report.charts.style import require_matplotlib

    try:
        require_matplotlib()
    except InfertuiError as error:
        warn(f"the report has no charts: {error.message}")
        return replace(order, charts=False, left_out=(*order.left_out, f"Charts are left out: {error.message}."))
    return order


def report_after(
    out: Path,
    results: "Sequence[Result]",
    store: "Store",
    *,
    equal_within: float | None = None,
    with_invalid: bool = False,
) -> None:
    """The report of `run --report` and `bench --report`: in a folder of its own beside the runs, which is told.

    On standard error, as standard output may be read by a program. Without matplotlib it has no charts.
    """
    from infertui.report.produce import ReportOrder
    from infertui.text import clean

    if not results:
        say("no report is written: nothing was measured", err=True)
        return
    first = results[0]
    folder = out / f"report-{first.bench.bench if first.bench else first.id}"
    band = band_of("") if equal_within is None else equal_within
    order = with_charts_if_possible(ReportOrder(folder, equal_within=band, with_invalid=with_invalid))
    written = write(order, results, store)
    say(f"report: {clean(str(written.paths[0]))}", err=True)


def _tell(written: "WrittenReport") -> None:
    """The verdict, and what was written."""
    from infertui.report.document import ReportTable
    from infertui.text import clean
    from infertui.units import format_bytes

    for section in written.document.sections[:1]:
        for block in section.blocks:
            rows = block.rows if isinstance(block, ReportTable) else ()
            listed = (": ".join((row[0].text, ", ".join(cell.text for cell in row[3:]))) for row in rows)
            for text in (getattr(block, "head", ""), getattr(block, "text", ""), *listed):
                if text:
                    say(clean(text))
    say(f"{written.told}: {format_bytes(written.bytes)}")


def _results(path: Path) -> "Iterator[Result]":
    from infertui.results.jsonl import decoded_lines
    from infertui.results.upgrade import decode_result

    return decoded_lines(path, decode_result, warn=warn)


def _newest(
    found: "Iterator[Result]", wanted: "tuple[Term, ...]", count: int, *, valid_only: bool
) -> "tuple[list[Result], list[str]]":
    """The last ones of the folder that are meant; and what was left out, in words."""
    from infertui.metrics.filter import matches

    kept: deque[Result] = deque(maxlen=count)
    seen = against = 0
    for result in found:
        if not matches(result, wanted):
            continue
        seen += 1
        if valid_only and (result.state != "finished" or not result.verdict.valid):
            against += 1
        else:
            kept.append(result)
    older = seen - against - len(kept)
    left = [f"{against} of the folder's runs are left out: not finished, or invalid (--all)."] if against else []
    left += [f"{older} older runs of the folder are left out (--last)."] if older else []
    return list(kept), left
