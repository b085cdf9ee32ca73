"""`infertui compare`: runs against a baseline, with intervals and verdicts."""

from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli import gate
from infertui.cli.flags import REPORTS, EqualWithinFlag, OutFlag, band_of
from infertui.cli.lookup import bench_named, runs_named
from infertui.cli.output import Painted, say, warn

if TYPE_CHECKING:
    from infertui.analysis.bench import Bench
    from infertui.analysis.compare import Comparison
    from infertui.results.runs import Store

EPILOG = """[bold]Examples[/bold]

  infertui compare BASELINE RUN

  infertui compare BASELINE RUN RUN RUN      (one table)

  infertui compare BASELINE RUN RUN --markdown > pull-request.md

  infertui compare --bench bench-20260301-101500-3f9a      (a bench, paired by rounds, once more)

  infertui compare BASELINE RUN --fail-if "throughput < -3%"

RUN is a run's id, or its beginning where that is enough. The interval of single runs holds what varies within a
process; processes differ by several percent more: `infertui bench` repeats them.

"""
EPILOG += gate.EXIT_CODES


def compare(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="BASELINE RUN...", help="Ids of runs; the first is the baseline.")
    ] = None,
    out: OutFlag = REPORTS,
    bench: Annotated[
        str, typer.Option("--bench", metavar="ID", help="The runs of a bench, round by round, in place of single runs.")
    ] = "",
    with_invalid: Annotated[
        bool, typer.Option("--with-invalid", help="With --bench: let rounds count that have an invalid run.")
    ] = False,
    fail_if: Annotated[list[str] | None, typer.Option("--fail-if", metavar="RULE", help=gate.HELP)] = None,
    equal_within: EqualWithinFlag = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document with all comparisons.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="A table for a pull request.")] = False,
) -> None:
    """Compare runs with a baseline: what differs, by how much, and how sure that is."""
    from infertui.cli.opened import opened
    from infertui.errors import UsageError

    rules = gate.rules_of(fail_if or [], rounds=bool(bench))
    band = band_of(equal_within)
    names = runs or []
    if as_json and as_markdown:
        raise UsageError("--json and --markdown exclude each other")
    if bench and names:
        raise UsageError("--bench compares the runs of a bench: without ids of runs")
    store = opened(out)
    if bench:
        from infertui.analysis.bench import bench_report

        report = bench_report(bench_named(store, bench), with_invalid=with_invalid, equal_within=band)
        show_bench(report, as_json=as_json, as_markdown=as_markdown)
        gate.enforce(report.comparisons, rules)
        return
    if with_invalid:
        raise UsageError("--with-invalid goes with --bench")
    if len(names) < 2:
        raise UsageError("compare needs a baseline and at least one other run", remedy="`infertui results` lists them.")
    found = _compared(store, names, band)
    _show(found, as_json=as_json, as_markdown=as_markdown)
    gate.enforce(found, rules)


def show_bench(report: "Bench", *, as_json: bool, as_markdown: bool) -> None:
    """Print what a bench found."""
    from infertui.analysis.compare_text import bench_lines, bench_notes, bench_title, markdown

    if as_json:
        say(_json(report, report.comparisons))
    elif as_markdown and report.comparisons:
        say(markdown(report.comparisons, bench_title(report), bench_notes(report)))
    else:
        _print(bench_lines(report, _width()))


def _compared(store: "Store", names: list[str], band: float) -> "list[Comparison]":
    from infertui.analysis.compare import compare as compare_runs
    from infertui.analysis.compare import judged
    from infertui.results.observations import REQUESTS, read_observations, requests_lost

    first, *others = found = runs_named(store, names)
    for result in found:
        if requests_lost(store.folder_of(result.id), result):
            warn(f"{result.id}: {REQUESTS} is gone: no interval is known")
    ours = read_observations(store.folder_of(first.id))
    # One at a time: the batches of long runs may fill a lot of memory.
    return [
        judged(compare_runs(first, other, (ours, read_observations(store.folder_of(other.id)))), band)
        for other in others
    ]


def _show(found: "list[Comparison]", *, as_json: bool, as_markdown: bool) -> None:
    from infertui.analysis.compare_text import lines, markdown, table

    if as_json:
        say(_json(found, found))
    elif as_markdown:
        say(markdown(found))
    else:
        _print(lines(found[0], _width()) if len(found) == 1 else table(found, _width()))


def _json(document: object, comparisons: "list[Comparison] | tuple[Comparison, ...]") -> str:
    """The document, each figure with its verdict in words beside the numbers that it rests on."""
    import msgspec

    whole = msgspec.to_builtins(document)
    for shown, comparison in zip(whole if isinstance(whole, list) else whole["comparisons"], comparisons, strict=True):
        for entry, figure in zip(shown["figures"], comparison.figures, strict=True):
            entry["verdict"] = figure.verdict
            entry["outcome"] = figure.outcome
            entry["differs"] = figure.ratio.differs if figure.ratio else None
    return msgspec.json.encode(whole).decode()


def _print(lines: list[str]) -> None:
    from infertui.analysis.compare_text import MARGIN, UNLIKE

    for line in lines:
        loud = line.startswith(tuple(MARGIN + word for word in (UNLIKE, "invalid", "left out")))
        say(Painted(line, "yellow") if loud else line)


def _width() -> int:
    import shutil
    import sys

    from infertui.analysis.compare_text import WIDTH

    return max(40, shutil.get_terminal_size((WIDTH, 24)).columns) if sys.stdout.isatty() else WIDTH
