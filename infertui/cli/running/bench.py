"""`infertui bench`: configurations measured in turn, round after round, and compared in pairs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from msgspec import Struct

from infertui.cli.flags import (
    REPORTS,
    BatchSizeFlag,
    DeviceFlag,
    EqualWithinFlag,
    InputLenFlag,
    IterationsFlag,
    LabelFlag,
    ModelFlag,
    OutFlag,
    OutputLenFlag,
    PullFlag,
    ReportFlag,
    SetInAllFlag,
    Ui,
    UiFlag,
    band_of,
    measured_here,
    pairs,
    refuse_with_queue,
)
from infertui.cli.output import say
from infertui.cli.reading import compare
from infertui.cli.reading.compare import show_bench
from infertui.cli.reading.lookup import bench_named
from infertui.cli.reading.report import report_after
from infertui.config.bench_plan import DEFAULT_ROUNDS
from infertui.env_file import with_env_file

if TYPE_CHECKING:
    from infertui.config.schema import Config
    from infertui.config.sweep import Place, Variant
    from infertui.results.result import Result
    from infertui.results.runs import Store


EPILOG = """[bold]Examples[/bold]

  infertui bench baseline --vary engine.mode=eager,cudagraph

  infertui bench before.toml after.toml --repeat 10

  infertui bench RUN_ID RUN_ID --set measurement.iterations=20 --fail-if "throughput < -3%"

  infertui bench --model synthetic:gpt2-124m -b 8 --vary engine.mode=eager,static,compile --markdown

  infertui bench baseline baseline      (a self-comparison: it should find them equal)

  infertui bench pytorch trtllm --model openai-community/gpt2 --pull --report

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
        typer.Argument(
            metavar="[PRESET|FILE|MODEL|RUN]...", help="What to compare, the baseline first; a run repeats it."
        ),
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
    batch_size: BatchSizeFlag = None,
    input_len: InputLenFlag = None,
    output_len: OutputLenFlag = None,
    iterations: IterationsFlag = None,
    label: LabelFlag = None,
    sets: SetInAllFlag = None,
    resume: Annotated[
        str,
        typer.Option("--continue", metavar="ID", help="Measure what a bench still lacks, of --repeat rounds in all."),
    ] = "",
    out: OutFlag = REPORTS,
    pull: PullFlag = False,
    report: ReportFlag = False,
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
    asked = BenchFlags(
        targets=tuple(targets or ()), vary=tuple(vary or ()), repeat=repeat, seed=seed, model=model, device=device,
        batch_size=batch_size, input_len=input_len, output_len=output_len, iterations=iterations,
        label=tuple(label or ()), sets=tuple(sets or ()), resume=resume, out=out, ui=ui, pull=pull, report=report,
        rules=tuple(compare.rules_of(fail_if or [], rounds=True)), equal_within=band_of(equal_within),
        with_invalid=with_invalid, as_json=as_json, as_markdown=as_markdown,
    )  # fmt: skip
    asked.check()
    planned = _continued(asked) if resume else _begun(asked)
    if dry_run:
        from infertui.cli.running.dry_run import foresee, total_text

        for variant in planned.runs:
            say(variant.name)
        found = foresee(planned.runs, out)
        for problem in dict.fromkeys(f"{one.problem}. {one.remedy}" for one in found if one.problem):
            say(f"would fail: {problem}", err=True)
        say(total_text(found), err=True)
    elif queue:
        _queue(asked, planned)
    else:
        measured_here()
        raise typer.Exit(_measure(asked, planned))


class BenchFlags(Struct, frozen=True, kw_only=True):
    """What was given on the command line; None: not given."""

    targets: tuple[str, ...]
    vary: tuple[str, ...]
    repeat: int | None
    seed: int | None
    model: str | None
    device: str | None
    batch_size: str | None
    input_len: str | None
    output_len: str | None
    iterations: str | None
    label: tuple[str, ...]
    sets: tuple[str, ...]
    resume: str
    out: Path
    ui: Ui
    pull: bool
    report: bool
    rules: "tuple[compare.Rule, ...]"
    equal_within: float
    with_invalid: bool
    as_json: bool
    as_markdown: bool

    @property
    def configs(self) -> dict[str, tuple[str, str | None]]:
        """The keys of the config that flags of their own set, each with the flag's name and value."""
        return {
            "model.id": ("--model", self.model),
            "device.name": ("--device", self.device),
            "workload.batch_size": ("--batch-size", self.batch_size),
            "workload.input_len": ("--input-len", self.input_len),
            "workload.output_len": ("--output-len", self.output_len),
            "measurement.iterations": ("--iterations", self.iterations),
        }

    @property
    def quiet(self) -> bool:
        """Whether standard output is kept for the one document in the end."""
        return self.as_json or self.as_markdown

    def check(self) -> None:
        """Raise UsageError for flags that exclude each other."""
        from infertui.errors import UsageError

        if self.as_json and self.as_markdown:
            raise UsageError("--json and --markdown exclude each other")
        lists = (self.targets, self.vary, self.label, self.sets)
        values = (self.seed, *(value for _, value in self.configs.values()))
        if self.resume and (any(lists) or any(value is not None for value in values)):
            raise UsageError("--continue repeats a bench as it was: of what is measured only --repeat can be changed")


class PlannedBench(NamedTuple):
    """The runs to measure, in their order, and the results that there are of the bench already."""

    runs: "Sequence[Variant]"
    earlier: "list[Result]"

    @property
    def place(self) -> "Place | None":
        """Of one of its runs: what the bench is called, and its configs."""
        return self.runs[0].place if self.runs else self.earlier[0].bench if self.earlier else None


def _begun(asked: BenchFlags) -> PlannedBench:
    """A bench of what the command line names. Raises UsageError and ConfigError."""
    from infertui.config.bench_plan import plan_bench

    rounds = DEFAULT_ROUNDS if asked.repeat is None else asked.repeat
    return PlannedBench(plan_bench(_arms(asked), rounds, _drawn() if asked.seed is None else asked.seed), [])


def _continued(asked: BenchFlags) -> PlannedBench:
    """What a bench still lacks. A run that is invalid is not repeated: picking runs would bend what is found."""
    from infertui.config.bench_plan import plan_rest

    earlier = bench_named(_store(asked.out), asked.resume)
    configs = {result.bench.arm: result.own_config for result in earlier if result.bench}
    finished = [result.bench for result in earlier if result.bench and result.state == "finished"]
    places = [result.bench for result in earlier if result.bench]
    return PlannedBench(plan_rest(places, finished, configs.get, asked.repeat), earlier)


def _queue(asked: BenchFlags, planned: PlannedBench) -> None:
    from infertui.cli.running.enqueue import enqueue

    refuse_with_queue(
        {"--ui": asked.ui != "auto", "--fail-if": bool(asked.rules), "--markdown": asked.as_markdown,
         "--report": asked.report}
    )  # fmt: skip
    _pull(asked, planned)
    enqueue(planned.runs, title="bench", out=asked.out, as_json=asked.as_json)
    if not asked.as_json and planned.place:
        say(f"Afterwards: infertui compare --bench {planned.place.bench}")


def _measure(asked: BenchFlags, planned: PlannedBench) -> int:
    """Run what is planned, print what all rounds say, and return the exit code."""
    _pull(asked, planned)
    code = _run(asked, planned)
    store = _store(asked.out)
    found = store.results_of_bench(planned.place.bench) if planned.place else []
    return _told(asked, planned, found, code, store) if found else code


def _pull(asked: BenchFlags, planned: PlannedBench) -> None:
    if asked.pull:
        from infertui.cli.machine.models import fetch_missing

        fetch_missing([variant.config for variant in planned.runs])


def _run(asked: BenchFlags, planned: PlannedBench) -> int:
    from infertui.cli.running.benchview import Standing, bench_view
    from infertui.cli.running.foreground import OK, run_in_foreground

    place, stream = planned.place, sys.stderr if asked.quiet else sys.stdout
    if not planned.runs or place is None:
        return OK
    view = bench_view(asked.ui, stream, Standing(planned.earlier), quiet=asked.quiet)
    say(f"{place.bench}: {len(planned.runs)} runs, order drawn with seed {place.seed}", stream=stream)
    return run_in_foreground(planned.runs, out=asked.out, save_json=None, as_json=False, ui=asked.ui, view=view)


def _told(asked: BenchFlags, planned: PlannedBench, found: "list[Result]", code: int, store: "Store") -> int:
    """Print what was found, write the report, and hold it against the rules: the exit code."""
    from infertui.analysis.bench import bench_report
    from infertui.cli.running.foreground import INTERRUPTED, INVALID, OK

    report = bench_report(found, with_invalid=asked.with_invalid, equal_within=asked.equal_within)
    if not asked.quiet:
        say("")
    show_bench(report, as_json=asked.as_json, as_markdown=asked.as_markdown)
    if report.missing:
        arms = set(planned.place.arms if planned.place else ())
        known = {result.bench.arm for result in found if result.bench} >= arms
        how = f": `infertui bench --continue {report.bench}`" if known else ""
        say(f"{report.missing} runs are missing{how}", err=True)
    if asked.report and code != INTERRUPTED:
        report_after(asked.out, found, store, equal_within=asked.equal_within, with_invalid=asked.with_invalid)
    if code == OK and report.invalid:
        code = INVALID  # of a bench that is continued, an earlier run can be
    if code in (OK, INVALID):
        compare.enforce(report.comparisons, asked.rules, report.failed)
    return code


def _arms(asked: BenchFlags) -> "list[tuple[str, Config]]":
    """The configs that the command line asks for, with names that tell them apart."""
    from infertui.config.sources import load
    from infertui.config.sweep import variants_of

    flags: dict[str, tuple[str, object]] = dict(asked.configs)
    for flag, prefix, texts in (("--label", "labels", asked.label), ("--vary", "sweep.grid", asked.vary)):
        flags |= {f"{prefix}.{key}": (flag, value) for key, value in pairs(flag, texts)}
    arms: list[tuple[str, Config]] = []
    named: list[str | None] = [*asked.targets] or [None]
    for target in named:
        source, title = _source(target, asked.out)
        config = load(source, environ=with_env_file(), sets=asked.sets, flags=flags).config
        alone = title if len(named) > 1 or not asked.vary else ""
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


def _drawn() -> int:
    import secrets

    return secrets.randbelow(1000)


def _store(out: Path) -> "Store":
    from infertui.cli.reading.lookup import opened

    return opened(out)
