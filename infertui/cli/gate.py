"""`--fail-if`: rules for CI over a comparison."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer
from msgspec import Struct

if TYPE_CHECKING:
    from infertui.report.compare import Comparison

FAILED = 4
NAMES = ("throughput", "latency", "ttft", "tpot", "itl", "energy", "memory")
HELP = 'For CI: "throughput < -3%", "ttft > 5%"; repeatable.'
_RULE = re.compile(rf"\s*({'|'.join(NAMES)})\s*([<>])\s*([+-]?[0-9]{{1,4}}(?:\.[0-9]{{1,4}})?)\s*%\s*")


class Rule(Struct, frozen=True):
    """Holds where the ratio of figure `key` is beyond `limit`, with its whole interval."""

    key: str
    sign: str
    limit: float


def rules_of(texts: Sequence[str]) -> list[Rule]:
    """The rules as they were typed. Raises UsageError."""
    return [_rule(text) for text in texts]


def _rule(text: str) -> Rule:
    from infertui.errors import UsageError
    from infertui.terminal_text import clean

    match = _RULE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--fail-if {clean(text)!r} is not understood",
            remedy=f'Write it like "throughput < -3%", with one of {", ".join(NAMES)}.',
        )
    return Rule(match[1], match[2], 1 + float(match[3]) / 100)


def enforce(comparisons: "Iterable[Comparison]", rules: Sequence[Rule]) -> None:
    """Tell the rules that hold or cannot be checked, and raise typer.Exit where there is one."""
    compared = list(comparisons)
    broken = [text for comparison in compared for text in _broken(comparison, rules)]
    if rules and not compared:
        broken = ["nothing was compared, so no rule can be checked"]
    for text in broken:
        typer.echo(f"--fail-if holds: {text}", err=True)
    if broken:
        raise typer.Exit(FAILED)


def _broken(comparison: "Comparison", rules: Sequence[Rule]) -> list[str]:
    """The rules that hold for the whole interval; one that cannot be checked is told by failing too."""
    broken = []
    for rule in rules:
        figure = next(figure for figure in comparison.figures if figure.key == rule.key)
        if figure.ratio is None:
            broken.append(f"{comparison.second}: {rule.key} is not available, so the rule cannot be checked")
            continue
        interval = figure.ratio.interval
        low, high = (interval.low, interval.high) if interval else (figure.ratio.value, figure.ratio.value)
        if high < rule.limit if rule.sign == "<" else low > rule.limit:
            broken.append(f"{comparison.second}: {rule.key} {rule.sign} {rule.limit - 1:+.1%}: {figure.verdict}")
    return broken
