"""The last minutes of a device, or of the machine, as lines for charts."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct

from infertui.measure.clock import NS_PER_S
from infertui.telemetry.readings import GpuInfo, GpuSample, HostFacts, HostSample, Sample
from infertui.tui.widgets.cells import RenderContext

_PERCENT = (0.0, 100.0)
Reading = TypeVar("Reading", GpuSample, HostSample)


class Track(Struct, frozen=True):
    """One line: points are (monotonic seconds, value in `unit`); `y_range` where the whole is known."""

    name: str
    unit: str
    style: str
    points: tuple[tuple[float, float], ...]
    y_range: tuple[float, float] | None = None


def gpu_tracks(samples: Iterable[Sample], info: GpuInfo, look: RenderContext) -> list[Track]:
    """Utilization, power, memory and temperature of one device; what is never known is left out."""
    palette, unit = look.palette, look.settings.temperature_unit

    def degrees(gpu: GpuSample) -> float | None:
        celsius = gpu.temperature_c
        return celsius if celsius is None or unit == "C" else celsius * 9 / 5 + 32

    seen = [(s.t_ns, gpu) for s in samples for gpu in s.gpus if gpu.uuid == info.uuid and not gpu.lost]
    total, limit = info.memory_total, info.power_limit_w or info.power_limit_max_w
    tracks = [
        Track("utilization", "%", palette.active, _points(seen, lambda gpu: gpu.utilization), _PERCENT),
        Track("power", "W", palette.warning, _points(seen, lambda gpu: gpu.power_now_w), _up_to(limit)),
        Track("VRAM", "GiB", palette.accent, _points(seen, lambda gpu: _gib(gpu.memory_used)), _up_to(_gib(total))),
        Track("temperature", unit, palette.figure, _points(seen, degrees)),
    ]
    return [track for track in tracks if track.points]


def host_tracks(samples: Iterable[Sample], facts: HostFacts | None, look: RenderContext) -> list[Track]:
    """CPU, RAM, load and CPU power of the machine; what is never known is left out."""
    palette = look.palette
    seen = [(s.t_ns, s.host) for s in samples]
    total = seen[-1][1].memory_total if seen else None
    cores = facts.logical_cores if facts else None
    tracks = [
        Track("CPU", "%", palette.active, _points(seen, lambda host: host.cpu_percent), _PERCENT),
        Track("RAM", "GiB", palette.accent, _points(seen, lambda host: _gib(host.memory_used)), _up_to(_gib(total))),
        Track("load", "", palette.figure, _points(seen, lambda host: host.load1), _up_to(cores)),
        Track("CPU power", "W", palette.warning, _points(seen, lambda host: host.cpu_power_w)),
    ]
    return [track for track in tracks if track.points]


def _points(
    seen: Iterable[tuple[int, Reading]], value: Callable[[Reading], float | None]
) -> tuple[tuple[float, float], ...]:
    return tuple((t_ns / NS_PER_S, y) for t_ns, reading in seen if (y := value(reading)) is not None)


def _gib(count: int | None) -> float | None:
    return None if count is None else count / 2**30


def _up_to(whole: float | None) -> tuple[float, float] | None:
    return (0.0, float(whole)) if whole else None
