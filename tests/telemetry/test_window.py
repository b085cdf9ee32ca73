"""Sums over a window: pure arithmetic, checked against what is known exactly."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.telemetry.readings import Counters, GpuCounters, GpuSample, HostCounters, HostSample, Sample
from infertui.telemetry.window import Energy, GpuReadings, fall, integrate, window_readings

S = 1_000_000_000
UUID = "GPU-1"


def sample(t_s: float, power: float | None = None, *, lost: str = "", host: HostSample | None = None) -> Sample:
    gpu = GpuSample(0, UUID, power_instant_w=power, lost=lost)
    return Sample(round(t_s * S), (gpu,), host or HostSample())


def counters(t_s: float, energy_mj: int | None, *, lost: str = "") -> Counters:
    return Counters(round(t_s * S), (GpuCounters(UUID, round(t_s * S), energy_mj, lost=lost),))


def energy(samples: list[Sample], start_s: float, end_s: float, *edges: Counters) -> Energy:
    before, after = edges or (None, None)
    (gpu,) = window_readings(samples, round(start_s * S), round(end_s * S), before, after).gpus
    return gpu.energy


times = st.lists(st.integers(0, 10 * S), min_size=2, max_size=40, unique=True).map(sorted)


@given(times, st.floats(0.1, 2000), st.integers(0, 10 * S), st.integers(1, 10 * S))
def test_integral_of_constant_power(grid: list[int], power: float, start: int, length: int) -> None:
    found = integrate([(t, power) for t in grid], start, start + length)
    assert found == pytest.approx(power * length / S)


@given(times, st.floats(-50, 50), st.floats(0, 500), st.data())
def test_integral_of_a_ramp_is_exact(grid: list[int], slope: float, offset: float, data: st.DataObject) -> None:
    start = data.draw(st.integers(grid[0], grid[-1]))
    end = data.draw(st.integers(start, grid[-1]))
    found = integrate([(t, offset + slope * t / S) for t in grid], start, end)
    expected = offset * (end - start) / S + slope * ((end / S) ** 2 - (start / S) ** 2) / 2
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 10 * S), st.floats(1, 1000)), min_size=2, max_size=30), st.randoms())
def test_order_of_samples_is_irrelevant(points: list[tuple[int, float]], chance: random.Random) -> None:
    unique = dict(points)
    samples = [sample(0, power) for power in unique.values()]
    samples = [Sample(t, one.gpus) for t, one in zip(unique, samples, strict=True)]
    shuffled = samples[:]
    chance.shuffle(shuffled)
    assert window_readings(samples, S, 9 * S) == window_readings(shuffled, S, 9 * S)


@given(
    st.lists(st.floats(1, 1000), min_size=11, max_size=11),
    st.booleans(),
    st.integers(1, 10_000_000),
    st.floats(-0.04, 0.04),
)
def test_energy_is_mean_power_times_time(powers: list[float], counter: bool, millijoules: int, shift: float) -> None:
    samples = [sample(t, power) for t, power in enumerate(powers)]
    edges = (counters(2 - shift, 7), counters(8 + shift, 7 + millijoules)) if counter else ()
    found = energy(samples, 2, 8, *edges)
    assert found.source == ("counter" if counter else "integral")
    assert found.joules is not None
    assert found.mean_power_w is not None
    assert found.joules == pytest.approx(found.mean_power_w * 6)
    if counter:
        assert found.mean_power_w == pytest.approx(millijoules / 1000 / (6 + 2 * shift))
    else:
        assert min(powers) - 1e-9 <= found.mean_power_w <= max(powers) + 1e-9


def test_edges_between_samples_are_interpolated() -> None:
    found = energy([sample(0, 100), sample(1, 200), sample(2, 300), sample(3, 400)], 0.5, 2.5)
    assert found.joules == pytest.approx((150 + 350) / 2 * 2)
    assert (found.samples, found.source, found.power_source) == (2, "integral", "instant")
    assert found.largest_gap_s == 1.0


def test_without_neighbours_the_outermost_value_holds() -> None:
    assert energy([sample(1, 100), sample(2, 100)], 0.5, 2.5).joules == pytest.approx(200)


def test_a_neighbour_from_long_ago_is_not_interpolated_from() -> None:
    found = energy([sample(0, 900), sample(60.1, 100), sample(61, 100)], 60, 61.5)
    assert found.joules == pytest.approx(150)


def test_the_plain_reading_serves_where_there_is_no_instantaneous_one() -> None:
    samples = [Sample(t * S, (GpuSample(0, UUID, power_w=50.0),)) for t in range(5)]
    found = energy(samples, 0, 4)
    assert found.joules == pytest.approx(200)
    assert found.power_source == "average"


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([sample(0, None), sample(5, None)], "0 power samples"),
        ([sample(1, 100)], "1 power sample in"),
        ([sample(0, 100), sample(0.5, 100), sample(4, 100), sample(10, 100)], "gap of 6.0 s"),
        ([sample(1, 100), sample(2, 100)], "gap of 8.0 s"),
        ([sample(0.5 * i, 100) for i in range(15)] + [sample(7.5, lost="the GPU is lost")], "lost"),
    ],
)
def test_too_little_to_integrate(samples: list[Sample], words: str) -> None:
    found = energy(samples, 0, 10)
    assert (found.joules, found.source, found.mean_power_w) == (None, None, None)
    assert words in found.reason


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (counters(0, 1000), counters(10, 900), "reset"),
        (counters(0, 1000), counters(10, 1000), "did not advance"),
        (counters(0, None), counters(10, None), "no energy counter"),
        (counters(0, 1000), counters(10, None, lost="the GPU is lost"), "lost"),
        (counters(-1, 1000), counters(10.5, 9000), "too far"),
        (counters(2, 1000), counters(10, 9000), "too far"),
    ],
)
def test_a_counter_that_cannot_be_used_gives_way_to_the_integral(before: Counters, after: Counters, words: str) -> None:
    found = energy([sample(t, 100) for t in range(11)], 0, 10, before, after)
    assert found.source == "integral"
    assert found.joules == pytest.approx(1000)
    assert words in found.reason
    without_samples = energy([sample(5)], 0, 10, before, after)
    assert without_samples.joules is None
    assert words in without_samples.reason


def test_the_counters_own_figures_are_kept() -> None:
    found = energy([sample(5, 100)], 0, 10, counters(-0.2, 0), counters(10.3, 10_500_000))
    assert (found.counter_j, found.counter_interval_s) == (10_500.0, 10.5)
    assert found.joules == pytest.approx(10_000)


def test_a_window_without_length() -> None:
    found = energy([sample(0, 1), sample(1, 1), sample(2, 1)], 1, 1, counters(1, 0), counters(1, 5))
    assert found.joules is None
    with pytest.raises(ValueError, match="before it starts"):
        window_readings([], 2, 1)


def test_no_samples_at_all() -> None:
    readings = window_readings([], 0, 10)
    assert readings.gpus == ()
    assert readings.samples == 0
    assert readings.host.cpu_percent is None
    assert readings.host.swap_growth is None


def test_readings_of_a_gpu() -> None:
    def at(t_s: float, used: int, sm: int, reasons: tuple[str, ...] | None, utilization: float | None) -> Sample:
        gpu = GpuSample(
            0,
            UUID,
            utilization=utilization,
            memory_used=used,
            memory_total=1000,
            power_w=10.0,
            temperature_c=40 + t_s,
            sm_mhz=sm,
            throttle=reasons,
        )
        return Sample(round(t_s * S), (gpu,))

    samples = [
        at(0, 999, 5, ("hw-thermal",), 0),  # before the window: must not count
        at(1, 100, 1000, (), 50),
        at(2, 300, 2000, ("power-cap",), None),
        at(4, 200, 2000, ("power-cap", "idle"), 100),
        at(5, 999, 5, ("hw-thermal",), 0),  # after it
    ]
    (gpu,) = window_readings(samples, S, 4 * S).gpus
    assert gpu.samples == 3
    assert (gpu.memory_peak, gpu.memory_total) == (300, 1000)
    assert gpu.throttle == {"power-cap": 2 / 3, "idle": 1 / 3}
    assert gpu.sm_mhz is not None
    assert (gpu.sm_mhz.min, gpu.sm_mhz.max) == (1000, 2000)
    assert gpu.sm_mhz.mean == pytest.approx((1500 * 1 + 2000 * 2) / 3)  # by time, not by number of samples
    assert gpu.temperature_c is not None
    assert (gpu.temperature_c.min, gpu.temperature_c.max) == (41, 44)
    assert gpu.utilization is not None
    assert gpu.utilization.mean == 75.0
    assert gpu.power_instant_w is None
    assert gpu.pcie_tx_mod_4gib is None


def test_reasons_at_the_edges_are_seen_too() -> None:
    edges = [Counters(0, (GpuCounters(UUID, 0, throttle=reasons),)) for reasons in ((), ("sw-thermal",))]
    (gpu,) = window_readings([Sample(5, (GpuSample(0, UUID, throttle=()),))], 0, 10, *edges).gpus
    assert gpu.throttle == {"sw-thermal": 0.0}


def test_violations_and_pcie_are_differences() -> None:
    before = Counters(0, (GpuCounters(UUID, 0, 1, {"power": 5 * S, "thermal": 9 * S}, 100, 900),))
    after = Counters(0, (GpuCounters(UUID, 0, 2, {"power": 7 * S, "thermal": 1 * S, "new": S}, 350, 800),))
    (gpu,) = window_readings([sample(0)], 0, S, before, after).gpus
    assert gpu.violation_s == {"power": 2.0}
    assert (gpu.pcie_tx_mod_4gib, gpu.pcie_rx_mod_4gib) == (250, 2**32 - 100)


def test_a_gpu_lost_in_the_window() -> None:
    (gpu,) = window_readings([sample(0, 10), sample(1, 10), sample(2, lost="gone")], 0, 2 * S).gpus
    assert (gpu.lost, gpu.samples) == ("gone", 2)


def test_several_gpus_keep_their_order() -> None:
    gpus = (GpuSample(0, "a", power_w=100.0), GpuSample(0, "a-mig"), GpuSample(1, "b", power_w=50.0))
    readings = window_readings([Sample(t * S, gpus) for t in range(4)], 0, 3 * S)
    assert [gpu.uuid for gpu in readings.gpus] == ["a", "a-mig", "b"]
    assert [gpu.energy.joules for gpu in readings.gpus] == [pytest.approx(300), None, pytest.approx(150)]


def test_host() -> None:
    hosts = [HostSample(cpu_percent=p, memory_used=m, swap_used=s, load1=1.0) for p, m, s in
             [(None, 10, 100), (20.0, 30, 100), (40.0, 20, 400)]]  # fmt: skip
    before = Counters(0, host=HostCounters(0, {"package-0": 0}))
    after = Counters(0, host=HostCounters(S, {"package-0": 7_000_000}))
    host = window_readings([sample(t, host=one) for t, one in enumerate(hosts)], 0, 2 * S, before, after).host
    assert host.cpu_percent is not None
    assert host.cpu_percent.mean == 30.0
    assert (host.memory_peak, host.swap_growth, host.load1_max) == (30, 300, 1.0)
    assert host.rapl_j == {"package-0": 7.0}
    assert host.cpu_power_w is None


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.none() | st.floats(0, 100)), max_size=20))
def test_missing_readings_never_become_numbers(points: list[tuple[int, float | None]]) -> None:
    samples = [Sample(t, (GpuSample(0, UUID, utilization=value),)) for t, value in points]
    readings = window_readings(samples, 0, 5 * S)
    if all(value is None for _, value in points):
        assert all(gpu.utilization is None for gpu in readings.gpus)
        return
    (gpu,) = readings.gpus
    spread = gpu.utilization
    assert spread is not None
    assert spread.min <= spread.mean <= spread.max
    assert math.isfinite(spread.mean)
    assert gpu == GpuReadings(0, UUID, gpu.energy, samples=len(points), utilization=spread)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([1980.0, 1980.0], None),
        ([1980.0] * 5, 0.0),
        ([345.0, 900.0, 1500.0, 1980.0, 1980.0, 1980.0], 0.0),  # a ramp
        ([2000.0, 2000.0, 500.0, 2000.0, 2000.0], 0.0),  # one reading
        ([2000.0, 2000.0, 1500.0, 1500.0, 2000.0], 0.25),
        ([1000.0, 2000.0, 2000.0, 1600.0, 1600.0, 1800.0, 1800.0], 0.2),
        ([0.0, 0.0, 0.0], 0.0),
    ],
)
def test_a_fall_is_below_the_highest_before_it(values: list[float], expected: float | None) -> None:
    assert fall(values) == (None if expected is None else pytest.approx(expected))


@given(st.lists(st.floats(0, 1e6), min_size=3, max_size=50))
def test_a_fall_is_a_share(values: list[float]) -> None:
    found = fall(values)
    assert found is not None
    assert 0 <= found <= 1
    assert fall(sorted(values)) == 0


def test_a_clock_that_rests_does_not_fall() -> None:
    clocks = [(1980, ()), (1980, ()), (1980, ()), (345, ("idle",)), (345, ("idle",)), (345, ("idle",))]
    samples = [
        Sample(at * S, (GpuSample(0, UUID, sm_mhz=mhz, throttle=reasons),)) for at, (mhz, reasons) in enumerate(clocks)
    ]
    assert window_readings(samples, 0, 10 * S).gpus[0].sm_fall == 0
    busy = [Sample(one.t_ns, (GpuSample(0, UUID, sm_mhz=one.gpus[0].sm_mhz, throttle=()),)) for one in samples]
    assert window_readings(busy, 0, 10 * S).gpus[0].sm_fall == pytest.approx(1 - 345 / 1980)


def test_counters_of_the_host_are_differences() -> None:
    before = Counters(0, host=HostCounters(0, cpu_busy_s=100.0, cpu_total_s=900.0, swapped=4096))
    after = Counters(0, host=HostCounters(S, cpu_busy_s=103.0, cpu_total_s=904.0, swapped=12288))
    host = window_readings([], 0, S, before, after).host
    assert (host.busy_s, host.cpus_s, host.swapped) == (3.0, 4.0, 8192)
    host = window_readings([], 0, S, after, before).host
    assert (host.busy_s, host.cpus_s, host.swapped) == (None, None, None), "a counter that started again"
