"""`infertui capacity`: how much load a server takes while it keeps its objectives."""

import contextlib
import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infertui.cli.flags import (
    REPORTS,
    AnswerLenFlag,
    ApiFlag,
    ApiKeyEnvFlag,
    LoadSeedFlag,
    OutFlag,
    PromptLenFlag,
    ServedModelFlag,
    SetFlag,
    Ui,
    UiFlag,
)
from infertui.cli.load.load import PRESET
from infertui.cli.output import console, progress, say, say_json, warn
from infertui.env_file import with_env_file

if TYPE_CHECKING:
    from infertui.analysis.capacity.outcome import CapacityOutcome
    from infertui.analysis.capacity.search import SearchPlan
    from infertui.config.schema import Config
    from infertui.endings import Asked
    from infertui.runner.capacity.folder import CapacityFolder
    from infertui.runner.capacity.searching import EndpointFound, StayOver, StayProgress

EPILOG = """[bold]Examples[/bold]

  infertui capacity http://127.0.0.1:8000 --slo "ttft.p95<500ms tpot.mean<30ms"

  infertui capacity http://127.0.0.1:8000 --slo "e2e.p90<5s" --by rate --isl 1024 --osl 256

  infertui capacity http://127.0.0.1:8000 --slo "ttft:200 tpot:20" --attainment 0.9 --max 64

  infertui capacity --continue capacity-20260301-101500-3f9a      (goes on where it ended)

Levels double until an objective is not kept, then the boundary is closed in on. The load is changed while it runs; at
each level it is waited until latencies have settled, and time is spent where the interval straddles a limit. Ctrl-C
keeps what was measured. A term without a statistic (ttft<200ms) has to be kept by --attainment of the requests; at most
1 % may fail. Exit code 3: something speaks against the figures, as where the client itself was measured.
"""
_MOST_SECONDS = 86_400.0
_STAY_S, _STAY_RATE_S = 10.0, 30.0
_OURS = ("target.serve", "load.concurrency", "load.request_rate", "load.ramp_s", "load.steps", "load.trace")


def capacity(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="The server, as in http://127.0.0.1:8000.")] = None,
    slo: Annotated[
        str | None,
        typer.Option("--slo", "--goodput", metavar="TERMS", help='As in "ttft.p99<200ms tpot.mean<20ms".'),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="WHAT", help="concurrency: requests in flight; rate: requests a second.")
    ] = "concurrency",
    start: Annotated[float | None, typer.Option("--start", metavar="N", help="First level: the least.")] = None,
    least: Annotated[float | None, typer.Option("--min", metavar="N", help="Least level: 1.")] = None,
    most: Annotated[float | None, typer.Option("--max", metavar="N", help="Most: 4096.")] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", metavar="SHARE", help="How near the boundary has to be known.")
    ] = 0.05,
    attainment: Annotated[
        float, typer.Option("--attainment", metavar="SHARE", help="Of requests that keep terms without a statistic.")
    ] = 0.95,
    stay: Annotated[
        float | None, typer.Option("--stay", metavar="S", help="Seconds at a level, settled: 10; of a rate 30.")
    ] = None,
    max_seconds: Annotated[float, typer.Option("--max-seconds", metavar="S", help="For the whole search.")] = 1800.0,
    most_stays: Annotated[int, typer.Option("--max-stays", metavar="N", help="For the whole search.")] = 40,
    model: ServedModelFlag = None,
    api: ApiFlag = None,
    input_len: PromptLenFlag = None,
    output_len: AnswerLenFlag = None,
    api_key_env: ApiKeyEnvFlag = None,
    seed: LoadSeedFlag = None,
    sets: SetFlag = None,
    resume: Annotated[str, typer.Option("--continue", metavar="ID", help="Go on with a search that ended early.")] = "",
    out: OutFlag = REPORTS,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON document.")] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw curves with ASCII characters alone.")] = False,
    ui: UiFlag = "auto",
) -> None:
    """Find the most load that a server takes while it keeps its objectives."""
    from infertui.errors import UsageError
    from infertui.runner.capacity.folder import CapacityFolder

    flags: dict[str, tuple[str, object]] = {
        "target.model": ("--model", model),
        "target.api": ("--api", api),
        "target.api_key_env": ("--api-key-env", api_key_env),
        "load.slo": ("--slo", slo),
        "workload.input_len": ("--isl", input_len),
        "workload.output_len": ("--osl", output_len),
        "workload.seed": ("--seed", seed),
    }
    if resume:
        if url or start or least or most or stay or sets or any(value is not None for _, value in flags.values()):
            raise UsageError("--continue goes on with a search as it was: nothing of it can be changed")
        folder = CapacityFolder.open(out, resume)
    else:
        if not url:
            raise UsageError("which server?", remedy='infertui capacity URL --slo "ttft.p99<200ms", or --continue ID.')
        # How long a queue is changes slowly where a server is nearly busy: short looks at it mislead.
        stay = (_STAY_S if by == "concurrency" else _STAY_RATE_S) if stay is None else stay
        for name, value, high in (("--stay", stay, 3600.0), ("--max-seconds", max_seconds, _MOST_SECONDS)):
            _within(name, value, 0.1, high)
        config = _config(url, flags, sets or [])
        plan = _plan(config, by, (start, least, most), tolerance, attainment, (max_seconds, most_stays))
        folder = _begun(config, plan, attainment, stay, out)
    raise typer.Exit(_search(folder, ui, as_json=as_json, ascii_only=ascii_only))


def _config(url: str, flags: "dict[str, tuple[str, object]]", sets: list[str]) -> "Config":
    """What is asked at each level; the level is the search's."""
    from infertui.config.sources import DEFAULT, load
    from infertui.errors import ConfigError, UsageError

    given = {
        **flags,
        "target.url": ("URL", url),
        "target.kind": ("infertui capacity", "endpoint"),
        "workload.num_prompts": ("infertui capacity", 0),
    }
    asked = load(PRESET, environ=with_env_file(), sets=sets, flags=given)
    for key in _OURS:
        if asked.sources.get(key, DEFAULT) != DEFAULT:
            problem = "is what a search changes by itself" if key != "target.serve" else "is for `infertui load`"
            raise ConfigError(key, problem, remedy=f"Leave {key} out.")
    config = asked.config
    if config.sweep.grid or config.sweep.zip:
        raise UsageError("a search has one config: leave sweeps away")
    return config


def _plan(
    config: "Config",
    by: str,
    levels: tuple[float | None, float | None, float | None],
    tolerance: float,
    attainment: float,
    limits: tuple[float, int],
) -> "SearchPlan":
    from infertui.analysis.capacity.observed import objectives
    from infertui.analysis.capacity.search import SearchPlan
    from infertui.errors import ConfigError, UsageError
    from infertui.measure.load.slo import parse_slo
    from infertui.text import quoted

    slo = parse_slo(config.load.slo)
    if not slo.terms:
        raise ConfigError("load.slo", "is empty: a capacity is that up to which objectives are kept", remedy="--slo")
    if by not in ("concurrency", "rate"):
        raise UsageError(f"--by {quoted(by, 40)} is none of concurrency and rate")
    kind = "concurrency" if by == "concurrency" else "rate"
    start, least, most = levels
    least = 1.0 if least is None else least
    most = 4096.0 if most is None else most
    start = max(least, min(1.0, most)) if start is None else start
    _within("--min", least, 1.0 if by == "concurrency" else 0.001, 65536.0)
    _within("--max", most, least, 65536.0)
    _within("--start", start, least, most)
    _within("--tolerance", tolerance, 0.01, 1.0)
    _within("--attainment", attainment, 0.01, 0.9999)
    _within("--max-stays", limits[1], 1, 1000)
    if kind == "concurrency" and any(level != int(level) for level in (start, least, most)):
        raise UsageError("--start, --min and --max are whole numbers of requests in flight")
    return SearchPlan(
        kind,  # type: ignore[arg-type]
        objectives(slo, attainment),
        start=start,
        least=least,
        most=most,
        tolerance=tolerance,
        most_stays=limits[1],
        most_seconds=limits[0],
    )


def _within(flag: str, value: float, low: float, high: float) -> None:
    from infertui.errors import UsageError

    if not (math.isfinite(value) and low <= value <= high):
        raise UsageError(f"{flag} is {value:g}; allowed: {low:g} to {high:g}")


def _begun(config: "Config", plan: "SearchPlan", attainment: float, stay: float, out: Path) -> "CapacityFolder":
    from datetime import datetime

    from infertui.cli.reading.lookup import opened
    from infertui.runner.capacity.folder import CapacityFolder, CapacityRecord, search_id
    from infertui.targets.endpoint.address import parse_url

    address = parse_url(config.target.url)
    now = datetime.now().astimezone()
    opened(out)
    record = CapacityRecord(search_id(now), now.isoformat(), address.shown, config.load.slo, attainment, plan, stay)
    return CapacityFolder(out / record.search, record, config)


def _search(folder: "CapacityFolder", ui: Ui, *, as_json: bool, ascii_only: bool) -> int:
    """Search, print what was found, and return the exit code."""
    import asyncio

    from infertui.cli.load.capacity_text import outcome_lines
    from infertui.cli.running.foreground import FAILED, INTERRUPTED, INVALID, OK
    from infertui.endings import Asked

    view = _View(folder.record.plan, ui, as_json=as_json)
    outcome: CapacityOutcome | None
    with Asked() as asked:
        try:
            outcome = asyncio.run(_run(folder, view, asked))
        except (KeyboardInterrupt, asyncio.CancelledError):
            outcome = folder.record.outcome
    view.end()
    if outcome is None:
        say("infertui: interrupted before anything was measured", err=True)
        return INTERRUPTED
    if as_json:
        say_json(folder.record)
    else:
        width = console().width if sys.stdout.isatty() else None
        say("")
        for line in outcome_lines(folder.record, outcome, ascii_only=ascii_only, width=width):
            say(line)
    say(f"kept in {folder.path}", stream=sys.stderr if as_json else sys.stdout)
    if outcome.ending == "interrupted":
        command = ["infertui", "capacity", "--continue", str(folder.path)]
        say(f"infertui: it goes on with: {shlex.join(command)}", err=True)
        return INTERRUPTED
    if outcome.capacity is None:
        return FAILED
    return INVALID if outcome.notes else OK


async def _run(folder: "CapacityFolder", view: "_View", asked: "Asked") -> "CapacityOutcome":
    import asyncio

    from infertui.load.prompts import load_prompts
    from infertui.runner.blocking import run_blocking
    from infertui.runner.capacity.searching import CapacitySearch
    from infertui.targets.endpoint.address import parse_url
    from infertui.targets.endpoint.extras import key_of

    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def end() -> None:
        if task and not task.cancelling():  # repeated, signals change nothing
            loop.call_soon_threadsafe(task.cancel)  # from a signal's handler: this wakes the loop

    asked.then(end)
    try:
        config = folder.config
        stays = folder.stays(warn)
        prompts = await run_blocking(lambda: load_prompts(config.workload))
        found = await _found(folder, view)
        key = key_of(config.target, parse_url(config.target.url))
        search = CapacitySearch(folder, found, key=key, prompts=prompts, stays=stays, tell=view.take)
        return await search.run()
    finally:
        asked.then(lambda: None)


async def _found(folder: "CapacityFolder", view: "_View") -> "EndpointFound":
    """Asks the server what it is, and keeps that with the search."""
    from msgspec.structs import replace

    from infertui.runner.capacity.searching import EndpointFound
    from infertui.targets.endpoint.probe import probe

    target = folder.config.target
    facts = await probe(target, exactly=folder.config.load.ignore_eos, told=view.note)
    for note in facts.notes:
        view.note(note)
    server = " ".join(part for part in (facts.server, facts.version) if part)
    folder.make()  # not before: a server that is not there leaves nothing behind
    folder.keep(replace(folder.record, api=facts.api, model=facts.model, server=server))
    return EndpointFound(facts.api, facts.model, server, facts.token_s or 0.0, facts.without)


class _View:
    """A line for each stay, and in a terminal one for the present one, which is overwritten."""

    def __init__(self, plan: "SearchPlan", ui: Ui, *, as_json: bool) -> None:
        self._plan = plan
        self._stream = sys.stderr if as_json else sys.stdout
        self._quiet = ui == "none"
        self._live = ui == "live" or (ui == "auto" and sys.stderr.isatty())

    def take(self, told: "StayProgress | StayOver") -> None:
        """Show it."""
        from infertui.cli.load.capacity_text import progress_text, stay_line
        from infertui.runner.capacity.searching import StayOver

        if self._quiet:
            return
        with contextlib.suppress(OSError, UnicodeError):  # who reads it may have gone away: the search goes on
            if isinstance(told, StayOver):
                self.end()
                say(stay_line(self._plan, told, told.stay.observation.stay + 1), stream=self._stream)
            elif self._live:
                progress(progress_text(self._plan, told))

    def note(self, text: str) -> None:
        """What is worth a line besides."""
        with contextlib.suppress(OSError, UnicodeError):
            self.end()
            say(f"note: {text}", err=True)

    def end(self) -> None:
        """The line that is overwritten is no more."""
        if self._live:
            progress("")
