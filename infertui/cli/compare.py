"""`infertui compare`: runs against a baseline, with intervals and verdicts."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from infertui.report.compare import Comparison

EPILOG = """[bold]Examples[/bold]

  infertui compare BASELINE RUN

  infertui compare BASELINE RUN RUN --json

  infertui compare BASELINE RUN --fail-if "throughput < -3%"

RUN is a run's id, or its beginning where that is enough. Exit code 4: a --fail-if holds for sure, that is, for the
whole interval.
"""

FAILED = 4
_RULE = re.compile(
    r"\s*(throughput|latency|ttft|tpot|energy|memory)\s*([<>])\s*([+-]?[0-9]{1,4}(?:\.[0-9]{1,4})?)\s*%\s*"
)
_NAMES = {"throughput": "throughput, tok/s", "latency": "E2E latency", "ttft": "TTFT", "tpot": "TPOT",
          "energy": "energy, J/token", "memory": "memory"}  # fmt: skip


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="BASELINE RUN...", help="Ids of runs; the first is the baseline.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where runs are kept.")] = Path("reports"),
    fail_if: Annotated[
        list[str] | None,
        typer.Option("--fail-if", metavar="RULE", help='For CI: "throughput < -3%", "ttft > 5%"; repeatable.'),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document with all comparisons.")] = False,
) -> None:
    """Compare runs with a baseline: what differs, by how much, and how sure that is."""
    from infertui.errors import UsageError
    from infertui.report.compare import compare as compare_runs
    from infertui.store.observations import read_observations
    from infertui.store.runs import Store

    rules = [_rule(text) for text in fail_if or []]
    if len(runs) < 2:
        raise UsageError("compare needs a baseline and at least one other run", remedy="`infertui results` lists them.")
    store = Store(out)
    known = {result.id: result for result in store.results(warn=lambda text: typer.echo(f"warning: {text}", err=True))}
    results = [known[_id(name, list(known), out)] for name in runs]
    observed = {result.id: read_observations(store.folder_of(result.id)) for result in results}
    first = results[0]
    found = [compare_runs(first, other, (observed[first.id], observed[other.id])) for other in results[1:]]
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(found).decode())
    else:
        for comparison in found:
            _print(comparison)
    broken = [text for comparison in found for text in _broken(comparison, rules)]
    for text in broken:
        typer.echo(f"--fail-if holds: {text}", err=True)
    if broken:
        raise typer.Exit(FAILED)


def _id(name: str, known: list[str], out: Path) -> str:
    from infertui.errors import UsageError
    from infertui.terminal_text import clean

    if name in known:
        return name
    found = [run for run in known if run.startswith(name)]
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} runs begin with" if found else "there is no run"
    raise UsageError(
        f"{problem} {clean(name)!r} in {clean(str(out))}",
        remedy=f"`infertui results --out {clean(str(out))}` lists them.",
    )


def _rule(text: str) -> tuple[str, str, float]:
    from infertui.errors import UsageError
    from infertui.terminal_text import clean

    match = _RULE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--fail-if {clean(text)!r} is not understood",
            remedy=f'Write it like "throughput < -3%", with one of {", ".join(_NAMES)}.',
        )
    return match[1], match[2], 1 + float(match[3]) / 100


def _broken(comparison: "Comparison", rules: list[tuple[str, str, float]]) -> list[str]:
    """The rules that hold for the whole interval; one that has none cannot be sure, and says so by failing too."""
    broken = []
    for name, sign, limit in rules:
        figure = next(figure for figure in comparison.figures if figure.name == _NAMES[name])
        if figure.ratio is None:
            broken.append(f"{comparison.second}: {name} is not available, so the rule cannot be checked")
            continue
        interval = figure.ratio.interval
        low, high = (interval.low, interval.high) if interval else (figure.ratio.value, figure.ratio.value)
        if high < limit if sign == "<" else low > limit:
            broken.append(f"{comparison.second}: {name} {sign} {limit - 1:+.1%}: {figure.verdict}")
    return broken


def _print(comparison: "Comparison") -> None:
    typer.echo(f"{comparison.second}  against  {comparison.first}")
    for text in comparison.unlike:
        typer.echo(typer.style(f"  UNLIKE  {text}", fg="yellow"))
    for difference in comparison.differences:
        typer.echo(f"  differs {difference.what}: {difference.first} -> {difference.second}")
    if not comparison.differences:
        typer.echo("  differs nothing: the same config on the same software")
    width = max(len(figure.name) for figure in comparison.figures)
    for figure in comparison.figures:
        values = f"{figure.text(figure.first):>10} -> {figure.text(figure.second):<10}"
        p = figure.ratio.p if figure.ratio else None
        rank = f"  (rank test p {'< 0.001' if p < 0.001 else f'{p:.3f}'})" if p is not None else ""
        typer.echo(f"  {figure.name:<{width}}  {values}  {figure.verdict}{rank}")
