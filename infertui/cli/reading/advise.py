"""`infertui advise`: what measured results bear: what is fastest, what settings do, what to use and what to avoid."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.flags import REPORTS, EqualWithinFlag, OutFlag, band_of
from infertui.cli.output import say, say_json, warn
from infertui.cli.table import print_table

if TYPE_CHECKING:
    from infertui.analysis.decision.decide import Advice, Goal
    from infertui.metrics.filter import Term
    from infertui.results.result import Result
    from infertui.results.runs import Store

EPILOG = """[bold]Examples[/bold]

  infertui advise                                        (all results in ./reports)

  infertui advise model:llama started>=2026-11-01        (those that a filter lets through)

  infertui advise RUN_ID RUN_ID                          (these)

  infertui advise --goal throughput --limit "ttft<200ms" (the fastest that answers in time)

  infertui advise results.jsonl --baseline RUN_ID --json
"""


_MOST_IMPACTS = 12


def advise(
    chosen: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN|FILTER|FILE]...", help="Ids of runs, a filter as of results, or a results.jsonl."),
    ] = None,
    out: OutFlag = REPORTS,
    goals: Annotated[
        list[str] | None,
        typer.Option(
            "--goal", metavar="GOAL", help="throughput, latency, energy, memory or cost; repeatable, else all."
        ),
    ] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="FILTER", help="What has to hold, as ttft<200ms or vram<20GiB; repeatable."),
    ] = None,
    baseline: Annotated[str, typer.Option("--baseline", metavar="RUN", help="Set the others beside this run.")] = "",
    gpu_hour: Annotated[
        float | None, typer.Option("--gpu-hour", min=0, metavar="PRICE", help="Price of a GPU hour; else as listed.")
    ] = None,
    equal_within: EqualWithinFlag = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Say what results bear: a table, what settings do, what to use for a goal, what to avoid. Each names its runs."""
    from infertui.analysis.cost.prices import load_prices
    from infertui.analysis.decision.decide import advise as decide
    from infertui.analysis.decision.pricing import priced
    from infertui.cli.reading.lookup import runs_named
    from infertui.errors import UsageError
    from infertui.metrics.filter import parse_arguments
    from infertui.targets.endpoint.servers import serving_command
    from infertui.text import clean

    wanted = [_goal(name) for name in goals or []]
    texts = limits or []
    terms = parse_arguments(texts)
    if any(term.of_config for term in terms):
        raise UsageError(
            "--limit is about figures, not keys of the config", remedy="Filter by those: infertui advise KEY=VALUE."
        )
    store, found = _results(chosen or [], out)
    if not found:
        raise UsageError(
            f"no results in {clean(str(out))}" + (" that match" if chosen else ""),
            remedy="`infertui run demo` makes one; `infertui results` lists what there is.",
        )
    base = runs_named(store, [baseline])[0].id if baseline else ""
    if base and all(result.id != base for result in found):
        raise UsageError(f"the baseline {clean(base)} is not among the runs chosen", remedy="Name it as well.")
    cost, currency, why = priced(found, load_prices(), gpu_hour)
    options = {"goals": wanted} if wanted else {}
    advice = decide(
        found, baseline=base, limits=terms, limit_texts=texts, cost=cost, currency=currency, priced=why,
        out=str(store.root), is_kept=lambda run: (store.root / run / "run.toml").is_file(),
        serve=serving_command, equal_within=band_of(equal_within), **options,
    )  # fmt: skip
    if as_json:
        say_json(advice, indent=1)
    else:
        _print(advice)


def _goal(name: str) -> "Goal":
    from infertui.analysis.decision.decide import GOALS
    from infertui.errors import UsageError
    from infertui.text import clean

    if name not in GOALS:
        raise UsageError(f"--goal {clean(name)!r} is not known; allowed: {', '.join(GOALS)}")
    return name


def _results(chosen: list[str], out: Path) -> "tuple[Store, list[Result]]":
    """The runs by ids, of a file, or all that a filter lets through."""
    from infertui.cli.reading.lookup import opened, runs_named
    from infertui.errors import UsageError
    from infertui.metrics.filter import matches, parse_arguments

    files = [name for name in chosen if name.endswith(".jsonl") or Path(name).is_dir()]
    if len(files) > 1:
        raise UsageError("one file or folder of results at a time")
    if files:
        path = Path(files[0])
        if path.name != "results.jsonl" and not path.is_dir():
            raise UsageError(
                f"{files[0]} is no results.jsonl", remedy="`infertui import` takes files of other programs in."
            )
        out = path if path.is_dir() else path.parent
        if not (out / "results.jsonl").is_file():
            raise UsageError(f"there is no results.jsonl in {out}")
    store = opened(out)
    rest = [name for name in chosen if name not in files]
    known = {result.id for result in store.naming(*rest)} if rest else set()
    runs = [name for name in rest if any(one.startswith(name) for one in known)]
    terms: tuple[Term, ...] = parse_arguments([name for name in rest if name not in runs])
    source = runs_named(store, runs) if runs else store.each_result(warn=warn)
    return store, [result for result in source if matches(result, terms)]


def _print(advice: "Advice") -> None:
    from infertui.analysis.decision import wording

    for number, task in enumerate(advice.tasks):
        say(("\n" if number else "") + task.task)
        _table(wording.CONFIGURATIONS, wording.configuration_rows(task))
        for note in wording.task_notes(task, advice):
            say(f"  {note}")
        say("  use")
        for line in wording.choice_lines(task, advice):
            say(f"    {line}")
        for command in wording.commands(task, advice):
            say(f"      {command}")
        if task.avoid:
            say("  avoid")
        for one in task.avoid:
            say(f"    {wording.avoid_text(one)}")
    told = [impact for impact in advice.impacts if wording.tells(impact)]
    for impact in told[:_MOST_IMPACTS]:
        say(f"\n{wording.impact_title(impact)}")
        _table(wording.impact_heads(impact), wording.impact_rows(impact))
        for line in wording.impact_lines(impact):
            say(f"  {line}")
    if (more := len(told) - _MOST_IMPACTS) > 0:
        say(f"\n{more} more impacts of a setting are in --json; a filter chooses runs.")
    if untold := len(advice.impacts) - len(told):
        say(f"\n{untold} series of runs along a setting have fewer than two valid ones: nothing is said of them.")


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    print_table(heads, rows if sys.stdout.isatty() else [heads, *rows], blocks=True)
