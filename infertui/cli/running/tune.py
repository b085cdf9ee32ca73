"""`infertui tune`: knobs turned one after another on a target that stays loaded, each setting measured by itself."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from infertui.cli.flags import (
    REPORTS,
    BatchSizeFlag,
    DeviceFlag,
    InputLenFlag,
    LabelFlag,
    ModelFlag,
    OutFlag,
    OutputLenFlag,
    PullFlag,
    SetFlag,
    pairs,
)
from infertui.cli.output import progress, say, say_json
from infertui.env_file import with_env_file

if TYPE_CHECKING:
    from infertui.analysis.tuning.segment import Segment
    from infertui.endings import Asked
    from infertui.runner.runner import Runner
    from infertui.runner.tuning.state import TuningRequest, TuningView

SEGMENT_S, BUDGET_S = 10.0, 120.0
LENGTHENED = 3.0
"""So many times its length a setting goes on at most."""
_PINNED = re.compile("[0-9]{1,9}(,[0-9]{1,9})*")
LOAD = "load"
"""The preset of a server under load."""

EPILOG = """[bold]Examples[/bold]

  infertui tune demo --turn workload.batch_size=1,2,4,8

  infertui tune baseline --turn workload.batch_size=1-64*2 --segment-seconds 5 --until-clear

  infertui tune baseline --script changes.jsonl --json

  infertui tune baseline --climb workload.batch_size --budget 60 --pin best

  infertui tune http://127.0.0.1:8000 --turn load.concurrency=1,4,16 --segment-seconds 30

  infertui tune --continue tuning-20260301-101500-3f9a

A script holds a change a line: [bold]{"workload.batch_size": 4, "seconds": 20}[/bold]; {} measures once more the same.
As TOML it holds [bold]\\[\\[segment]][/bold] tables with the same keys.

The model stays loaded where a change allows that. Every setting has its own warm-up, requests and figures, in the
folder of the session; --pin makes an ordinary run of one, whose run.toml repeats it.

Exit code 1: a segment failed, 3: one is invalid.
"""


class TuneFlags(Struct, frozen=True, kw_only=True):
    """What was given on the command line; None: not given."""

    target: str | None
    flags: dict[str, tuple[str, object]]
    sets: tuple[str, ...]
    turn: tuple[str, ...]
    script: Path | None
    climb: str
    budget_s: float
    segment_s: float
    until_clear: bool
    most_s: float | None
    pin: str
    resume: str
    out: Path
    pull: bool
    gpu_settings: bool
    as_json: bool

    def check(self) -> None:
        """Raises UsageError for flags that contradict each other."""
        from infertui.errors import UsageError

        ways = [name for name, given in (("--turn", self.turn), ("--script", self.script), ("--climb", self.climb),
                                         ("--continue", self.resume)) if given]  # fmt: skip
        if len(ways) != 1:
            raise UsageError(
                f"{' and '.join(ways)} exclude each other" if ways else "nothing is turned",
                remedy="Give one of --turn KEY=LIST, --script FILE, --climb KEY and --continue ID.",
            )
        if not 0 < self.segment_s <= 86400:
            raise UsageError("--segment-seconds takes a number above 0, at most 86400")
        if self.most_s is not None and not 0 <= self.most_s <= 86400:
            raise UsageError("--most-seconds takes a number from 0 to 86400")
        if self.pin not in ("", "best", "all") and not _PINNED.fullmatch(self.pin):
            raise UsageError("--pin takes best, all, or numbers of segments such as 1,3")


def tune(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[PRESET|FILE|URL]", help="Where it starts: preset, TOML file, URL of a server."),
    ] = None,
    turn: Annotated[
        list[str] | None,
        typer.Option("--turn", metavar="KEY=LIST", help="Values of a key, one after another: 1,2,4; repeatable."),
    ] = None,
    script: Annotated[
        Path | None, typer.Option("--script", metavar="FILE", help="A script of changes: JSONL or TOML.")
    ] = None,
    climb: Annotated[str, typer.Option("--climb", metavar="KEY", help="Find the best value of a key by itself.")] = "",
    budget: Annotated[float, typer.Option("--budget", metavar="S", help="Seconds that --climb may take.")] = BUDGET_S,
    segment_seconds: Annotated[
        float, typer.Option("--segment-seconds", metavar="S", help="Seconds that each setting is measured.")
    ] = SEGMENT_S,
    most_seconds: Annotated[
        float | None,
        typer.Option(
            "--most-seconds",
            metavar="S",
            help="How long a setting that is unclear goes on; 0: it does not. Without: three times as long.",
        ),
    ] = None,
    until_clear: Annotated[
        bool, typer.Option("--until-clear", help="Go on as soon as it is clear how a setting compares.")
    ] = False,
    pin: Annotated[
        str, typer.Option("--pin", metavar="WHICH", help="Make ordinary runs of segments: best, all, or numbers: 1,3.")
    ] = "",
    model: ModelFlag = None,
    device: DeviceFlag = None,
    batch_size: BatchSizeFlag = None,
    input_len: InputLenFlag = None,
    output_len: OutputLenFlag = None,
    label: LabelFlag = None,
    sets: SetFlag = None,
    resume: Annotated[str, typer.Option("--continue", metavar="ID", help="Go on with the script of a session.")] = "",
    out: OutFlag = REPORTS,
    pull: PullFlag = False,
    gpu_settings: Annotated[
        bool,
        typer.Option(
            "--gpu-settings",
            help="Let gpu.power_limit_w and gpu.sm_clock_mhz be turned, too; as before afterwards. Needs root.",
        ),
    ] = False,
    server_settings: Annotated[
        bool,
        typer.Option(
            "--server-settings",
            help="Let what the server lets be changed be turned, too, as server.KEY; as before afterwards.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each segment as a line of JSON.")] = False,
) -> None:
    """Turn knobs on a target that stays loaded, and see what each setting does."""
    given: dict[str, tuple[str, object]] = {
        "model.id": ("--model", model),
        "device.name": ("--device", device),
        "workload.batch_size": ("--batch-size", batch_size),
        "workload.input_len": ("--input-len", input_len),
        "workload.output_len": ("--output-len", output_len),
    }
    given |= {f"labels.{key}": ("--label", value) for key, value in pairs("--label", label or ())}
    asked = TuneFlags(
        target=target, flags=given, sets=tuple(sets or ()), turn=tuple(turn or ()), script=script, climb=climb,
        budget_s=budget, segment_s=segment_seconds, until_clear=until_clear, most_s=most_seconds, pin=pin,
        resume=resume, out=out, pull=pull, gpu_settings=gpu_settings or server_settings, as_json=as_json,
    )  # fmt: skip
    asked.check()
    request = _request(asked)
    if asked.pull:
        from infertui.cli.machine.models import fetch_missing

        fetch_missing([request.config])
    raise typer.Exit(_measure(asked, request))


def _request(asked: TuneFlags) -> "TuningRequest":
    from infertui.cli.reading.lookup import opened
    from infertui.config.schema import SweepConfig
    from infertui.config.sources import load
    from infertui.errors import UsageError
    from infertui.runner.tuning.folder import TuningFolder
    from infertui.runner.tuning.script import read_script, turns
    from infertui.runner.tuning.state import TuningRequest

    opened(asked.out)
    out = str(asked.out.absolute())
    if asked.resume:
        folder = TuningFolder.found(asked.out.absolute(), asked.resume)
        if not folder.kept.steps:
            raise UsageError(f"{folder.kept.id} follows no script: there is nothing to go on with")
        return TuningRequest(folder.config, out, continues=folder.kept.id, steps=folder.kept.steps,
                             seconds=folder.kept.seconds)  # fmt: skip
    target, flags = asked.target, asked.flags
    if target is not None and target.startswith(("http://", "https://", "unix:")):
        target, flags = LOAD, {**flags, "target.url": ("the URL", target)}
    config = load(target, environ=with_env_file(), sets=asked.sets, flags=flags).config
    if config.sweep != SweepConfig():
        raise UsageError("a sweep cannot be tuned", remedy="Give its values with --turn KEY=LIST.")
    steps = (
        read_script(asked.script) if asked.script else turns(config, pairs("--turn", asked.turn)) if asked.turn else ()
    )
    title = Path(asked.target).name if asked.target else ""
    return TuningRequest(
        config,
        out,
        title,
        asked.segment_s if steps else 0.0,
        until_clear=asked.until_clear and bool(steps),
        most_seconds=LENGTHENED * asked.segment_s if asked.most_s is None else asked.most_s,
        steps=steps,
        gpu_settings=asked.gpu_settings,
    )


def _measure(asked: TuneFlags, request: "TuningRequest") -> int:
    import asyncio

    from infertui.cli.running.foreground import INTERRUPTED
    from infertui.endings import Asked

    shown = _Shown(as_json=asked.as_json)
    with Asked() as ending:
        try:
            asyncio.run(_played(asked, request, shown, ending))
        except (KeyboardInterrupt, asyncio.CancelledError):
            by = f" by {ending.first.name}" if ending.first else ""
            say(f"infertui: interrupted{by}{shown.kept(asked.out)}", err=True)
            return INTERRUPTED
    return shown.code()


async def _played(asked: TuneFlags, request: "TuningRequest", shown: "_Shown", ending: "Asked") -> None:
    import asyncio

    from infertui.runner.runner import Runner

    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def end() -> None:
        if task:
            loop.call_soon_threadsafe(task.cancel)

    ending.then(end)
    try:
        async with Runner() as runner:
            try:
                name = await runner.begin_tuning(request)
                shown.begun(name, asked.out)
                await _followed(asked, runner, name, shown)
                await _pin(asked, runner, name, shown)
            finally:
                if ending.first:
                    runner.ended_by = f"{ending.first.name} ended it"
    finally:
        ending.then(lambda: None)


async def _followed(asked: TuneFlags, runner: "Runner", name: str, shown: "_Shown") -> None:
    """Show the session until it ends; one that climbs is ended when it has measured the best value again."""
    from infertui.runner.control import EventEnvelope, TuningChanged, TuningMeasured

    if climbing := bool(asked.climb):
        await runner.climb(name, asked.climb, asked.budget_s)
    async for told in runner.events(-1):  # the first is a snapshot
        if not isinstance(told, EventEnvelope):
            views = [view for view in told.tunings if view.id == name]
        elif isinstance(told.event, TuningChanged) and told.event.tuning.id == name:
            views = [told.event.tuning]
        elif isinstance(told.event, TuningMeasured) and told.event.tuning == name:
            shown.live(told.event.live.number, told.event.live.throughput, told.event.live.seconds)
            continue
        else:
            continue
        for view in views:
            shown.take(view)
            if view.status == "ended":
                return
            if climbing and not view.climbing:
                climbing = False
                await runner.end_tuning(name)


async def _pin(asked: TuneFlags, runner: "Runner", name: str, shown: "_Shown") -> None:
    from infertui.runner.tuning.folder import TuningFolder

    if not asked.pin:
        return
    for number in _chosen(asked.pin, TuningFolder.found(asked.out, name).segments()):
        run = await runner.pin_segment(name, number)
        say(f"infertui: segment {number} is the run {run}", err=True)


def _chosen(which: str, segments: "list[Segment]") -> list[int]:
    """The numbers of the segments that are to be pinned."""
    from infertui.analysis.tuning.segment import best_of

    if which == "best":
        best = best_of(segments)
        return [best.number] if best else []
    if which == "all":
        return [segment.number for segment in segments if segment.measured]
    return [int(part) for part in which.split(",")]


class _Shown:
    """What is printed of a session: a line a segment, and what is being measured where that is a terminal."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._error = ""
        self._told: set[int] = set()
        self.segments: list[Segment] = []
        """Those of this time."""

    def begun(self, name: str, out: Path) -> None:
        """The session has its folder; what an earlier one measured there is not told again."""
        from infertui.runner.tuning.folder import TuningFolder
        from infertui.text import clean

        self._told |= {one.number for one in TuningFolder.found(out, name).segments() if one.step or one.pinned}
        say(f"infertui: {name} in {clean(str(out))}", err=True)

    def take(self, view: "TuningView") -> None:
        """Print what is new."""
        from infertui.analysis.tuning.wording import segment_line

        self._error = view.error
        for segment in view.segments:
            if segment.number in self._told:
                continue
            self._told.add(segment.number)
            self.segments.append(segment)
            if not segment.measured and segment.error is None:
                continue  # the next change came before it measured
            progress("")
            if self._as_json:
                say_json(segment)
            else:
                say(segment_line(segment))
        if view.live is not None and view.phase != "measure":
            progress(f"{view.live.number:>3}  {view.live.name}: {view.phase or 'getting ready'}")

    def live(self, number: int, throughput: float | None, seconds: float) -> None:
        """What is being measured."""
        if throughput is not None:
            progress(f"{number:>3}  {throughput:,.1f} tok/s after {seconds:.1f} s")

    def kept(self, out: Path) -> str:
        """What is said of what was measured before it was cut off."""
        from infertui.text import clean

        return f"; what was measured is in {clean(str(out))}" if self.segments else ""

    def code(self) -> int:
        """The exit code."""
        from infertui.cli.running.foreground import FAILED, INVALID, OK

        progress("")
        if self._error:
            say(f"infertui: {self._error}", err=True)
        if self._error or any(segment.error is not None for segment in self.segments):
            return FAILED
        finished = [segment for segment in self.segments if segment.state == "finished"]
        return INVALID if any(segment.invalid for segment in finished) else OK
