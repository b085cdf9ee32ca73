"""What the samples and counters say about one measured window. Pure: no device is touched.

Energy, in this order:

- `counter`: the energy counter's difference between its two readings. They are taken close to the window's edges,
  not at them; the mean power over the counter's own interval, times the window's length, is the window's energy. That
  is refused where interval and window differ by more than 10 % of the window, and where the counter did not advance or
  went backwards (a driver reload). A counter is refreshed ten times a second, so that short windows are not known well:
  see `measure.energy.counter_error`.
- `integral`: the trapezoid rule over power samples, linear between them and up to both edges. Where no sample lies
  beyond an edge, or only one more than 3 s away, the outermost value is held. It takes the instantaneous power where
  there is any, as the plain reading lags by up to a second, and is refused with fewer than two samples inside the
  window or a gap of more than 3 s.

Otherwise there is no energy, and `reason` says why.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from infertui.measure.energy import counter_error
from infertui.telemetry.host import rapl_joules
from infertui.telemetry.readings import Counters, GpuCounters, GpuSample, HostCounters, HostSample, Sample

MAX_GAP_S = 3.0
"""A longer gap between power samples leaves too much to guess."""
MAX_INTERVAL_DEVIATION = 0.10
"""By how much of the window's length the counter's interval may differ from it."""
MIN_SAMPLES = 2

PowerSource = Literal["instant", "average"]
Points = Sequence[tuple[int, float]]
"""(monotonic nanoseconds, value), in order of time."""


class Energy(Struct, frozen=True):
    """The energy of one GPU over a window."""

    joules: float | None = None
    source: Literal["counter", "integral"] | None = None
    mean_power_w: float | None = None
    """`joules` divided by the window's length."""
    power_source: PowerSource | None = None
    """Which power reading an integral was taken over."""
    samples: int = 0
    """Power samples inside the window."""
    largest_gap_s: float | None = None
    """Longest stretch of the window without a power sample, edges included."""
    counter_j: float | None = None
    """The counter's plain difference, and the time between its readings."""
    counter_interval_s: float | None = None
    reason: str = ""
    """Why the better source, or any, was not available; empty when the counter was used."""
    error_j: float | None = None
    """How far `joules` may be off, where that is known: the counter's."""


class ReadingSpread(Struct, frozen=True):
    """A reading over the window: its extremes, and its mean weighted by time."""

    min: float
    mean: float
    max: float


class GpuReadings(Struct, frozen=True):
    """One GPU over a window. None: no sample had that reading."""

    index: int
    uuid: str
    energy: Energy
    samples: int = 0
    """Samples inside the window in which the GPU answered."""
    power_w: ReadingSpread | None = None
    power_instant_w: ReadingSpread | None = None
    utilization: ReadingSpread | None = None
    memory_utilization: ReadingSpread | None = None
    memory_peak: int | None = None
    memory_total: int | None = None
    temperature_c: ReadingSpread | None = None
    memory_temperature_c: ReadingSpread | None = None
    sm_mhz: ReadingSpread | None = None
    sm_fall: float | None = None
    """How far the clock fell below the highest before it in the window, as a share of that; see `fall`."""
    memory_mhz: ReadingSpread | None = None
    throttle: dict[str, float] | None = None
    """Share of samples (0 to 1) that showed a reason. Reasons seen only at the window's edges have share 0."""
    violation_s: dict[str, float] | None = None
    """Seconds between the counters' readings for which a policy held the clocks down."""
    pcie_tx_mod_4gib: int | None = None
    pcie_rx_mod_4gib: int | None = None
    """Bytes over PCIe between the counters' readings, less an unknown multiple of 4 GiB: the counters are 32 bits wide.
    On an H200, 258 GiB copied to the device in 5 s read as 1.9 GiB."""
    lost: str = ""


class HostReadings(Struct, frozen=True):
    """The machine over a window."""

    cpu_percent: ReadingSpread | None = None
    memory_peak: int | None = None
    memory_total: int | None = None
    swap_growth: int | None = None
    """Swap used at the end minus at the start, in bytes; negative when it shrank."""
    load1_max: float | None = None
    cpu_power_w: ReadingSpread | None = None
    rapl_j: dict[str, float] | None = None
    """Energy by RAPL domain between the counters' readings."""
    busy_s: float | None = None
    """Seconds between the counters' readings that the CPUs which this process may use were not idle, together."""
    cpus_s: float | None = None
    """Seconds that went by on these CPUs between the readings, together."""
    swapped: int | None = None
    """Bytes that the host swapped in and out between the readings."""


class WindowReadings(Struct, frozen=True):
    """Everything about one window; `samples` counts those inside it."""

    start_ns: int
    end_ns: int
    samples: int
    gpus: tuple[GpuReadings, ...]
    host: HostReadings

    @property
    def length_s(self) -> float:
        """Length of the window in seconds."""
        return (self.end_ns - self.start_ns) / 1e9


def window_readings(
    samples: Iterable[Sample],
    start_ns: int,
    end_ns: int,
    before: Counters | None = None,
    after: Counters | None = None,
) -> WindowReadings:
    """Sum up the window from `start_ns` to `end_ns`.

    `samples` come in any order and may reach beyond the window: power is interpolated from its neighbours, and nothing
    else is taken from outside. `before` and `after` are the counters at its edges. Raises ValueError for a window that
    ends before it starts.
    """
    if end_ns < start_ns:
        raise ValueError("a window cannot end before it starts")
    ordered = sorted(samples, key=lambda sample: sample.t_ns)
    inside = [sample for sample in ordered if start_ns <= sample.t_ns <= end_ns]
    tracks: dict[str, list[tuple[int, GpuSample]]] = {}
    for sample in ordered:
        for gpu in sample.gpus:
            tracks.setdefault(gpu.uuid, []).append((sample.t_ns, gpu))
    starts = {gpu.uuid: gpu for gpu in before.gpus} if before else {}
    ends = {gpu.uuid: gpu for gpu in after.gpus} if after else {}
    gpus = [_gpu(track, start_ns, end_ns, starts.get(uuid), ends.get(uuid)) for uuid, track in tracks.items()]
    return WindowReadings(start_ns, end_ns, len(inside), tuple(gpus), _host(inside, before, after))


def integrate(points: Points, start_ns: int, end_ns: int) -> float | None:
    """Integral over the window in value x seconds, by the trapezoid rule with linear interpolation at both edges.

    Beyond the outermost point its value is held. `points` are in order of time; None without any.
    """
    if not points:
        return None
    grid = [(start_ns, _value_at(points, start_ns))]
    grid += [point for point in points if start_ns < point[0] < end_ns]
    grid.append((end_ns, _value_at(points, end_ns)))
    return sum((t1 - t0) / 1e9 * (v0 + v1) / 2 for (t0, v0), (t1, v1) in pairwise(grid))


def _gpu(
    track: Sequence[tuple[int, GpuSample]],
    start_ns: int,
    end_ns: int,
    before: GpuCounters | None,
    after: GpuCounters | None,
) -> GpuReadings:
    inside = [gpu for t_ns, gpu in track if start_ns <= t_ns <= end_ns]
    answered = [gpu for gpu in inside if not gpu.lost]
    first = track[0][1]

    def spread(read: Callable[[GpuSample], float | None]) -> ReadingSpread | None:
        return _spread([(t, value) for t, gpu in track if (value := read(gpu)) is not None], start_ns, end_ns)

    return GpuReadings(
        first.index,
        first.uuid,
        _energy(track, start_ns, end_ns, before, after),
        samples=len(answered),
        power_w=spread(lambda gpu: gpu.power_w),
        power_instant_w=spread(lambda gpu: gpu.power_instant_w),
        utilization=spread(lambda gpu: gpu.utilization),
        memory_utilization=spread(lambda gpu: gpu.memory_utilization),
        memory_peak=max((gpu.memory_used for gpu in answered if gpu.memory_used is not None), default=None),
        memory_total=max((gpu.memory_total for gpu in answered if gpu.memory_total is not None), default=None),
        temperature_c=spread(lambda gpu: gpu.temperature_c),
        memory_temperature_c=spread(lambda gpu: gpu.memory_temperature_c),
        sm_mhz=spread(lambda gpu: gpu.sm_mhz),
        sm_fall=_clock_fall(answered),
        memory_mhz=spread(lambda gpu: gpu.memory_mhz),
        throttle=_throttle(answered, before, after),
        violation_s=_violations(before, after),
        pcie_tx_mod_4gib=_pcie_difference(before, after, lambda counters: counters.pcie_tx_bytes),
        pcie_rx_mod_4gib=_pcie_difference(before, after, lambda counters: counters.pcie_rx_bytes),
        lost=next((gpu.lost for gpu in inside if gpu.lost), "") or (after.lost if after else ""),
    )


def _host(inside: Sequence[Sample], before: Counters | None, after: Counters | None) -> HostReadings:
    hosts = [(sample.t_ns, sample.host) for sample in inside]

    def points(read: Callable[[HostSample], float | None]) -> list[tuple[int, float]]:
        return [(t, value) for t, host in hosts if (value := read(host)) is not None]

    def spread(read: Callable[[HostSample], float | None]) -> ReadingSpread | None:
        return _spread(points(read), hosts[0][0], hosts[-1][0]) if hosts else None

    swap = points(lambda host: host.swap_used)
    joules = rapl_joules(before.host, after.host) if before and after else {}
    return HostReadings(
        cpu_percent=spread(lambda host: host.cpu_percent),
        memory_peak=max((host.memory_used for _, host in hosts if host.memory_used is not None), default=None),
        memory_total=max((host.memory_total for _, host in hosts if host.memory_total is not None), default=None),
        swap_growth=int(swap[-1][1] - swap[0][1]) if len(swap) > 1 else None,
        load1_max=max((value for _, value in points(lambda host: host.load1)), default=None),
        cpu_power_w=spread(lambda host: host.cpu_power_w),
        rapl_j=joules or None,
        busy_s=_grown(before, after, lambda host: host.cpu_busy_s),
        cpus_s=_grown(before, after, lambda host: host.cpu_total_s),
        swapped=None if (grown := _grown(before, after, lambda host: host.swapped)) is None else int(grown),
    )


def fall(values: Sequence[float]) -> float | None:
    """The deepest fall below the highest value before it, as a share of that; None below three values.

    The median of each three in a row counts: one reading alone is no change, and a rise is no fall.
    """
    smooth = [sorted(values[at : at + 3])[1] for at in range(len(values) - 2)]
    highest = deepest = 0.0
    for value in smooth:
        highest = max(highest, value)
        deepest = max(deepest, 1 - value / highest if highest > 0 else 0.0)
    return deepest if smooth else None


def _clock_fall(answered: Sequence[GpuSample]) -> float | None:
    """Of the SM clock, but for samples in which the GPU had nothing to do: then it slows down by itself."""
    return fall([gpu.sm_mhz for gpu in answered if gpu.sm_mhz is not None and "idle" not in (gpu.throttle or ())])


def _grown(
    before: Counters | None, after: Counters | None, read: Callable[[HostCounters], float | None]
) -> float | None:
    """By how much a counter of the host grew; None where it was not read twice, or started again."""
    start, end = (read(before.host), read(after.host)) if before and after else (None, None)
    return end - start if start is not None and end is not None and end >= start else None


def _energy(
    track: Sequence[tuple[int, GpuSample]],
    start_ns: int,
    end_ns: int,
    before: GpuCounters | None,
    after: GpuCounters | None,
) -> Energy:
    length_s = (end_ns - start_ns) / 1e9
    # A neighbour from long before or after, when the rate was lower, says nothing about the edge.
    reach_ns = int(MAX_GAP_S * 1e9)
    near = [(t, gpu) for t, gpu in track if start_ns - reach_ns <= t <= end_ns + reach_ns]
    instant = [(t, gpu.power_instant_w) for t, gpu in near if gpu.power_instant_w is not None]
    average = [(t, gpu.power_w) for t, gpu in near if gpu.power_w is not None]
    enough = min(MIN_SAMPLES, _count(average, start_ns, end_ns))
    power_source: PowerSource = "instant" if _count(instant, start_ns, end_ns) >= enough else "average"
    points = instant if power_source == "instant" else average
    count = _count(points, start_ns, end_ns)
    gap_s = _largest_gap_s(points, start_ns, end_ns)

    counter_j, interval_s, counter_problem = _counter_difference(before, after, length_s)
    if counter_j is not None and interval_s and not counter_problem:
        power = counter_j / interval_s
        joules = power * length_s
        error_j = joules * counter_error(interval_s)
        return Energy(joules, "counter", power, None, count, gap_s, counter_j, interval_s, error_j=error_j)

    integral = integrate(points, start_ns, end_ns)
    lost = next((gpu.lost for t, gpu in track if gpu.lost and start_ns <= t <= end_ns), "")
    if lost:
        problem = lost
    elif count < MIN_SAMPLES:
        problem = f"{count} power sample{'' if count == 1 else 's'} in the window"
    elif gap_s is None or gap_s > MAX_GAP_S:
        problem = f"a gap of {gap_s:.1f} s between power samples" if gap_s is not None else "no power samples"
    elif integral is None or length_s <= 0:
        problem = "the window has no length"
    else:
        return Energy(
            integral,
            "integral",
            integral / length_s,
            power_source,
            count,
            gap_s,
            counter_j,
            interval_s,
            counter_problem,
        )
    reason = "; ".join(dict.fromkeys((counter_problem, problem)))
    return Energy(None, None, None, None, count, gap_s, counter_j, interval_s, reason)


def _counter_difference(
    before: GpuCounters | None, after: GpuCounters | None, length_s: float
) -> tuple[float | None, float | None, str]:
    """Joules between the counter's readings, their distance in seconds, and what forbids using them."""
    if before is None or after is None:
        return None, None, "the energy counter was not read at both edges"
    if before.energy_mj is None or after.energy_mj is None:
        return None, None, after.lost or before.lost or "this device has no energy counter"
    interval_s = (after.t_ns - before.t_ns) / 1e9
    joules = (after.energy_mj - before.energy_mj) / 1000
    if joules < 0:
        return None, interval_s, "the energy counter was reset"
    if joules == 0:
        return None, interval_s, "the energy counter did not advance"
    if length_s <= 0 or interval_s <= 0 or abs(interval_s - length_s) > MAX_INTERVAL_DEVIATION * length_s:
        return joules, interval_s, "the energy counter's readings are too far from the window's edges"
    return joules, interval_s, ""


def _throttle(
    answered: Sequence[GpuSample], before: GpuCounters | None, after: GpuCounters | None
) -> dict[str, float] | None:
    known = [gpu.throttle for gpu in answered if gpu.throttle is not None]
    edges = [counters.throttle for counters in (before, after) if counters and counters.throttle is not None]
    if not known and not edges:
        return None
    seen = dict.fromkeys(reason for reasons in (*known, *edges) for reason in reasons)
    return {reason: sum(reason in reasons for reasons in known) / len(known) if known else 0.0 for reason in seen}


def _violations(before: GpuCounters | None, after: GpuCounters | None) -> dict[str, float] | None:
    if before is None or after is None:
        return None
    differences = {
        name: (end - before.violation_ns[name]) / 1e9
        for name, end in after.violation_ns.items()
        if end >= before.violation_ns.get(name, end + 1)
    }
    return differences or None


def _pcie_difference(
    before: GpuCounters | None, after: GpuCounters | None, read: Callable[[GpuCounters], int | None]
) -> int | None:
    """What a 32-bit counter counted, as far as it can tell; None where it is not there."""
    start, end = (read(before), read(after)) if before and after else (None, None)
    return (end - start) % 2**32 if start is not None and end is not None else None


def _spread(points: Points, start_ns: int, end_ns: int) -> ReadingSpread | None:
    """Extremes of the points inside, and the mean over the time between the first and the last of them."""
    inside = [point for point in points if start_ns <= point[0] <= end_ns]
    if not inside:
        return None
    values = [value for _, value in inside]
    length_s = (inside[-1][0] - inside[0][0]) / 1e9
    area = integrate(inside, inside[0][0], inside[-1][0])
    mean = area / length_s if area is not None and length_s > 0 else sum(values) / len(values)
    # Rounding must not put the mean outside its extremes.
    return ReadingSpread(min(values), min(max(values), max(min(values), mean)), max(values))


def _count(points: Points, start_ns: int, end_ns: int) -> int:
    return sum(start_ns <= t_ns <= end_ns for t_ns, _ in points)


def _largest_gap_s(points: Points, start_ns: int, end_ns: int) -> float | None:
    inside = [t_ns for t_ns, _ in points if start_ns < t_ns < end_ns]
    if not points:
        return None
    marks = [start_ns, *inside, end_ns]
    return max((t1 - t0) / 1e9 for t0, t1 in pairwise(marks))


def _value_at(points: Points, t_ns: int) -> float:
    """Linear between points, held beyond them."""
    if t_ns <= points[0][0]:
        return points[0][1]
    for (t0, v0), (t1, v1) in pairwise(points):
        if t_ns <= t1:
            return v0 + (v1 - v0) * (t_ns - t0) / (t1 - t0) if t1 > t0 else v1
    return points[-1][1]
