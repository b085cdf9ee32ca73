"""What can be shown of devices over time: the quantities, and the last minutes of each as lines for charts."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeVar

from msgspec import Struct

from infertui.measure.clock import NS_PER_S
from infertui.telemetry.readings import GpuInfo, GpuSample, HostFacts, HostSample, Sample
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.chart import means

_PERCENT = (0.0, 100.0)
_COOL_C, _HOT_C = 20.0, 100.0
_LEAST_TRAFFIC = 10e6
"""Bytes a second that fill a sparkline at least: what is less is noise beside any work."""
Reading = TypeVar("Reading", GpuSample, HostSample)
QuantityKey = Literal["util", "power", "vram", "temp", "clock", "pcie", "nvlink"]


class Quantity(Struct, frozen=True):
    """Something that devices tell of themselves again and again. `lines` are its parts, by name: one, or rx and tx.

    `scale` turns values into those of charts, in `unit`; `whole` is what a device can reach, where that is known.
    """

    key: QuantityKey
    name: str
    unit: str
    lines: tuple[tuple[str, Callable[[GpuSample], float | None]], ...]
    whole: Callable[[GpuInfo], float | None]
    scale: float = 1.0

    def value(self, reading: GpuSample) -> float | None:
        """The sum of its parts; None where one is not known."""
        parts = [part(reading) for _, part in self.lines]
        return None if None in parts else sum(part for part in parts if part is not None)


QUANTITIES = (
    Quantity("util", "utilization", "%", (("", lambda gpu: gpu.utilization),), lambda _: 100.0),
    Quantity(
        "power", "power", "W", (("", lambda gpu: gpu.power_now_w),),
        lambda info: info.power_limit_w or info.power_limit_max_w,
    ),
    Quantity("vram", "VRAM", "GiB", (("", lambda gpu: gpu.memory_used),), lambda info: info.memory_total, 1 / 2**30),
    Quantity("temp", "temperature", "C", (("", lambda gpu: gpu.temperature_c),), lambda info: info.temp_slowdown_c),
    Quantity("clock", "SM clock", "MHz", (("", lambda gpu: gpu.sm_mhz),), lambda info: info.max_sm_mhz),
    Quantity(
        "pcie", "PCIe", "GB/s", (("rx", lambda gpu: gpu.pcie_rx), ("tx", lambda gpu: gpu.pcie_tx)), lambda _: None, 1e-9
    ),
    Quantity(
        "nvlink", "NVLink", "GB/s", (("rx", lambda gpu: gpu.nvlink_rx), ("tx", lambda gpu: gpu.nvlink_tx)),
        lambda _: None, 1e-9,
    ),
)  # fmt: skip
"""In the order in which a key steps through them."""


def told(sample: Sample | None) -> list[Quantity]:
    """The quantities that some device tells."""
    gpus = sample.gpus if sample else ()
    return [one for one in QUANTITIES if any(one.value(gpu) is not None for gpu in gpus)] or [QUANTITIES[0]]


class Sparks(Struct, frozen=True):
    """A quantity of some devices over the same stretches, by UUID, and the range in which all of them are drawn."""

    values: dict[str, list[float | None]]
    ranges: dict[str, tuple[float, float]]


def sparks(samples: Sequence[Sample], infos: Sequence[GpuInfo], quantity: Quantity, width: int, span: float) -> Sparks:
    """The last `span` seconds before the newest sample in `width` equal parts."""
    if not samples or width < 1:
        return Sparks({}, {})
    step = span / width
    end = samples[-1].t_ns / NS_PER_S
    points: dict[str, list[tuple[float, float]]] = {info.uuid: [] for info in infos}
    places = dict.fromkeys(points, 0)
    for sample in reversed(samples):
        at = sample.t_ns / NS_PER_S
        if at < end - (width + 1) * step:
            break
        for uuid, found in points.items():
            place = places[uuid] = _place(sample, uuid, places[uuid])
            if place >= 0 and (value := quantity.value(sample.gpus[place])) is not None:
                found.append((at, value))
    values = {uuid: means(found, end, width, step) for uuid, found in points.items()}
    most = max((value for row in values.values() for value in row if value is not None), default=0.0)
    return Sparks(values, {info.uuid: _range(quantity, info, most) for info in infos})


def _place(sample: Sample, uuid: str, guess: int) -> int:
    """Where a device stands in a sample: mostly where it stood before; -1: nowhere."""
    gpus = sample.gpus
    if 0 <= guess < len(gpus) and gpus[guess].uuid == uuid:
        return guess
    return next((place for place, gpu in enumerate(gpus) if gpu.uuid == uuid), -1)


def _range(quantity: Quantity, info: GpuInfo, most: float) -> tuple[float, float]:
    whole = quantity.whole(info)
    if quantity.key == "temp":
        return _COOL_C, whole or _HOT_C
    return 0.0, whole or max(most, _LEAST_TRAFFIC if quantity.key in ("pcie", "nvlink") else 1.0)


class Track(Struct, frozen=True):
    """One chart: lines of (monotonic seconds, value in `unit`) by name; `y_range` where the whole is known."""

    name: str
    unit: str
    lines: tuple[tuple[str, str, tuple[tuple[float, float], ...]], ...]
    """Name, style, points."""
    y_range: tuple[float, float] | None = None


def gpu_tracks(
    samples: Iterable[Sample], info: GpuInfo, look: RenderContext, first: QuantityKey = "util"
) -> list[Track]:
    """The quantities of one device, `first` in front; what is never known is left out."""
    fahrenheit = look.settings.temperature_unit == "F"
    seen, place = [], 0
    for sample in samples:
        place = _place(sample, info.uuid, place)
        if place >= 0 and not sample.gpus[place].lost:
            seen.append((sample.t_ns, sample.gpus[place]))
    tracks = []
    for quantity in sorted(QUANTITIES, key=lambda quantity: quantity.key != first):
        unit, whole = quantity.unit, quantity.whole(info)
        y_range = None if quantity.key == "temp" or not whole else (0.0, whole * quantity.scale)

        def scaled(value: float, quantity: Quantity = quantity) -> float:
            value *= quantity.scale
            return value * 9 / 5 + 32 if quantity.key == "temp" and fahrenheit else value

        lines = tuple(
            (name, _style(quantity, look, at), tuple((x, scaled(y)) for x, y in _points(seen, part)))
            for at, (name, part) in enumerate(quantity.lines)
        )
        if any(points for _, _, points in lines):
            tracks.append(Track(quantity.name, "F" if quantity.key == "temp" and fahrenheit else unit, lines, y_range))
    return tracks


def _style(quantity: Quantity, look: RenderContext, at: int) -> str:
    palette = look.palette
    usual = {"util": palette.active, "power": palette.warning, "vram": palette.accent}.get(quantity.key, palette.figure)
    return usual if len(quantity.lines) == 1 else palette.series[at % len(palette.series)]


def host_tracks(samples: Iterable[Sample], facts: HostFacts | None, look: RenderContext) -> list[Track]:
    """CPU, RAM, load and CPU power of the machine; what is never known is left out."""
    palette = look.palette
    seen = [(s.t_ns, s.host) for s in samples]
    total = seen[-1][1].memory_total if seen else None
    cores = facts.logical_cores if facts else None
    known = (
        ("CPU", "%", palette.active, _points(seen, lambda host: host.cpu_percent), _PERCENT),
        ("RAM", "GiB", palette.accent, _points(seen, lambda host: _gib(host.memory_used)), _up_to(_gib(total))),
        ("load", "", palette.figure, _points(seen, lambda host: host.load1), _up_to(cores)),
        ("CPU power", "W", palette.warning, _points(seen, lambda host: host.cpu_power_w), None),
    )
    return [Track(name, unit, (("", style, points),), whole) for name, unit, style, points, whole in known if points]


def _points(
    seen: Iterable[tuple[int, Reading]], value: Callable[[Reading], float | None]
) -> tuple[tuple[float, float], ...]:
    return tuple((t_ns / NS_PER_S, y) for t_ns, reading in seen if (y := value(reading)) is not None)


def _gib(count: int | None) -> float | None:
    return None if count is None else count / 2**30


def _up_to(whole: float | None) -> tuple[float, float] | None:
    return (0.0, float(whole)) if whole else None
