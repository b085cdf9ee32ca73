"""A run under way as figures, as lines for small screens, and as series for charts."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct
from rich.text import Text

from infertui.measure.clock import NS_PER_S
from infertui.measure.records import Phase
from infertui.metrics.wording import itl_text
from infertui.runner.execution.progress import OPTIONAL, RunProgress
from infertui.runner.scheduling.device_slots import devices_of
from infertui.runner.scheduling.queue_store import ENDED, Entry
from infertui.telemetry.readings import Sample
from infertui.tui.live.load_view import compact_load, load_figures, load_line
from infertui.tui.queue.view import short_engine, short_model
from infertui.tui.widgets.cells import RenderContext, beside, clock, fit
from infertui.tui.widgets.gauges import bar
from infertui.units import format_number, format_seconds

_MISSING = "-"
_LEAST_RATE = 1e-6
_FIGURE_WIDTH = 18
_NAME_WIDTH = 8
_NARROW_WIDTH = 14
_SHORT_WIDTH = 6
_MOST_ACROSS = 5


def began_ns(progress: RunProgress, phase: Phase | None) -> int | None:
    """When a phase of the run began; None where it has not."""
    return next((stamp for stamp, entered in progress.entered if entered == phase), None)


def elapsed_s(progress: RunProgress, now_ns: int) -> float | None:
    """Seconds since the present phase began; None before the first."""
    # The last time: an engine may compile and capture by turns.
    began = next((stamp for stamp, entered in reversed(progress.entered) if entered == progress.phase), None)
    return None if began is None else (now_ns - began) / NS_PER_S


class LiveRun(Struct, frozen=True):
    """A run under way, and what the machine says meanwhile. `power_w` and `energy_j` are its device's."""

    entry: Entry
    progress: RunProgress
    elapsed_s: float | None = None
    """In the present phase."""
    power_w: float | None = None
    energy_j: float | None = None


class Figure(Struct, frozen=True):
    """A name and its value, which `strong` ones show in the style of figures. `short` is the name in five cells."""

    name: str
    value: str
    strong: bool = False
    short: str = ""


def device_power(sample: Sample, entry: Entry, progress: RunProgress) -> float | None:
    """Watts of the run's device: of its GPU, or of the CPU packages."""
    uuid = progress.loaded.device_uuid if progress.loaded else ""
    if not uuid and not entry.lane.startswith("gpu"):
        return sample.host.cpu_power_w
    found = (
        gpu
        for gpu in sample.gpus
        if (gpu.uuid == uuid if uuid else f"gpu{gpu.index}" in devices_of(entry.lane)) and not gpu.lost
    )
    gpu = next(found, None)
    return gpu.power_now_w if gpu else None


def power_points(samples: Iterable[Sample], entry: Entry, progress: RunProgress) -> list[tuple[int, float]]:
    """Power of the run's device over time: (monotonic ns, watts)."""
    return [(s.t_ns, watts) for s in samples if (watts := device_power(s, entry, progress)) is not None]


def energy_since(points: Sequence[tuple[int, float]], since_ns: int | None) -> float | None:
    """Joules by the trapezoidal rule over power samples from `since_ns` on; None where they do not reach back to it."""
    if since_ns is None or len(points) < 2 or points[0][0] > since_ns:
        return None
    inside = [point for point in points if point[0] >= since_ns]
    if len(inside) < 2:
        return None
    return sum((after[1] + before[1]) / 2 * (after[0] - before[0]) / NS_PER_S for before, after in pairwise(inside))


def step_latency(rate: float, batch_size: int) -> float:
    """Milliseconds of a token step of all sequences together: batch / rate."""
    return 1000 * batch_size / rate


def live_run(entry: Entry, progress: RunProgress, samples: Sequence[Sample], now_ns: int) -> LiveRun:
    """A run with what is known about it as of `now_ns`, by the runner's clock."""
    power = power_points(samples, entry, progress)
    return LiveRun(
        entry,
        progress,
        elapsed_s=elapsed_s(progress, now_ns),
        power_w=power[-1][1] if power else None,
        energy_j=energy_since(power, began_ns(progress, "measure")),
    )


def head_line(run: LiveRun, width: int, look: RenderContext, *, number: int = 1, total: int = 1) -> Text:
    """Which run it is: label, model, engine, number format, device. `number` of `total` that run side by side."""
    entry, loaded = run.entry, run.progress.loaded
    config = entry.config
    served = config.target.kind == "endpoint"
    parts = [config.target.model if served else short_model(config.model.id)]
    if loaded:
        parts += [loaded.engine, loaded.dtype, f"on {loaded.device_name or loaded.device}"]
        if loaded.engine != loaded.engine_requested:
            parts.insert(1, f"FALLBACK, not {loaded.engine_requested}:")
        if loaded.random_weights:
            parts.append("random weights")
    else:
        parts.append(config.target.url if served else short_engine(config.engine.name))
    parts += [] if served else [f"batch {config.workload.batch_size}"]
    parts = [part for part in parts if part]
    several = f"[{number}/{total}] " if total > 1 else ""
    label = f"{several}#{entry.id} {entry.label}"
    title = fit(label, min(len(label), width), look, style=look.palette.title)
    return beside(title, fit("  " + "  ".join(parts), max(0, width - title.cell_len), look, style=look.palette.muted))


def phase_line(run: LiveRun, width: int, look: RenderContext) -> Text:
    """`spawn > load 4.2 s > warmup 2 > [measure 3/5]  0:12`: what is done, what is on, what comes."""
    progress, palette = run.progress, look.palette
    line = Text(no_wrap=True, end="")
    done = progress.phase is not None
    for position, phase in enumerate(progress.phases):
        if position:
            line.append(look.glyph(" → ", " > "), style=palette.muted)
        label = _phase_label(phase, progress)
        if phase == progress.phase:
            line.append(f"[{label}]", style=palette.active)
            done = False
        else:
            line.append(label, style=palette.ok if done else palette.muted)
    if run.elapsed_s is not None:
        line.append(f"  for {clock(run.elapsed_s)}")
    return line if line.cell_len <= width else _phase_brief(run, width, look)


def _phase_brief(run: LiveRun, width: int, look: RenderContext) -> Text:
    """`[measure] 0:12  load 4.2 s  warmup 2`: the present phase, and of the others what there is room for."""
    progress = run.progress
    elapsed = f" {clock(run.elapsed_s)}" if run.elapsed_s is not None else ""
    line = beside(Text(f"[{_phase_label(progress.phase, progress)}]", style=look.palette.active), Text(elapsed))
    for phase in progress.phases[1:-1]:
        label = f"  {_phase_label(phase, progress)}"
        if phase != progress.phase and label.strip() != phase and line.cell_len + len(label) <= width:
            line.append(label, style=look.palette.muted)
    line.truncate(width)
    return line


def _phase_label(phase: Phase | None, progress: RunProgress) -> str:
    if phase == "load" and progress.load_seconds == 0:
        return "loaded"  # by the run before
    if phase == "load" and progress.load_seconds is not None:
        return f"load {format_seconds(progress.load_seconds)}"
    if phase == "warmup" and progress.warmed_up:
        return f"warmup {progress.warmed_up}"
    if phase in OPTIONAL and (seconds := progress.seconds_in(phase)) is not None:
        return f"{phase} {format_seconds(seconds)}"
    return phase or "starting"


def progress_line(run: LiveRun, width: int, look: RenderContext) -> Text:
    """The bar of the measuring, with iterations, percent and time left."""
    progress = run.progress
    if progress.load is not None:
        return load_line(progress.load, progress, width, look)
    done = f"{progress.measured}/{progress.wanted}" if progress.wanted else f"{progress.measured}"
    tail = f" {done}  {progress.fraction * 100:3.0f}%"
    if progress.eta_s is not None:
        tail += f"  ETA {clock(progress.eta_s)}"
    room = max(4, min(60, width - len(tail)))
    filled = bar(progress.fraction, room, style=look.palette.active, ascii=look.ascii).copy()
    filled.append(tail)
    return filled


def figures(run: LiveRun) -> list[Figure]:
    """Everything worth a figure, the most wanted first."""
    progress = run.progress
    power = Figure("power", f"{run.power_w:.0f} W" if run.power_w is not None else _MISSING)
    if progress.load is not None:
        found = load_figures(progress.load)
        return [Figure(name, value, strong=name == "tok/s", short=short) for name, value, short in found] + [power]
    itl = progress.itl
    batch = run.entry.config.workload.batch_size
    rate = progress.tokens_per_s if (progress.tokens_per_s or 0.0) > _LEAST_RATE else None
    shown = [
        Figure("tok/s", format_number(rate) if rate else _MISSING, strong=True),
        Figure("mean", format_number(progress.throughput) if progress.throughput else _MISSING, strong=True),
        Figure("TTFT", format_seconds(progress.ttft) if progress.ttft is not None else _MISSING),
        Figure("step", format_seconds(step_latency(rate, batch) / 1000) if rate else _MISSING),
        Figure("ITL p50", itl_text(itl) if itl else _MISSING, short="ITL"),
        Figure("ITL p99", itl_text(itl, 99) if itl and itl.known(99) is not None else _MISSING, short="ITL99"),
        Figure("tokens", f"{progress.measured_tokens:,}" if progress.measured_tokens else _MISSING, short="toks"),
        power,
    ]
    if run.energy_j is not None:
        kilo = run.energy_j >= 1000
        shown.append(Figure("energy", f"{format_number(run.energy_j / (1000 if kilo else 1))} {'k' * kilo}J"))
    return shown


def figure_columns(items: Sequence[Figure], width: int, look: RenderContext) -> list[list[Text]]:
    """Figures in columns of equal width, read row by row: as many as fit."""
    roomy = width // _FIGURE_WIDTH
    across = max(1, min(_MOST_ACROSS, roomy if roomy > 1 else width // _NARROW_WIDTH))
    cell = width // across
    name_width = _NAME_WIDTH if cell >= _FIGURE_WIDTH else _SHORT_WIDTH
    columns: list[list[Text]] = [[] for _ in range(across)]
    for index, item in enumerate(items):
        style = look.palette.figure if item.strong else ""
        name = item.name if name_width == _NAME_WIDTH else item.short or item.name
        gap = index % across < across - 1  # two figures that touch read as one
        room = cell - name_width - gap
        columns[index % across].append(
            beside(
                fit(name, name_width - 1, look, style=look.palette.muted),
                Text(" "),
                fit(item.value, room, look, style=style),
                Text(" " * gap),
            )
        )
    return columns


def compact_lines(run: LiveRun, width: int, look: RenderContext) -> list[Text]:
    """Which run, how far, how fast, in four lines for where there are no more."""
    progress = run.progress
    if progress.load is not None:
        title = fit(f"#{run.entry.id} {run.entry.label}", width, look, style=look.palette.title)
        return [title, progress_line(run, width, look), *compact_load(progress.load, width, look)]
    by_name = {item.name: item.value for item in figures(run)}
    return [
        fit(f"#{run.entry.id} {run.entry.label}", width, look, style=look.palette.title),
        progress_line(run, width, look) if progress.phase == "measure" else phase_line(run, width, look),
        fit(f"{by_name['tok/s']} tok/s  mean {by_name['mean']}  {by_name['power']}", width, look),
        fit(f"TTFT {by_name['TTFT']}  ITL p50 {by_name['ITL p50']} p99 {by_name['ITL p99']}", width, look),
    ]


def idle_lines(entries: Iterable[Entry], look: RenderContext, *, paused: bool) -> list[str]:
    """What there is to do when nothing runs: two lines."""
    entries = list(entries)
    last = max((e for e in entries if e.state in ENDED and e.ended), key=lambda entry: entry.ended, default=None)
    if last is None:
        first = "Nothing has run yet."
    elif last.throughput is not None:
        first = f"Last: {last.label}: {format_number(last.throughput)} tok/s" + (
            "  (invalid)" if last.valid is False else ""
        )
    else:
        first = f"Last: {last.label}: {last.state}" + (f": {last.reason}" if last.reason else "")
    waiting = sum(entry.state == "queued" for entry in entries)
    if waiting and paused:
        key = look.key("queue.pause", "P")
        second = f"{waiting} wait{'s' * (waiting == 1)}, and the queue is paused: {key} in Queue goes on."
    elif waiting:
        second = f"{waiting} wait{'s' * (waiting == 1)} to start."
    else:
        second = f"{look.key('config.run', 'r')} in Config starts a run."
    return [first, second]
