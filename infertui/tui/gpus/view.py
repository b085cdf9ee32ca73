"""GPUs as rows of gauge cells: what stands in them."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from rich.cells import cell_len
from rich.text import Text

from infertui.metrics.metric import NOT_AVAILABLE
from infertui.runner.scheduling.device_slots import devices_of, slot_name
from infertui.telemetry.readings import GpuInfo, GpuSample
from infertui.tui.gpus.columns import TEMP_OF_LIMIT, GpuColumn, short_name
from infertui.tui.gpus.host import gib
from infertui.tui.widgets.cells import RenderContext, fit
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
_NONE = "-"


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


def header_cells(columns: Sequence[GpuColumn], look: RenderContext, **titles: str) -> list[Text]:
    """The titles of the columns; `titles` by key where they depend on what is shown."""
    return [_cell(titles.get(column.key, column.title), column, look, look.palette.muted) for column in columns]


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
    spark: str = ""
    """How the quantity that is shown went, a cell a stretch of time."""
    nvlink: bool = False
    """Whether traffic is that of its NVLinks, and not of PCIe."""


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
    return _cell(short_name(device.info), column, look)


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


def _power(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    watts, limit = sample.power_now_w, _limit_w(device.info)
    if watts is None:
        return _missing(column, look)
    style = look.palette.warning if "power-cap" in (sample.throttle or ()) else ""
    return _cell(f"{watts:.0f}/{limit:.0f}W" if limit else f"{watts:.0f}W", column, look, style)


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
    limit = slowdown if column.width >= TEMP_OF_LIMIT else None
    return _marked(temperature(degrees, look, limit=limit), style, column, look)


def _util(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    if sample.utilization is None:
        return _missing(column, look)
    return _cell(f"{min(100.0, sample.utilization):.0f}%", column, look)


def _clock(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    return _missing(column, look) if sample.sm_mhz is None else _cell(f"{sample.sm_mhz}", column, look)


def _spark(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    return _cell(device.spark, column, look, look.palette.active)


def rate(bytes_per_s: float | None) -> str:
    """Bytes a second in four cells at most: `1.2G`, `310M`, `0`."""
    if bytes_per_s is None:
        return NOT_AVAILABLE
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if bytes_per_s >= 0.9995 * size:
            value = bytes_per_s / size
            return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"
    return f"{bytes_per_s:.0f}"


def _traffic(device: Device, sample: GpuSample, column: GpuColumn, look: RenderContext) -> Text:
    rx, tx = (sample.nvlink_rx, sample.nvlink_tx) if device.nvlink else (sample.pcie_rx, sample.pcie_tx)
    return _missing(column, look) if rx is None and tx is None else _cell(f"{rate(rx)}/{rate(tx)}", column, look)


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
    "power": _power,
    "watts": _watts,
    "temp": _temp,
    "spark": _spark,
    "traffic": _traffic,
    "util": _util,
    "clock": _clock,
    "limits": _held,
    "run": _run,
}


def devices_in_use(runs: Iterable[tuple[str, str, str]], infos: Sequence[GpuInfo]) -> dict[str, tuple[str, ...]]:
    """Which runs use which device, by UUID. `runs`: (label, lane such as `gpu0`, device UUID or empty)."""
    found: dict[str, tuple[str, ...]] = {}
    for label, lane, uuid in runs:
        for info in infos:
            if info.uuid == uuid or (not uuid and slot_name(info) in devices_of(lane)):
                found[info.uuid] = (*found.get(info.uuid, ()), label)
    return found
