"""`infertui compare`: runs against a baseline, with intervals and verdicts; `--fail-if`, its rules for CI."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer
from msgspec import Struct

from infertui.cli.flags import REPORTS, EqualWithinFlag, OutFlag, band_of
from infertui.cli.output import Painted, say, warn
from infertui.cli.reading.lookup import bench_named, runs_named

if TYPE_CHECKING:
    from infertui.analysis.bench import Bench, FailedArm
    from infertui.analysis.compare import ComparedFigure, Comparison
    from infertui.results.runs import Store

FAILED = 4
UNCLEAR = 5
HELP = 'For CI: "throughput < -3%", "ttft > 5%"; repeatable. Exit code 4: it holds for sure, 5: that cannot be told.'
EXIT_CODES = (
    "Exit codes of --fail-if: 4 a rule holds for sure, that is, for the whole interval, or cannot be checked; 5 it"
    " cannot be told, because the interval lies on both sides of the limit or there is none, and how many more would"
    " probably tell is said; 0 it surely does not hold."
)
_RULE = re.compile(r"\s*([a-z][a-z0-9-]{0,19})\s*([<>])\s*([+-]?[0-9]{1,4}(?:\.[0-9]{1,4})?)\s*%\s*")
_TOTAL_LOSS = -100.0
"""Percent: no figure falls so far, since its ratio is positive, and a limit there or below could never be crossed."""
Answer = Literal["holds", "cannot tell", "does not hold"]


class Rule(Struct, frozen=True):
    """Holds where the ratio of figure `key` is beyond `limit`, with its whole interval."""

    key: str
    sign: str
    limit: float

    @property
    def text(self) -> str:
        """As it is understood: `throughput < -3%`."""
        return f"{self.key} {self.sign} {(self.limit - 1) * 100:+.4g}%"


class _Said(NamedTuple):
    """What is told of a rule, and whether it fails for sure."""

    text: str
    fails: bool


def rules_of(texts: Sequence[str], *, rounds: bool = False) -> list[Rule]:
    """The rules as they were typed, for runs side by side or for the `rounds` of a bench. Raises UsageError."""
    if not texts:
        return []
    from infertui.analysis import bench, compare

    return [_rule(text, bench.KEYS if rounds else compare.KEYS) for text in texts]


def _rule(text: str, keys: Sequence[str]) -> Rule:
    from infertui.errors import UsageError
    from infertui.text import clean

    match = _RULE.fullmatch(text)
    if match is None or match[1] not in keys:
        raise UsageError(
            f"--fail-if {clean(text)!r} is not understood",
            remedy=f'Write it like "throughput < -3%", with one of {", ".join(keys)}.',
        )
    if float(match[3]) <= _TOTAL_LOSS:
        raise UsageError(
            f"--fail-if {clean(text)!r}: no figure changes by {float(match[3]):g}%, so the rule would say nothing",
            remedy=f"Give a limit above {_TOTAL_LOSS:g}%.",
        )
    return Rule(match[1], match[2], 1 + float(match[3]) / 100)


def answer(rule: Rule, figure: "ComparedFigure") -> Answer:
    """Whether the rule holds of the whole interval, of none of it, or whether that cannot be told.

    A ratio without an interval decides nothing.
    """
    interval = figure.ratio.interval if figure.ratio else None
    if interval is None:
        return "cannot tell"
    below = rule.sign == "<"
    if interval.high < rule.limit if below else interval.low > rule.limit:
        return "holds"
    return "does not hold" if (interval.low >= rule.limit if below else interval.high <= rule.limit) else "cannot tell"


def enforce(comparisons: "Iterable[Comparison]", rules: Sequence[Rule], failed: "Iterable[FailedArm]" = ()) -> None:
    """Tell the rules that hold, cannot be told or cannot be checked, and raise typer.Exit where there is one.

    Nothing can be checked of the arms of a bench that `failed`.
    """
    compared = list(comparisons)
    told = [said for comparison in compared for said in _told(comparison, rules)]
    told += [_Said(f"--fail-if holds: {arm.name} failed, so no rule can be checked of it", fails=True)
             for arm in failed if rules]  # fmt: skip
    if rules and not compared:
        told = [_Said("--fail-if holds: nothing was compared, so no rule can be checked", fails=True)]
    for said in told:
        say(said.text, err=True)
    if told:
        raise typer.Exit(FAILED if any(said.fails for said in told) else UNCLEAR)


def _told(comparison: "Comparison", rules: Sequence[Rule]) -> Iterator[_Said]:
    for rule in rules:
        figure = next(figure for figure in comparison.figures if figure.key == rule.key)
        who = f"{comparison.second}: {rule.text}"
        if figure.ratio is None:
            yield _Said(
                f"--fail-if holds: {comparison.second}: {rule.key} is not available, so the rule cannot be checked",
                fails=True,
            )
            continue
        match answer(rule, figure):
            case "holds":
                yield _Said(f"--fail-if holds: {who}: {figure.verdict}", fails=True)
            case "cannot tell":
                yield _Said(f"--fail-if cannot tell: {who}: {figure.verdict}; {_more(rule, figure)}", fails=False)
            case "does not hold":
                pass


def _more(rule: Rule, figure: "ComparedFigure") -> str:
    """What it would probably take to tell."""
    from infertui.analysis.outcome import MOST, observations_needed
    from infertui.measure.dependence import FEWEST

    what = "rounds" if figure.basis == "rounds" else "iterations in each run"
    found = figure.ratio
    if found is None or found.interval is None:
        if figure.basis == "whole" or figure.wanting:
            return "`infertui bench` repeats the runs, and has an interval over them"
        return f"it takes {FEWEST} {what} at least"
    needed = observations_needed(found, rule.limit, figure.observations)
    if needed is None:
        return f"no {MOST:,} {what} would probably tell: it is too near the limit, or too unsteady"
    return f"some {needed} {what} would probably tell (there are {figure.observations})"


EPILOG = """[bold]Examples[/bold]

  infertui compare BASELINE RUN

  infertui compare BASELINE RUN RUN RUN      (one table)

  infertui compare BASELINE RUN RUN --markdown > pull-request.md

  infertui compare --bench bench-20260301-101500-3f9a      (a bench, paired by rounds, once more)

  infertui compare BASELINE RUN --fail-if "throughput < -3%"

RUN is a run's id, or its beginning where that is enough. The interval of single runs holds what varies within a
process; processes differ by several percent more: `infertui bench` repeats them.

"""
EPILOG += EXIT_CODES


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
    fail_if: Annotated[list[str] | None, typer.Option("--fail-if", metavar="RULE", help=HELP)] = None,
    equal_within: EqualWithinFlag = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document with all comparisons.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="A table for a pull request.")] = False,
) -> None:
    """Compare runs with a baseline: what differs, by how much, and how sure that is."""
    from infertui.cli.reading.lookup import opened
    from infertui.errors import UsageError

    rules = rules_of(fail_if or [], rounds=bool(bench))
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
        enforce(report.comparisons, rules, report.failed)
        return
    if with_invalid:
        raise UsageError("--with-invalid goes with --bench")
    if len(names) < 2:
        raise UsageError("compare needs a baseline and at least one other run", remedy="`infertui results` lists them.")
    found = _compared(store, names, band)
    _show(found, as_json=as_json, as_markdown=as_markdown)
    enforce(found, rules)


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
    from infertui.analysis.compare_text import MARGIN, NOT_COMPARABLE

    for line in lines:
        loud = line.startswith(tuple(MARGIN + word for word in (NOT_COMPARABLE, "invalid", "left out", "failed")))
        say(Painted(line, "yellow") if loud else line)


def _width() -> int:
    import shutil
    import sys

    from infertui.analysis.compare_text import WIDTH

    return max(40, shutil.get_terminal_size((WIDTH, 24)).columns) if sys.stdout.isatty() else WIDTH
