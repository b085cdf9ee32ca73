"""A study of offloading from the command line: measured run by run, and continued."""

import asyncio
import contextlib
import shlex
import sys
from pathlib import Path

import msgspec

from infertui.analysis.offload.plan import STUDY, OffloadPlan
from infertui.analysis.offload.points import layers_of, point_of
from infertui.analysis.offload.study import OffloadStudy
from infertui.api.spawn import find_running
from infertui.cli.flags import Ui
from infertui.cli.offload.text import progress_line
from infertui.cli.output import say
from infertui.cli.reading.lookup import opened
from infertui.cli.running.benchview import bench_view
from infertui.cli.running.foreground import FAILED, INTERRUPTED, INVALID, OK, USAGE, RunView, run_in_foreground
from infertui.config.sources import load
from infertui.errors import InfertuiError, StoreError, UsageError
from infertui.metrics.registry import metric_of
from infertui.results.jsonl import store_error
from infertui.results.result import Result
from infertui.runner.events import AnyRunEvent, RunRefused
from infertui.runner.offloading import CONFIG, PROFILE, Offloading, place_of
from infertui.text import clean


def measure(study: Offloading, ui: Ui, *, quiet: bool) -> int:
    """Measure what is missing, and return the exit code. Interrupted, it keeps what was measured."""
    study.keep()
    stream = sys.stderr if quiet else sys.stdout
    view = _Watching(bench_view(ui, stream, _Told(study), quiet=quiet), study)
    first = study.next_variants()[:1]
    if not first:
        return OK
    code = run_in_foreground(
        first,
        out=study.out,
        save_json=None,
        as_json=False,
        ui=ui,
        view=view,
        following=lambda _: study.next_variants()[:1],
    )
    study.keep()
    if code in (INTERRUPTED, USAGE):
        return code
    if not any(point.measured for point in study.points()):
        return FAILED
    return INVALID if any(point.doubts for point in study.points()) else OK


class _Told:
    """A line for each run of a study that has ended."""

    def __init__(self, study: Offloading) -> None:
        self._study = study
        self._done = len(study.points())

    def take(self, result: Result) -> list[str]:
        self._done += 1
        plan = self._study.plan
        layers = layers_of(result, plan.most) or 0
        seconds = metric_of("seconds").number(result)
        most = max(plan.runs, self._done)
        return [progress_line(point_of(result, layers), self._done, most, seconds, exactly=bool(plan.layers))]


class _Watching:
    """Shows through another view, and notes runs that are refused."""

    def __init__(self, view: RunView, study: Offloading) -> None:
        self._view, self._study = view, study

    def take(self, event: AnyRunEvent) -> None:
        if isinstance(event, RunRefused):
            self._study.refused(event)
        self._view.take(event)

    def __enter__(self) -> "_Watching":
        self._view.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._view.__exit__(*exception)


def continued(out: Path, name: str, ceiling: float | None = None) -> Offloading:
    """A study of before, by its name or a beginning of it that no other has, with its own ceiling or this one.

    Raises UsageError and StoreError.
    """
    folders = [folder for folder in opened(out).folders_with(PROFILE) if name and folder.name.startswith(name)]
    exact = [folder for folder in folders if folder.name == name]
    if len(exact or folders) != 1:
        problem = f"{len(folders)} studies begin with" if folders else "there is no study"
        raise UsageError(
            f"{problem} {clean(name)!r} in {clean(str(out))}",
            remedy="Write more of its name." if folders else "`infertui profile MODEL` begins one, and tells its name.",
        )
    folder = (exact or folders)[0]
    _must_not_wait(folder.name)
    kept = read_study(folder / PROFILE)
    config = load(str(folder / CONFIG), environ={}).config
    place = place_of(config, kept.card.ceiling if ceiling is None else ceiling)
    plan = OffloadPlan(kept.study, config, kept.subject.layers, place.card, kept.asked)
    return Offloading(plan, place, out, kept.notes)


def _must_not_wait(study: str) -> None:
    """Raise UsageError while runs of a study are in the runner's queue."""

    async def waiting() -> int:
        with contextlib.suppress(InfertuiError):
            entries = (await (await find_running()).snapshot()).entries
            return sum(
                entry.state in ("queued", "running") and entry.config.labels.get(STUDY) == study for entry in entries
            )
        return 0

    if count := asyncio.run(waiting()):
        raise UsageError(
            f"{count} run{'s' if count > 1 else ''} of {clean(study)} are in the queue still",
            remedy="Wait for them (`infertui status`), or cancel them on the screen.",
        )


def read_study(path: Path) -> OffloadStudy:
    """What a study's file holds. Raises StoreError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=OffloadStudy)
    except OSError as error:
        raise store_error(path, error) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{clean(str(path))} is no study of offloading: {clean(str(error))[:200]}") from error


def tell_interrupted(study: Offloading) -> None:
    """How an interrupted study goes on."""
    where = [] if str(study.out) == "reports" else ["--out", clean(str(study.out))]
    command = shlex.join(["infertui", "profile", "--continue", study.plan.study, *where])
    say(f"infertui: it goes on with: {command}", err=True)
