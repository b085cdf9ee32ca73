"""Energy of runs on CPUs, and of GPUs of which some have none: provenance as the result keeps it."""

import pytest
from runner.test_telemetry import INFOS, Recorded, batch
from support.scenes import S, loaded, sample

from infertui.measure.records import BatchRecord, EngineMemory
from infertui.runner.telemetry import RunTelemetry, window_of
from infertui.telemetry.readings import Counters, GpuCounters, HostCounters


def test_energy_of_the_cpu_packages_is_the_difference_of_their_counters() -> None:
    """Both edges are a tenth of a second outside of the window of 6 s: 620 J in 6.2 s are 600 J of it."""

    def edge(t_ns: int, microjoules: int) -> Counters:
        return Counters(t_ns, (), HostCounters(t_ns, {"package-0": microjoules}, {"package-0": 10**9}))

    edges = edge(1002 * S - S // 10, 5_000_000), edge(1008 * S + S // 10, 625_000_000)
    telemetry = RunTelemetry(Recorded([]))
    power, _ = telemetry.figures(window_of([batch()]), *edges, tokens=100, idle={"": 40.0})
    assert power is not None
    assert (power.domain, power.source) == ("cpu-package", "counter")
    assert power.energy_j == pytest.approx(600)
    assert power.mean_power_w == pytest.approx(100)
    assert power.joules_per_token == pytest.approx(6.0)
    assert power.joules_per_token_above_idle == pytest.approx(3.6)  # (600 - 40 x 6) / 100
    nothing, _ = telemetry.figures(window_of([batch()]), None, None, tokens=100, idle={})
    assert nothing is not None
    assert (nothing.source, nothing.energy_j, nothing.joules_per_token) == (None, None, None)


def test_energy_and_throughput_count_the_same_seconds() -> None:
    """Two batches of 2 s with a gap of 0.2 s: 100 W for 4.2 s, of which 4 s are measured; tok/s/W is tok/s over W."""

    def measured(at: int) -> BatchRecord:
        return BatchRecord("measure", 0, at, at, at, at + 2 * S, None, (), EngineMemory())

    batches = [measured(1000 * S), measured(1000 * S + 11 * S // 5)]
    idle = INFOS[0].uuid

    def edge(t_ns: int, millijoules: int) -> Counters:
        return Counters(t_ns, (GpuCounters(INFOS[0].uuid, t_ns, millijoules),), HostCounters(t_ns))

    telemetry = RunTelemetry(Recorded([sample(INFOS, tick) for tick in range(11)]))
    telemetry.device_is(loaded(), INFOS[:1])
    edges = edge(1000 * S, 0), edge(1000 * S + 21 * S // 5, 420_000)
    power, _ = telemetry.figures(window_of(batches), *edges, tokens=800, idle={idle: 25.0})
    assert power is not None
    assert (power.window_s, power.span_s) == pytest.approx((4.0, 4.2))
    assert power.energy_j == pytest.approx(400)
    assert power.joules_per_token == pytest.approx(0.5)
    assert power.joules_per_token_above_idle == pytest.approx(0.375)
    assert power.tokens_per_s_per_w == pytest.approx(200 / 100)
    assert power.error_j == pytest.approx(400 * 0.1 / 4.2)


def test_several_sources_are_as_good_as_the_worse_one() -> None:
    """The first GPU has a counter (6 s at 500 W), the second one's samples are integrated."""
    samples = [sample(INFOS, tick) for tick in range(11)]
    telemetry = RunTelemetry(Recorded(samples))
    telemetry.device_is(loaded(), INFOS[:2])

    def edge(t_ns: int, millijoules: int) -> Counters:
        gpus = GpuCounters(INFOS[0].uuid, t_ns, millijoules), GpuCounters(INFOS[1].uuid, t_ns, None)
        return Counters(t_ns, gpus, HostCounters(t_ns))

    edges = edge(1002 * S, 0), edge(1008 * S, 3_000_000)
    power, _ = telemetry.figures(window_of([batch()]), *edges, tokens=100, idle={})
    assert power is not None
    assert power.source == "integral"
    assert power.energy_j is not None
    assert power.energy_j > 3000
    assert "no energy counter" in power.reason
    telemetry.device_is(loaded())
    alone, _ = telemetry.figures(window_of([batch()]), *edges, tokens=100, idle={})
    assert alone is not None
    assert (alone.source, alone.reason) == ("counter", "")
    assert alone.energy_j == pytest.approx(3000)
