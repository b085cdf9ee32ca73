"""`infertui report`: runs as a document that can be handed to somebody else."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.flags import EqualWithinFlag, FilterFlag, band_of
from infertui.cli.output import progress, say, say_json, warn

if TYPE_CHECKING:
    from infertui.metrics.filter import Term
    from infertui.results.result import Result

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
MOST_NAMED = 3


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
    charts: Annotated[bool, typer.Option("--charts/--no-charts", help="Draw charts, which needs matplotlib.")] = True,
    date: Annotated[str, typer.Option("--date", metavar="TEXT", help="Its date; else that of the newest run.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="What was written, as JSON.")] = False,
) -> None:
    """Write a report about runs: report.html, report.md, report.json and charts."""
    from infertui.cli.reading.lookup import bench_named, opened, runs_named
    from infertui.errors import UsageError
    from infertui.metrics.filter import parse_arguments
    from infertui.report.charts.build import charts as charts_of
    from infertui.report.charts.style import require_matplotlib
    from infertui.report.data import collect
    from infertui.report.document import ReportTable
    from infertui.report.files import check_target, write_report
    from infertui.report.sections import compose
    from infertui.results.observations import REQUESTS
    from infertui.text import clean

    wanted = parse_arguments(filters or [])
    band = band_of(equal_within)
    if sum(map(bool, (runs, bench, wanted))) > 1:
        raise UsageError("RUN, --bench and --filter exclude each other", remedy="Say in one way which runs are meant.")
    check_target(out)
    if charts:
        require_matplotlib()
    store = opened(source)
    first = runs_named(store, [baseline])[0] if baseline else None
    left_out: list[str] = []
    if runs:
        chosen = runs_named(store, list(dict.fromkeys(runs)))
    elif bench:
        chosen = bench_named(store, bench)
    else:
        chosen, left_out = _newest(_results(store.index), wanted, newest, valid_only=not every)
    if first is not None and all(result.id != first.id for result in chosen):
        chosen.insert(0, first)
    if not chosen:
        raise UsageError(
            f"no runs to report about in {clean(str(source))}" + ("" if every or runs else ", or none that are valid"),
            remedy=f"`infertui results --out {clean(str(source))}` lists what is there; --all takes invalid ones too.",
        )
    told = progress
    material = collect(chosen, store.folder_of, baseline=first.id if first else "", equal_within=band, told=told)
    drawn = charts_of(material) if charts else []
    document = compose(
        material, drawn, title=title or f"infertui: {_about(chosen)}",
        date=clean(date) or max(result.started for result in chosen)[:10], left_out=left_out,
    )  # fmt: skip
    if lost := [clean(run.result.id) for run in material.subjects if run.result.id in material.lost]:
        others = f" and {len(lost) - MOST_NAMED} others" if len(lost) > MOST_NAMED else ""
        named = ", ".join(lost[:MOST_NAMED])
        warn(f"{named}{others}: {REQUESTS} is gone: no distribution and no interval of that is in the report")
    for text in material.untraced[:MOST_NAMED]:
        warn(text)
    paths = write_report(out, document, material, drawn, told=told)
    progress("")
    size = sum(path.stat().st_size for path in paths)
    if as_json:
        told_files = {"files": [str(path) for path in paths], "runs": [result.id for result in chosen], "bytes": size}
        say_json(told_files)
        return
    from infertui.units import format_bytes

    for section in document.sections[:1]:
        for block in section.blocks:
            rows = block.rows if isinstance(block, ReportTable) else ()
            listed = (": ".join((row[0].text, ", ".join(cell.text for cell in row[3:]))) for row in rows)
            for text in (getattr(block, "head", ""), getattr(block, "text", ""), *listed):
                if text:
                    say(clean(text))
    say(f"{clean(str(paths[0]))}, report.md, report.json, {len(drawn)} charts: {format_bytes(size)}")


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


def _about(results: "Sequence[Result]") -> str:
    """What a report is called where nobody says: its models, and its devices."""
    told_models = [model for result in results if (model := result.setup.model)]
    models = list(dict.fromkeys(model.rsplit("/", 1)[-1] for model in told_models))
    devices = list(dict.fromkeys(one.loaded.device_name for one in results if one.loaded and one.loaded.device_name))
    named = (", ".join(models[:3]) or "runs") + (f" and {len(models) - 3} more" if len(models) > 3 else "")
    where = ", ".join(devices[:2]) + (f" and {len(devices) - 2} more" if len(devices) > 2 else "")
    return f"{named} on {where}" if where else named
