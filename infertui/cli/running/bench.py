"""`infertui bench`: configurations measured in turn, round after round, and compared in pairs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from infertui.cli.flags import (
    REPORTS,
    DeviceFlag,
    EqualWithinFlag,
    InputLenFlag,
    ModelFlag,
    OutFlag,
    Ui,
    UiFlag,
    band_of,
    pairs,
    refuse_with_queue,
)
from infertui.cli.output import say
from infertui.cli.reading import compare
from infertui.cli.reading.compare import show_bench
from infertui.cli.reading.lookup import bench_named
from infertui.config.bench_plan import DEFAULT_ROUNDS
from infertui.env_file import with_env_file

if TYPE_CHECKING:
    from infertui.config.schema import Config
    from infertui.config.sweep import Variant
    from infertui.results.result import Result
    from infertui.results.runs import Store


EPILOG = """[bold]Examples[/bold]

  infertui bench baseline --vary engine.mode=eager,cudagraph

  infertui bench before.toml after.toml --repeat 10

  infertui bench RUN_ID RUN_ID --set measurement.iterations=20 --fail-if "throughput < -3%"

  infertui bench --model synthetic:gpt2-124m -b 8 --vary engine.mode=eager,static,compile --markdown

  infertui bench baseline baseline      (a self-comparison: it should find them equal)

  infertui bench --continue bench-20260301-101500-3f9a      (measures what is missing)

Each round measures every configuration once, in an order that is drawn by chance and mirrored in the next round, so
that clocks and temperatures that drift cost all alike. [bold]Every run is a process of its own that loads the model
anew[/bold]: processes that do the same work differ by several percent, and only repeated ones show by how much. The
intervals are over rounds, so --repeat is what makes them narrow; more iterations do not.

Exit code 3: a run was invalid (its round is left out).

"""
EPILOG += compare.EXIT_CODES


def bench(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PRESET|FILE|RUN]...", help="What to compare, the baseline first; a run repeats it."),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", metavar="KEY=LIST", help="Let a key differ: engine.mode=eager,compile; repeatable."),
    ] = None,
    repeat: Annotated[
        int | None, typer.Option("--repeat", "-r", metavar="N", help=f"Rounds; {DEFAULT_ROUNDS} unless told.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Seed of the order of the runs; random if not given, and printed."),
    ] = None,
    model: ModelFlag = None,
    device: DeviceFlag = None,
    batch_size: Annotated[
        str | None, typer.Option("--batch-size", "-b", metavar="N", help="Sequences in a batch.")
    ] = None,
    input_len: InputLenFlag = None,
    output_len: Annotated[
        str | None, typer.Option("--output-len", "--osl", metavar="N", help="Tokens to generate, exactly.")
    ] = None,
    iterations: Annotated[
        str | None, typer.Option("--iterations", "-n", metavar="N", help="Batches to measure in each run.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="K=V", help="A note kept with the results; repeatable.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key, in all of them; repeatable.")
    ] = None,
    resume: Annotated[
        str,
        typer.Option("--continue", metavar="ID", help="Measure what a bench still lacks, of --repeat rounds in all."),
    ] = "",
    out: OutFlag = REPORTS,
    with_invalid: Annotated[
        bool, typer.Option("--with-invalid", help="Let rounds count that have an invalid run.")
    ] = False,
    fail_if: Annotated[list[str] | None, typer.Option("--fail-if", metavar="RULE", help=compare.HELP)] = None,
    equal_within: EqualWithinFlag = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON document.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print it as a table for a pull request.")] = False,
    ui: UiFlag = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the runs in their order, and stop.")] = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="Hand them to the runner in the background, and return.")
    ] = False,
) -> None:
    """Measure configurations in turn, round after round, and compare them in pairs."""
    from infertui.config.bench_plan import plan_bench
    from infertui.errors import UsageError

    rules = compare.rules_of(fail_if or [], rounds=True)
    shown = Shown(band_of(equal_within), with_invalid=with_invalid, as_json=as_json, as_markdown=as_markdown)
    if as_json and as_markdown:
        raise UsageError("--json and --markdown exclude each other")
    earlier: list[Result] = []
    if resume:
        changes = (targets, vary, seed, model, device, batch_size, input_len, output_len, iterations, label, sets)
        if any(change not in (None, []) for change in changes):
            raise UsageError("--continue repeats a bench as it was: of what is measured only --repeat can be changed")
        earlier = bench_named(_store(out), resume)
        plan = _rest(earlier, repeat)
    else:
        given = {
            "model.id": ("--model", model),
            "device.name": ("--device", device),
            "workload.batch_size": ("--batch-size", batch_size),
            "workload.input_len": ("--input-len", input_len),
            "workload.output_len": ("--output-len", output_len),
            "measurement.iterations": ("--iterations", iterations),
        }
        arms = _arms(targets or [], vary or [], given, label or [], sets or [], out)
        plan = plan_bench(arms, DEFAULT_ROUNDS if repeat is None else repeat, _drawn() if seed is None else seed)
    if dry_run:
        for variant in plan:
            say(variant.name)
        return
    if queue:
        refuse_with_queue({"--ui": ui != "auto", "--fail-if": bool(rules), "--markdown": as_markdown})
        _enqueue(plan, out, as_json=as_json)
        return
    raise typer.Exit(_measure(plan, earlier, out, ui, rules, shown))


class Shown(NamedTuple):
    """How what was found is judged and printed."""

    equal_within: float
    with_invalid: bool
    as_json: bool
    as_markdown: bool


def _measure(
    plan: "Sequence[Variant]",
    earlier: "list[Result]",
    out: Path,
    ui: Ui,
    rules: "Sequence[compare.Rule]",
    shown: "Shown",
) -> int:
    """Run what is planned, print what all rounds say, and return the exit code."""
    from infertui.analysis.bench import bench_report
    from infertui.cli.running.benchview import Standing, bench_view
    from infertui.cli.running.foreground import INVALID, OK, run_in_foreground

    quiet = shown.as_json or shown.as_markdown
    stream = sys.stderr if quiet else sys.stdout
    place = plan[0].place if plan else earlier[0].bench
    bench = place.bench if place else ""
    code = OK
    if plan:
        view = bench_view(ui, stream, Standing(earlier), quiet=quiet)
        say(f"{bench}: {len(plan)} runs, order drawn with seed {place.seed if place else 0}", stream=stream)
        code = run_in_foreground(plan, out=out, save_json=None, as_json=False, ui=ui, view=view)
    found = [result for result in _store(out).naming(bench) if result.bench and result.bench.bench == bench]
    if not found:
        return code
    report = bench_report(found, with_invalid=shown.with_invalid, equal_within=shown.equal_within)
    if not quiet:
        say("")
    show_bench(report, as_json=shown.as_json, as_markdown=shown.as_markdown)
    if report.missing:
        known = {result.bench.arm for result in found if result.bench} >= set(place.arms if place else ())
        how = f": `infertui bench --continue {report.bench}`" if known else ""
        say(f"{report.missing} runs are missing{how}", err=True)
    if code == OK and report.invalid:
        code = INVALID  # of a bench that is continued, an earlier run can be
    if code in (OK, INVALID):
        compare.enforce(report.comparisons, rules, report.failed)
    return code


def _arms(
    targets: list[str],
    vary: list[str],
    given: dict[str, tuple[str, str | None]],
    labels: list[str],
    sets: list[str],
    out: Path,
) -> "list[tuple[str, Config]]":
    """The configs that the command line asks for, with names that tell them apart."""
    from infertui.config.sources import load
    from infertui.config.sweep import variants_of

    flags: dict[str, tuple[str, object]] = dict(given)
    for flag, prefix, texts in (("--label", "labels", labels), ("--vary", "sweep.grid", vary)):
        flags |= {f"{prefix}.{key}": (flag, value) for key, value in pairs(flag, texts)}
    arms: list[tuple[str, Config]] = []
    asked: list[str | None] = [*targets] or [None]
    for target in asked:
        source, title = _source(target, out)
        config = load(source, environ=with_env_file(), sets=sets, flags=flags).config
        alone = title if len(targets) > 1 or not vary else ""
        arms += [(variant.name or title, variant.config) for variant in variants_of(config, alone)]
    return arms


def _source(target: str | None, out: Path) -> tuple[str | None, str]:
    """What to load a target from, and what to call it: a run of the reports folder is its run.toml."""
    from infertui.config import sources
    from infertui.errors import UsageError
    from infertui.text import clean

    if target is None:
        return None, "defaults"
    if target in sources.names():
        return target, target
    if target.endswith(".toml") or "/" in target:
        path = Path(target)
        return target, clean(path.parent.name if path.name == "run.toml" and path.parent.name else path.stem)
    try:
        if Path(target).is_file():
            return target, clean(target)
        exact = out / target / "run.toml"
        runs = [exact] if exact.is_file() else [path for path in out.glob("*/run.toml") if _begins(path, target)]
    except (OSError, ValueError):
        runs = []
    if len(runs) > 1:
        raise UsageError(
            f"{len(runs)} runs begin with {clean(target)!r} in {clean(str(out))}", remedy="Write more of its id."
        )
    return (str(runs[0].absolute()), clean(runs[0].parent.name)) if runs else (target, clean(target))


def _begins(path: Path, target: str) -> bool:
    return bool(target) and path.parent.name.startswith(target)


def _rest(earlier: "list[Result]", repeat: int | None) -> "list[Variant]":
    """What a bench still lacks. A run that is invalid is not repeated: picking runs would bend what is found."""
    from infertui.config.bench_plan import plan_rest

    configs = {result.bench.arm: result.own_config for result in earlier if result.bench}
    finished = [result.bench for result in earlier if result.bench and result.state == "finished"]
    places = [result.bench for result in earlier if result.bench]
    return plan_rest(places, finished, configs.get, repeat)


def _drawn() -> int:
    import secrets

    return secrets.randbelow(1000)


def _enqueue(plan: "Sequence[Variant]", out: Path, *, as_json: bool) -> None:
    from infertui.cli.running.enqueue import enqueue

    enqueue(plan, title="bench", out=out, as_json=as_json)
    place = plan[0].place
    if not as_json and place:
        say(f"Afterwards: infertui compare --bench {place.bench}")


def _store(out: Path) -> "Store":
    from infertui.cli.reading.lookup import opened

    return opened(out)
