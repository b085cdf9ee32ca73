"""GPUs as rows of gauge cells: which columns fit where, and what stands in them."""

import textwrap
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from rich.cells import cell_len
from rich.text import Text

from infertui.metrics.metric import NOT_AVAILABLE
from infertui.runner.scheduling.device_slots import devices_of, slot_name
from infertui.telemetry.readings import GpuInfo, GpuSample, HostFacts, HostSample
from infertui.tui.terminal.sanitize import safe
from infertui.tui.widgets.cells import Align, RenderContext, fit
from infertui.tui.widgets.gauges import bar

# Names of clock event reasons as people call them; harmless ones in small letters.
_LIMITS = {
    "idle": "idle",
    "clock-setting": "set",
    "display-clock": "disp",
    "power-cap": "PWR",
    "hw-slowdown": "HW",
    "sync-boost": "SYNC",
    "sw-thermal": "THERM",
    "hw-thermal": "HOT",
    "hw-power-brake": "BRAKE",
    "board-limit": "BOARD",
    "reliability": "VOLT",
}
_ALARMING = frozenset({"hw-slowdown", "hw-thermal", "hw-power-brake", "sw-thermal"})
_HARMLESS = frozenset({"idle", "clock-setting", "display-clock"})
_NARROW = 60
_ROOMY = 96
_NONE = "-"
_WIDEST_ROW = 170
_LONGEST_NAME = 25
_TEMP_OF_LIMIT = 10
"""From this width on a temperature stands against the one at which the driver slows the clocks down."""


class GpuColumn(Struct, frozen=True):
    """One gauge column. `width` includes the gap that follows it."""

    key: str
    title: str
    width: int
    align: Align = "left"


class Plan(Struct, frozen=True):
    """How devices are laid out: `across` of them per line, each with these columns, `lines` lines at a time."""

    across: int
    lines: int
    header: bool
    columns: tuple[GpuColumn, ...]


class GaugeKind(Struct, frozen=True):
    """What a column can be: from `least` to `most` cells wide; the lower its `rank`, the sooner it has a place."""

    key: str
    title: str
    least: int
    most: int
    rank: int
    align: Align = "left"


# Figures that change with every reading stand side by side: a jump between two costs more than a few cells.
_WIDE_KINDS = (
    GaugeKind("index", "GPU", 5, 8, 0),
    GaugeKind("name", "name", 8, _LONGEST_NAME, 10),
    GaugeKind("vram-bar", "VRAM", 6, 18, 6),
    GaugeKind("vram", "used/total", 11, 11, 2, "right"),
    GaugeKind("power-bar", "power", 6, 14, 8),
    GaugeKind("power", "of limit", 10, 10, 3, "right"),
    GaugeKind("temp", "temp", 7, _TEMP_OF_LIMIT, 4, "right"),
    GaugeKind("clock", "MHz", 6, 6, 9, "right"),
    GaugeKind("util", "util", 6, 6, 1, "right"),
    GaugeKind("util-bar", "", 6, 14, 7),
    GaugeKind("limits", "throttle", 9, 14, 5),
    GaugeKind("run", "run", 8, 40, 11),
)
_NARROW_KINDS = (
    GaugeKind("index", "GPU", 4, 6, 0),
    GaugeKind("vram-bar", "VRAM", 4, 14, 6),
    GaugeKind("vram-used", "", 7, 7, 1, "right"),
    GaugeKind("watts", "power", 6, 6, 3, "right"),
    GaugeKind("temp", "temp", 6, 6, 4, "right"),
    GaugeKind("util", "util", 5, 6, 2, "right"),
    GaugeKind("limits", "thr", 6, 14, 5),
)


def plan(width: int, height: int, devices: Sequence[GpuInfo]) -> Plan:
    """The layout of `devices` in so many cells and lines: one per line where they fit, else two, else fewer shown."""
    count = max(1, len(devices))
    across = 2 if count > height and width >= 2 * 34 else 1
    lines = -(-count // across)
    header = height > lines
    visible = max(1, min(lines, height - header))
    label = max((_label_width(info) for info in devices), default=1)
    name = max((len(_short_name(info)) for info in devices), default=0)
    return Plan(across, visible, header, _columns(min(_WIDEST_ROW, width // across), label, name))


def wanted_lines(width: int, devices: Sequence[GpuInfo]) -> int:
    """Lines for all devices with header and the machine's line, or for the machine's own gauges; at most 18."""
    if not devices:
        return len(host_gauges(HostSample(), None)) + 1
    across = 2 if width < _ROOMY and len(devices) > 4 and width >= 2 * 34 else 1
    return min(-(-len(devices) // across), 16) + 2


def _label_width(info: GpuInfo) -> int:
    return len(info.label) + (info.parent is not None)


def _short_name(info: GpuInfo) -> str:
    return info.name.removeprefix("NVIDIA ")


def _columns(width: int, label: int, name: int) -> tuple[GpuColumn, ...]:
    kinds = _WIDE_KINDS if width >= _NARROW else _NARROW_KINDS
    widths: dict[str, int] = {}
    left = width
    for kind in sorted(kinds, key=lambda kind: kind.rank):
        least = min(label + 3, width) if kind.key == "index" else kind.least
        if least <= left:
            widths[kind.key] = least
            left -= least
    # What is left over goes to the names, then round, a cell at a time, so that bars grow alike.
    if "name" in widths:
        longer = max(0, min(name + 1 - widths["name"], _LONGEST_NAME - widths["name"], left // 2))
        widths["name"] += longer
        left -= longer
    growing = [kind for kind in kinds if kind.key in widths and kind.key not in ("index", "name")]
    while left and (growing := [kind for kind in growing if widths[kind.key] < kind.most]):
        for kind in growing[:left]:
            widths[kind.key] += 1
        left -= min(left, len(growing))
    return tuple(GpuColumn(kind.key, kind.title, widths[kind.key], kind.align) for kind in kinds if kind.key in widths)


class Steady:
    """Keeps the shares that bars show until they have moved by a step of the bar: the figure beside it is exact."""

    def __init__(self) -> None:
        self._shown: dict[tuple[str, str], float] = {}

    def share(self, uuid: str, key: str, share: float, width: int) -> float:
        """What the bar of this device shows for `share`, being `width` cells long."""
        step = 0.5 / max(1, width)
        shown = self._shown.get((uuid, key))
        if shown is None or abs(share - shown) >= step or share in (0.0, 1.0):
            shown = self._shown[uuid, key] = share
        return shown


def header_cells(columns: Sequence[GpuColumn], look: RenderContext) -> list[Text]:
    """The titles of the columns."""
    return [_cell(column.title, column, look, look.palette.muted) for column in columns]


def blank_cells(columns: Sequence[GpuColumn]) -> list[Text]:
    """A place without a device."""
    return [Text(" " * column.width) for column in columns]


class Device(Struct, frozen=True):
    """A device as one row shows it. `runs` names the runs that use it."""

    info: GpuInfo
    sample: GpuSample | None
    runs: tuple[str, ...] = ()
    selected: bool = False
    stale: bool = False
    steady: Steady | None = None


def device_cells(device: Device, columns: Sequence[GpuColumn], look: RenderContext) -> list[Text]:
    """The cells of a device, one per column, each exactly as wide as its column."""
    sample = device.sample
    if sample is None or sample.lost:
        return _across(device, columns, look)
    cells = []
    for column in columns:
        cell = _CELLS[column.key](device, sample, column, look)
        if device.stale and column.key != "index":
            cell = Text(cell.plain, style=look.palette.muted, no_wrap=True, end="")
        cells.append(cell)
    return cells


def _across(device: Device, columns: Sequence[GpuColumn], look: RenderContext) -> list[Text]:
    """Words where there are no readings: one text, laid across all columns but the first."""
    lost = device.sample.lost if device.sample else ""
    words = f"lost: {lost}" if lost else "no reading yet"
    style = look.palette.error if lost else look.palette.muted
    widths = [column.width for column in columns[1:]]
    pieces = _pieces(fit(words, sum(widths), look).plain, widths)
    return [_index(device, device.sample, columns[0], look), *(Text(piece, style=style) for piece in pieces)]


def _pieces(text: str, widths: Sequence[int]) -> list[str]:
    """`text` cut into pieces of exactly these many terminal cells; a wide character is never halved."""
    pieces = []
    at = 0
    for width in widths:
        start, left = at, width
        while at < len(text) and (cells := cell_len(text[at])) <= left:
            left -= cells
            at += 1
        pieces.append(text[start:at] + " " * left)
    return pieces


def _cell(text: str, column: GpuColumn, look: RenderContext, style: str = "") -> Text:
    return fit(text, column.width - 1, look, style=style, align=column.align, after=" ")


def _index(device: Device, sample: GpuSample | None, column: GpuColumn, look: RenderContext) -> Text:
    """`>0*`: selected, the device's number, in use by a run."""
    palette = look.palette
    mark = look.glyph("▸", ">") if device.selected else " "
    indent = " " if device.info.parent is not None else ""
    cell = Text(mark + indent, style=palette.accent, no_wrap=True, end="")
    cell.append(device.info.label, style=palette.error if sample and sample.lost else palette.title)
    cell.append(look.glyph("•", "*") if device.runs else " ", style=palette.active)
    cell.truncate(column.width, pad=True)
    return cell


def _name(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    return _cell(_short_name(device.info), column, look)


def _gauge(device: Device, share: float | None, column: GpuColumn, look: RenderContext, style: str) -> Text:
    if share is None:
        return _cell("", column, look)
    if device.steady:
        share = device.steady.share(device.info.uuid, column.key, share, column.width - 1)
    cell = bar(min(1.0, max(0.0, share)), column.width - 1, style=style, ascii=look.ascii)
    cell.append(" ")
    return cell


def _vram_share(sample: GpuSample) -> float | None:
    return sample.memory_used / sample.memory_total if sample.memory_used is not None and sample.memory_total else None


def _vram_bar(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    return _gauge(device, _vram_share(sample), column, look, _vram_warning(sample, look) or look.palette.ok)


def _vram(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    if sample.memory_used is None:
        return _missing(column, look)
    total = sample.memory_total or device.info.memory_total
    figure = f"{_gigabytes(sample.memory_used)}/{total / 2**30:.0f}G" if total else f"{_gigabytes(sample.memory_used)}G"
    return _marked(figure, _vram_warning(sample, look), column, look)


def _vram_used(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    if sample.memory_used is None:
        return _missing(column, look)
    return _marked(f"{_gigabytes(sample.memory_used)}G", _vram_warning(sample, look), column, look)


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.0f}" if size >= 100 * 2**30 else gib(size)


def _vram_warning(sample: GpuSample, look: RenderContext) -> str:
    share = _vram_share(sample)
    return look.palette.warning if share is not None and share >= look.settings.full_vram else ""


def _marked(figure: str, style: str, column: GpuColumn, look: RenderContext) -> Text:
    """A figure with a cell for `!`, which says that it is past its threshold, as does `style` if there is one."""
    return _cell(figure + ("!" if style else " "), column, look, style)


def _limit_w(info: GpuInfo) -> float | None:
    return info.power_limit_w or info.power_limit_max_w


def _power_bar(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    limit, watts = _limit_w(device.info), sample.power_now_w
    share = watts / limit if watts is not None and limit else None
    capped = "power-cap" in (sample.throttle or ())
    return _gauge(device, share, column, look, look.palette.warning if capped else look.palette.ok)


def _power(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    watts, limit = sample.power_now_w, _limit_w(device.info)
    if watts is None:
        return _missing(column, look)
    return _cell(f"{watts:.0f}/{limit:.0f}W" if limit else f"{watts:.0f}W", column, look)


def _watts(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    watts = sample.power_now_w
    return _missing(column, look) if watts is None else _cell(f"{watts:.0f}W", column, look)


def temperature(celsius: float, look: RenderContext, *, limit: float | None = None) -> str:
    """A temperature in the user's unit, as in `64C`, or `64/87C` of a limit."""
    unit = look.settings.temperature_unit
    figures = [celsius] if limit is None else [celsius, limit]
    return "/".join(f"{degrees if unit == 'C' else degrees * 9 / 5 + 32:.0f}" for degrees in figures) + unit


def _temp(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    degrees, slowdown = sample.temperature_c, device.info.temp_slowdown_c
    if degrees is None:
        return _missing(column, look)
    style = look.palette.warning if degrees >= look.settings.hot_c else ""
    if slowdown is not None and degrees >= slowdown:
        style = look.palette.error
    limit = slowdown if column.width >= _TEMP_OF_LIMIT else None
    return _marked(temperature(degrees, look, limit=limit), style, column, look)


def _util_bar(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    share = None if sample.utilization is None else sample.utilization / 100
    return _gauge(device, share, column, look, look.palette.ok)


def _util(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    if sample.utilization is None:
        return _missing(column, look)
    return _cell(f"{min(100.0, sample.utilization):.0f}%", column, look)


def _clock(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    return _missing(column, look) if sample.sm_mhz is None else _cell(f"{sample.sm_mhz}", column, look)


def limits(reasons: Sequence[str] | None) -> str:
    """Why the clocks are where they are, in short words; what holds a busy GPU down comes first."""
    if reasons is None:
        return NOT_AVAILABLE
    ordered = sorted(reasons, key=lambda reason: (reason in _HARMLESS, reason not in _ALARMING))
    return " ".join(_LIMITS.get(reason, reason) for reason in ordered) or _NONE


def _held(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    reasons = set(sample.throttle or ())
    palette = look.palette
    style = palette.error if reasons & _ALARMING else palette.warning if reasons - _HARMLESS else palette.muted
    return _cell(limits(sample.throttle), column, look, style)


def _run(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    return _cell(", ".join(device.runs) or _NONE, column, look, look.palette.active if device.runs else "")


def _missing(column: GpuColumn, look: RenderContext) -> Text:
    return _cell(NOT_AVAILABLE, column, look, look.palette.muted)


_CELLS: dict[str, Callable[[Device, GpuSample, GpuColumn, RenderContext], Text]] = {
    "index": _index,
    "name": _name,
    "vram-bar": _vram_bar,
    "vram": _vram,
    "vram-used": _vram_used,
    "power-bar": _power_bar,
    "power": _power,
    "watts": _watts,
    "temp": _temp,
    "util-bar": _util_bar,
    "util": _util,
    "clock": _clock,
    "limits": _held,
    "run": _run,
}


def gib(count: int) -> str:
    """GiB with one decimal, the precision of a gauge."""
    return f"{count / 2**30:.1f}"


def no_gpu_lines(reason: str, width: int, most: int, look: RenderContext) -> list[Text]:
    """Why there is no GPU, and on the lines that follow what to do about it: `most` lines of `width` cells."""
    message, _, remedy = map(safe, reason.partition("\n"))
    end = "." if remedy and message[-1:].isalnum() else ""
    words = f"No GPU: {message}{end} {remedy}" if message else "No GPU: the driver is there, but lists none."
    lines = textwrap.wrap(words, max(8, width))
    if len(lines) > most:
        lines[most - 1 :] = [" ".join(lines[most - 1 :])]
    return [fit(line, width, look, style=look.palette.warning) for line in lines]


def host_line(host: HostSample, facts: HostFacts | None, width: int, look: RenderContext) -> Text:
    """The machine around the GPUs in one line."""
    parts = []
    if host.cpu_percent is not None:
        parts.append(f"CPU {host.cpu_percent:3.0f}%")
    if host.memory_used is not None:
        total = f"/{host.memory_total / 2**30:.0f}" if host.memory_total else ""
        parts.append(f"RAM {gib(host.memory_used)}{total}G")
    if host.swap_used:
        parts.append(f"swap {gib(host.swap_used)}G")
    if host.load1 is not None:
        cores = f" of {facts.logical_cores}" if facts and facts.logical_cores else ""
        parts.append(f"load {host.load1:.1f}{cores}")
    if host.cpu_power_w is not None:
        parts.append(f"CPU power {host.cpu_power_w:.0f}W")
    return fit("host  " + "  ".join(parts), width, look, style=look.palette.muted)


class HostGauge(Struct, frozen=True):
    """A gauge of the machine: a share of 0 to 1 where there is a whole, and the figure in words."""

    name: str
    share: float | None
    figure: str
    marked: bool = False


def host_gauges(host: HostSample, facts: HostFacts | None) -> list[HostGauge]:
    """What the machine itself shows where there is no GPU: CPU, RAM, swap, load, CPU power."""
    cores = facts.affinity_cores or facts.logical_cores if facts else None
    gauges = []
    cpu = host.cpu_percent
    gauges.append(
        HostGauge("CPU", cpu / 100 if cpu is not None else None, NOT_AVAILABLE if cpu is None else f"{cpu:.0f}%")
    )
    share = host.memory_used / host.memory_total if host.memory_used is not None and host.memory_total else None
    used = NOT_AVAILABLE if host.memory_used is None else f"{gib(host.memory_used)}"
    total = f"/{host.memory_total / 2**30:.0f}" if host.memory_total else ""
    gauges.append(HostGauge("RAM", share, f"{used}{total}G" if host.memory_used is not None else used))
    swap = NOT_AVAILABLE if host.swap_used is None else f"{gib(host.swap_used)}G" if host.swap_used else "none"
    gauges.append(HostGauge("swap", None, swap, marked=bool(host.swap_used)))
    load = host.load1
    of = f" of {cores} CPUs" if cores else ""
    gauges.append(HostGauge("load", load / cores if load is not None and cores else None, _load(load, of)))
    watts = host.cpu_power_w
    gauges.append(HostGauge("power", None, "n/a: no readable RAPL counter" if watts is None else f"{watts:.0f}W"))
    return gauges


def _load(load: float | None, of: str) -> str:
    return NOT_AVAILABLE if load is None else f"{load:.1f}{of}"


def devices_in_use(runs: Iterable[tuple[str, str, str]], infos: Sequence[GpuInfo]) -> dict[str, tuple[str, ...]]:
    """Which runs use which device, by UUID. `runs`: (label, lane such as `gpu0`, device UUID or empty)."""
    found: dict[str, tuple[str, ...]] = {}
    for label, lane, uuid in runs:
        for info in infos:
            if info.uuid == uuid or (not uuid and slot_name(info) in devices_of(lane)):
                found[info.uuid] = (*found.get(info.uuid, ()), label)
    return found
