"""`--fail-if`: rules for CI over a comparison."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import typer
from msgspec import Struct

from infertui.cli.output import say

if TYPE_CHECKING:
    from infertui.analysis.compare import Comparison, Figure

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


def answer(rule: Rule, figure: "Figure") -> Answer:
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


def enforce(comparisons: "Iterable[Comparison]", rules: Sequence[Rule]) -> None:
    """Tell the rules that hold, cannot be told or cannot be checked, and raise typer.Exit where there is one."""
    compared = list(comparisons)
    told = [said for comparison in compared for said in _told(comparison, rules)]
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


def _more(rule: Rule, figure: "Figure") -> str:
    """What it would probably take to tell."""
    from infertui.analysis.needed import MOST, observations_needed
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
