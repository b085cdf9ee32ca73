"""A run as plain lines, for logs, pipes and CI."""

import time
from typing import Self, TextIO

from infertui.analysis.effective import FALLBACK, identity
from infertui.analysis.summary_text import figures, headline, remedy, verdict_lines
from infertui.cli.output import say
from infertui.metrics.reads import fallback_of
from infertui.results.result import Result
from infertui.runner.endpoint.wording import counts_text, level_text, settled_text, speed_parts
from infertui.runner.events import (
    AnyRunEvent,
    BatchMeasured,
    Estimated,
    LoadProgressed,
    ModelLoaded,
    Noted,
    PhaseEntered,
    RunFinished,
    RunRefused,
    RunStarted,
)
from infertui.runner.execution.progress import OPTIONAL, RunProgress
from infertui.text import clean
from infertui.units import format_number, format_seconds

# Batches can be much faster than anyone reads.
BATCH_LINE_S = 1.0
LOAD_LINE_S = 5.0


class PlainView:
    """Writes a line when something happened."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress = RunProgress()
        self._last_batch_line = 0.0

    def take(self, event: AnyRunEvent) -> None:
        """Show the next event."""
        if isinstance(event, RunStarted):
            self._progress = RunProgress()
        self._progress.take(event)
        match event:
            case RunStarted():
                self._say("")
                name = f" {clean(event.name)}" if event.name else ""
                self._say(f"run {event.number}/{event.total}{name}: {event.folder}")
            case Estimated():
                self._say(clean("\n".join(event.lines), lines=True).replace("\n", "\n  "))
            case ModelLoaded():
                loaded = event.loaded
                how = "still loaded" if event.reused else f"loaded in {format_seconds(event.seconds)}"
                self._say(
                    clean(
                        f"{how}: {loaded.engine} {loaded.dtype} on {loaded.device_name} ({loaded.device}), "
                        f"attention {loaded.attention}"
                    )
                )
                if instead := fallback_of(loaded):
                    self._say(f"{FALLBACK}: {instead}")
            case PhaseEntered():
                before = self._ended(event)
                self._say(f"phase {event.phase}{before}")
            case BatchMeasured():
                self._batch(event)
            case LoadProgressed():
                self._load(event)
            case Noted():
                self._say(f"{event.level}: {clean(event.text)}")
            case RunRefused():
                self._say(refusal(event))
            case RunFinished():
                self._say("")
                for line in summary_lines(event.result, kept=event.kept):
                    self._say(line)
            case _:
                pass

    def _ended(self, event: PhaseEntered) -> str:
        """What the phase before this one took, where that is an engine's compiling or capturing."""
        ended = [phase for _, phase in self._progress.entered][-2:-1]
        seconds = self._progress.seconds_in(ended[0]) if ended and ended[0] in OPTIONAL else None
        return f", {ended[0]} took {format_seconds(seconds)}" if seconds is not None else ""

    def _batch(self, event: BatchMeasured) -> None:
        batch, progress = event.batch, self._progress
        total = progress.wanted
        last = batch.phase == "measure" and batch.index + 1 == total
        now = time.monotonic()
        if not (batch.error or last) and now - self._last_batch_line < BATCH_LINE_S:
            return
        self._last_batch_line = now
        if batch.error:
            self._say(f"  {batch.phase} {progress.unit} {batch.index + 1} failed: {clean(batch.error)}")
            return
        of = f"/{total}" if batch.phase == "measure" else ""
        speed = format_number(batch.tokens / batch.seconds) if batch.seconds else "-"
        ttft = f", TTFT {format_seconds(batch.ttft)}" if batch.ttft is not None else ""
        eta = progress.eta_s
        left = f", {format_seconds(eta)} left" if eta and batch.phase == "measure" else ""
        self._say(f"  {batch.phase} {batch.index + 1}{of}: {speed} tok/s{ttft}{left}")

    def _load(self, event: LoadProgressed) -> None:
        now = time.monotonic()
        if now - self._last_batch_line < LOAD_LINE_S:
            return
        self._last_batch_line = now
        parts = [level_text(event), counts_text(event), *speed_parts(event), settled_text(event)]
        self._say(f"  {event.phase} {event.elapsed:.0f} s: {', '.join(parts)}")

    def _say(self, line: str) -> None:
        say(line, stream=self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def refusal(event: RunRefused) -> str:
    """What is said of a run that was refused, in a line."""
    which = f"run {event.number}/{event.total}" + (f" {clean(event.name)}" if event.name else "")
    told = f"{event.error.message}; {event.error.remedy}" if event.error.remedy else event.error.message
    return f"{which} is refused: {clean(told)}"


def summary_lines(result: Result, *, kept: bool) -> list[str]:
    """The end of a run: state, figures, verdict, where it is kept."""
    lines = [f"{result.state}: {headline(result)}", *error_lines(result)]
    rows = identity(result) + (figures(result, brief=True) if result.measured else [])
    width = max((len(name) for name, _ in rows), default=0)
    lines += [f"  {name:<{width}}  {value}" for name, value in rows]
    lines += [f"  {level}: {text}" for level, text in verdict_lines(result)]
    if advice := remedy(result):
        lines.insert(0, f"DISTURBED: {advice}")
    return [*lines, f"  kept as {result.id}" if kept else f"  NOT in the index; requests are in {result.id}"]


def error_lines(result: Result) -> list[str]:
    """Why a run did not finish, with the figures and the worker's last words; nothing for one that did."""
    error = result.error
    if error is None:
        return []
    lines = [f"  error ({error.kind}): {clean(error.message, lines=True)}"]
    lines += [f"    {name}: {clean(value)}" for name, value in error.details.items()]
    if error.remedy:
        lines.append(f"    {clean(error.remedy, lines=True)}")
    if error.log_tail:
        lines.append("    last lines:")
        lines += [f"    | {line}" for line in clean(error.log_tail, lines=True).split("\n")]
    return lines
