"""Everything about a run as lines of text, tab by tab. Pure; every text from a file is cleaned on the way."""

import math
from collections.abc import Callable, Iterable, Sequence

from rich.text import Text

from infertui.analysis.effective import FALLBACK, identity
from infertui.axes import value_axis
from infertui.measure.clock import NS_PER_S
from infertui.measure.itl import drawn_from
from infertui.metrics.wording import itl_text
from infertui.results.details import RunDetails
from infertui.results.observations import REQUESTS
from infertui.results.result import Fingerprint, Result
from infertui.tui.results.details.summary import summary
from infertui.tui.terminal.sanitize import plain
from infertui.tui.widgets.cells import RenderContext, beside, entry, foreign, paragraph, section
from infertui.tui.widgets.chart import histogram
from infertui.tui.widgets.plot import Chart, Series, draw, style_of, values_range
from infertui.units import format_bytes, format_seconds

MARGIN = 1
_HISTOGRAM_ROWS = 7
_DRAWN_GAPS = 4000
"""ITL are drawn from so many at most: a share of each bucket."""
_TWO_ACROSS = 110
_CHART_ROWS = 9
_GAP_S = 5.0

Lines = list[Text]


def tab_lines(tab: int, details: RunDetails, width: int, height: int, look: RenderContext) -> Lines:
    """The lines of a tab, for so many cells; charts fill the height where that is enough for them."""
    makers: Sequence[Callable[[], Lines]] = (
        lambda: summary(details, width, look),
        lambda: batches(details, width, height, look),
        lambda: telemetry(details, width, height, look),
        lambda: config(details, width, look),
        lambda: log(details, look),
    )
    return makers[tab]()


# Batches


def batches(details: RunDetails, width: int, height: int, look: RenderContext) -> Lines:
    """The iterations, or a load's requests, over time, and the distributions of their latency and of the token gaps."""
    points = details.batches
    load = details.result is not None and details.result.load is not None
    unit, one, several = ("request", "request", "requests") if load else ("iteration", "batch", "batches")
    if not points:
        lost = REQUESTS in details.lost
        gone = f"The {several} are gone with {REQUESTS}." if lost else f"No {one} was measured."
        return paragraph(gone, width, look.palette.warning if lost else look.palette.muted)
    failed = [point for point in points if point.error]
    rows = max(_CHART_ROWS, height - 2 * (_HISTOGRAM_ROWS + 2) - len(failed[:3]) - 1)
    end = max(point.start + (point.latency or 0.0) for point in points)
    speeds = Series([(point.start, point.tps) for point in points if point.tps is not None])
    lines = chart([speeds], (0.0, end or 1.0), f"output throughput by {unit}", "tok/s", width, rows, look)
    for point in failed[:3]:
        lines += entry(f"failed at {format_seconds(point.start)}", point.error, width, look, style=look.palette.error)
    latencies = [point.latency * 1e3 for point in points if point.latency is not None]
    lines += [Text(), *_distribution(f"E2E latency of the {several}", latencies, len(latencies), width, look)]
    gaps = details.result.summary.itl if details.result else None
    if gaps:
        drawn = [seconds * 1e3 for seconds in drawn_from(gaps.histogram, _DRAWN_GAPS)]
        lines += [Text(), *_distribution("inter-token latency (ITL)", drawn, gaps.count, width, look, itl_text(gaps))]
    return lines


def _distribution(
    title: str, values: Sequence[float], count: int, width: int, look: RenderContext, median: str = ""
) -> Lines:
    """A histogram of milliseconds. The longest hundredth is told in words where it would squeeze the rest.

    `median` is that of what is drawn, where it is known better than from the values.
    """
    if not values:
        return []
    ordered = sorted(values)
    high = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    shown = [value for value in ordered if value <= high] if ordered[-1] > 2 * high else ordered
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    median = median or format_seconds(middle / 1e3)
    words = f"  {count:,} of them, median {median}"
    if len(shown) < len(ordered):
        words += f"; the longest are not drawn: up to {format_seconds(ordered[-1] / 1e3)}"
    heading = Text(title, style=look.palette.title, end="")
    heading.append(words, style=look.palette.muted)
    width = min(width, 100)
    # More bins than this show the accidents of a small sample.
    bins = max(1, min(width, math.ceil(2 * math.sqrt(count))))
    wide = width // bins
    drawn = histogram(shown, bins, _HISTOGRAM_ROWS, look.ascii)[:-1]
    bars = [plain("".join(sign * wide for sign in line.plain), look.palette.accent) for line in drawn]
    least, most = format_seconds(shown[0] / 1e3), format_seconds(shown[-1] / 1e3)
    axis = least + most.rjust(max(len(most) + 1, bins * wide - len(least)))
    return [heading, *bars, plain(axis, look.palette.muted)]


# Telemetry


def telemetry(details: RunDetails, width: int, height: int, look: RenderContext) -> Lines:
    """Power, utilization, memory and temperature over the run's time; of the CPU where there is no GPU."""
    samples = details.telemetry
    if not samples:
        return paragraph("No telemetry was kept.", width, look.palette.muted)
    origin = samples[0].t_ns
    timed = [((sample.t_ns - origin) / NS_PER_S, sample) for sample in samples]
    span = (0.0, timed[-1][0] or 1.0)
    used = _device(details)
    charts: list[tuple[str, str, list[Series]]] = []
    uuids = list(dict.fromkeys(gpu.uuid for sample in samples for gpu in sample.gpus))
    if used in uuids:
        uuids = [used]
    fahrenheit = look.settings.temperature_unit == "F"
    for title, unit, read in (
        ("GPU power", "W", lambda gpu: gpu.power_now_w),
        ("GPU utilization", "%", lambda gpu: gpu.utilization),
        ("GPU memory used", "GiB", lambda gpu: _gib(gpu.memory_used)),
        ("GPU temperature", "F" if fahrenheit else "C", lambda gpu: _degrees(gpu.temperature_c, fahrenheit)),
    ):
        found = [
            Series(
                _known((at, read(gpu)) for at, sample in timed for gpu in sample.gpus if gpu.uuid == uuid),
                label=f"GPU {_index(details, uuid)}" if len(uuids) > 1 else "",
                gap=_GAP_S,
            )
            for uuid in uuids[:6]
        ]
        charts.append((title, unit, found))
    for title, unit, ask in (
        ("CPU", "%", lambda host: host.cpu_percent),
        ("RAM used", "GiB", lambda host: _gib(host.memory_used)),
        ("CPU power", "W", lambda host: host.cpu_power_w),
    ):
        charts.append((title, unit, [Series(_known((at, ask(sample.host)) for at, sample in timed), gap=_GAP_S)]))
    charts = [(title, unit, found) for title, unit, found in charts if any(one.points for one in found)]
    return _grid(charts, span, width, height, look)


def _grid(
    charts: Sequence[tuple[str, str, list[Series]]],
    span: tuple[float, float],
    width: int,
    height: int,
    look: RenderContext,
) -> Lines:
    across = 2 if width >= _TWO_ACROSS else 1
    cell = (width - 2 * (across - 1)) // across
    rows = max(_CHART_ROWS - 2, height // max(1, -(-len(charts) // across)))
    lines: Lines = []
    for first in range(0, len(charts), across):
        drawn = [
            chart(found, span, title, unit, cell, rows, look)
            for title, unit, found in charts[first : first + across]
        ]  # fmt: skip
        for left, *right in zip(*drawn, strict=True):
            lines.append(beside(left, *(part for one in right for part in (Text("  "), one))))
    return lines


def _known(points: Iterable[tuple[float, float | None]]) -> list[tuple[float, float]]:
    return [(at, value) for at, value in points if value is not None]


def _gib(size: int | None) -> float | None:
    return None if size is None else size / 2**30


def _degrees(celsius: float | None, fahrenheit: bool) -> float | None:
    return celsius * 1.8 + 32 if celsius is not None and fahrenheit else celsius


def _device(details: RunDetails) -> str:
    return details.result.loaded.device_uuid if details.result and details.result.loaded else ""


def _index(details: RunDetails, uuid: str) -> str:
    for sample in details.telemetry:
        for gpu in sample.gpus:
            if gpu.uuid == uuid:
                return str(gpu.index)
    return "?"


def chart(
    series: Sequence[Series],
    span: tuple[float, float],
    title: str,
    unit: str,
    width: int,
    rows: int,
    look: RenderContext,
) -> Lines:
    """A line chart of so many cells."""
    scale = value_axis(*values_range(series, span))
    how = style_of(look.palette, ascii_only=look.ascii)
    return draw(Chart(tuple(series), span, (scale.low, scale.high), title, unit), width, rows, how)


# Config, environment, log


def config(details: RunDetails, width: int, look: RenderContext) -> Lines:
    """The config that repeats the run, and where it ran."""
    lines: Lines = []
    if details.result:
        if ran := _identity(details.result, width, look):
            lines += [*ran, Text()]
        if imported := details.result.imported:
            text = f"Imported from {imported}: where it ran is not known, and it cannot be repeated."
            return [*lines, *paragraph(text, width, look.palette.muted)]
        lines += [*section("environment", look), *_environment(details.result.fingerprint, width, look), Text()]
    lines += section(f"run.toml in {details.folder}", look)
    if not details.toml:
        return [*lines, *paragraph("run.toml is gone.", width, look.palette.muted)]
    for text in details.toml.split("\n"):
        bare = text.strip()
        # The comments explain the keys, not this run: the Config pane has them as well.
        if bare and not bare.startswith("#"):
            lines.append(plain(text, look.palette.accent if bare.startswith("[") else ""))
    return lines


def _environment(marks: Fingerprint, width: int, look: RenderContext) -> Lines:
    host = marks.host
    cores = f"{host.physical_cores or '?'} cores, {host.logical_cores or '?'} threads"
    memory = format_bytes(host.memory_total) if host.memory_total is not None else "?"
    told = [
        ("host", f"{host.hostname}  {host.os or ''} {host.kernel}  {host.container or ''}"),
        ("CPU", f"{host.cpu_model or '?'}  {cores}  RAM {memory}"),
    ]
    for gpu in marks.gpus:
        size = f"  {format_bytes(gpu.memory_total)}" if gpu.memory_total is not None else ""
        limit = f"  limit {gpu.power_limit_w:.0f} W" if gpu.power_limit_w is not None else ""
        told.append((f"GPU {gpu.label}", f"{gpu.name}{size}{limit}  {gpu.uuid}"))
    told += [
        ("driver", f"{marks.driver or 'none'}  CUDA {marks.cuda_driver or 'none'}"),
        ("infertui", f"{marks.infertui}  {marks.git_revision}  Python {marks.python}"),
        ("libraries", "  ".join(f"{name} {version}" for name, version in marks.libraries.items())),
        ("config hash", marks.config_hash),
    ]
    return [line for name, value in told for line in entry(name, value, width, look)]


def _identity(result: Result, width: int, look: RenderContext) -> Lines:
    """What really ran, as the engine found it by looking."""
    told = identity(result, full=True)
    colour = look.palette.warning
    lines = [
        line
        for name, value in told
        for line in entry(name, value, width, look, style=colour if name == FALLBACK else "")
    ]
    return [*section("what ran", look), *lines] if lines else []


def log(details: RunDetails, look: RenderContext) -> Lines:
    """The end of the worker's output."""
    if not details.log.strip():
        return [plain("worker.log is empty: the backend printed nothing.", look.palette.muted)]
    return foreign(details.log.rstrip("\n"))
