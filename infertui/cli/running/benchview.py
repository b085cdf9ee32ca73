"""A bench, or another study, while it runs: a line for each run that has ended, and what whole rounds say so far."""

import os
from collections.abc import Callable, Sequence
from typing import Protocol, Self, TextIO

from rich.console import Group, RenderableType
from rich.text import Text

from infertui.analysis.bench import bench_report, headline
from infertui.cli.flags import Ui
from infertui.cli.output import say
from infertui.cli.running.foreground import RunView
from infertui.cli.running.live import LiveView
from infertui.cli.running.plain import error_lines, refusal
from infertui.measure.dependence import FEWEST
from infertui.metrics.reads import caveats
from infertui.metrics.registry import metric_of
from infertui.metrics.wording import median_text
from infertui.results.result import Result
from infertui.runner.events import AnyRunEvent, Noted, RunFinished, RunRefused, RunStarted
from infertui.text import clean
from infertui.units import format_number


class Tells(Protocol):
    """Knows what there is to say of a run that has ended."""

    def take(self, result: Result) -> list[str]:
        """The lines for it, its own first."""
        ...


class Standing:
    """What is known of a bench so far; `earlier` are its results from before it was continued."""

    def __init__(self, earlier: Sequence[Result] = ()) -> None:
        self._results = list(earlier)

    def take(self, result: Result) -> list[str]:
        """The lines for a run that has ended: its own and, where that completes a round, the interim verdicts."""
        self._results.append(result)
        lines = [run_line(result), *error_lines(result)]
        place = result.bench
        if place is None:
            return lines
        found = bench_report(self._results)
        ended = {clean(one.bench.arm) for one in self._results if one.bench and one.bench.round == place.round}
        whole = place.round + 1 in found.used and ended >= {arm.name for arm in found.arms}
        if whole and FEWEST <= len(found.used) < found.rounds:
            lines += [f"  after {len(found.used)} of {found.rounds} rounds: {text}" for text in headline(found)]
        return lines


def run_line(result: Result) -> str:
    """One run on one line."""
    summary, place = result.summary, result.bench
    rate = metric_of("throughput").number(result)
    name = f"round {place.round + 1}/{place.rounds}  {place.arm}" if place else result.name
    speed = f"{format_number(rate)} tok/s" if rate else "no figures"
    parts = [name, speed]
    if summary.ttft:
        parts.append(f"TTFT p50 {median_text(summary.ttft)}")
    if summary.tpot:
        parts.append(f"TPOT p50 {median_text(summary.tpot)}")
    wrong = [result.state] if result.state != "finished" else [f"INVALID: {text}" for text in result.verdict.invalid]
    return clean("  ".join([*parts, *wrong, *caveats(result)]))


class BenchLines:
    """Plain lines."""

    def __init__(self, stream: TextIO, standing: Tells) -> None:
        self._stream = stream
        self._standing = standing

    def take(self, event: AnyRunEvent) -> None:
        match event:
            case RunStarted():
                self._say(f"run {event.number}/{event.total} {clean(event.name)}: {event.folder}")
            case Noted():
                self._say(f"  {event.level}: {clean(event.text)}")
            case RunRefused():
                self._say(refusal(event))
            case RunFinished():
                for line in self._standing.take(event.result):
                    self._say(f"  {line}")
            case _:
                pass

    def _say(self, line: str) -> None:
        say(line, stream=self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class _Silent(BenchLines):
    def _say(self, line: str) -> None:
        pass


def bench_view(ui: Ui, stream: TextIO, standing: Tells, *, quiet: bool) -> RunView:
    """What shows a bench; with `quiet`, `auto` shows nothing where nobody looks."""
    if ui == "none" or (ui == "auto" and quiet and not stream.isatty()):
        return _Silent(stream, standing)
    if ui == "live" or (ui == "auto" and stream.isatty() and os.environ.get("TERM") != "dumb"):
        return LiveView(stream, _lines_of(standing))
    return BenchLines(stream, standing)


def _lines_of(standing: Tells) -> Callable[[RunFinished], RenderableType]:
    def stays(event: RunFinished) -> RenderableType:
        good = event.result.state == "finished" and event.result.verdict.valid
        first, *others = standing.take(event.result)
        return Group(Text(first, style="figure" if good else "failure"), *(Text(line) for line in others))

    return stays
