"""A run on a terminal: one frame, redrawn in place; the summary stays when it is over.

Colours come from a theme file.
"""

import sys
import tomllib
from collections.abc import Callable
from typing import Self, TextIO

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from infertui import paths
from infertui.analysis.effective import FALLBACK, identity
from infertui.analysis.summary_text import figures, headline, remedy, verdict_lines
from infertui.cli.output import console
from infertui.cli.running.plain import error_lines, refusal
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.metrics.reads import fallback_of
from infertui.metrics.wording import itl_text
from infertui.results.result import Result
from infertui.runner.endpoint.wording import client_text, counts_text, level_text, settled_text, speed_parts
from infertui.runner.events import AnyRunEvent, RunFinished, RunRefused, RunStarted
from infertui.runner.execution.progress import OPTIONAL, RunProgress
from infertui.telemetry.readings import GpuSample, HostSample
from infertui.text import clean, one_line
from infertui.units import format_bytes, format_number, format_seconds


def theme(name: str = "ansi") -> Theme:
    """A theme that ships with infertui, as rich styles by meaning: title, accent, ok, warning, error, ..."""
    text = (paths.themes() / f"{name}.toml").read_text(encoding="utf-8")
    return Theme(tomllib.loads(text)["styles"])


# A frame is about 1 kB: two a second are what a slow link carries without lagging.
FRAMES_PER_S = 2


class LiveView:
    """Shows phase, progress, speed, devices and time left."""

    def __init__(
        self, stream: TextIO = sys.stdout, stays: Callable[[RunFinished], RenderableType] | None = None
    ) -> None:
        """`stays` makes what is left on the screen of a run that has ended; by default its whole summary."""
        self._stays = stays or (lambda event: summary(event.result, kept=event.kept))
        self._console = console(stream=stream, theme=theme())
        self._progress = RunProgress()
        self._live: Live | None = None

    def take(self, event: AnyRunEvent) -> None:
        """Show the next event."""
        if isinstance(event, RunStarted):
            self._progress = RunProgress()
        self._progress.take(event)
        if isinstance(event, RunStarted) and self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=lambda: frame(self._progress, self._console.width),
                refresh_per_second=FRAMES_PER_S,
                transient=True,
            )
            self._live.start()
        elif isinstance(event, RunRefused):
            self._console.print(Text(refusal(event), style="failure"))
        elif isinstance(event, RunFinished):
            self._stop()
            self._console.print(self._stays(event))

    def _stop(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()


def frame(progress: RunProgress, width: int) -> RenderableType:
    """The frame of a run, for a terminal of this width."""
    started = progress.started
    if started is None:
        return Text("")
    title = Text(f"infertui  run {started.number}/{started.total}  ", style="title")
    title.append(one_line(started.name or started.run, max(10, width - len(title))), style="accent")
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="muted", no_wrap=True)
    rows.add_column(overflow="fold")
    if progress.loaded:
        loaded = progress.loaded
        known = (loaded.engine, loaded.dtype, loaded.attention, "on", loaded.device_name)
        text = " ".join(part for part in known if part)
        instead = fallback_of(loaded)
        rows.add_row(
            "endpoint" if progress.unit == "request" else "engine",
            Text(clean(text), style="warning" if instead else ""),
        )
        if instead:
            rows.add_row("FALLBACK", Text(instead, style="warning"))
    rows.add_row("phase", _phases(progress))
    rows.add_row("progress", _bar(progress, width))
    if progress.load:
        rows.add_row("load", Text(f"{level_text(progress.load)}, {settled_text(progress.load)}"))
        rows.add_row("speed", Text("  ".join(speed_parts(progress.load)) or "-", style="figure"))
        rows.add_row("client", Text(client_text(progress.load)))
    else:
        rows.add_row("speed", _speed(progress))
    if progress.sample:
        for gpu in progress.sample.gpus:
            rows.add_row(f"GPU {gpu.index}", _gpu(gpu))
        rows.add_row("host", Text(_host(progress.sample.host)))
    if progress.estimate:
        rows.add_row("memory", Text(clean(progress.estimate[-1])))
    for note in progress.notes[-2:]:
        rows.add_row("note", Text(clean(note), style="warning"))
    return Group(title, rows, Text("Ctrl-C stops and keeps what was measured", style="muted"))


def _phases(progress: RunProgress) -> Text:
    """`spawn > load 4.2 s > [warmup 2] > measure`: what is done, what is on, what comes."""
    text = Text()
    done = progress.phase is not None
    for position, phase in enumerate(progress.phases):
        if position:
            text.append(" > ", style="muted")
        label: str = phase
        if phase == "load" and progress.load_seconds is not None:
            label += f" {format_seconds(progress.load_seconds)}"
        if phase == "warmup" and progress.warmed_up:
            label += f" {progress.warmed_up}"
        if phase in OPTIONAL and (seconds := progress.seconds_in(phase)) is not None:
            label += f" {format_seconds(seconds)}"
        if phase == progress.phase:
            text.append(f"[{label}]", style="active")
            done = False
        else:
            text.append(label, style="ok" if done else "muted")
    return text


def _bar(progress: RunProgress, width: int) -> RenderableType:
    total = progress.wanted
    grid = Table.grid(padding=(0, 1))
    eta = progress.eta_s
    left = f"{format_seconds(eta)} left" if eta is not None else ""
    grid.add_row(
        ProgressBar(
            total=1.0,
            completed=progress.fraction,
            width=max(10, min(40, width - 45)),
            style="muted",
            complete_style="ok",
            finished_style="ok",
        ),
        counts_text(progress.load) if progress.load else f"{progress.measured}/{total}",
        left,
    )
    return grid


def _speed(progress: RunProgress) -> Text:
    parts = []
    if progress.tokens_per_s:
        parts.append(f"now {format_number(progress.tokens_per_s)} tok/s")
    if progress.throughput:
        parts.append(f"mean {format_number(progress.throughput)} tok/s")
    if progress.ttft is not None:
        parts.append(f"TTFT {format_seconds(progress.ttft)}")
    if progress.itl:
        parts.append(f"ITL p50 {itl_text(progress.itl)}")
    return Text("  ".join(parts) or "-", style="figure")


def _gpu(gpu: GpuSample) -> Text:
    if gpu.lost:
        return Text(f"lost: {clean(gpu.lost)}", style="error")
    memory = "memory n/a"
    if gpu.memory_used is not None and gpu.memory_total is not None:
        memory = f"{gpu.memory_used / 2**30:.1f} of {format_bytes(gpu.memory_total)}"
    parts = [
        _or_missing(gpu.utilization, "{:3.0f} %"),
        memory,
        _or_missing(gpu.power_now_w, "{:.0f} W"),
        _or_missing(gpu.temperature_c, "{:.0f} C"),
        _or_missing(gpu.sm_mhz, "{:.0f} MHz"),
    ]
    text = Text("  ".join(parts))
    if gpu.throttle:
        text.append("  " + " ".join(gpu.throttle), style="warning")
    return text


def _host(host: HostSample) -> str:
    parts = [f"CPU {_or_missing(host.cpu_percent, '{:.0f} %')}"]
    if host.memory_used is not None and host.memory_total is not None:
        parts.append(f"RAM {host.memory_used / 2**30:.1f} of {format_bytes(host.memory_total)}")
    parts.append(f"load {_or_missing(host.load1, '{:.2f}')}")
    if host.cpu_power_w is not None:
        parts.append(f"{host.cpu_power_w:.0f} W")
    return "  ".join(parts)


def _or_missing(value: float | None, pattern: str) -> str:
    return NOT_AVAILABLE if value is None else pattern.format(value)


def summary(result: Result, *, kept: bool) -> RenderableType:
    """What stays on the screen when a run is over."""
    good = result.state == "finished" and result.verdict.valid
    advice = remedy(result)
    parts: list[RenderableType] = [
        *([Text(f"DISTURBED: {advice}", style="warning")] if advice else []),
        Text(f"{result.state}: {headline(result)}", style="active" if good else "failure"),
        *(Text(line, style="error") for line in error_lines(result)),
    ]
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="muted", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, value in identity(result):
        rows.add_row(f"  {name}", Text(value, style="warning" if name == FALLBACK else ""))
    if result.measured:
        for name, value in figures(result, brief=True):
            rows.add_row(f"  {name}", Text(value, style="figure" if name == "output throughput" else ""))
    for level, text in verdict_lines(result):
        rows.add_row(f"  {level}", Text(text, style="error" if level == "invalid" else "warning"))
    rows.add_row("  kept as", Text(result.id if kept else f"NOT in the index; requests are in {result.id}"))
    return Group(*parts, rows)
