"""A run's measured batches and telemetry, read as streams: whatever a file's length, little of it is held."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from infertui.measure.clock import NS_PER_S
from infertui.measure.records import grouped
from infertui.metrics.registry import metric_of
from infertui.report.charts.strips import FEW
from infertui.results.details import thin
from infertui.results.jsonl import read_lines
from infertui.results.observations import REQUESTS
from infertui.results.result import Result
from infertui.telemetry.readings import Sample

MAX_POINTS = 600
"""Points that a chart draws of one run: of each stretch of iterations the least and the largest are kept."""
MAX_SAMPLES = 600
TELEMETRY = "telemetry.jsonl"
# A rate below this cannot be told from the rate at rest.
_LEAST_HZ = 2.5


class TimeSpread(Struct, frozen=True):
    """How one time is distributed over batches, seconds. `values` are all where there are few, else the extremes."""

    n: int
    median: float
    values: tuple[float, ...]
    quantiles: tuple[float, float, float, float, float] | None


class Batches(Struct, frozen=True):
    """The batches of a run that did not fail; a batch's time is the mean over its requests."""

    n: int = 0
    starts: tuple[float, ...] = ()
    latencies: tuple[float, ...] = ()
    latency: TimeSpread | None = None
    ttft: TimeSpread | None = None
    tpot: TimeSpread | None = None


class Telemetry(Struct, frozen=True):
    """Power (W) and memory (GiB) over time (s). Zero is the beginning of the measured window where that was found."""

    times: tuple[float, ...]
    power: tuple[float | None, ...]
    memory: tuple[float | None, ...]
    of: str
    """Whose power and memory: the GPU's, or the CPU's and the host's."""
    window: float | None


class _Request(Struct, frozen=True, gc=False):
    batch: int | None = 0
    start: float = 0.0
    latency: float | None = None
    ttft: float | None = None
    tpot: float | None = None
    error: str = ""


class _Thinned:
    """At most `MAX_POINTS` of a stream of points, evenly over its length: the least and the largest of each stretch."""

    def __init__(self) -> None:
        self._pairs: list[list[tuple[float, float]]] = []
        self._length = 1
        self._open = 0

    def add(self, at: float, value: float) -> None:
        point = (at, value)
        if self._open == 0:
            if len(self._pairs) == MAX_POINTS // 2:
                halves = zip(self._pairs[::2], self._pairs[1::2], strict=True)
                self._pairs = [_ends([*one, *other]) for one, other in halves]
                self._length *= 2
            self._pairs.append([point])
        else:
            self._pairs[-1] = _ends([*self._pairs[-1], point])
        self._open = (self._open + 1) % self._length

    @property
    def points(self) -> list[tuple[float, float]]:
        return [point for pair in self._pairs for point in pair]


def read_batches(folder: Path) -> Batches:
    """The batches of a run's folder; none where there is no file. Raises StoreError."""
    points = _Thinned()
    columns = {name: array("d") for name in ("latency", "ttft", "tpot")}
    for start, times in _batches(folder / REQUESTS):
        for name, value in times.items():
            columns[name].append(value)
        if "latency" in times:
            points.add(start, times["latency"])
    kept = points.points
    return Batches(
        n=len(columns["latency"]),
        starts=tuple(at for at, _ in kept),
        latencies=tuple(value for _, value in kept),
        latency=_spread(columns["latency"]),
        ttft=_spread(columns["ttft"]),
        tpot=_spread(columns["tpot"]),
    )


def read_telemetry(folder: Path, result: Result) -> Telemetry | None:
    """Around the measured window, or all of it where that is not found; None where nothing was kept."""
    uuid, parts = result.loaded.device_uuid if result.loaded else "", result.setup.tensor_parallel or 1
    together = False
    stamps, power, memory = array("q"), array("d"), array("d")
    for sample in read_lines(folder / TELEMETRY, Sample, warn=lambda _: None):
        together = parts > 1 and len(sample.gpus) == parts
        watts, used = _readings(sample, uuid, together=together)
        stamps.append(sample.t_ns)
        power.append(float("nan") if watts is None else watts)
        memory.append(float("nan") if used is None else used / 2**30)
    if not stamps:
        return None
    begins = window_start(stamps, result)
    length = measured_seconds(result)
    origin = stamps[0] if begins is None else begins
    rows = [((stamp - origin) / NS_PER_S, *pair) for stamp, *pair in zip(stamps, power, memory, strict=True)]
    if begins is not None and length is not None:
        margin = max(3.0, 2 * length)
        rows = [row for row in rows if -margin <= row[0] <= length + margin]
    shown = thin(rows, MAX_SAMPLES, lambda row: None if row[1] != row[1] else row[1])
    whole = "GPU" if parts <= 1 else f"{parts} GPUs" if together else "first GPU"
    return Telemetry(
        times=tuple(row[0] for row in shown),
        power=tuple(_known(row[1]) for row in shown),
        memory=tuple(_known(row[2]) for row in shown),
        of=whole if uuid else "CPU",
        window=None if begins is None else length,
    )


def measured_seconds(result: Result) -> float | None:
    """How long the measured window is."""
    known = metric_of("energy_window_s").number(result)
    return known if known is not None else result.summary.measured_s or None


def window_start(stamps: Sequence[int], result: Result) -> int | None:
    """The first sample of the measured window, to one sample; None where it cannot be told.

    The devices are sampled at `sample_hz` from when measuring begins, and slower before, but for a moment when their
    power at rest is read: it is the last stretch of samples so near to each other, if that is long enough.
    """
    length = measured_seconds(result)
    if result.sample_hz < _LEAST_HZ or length is None or len(stamps) < 3:
        return None
    near = 1.6 * NS_PER_S / result.sample_hz
    first = last = None
    begins = 0
    for index, (before, after) in enumerate(pairwise(stamps)):
        if after - before > near:
            begins = index + 1
        else:
            first, last = begins, index + 1
    if first is None or last is None:
        return None
    covered = (stamps[last] - stamps[first]) / NS_PER_S
    slack = 4 / result.sample_hz + 0.1 * length
    return stamps[first] if abs(covered - length) <= slack else None


def _batches(path: Path) -> Iterator[tuple[float, dict[str, float]]]:
    """When each batch that did not fail began, and the means of its requests' times."""
    for requests in grouped(read_lines(path, _Request, warn=lambda _: None)):
        if any(request.error for request in requests):
            continue
        times = {
            "latency": [request.latency for request in requests],
            "ttft": [request.ttft for request in requests],
            "tpot": [request.tpot for request in requests],
        }
        told = {name: [value for value in values if value is not None] for name, values in times.items()}
        yield requests[0].start, {name: sum(values) / len(values) for name, values in told.items() if values}


def _spread(values: "array[float]") -> TimeSpread | None:
    if not values:
        return None
    import numpy as np

    sample = np.frombuffer(values, dtype=float)
    if len(sample) < FEW:
        return TimeSpread(len(sample), float(np.median(sample)), tuple(values), None)
    quantiles = [float(value) for value in np.percentile(sample, (5, 25, 50, 75, 95))]
    low, first, median, third, high = quantiles
    return TimeSpread(
        len(sample), median, (float(sample.min()), float(sample.max())), (low, first, median, third, high)
    )


def _readings(sample: Sample, uuid: str, *, together: bool) -> tuple[float | None, int | None]:
    """Of the run's GPU, of all GPUs together where it has all of them, of the host where it has none."""
    if not uuid:
        return sample.host.cpu_power_w, sample.host.memory_used
    gpus = [gpu for gpu in sample.gpus if together or gpu.uuid == uuid or gpu.uuid.removeprefix("GPU-") == uuid]
    watts = [gpu.power_now_w for gpu in gpus]
    used = [gpu.memory_used for gpu in gpus]
    return (
        sum(value for value in watts if value is not None) if watts and None not in watts else None,
        sum(value for value in used if value is not None) if used and None not in used else None,
    )


def _ends(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The least and the largest, in the order of time."""
    least, largest = min(points, key=lambda point: point[1]), max(points, key=lambda point: point[1])
    return [least] if least == largest else sorted((least, largest))


def _known(value: float) -> float | None:
    return None if value != value else value
