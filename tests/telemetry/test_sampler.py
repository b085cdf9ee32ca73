"""The sampling thread over the stub driver library."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infertui.telemetry.nvml import Nvml, NvmlUnavailableError
from infertui.telemetry.readings import Sample
from infertui.telemetry.sampler import Sampler
from infertui.telemetry.window import window_readings

WAIT_S = 20.0
Settings = Callable[..., None]


class Receiver:
    """Collects samples, and lets a test wait for them."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._changed = threading.Condition()

    def __call__(self, sample: Sample) -> None:
        with self._changed:
            self.samples.append(sample)
            self._changed.notify_all()

    def wait_for(self, enough: Callable[[list[Sample]], bool]) -> list[Sample]:
        with self._changed:
            assert self._changed.wait_for(lambda: enough(self.samples), WAIT_S), "the samples did not come"
            return list(self.samples)

    def wait_for_more(self, count: int) -> list[Sample]:
        before = len(self.samples)
        return self.wait_for(lambda samples: len(samples) >= before + count)


Start = Callable[..., tuple[Sampler, Receiver]]


@pytest.fixture
def start(stub_calls: Callable[[str], int]) -> Iterator[Start]:
    running: list[Sampler] = []

    def start_sampler(
        *, hz: float = 100, history: int = 1000, open_nvml: Callable[[], Nvml] = Nvml.open
    ) -> tuple[Sampler, Receiver]:
        receiver = Receiver()
        sampler = Sampler(hz=hz, history=history, on_sample=receiver, open_nvml=open_nvml)
        running.append(sampler)
        sampler.start()
        assert sampler.wait_ready(WAIT_S)
        return sampler, receiver

    yield start_sampler
    for sampler in running:
        assert sampler.stop()


def no_driver() -> Nvml:
    raise NvmlUnavailableError("no driver in this test", remedy="none needed")


def test_samples_gpus_and_host(start: Start, stub_settings: Settings) -> None:
    stub_settings(gpus=2, power_w="100,200", mig="1,0")
    sampler, receiver = start()
    samples = receiver.wait_for_more(5)
    assert [gpu.label for gpu in sampler.gpus] == ["0", "0:1", "1"]
    assert [gpu.power_w for gpu in samples[-1].gpus] == [100.0, None, 200.0]
    assert samples[-1].host.memory_total
    assert sampler.latest is not None
    assert sampler.faults == ()
    assert sampler.unavailable is None
    assert not sampler.stale
    assert [sample.t_ns for sample in samples] == sorted({sample.t_ns for sample in samples})


def test_without_a_driver_the_host_is_sampled(start: Start) -> None:
    sampler, receiver = start(open_nvml=no_driver)
    (sample, *_) = receiver.wait_for_more(2)
    assert sample.gpus == ()
    assert sample.host.memory_used
    assert "no driver" in str(sampler.unavailable)
    counters = sampler.counters()
    assert counters.gpus == ()
    assert counters.host.t_ns > 0


def test_samples_stand_on_a_grid(start: Start) -> None:
    _, receiver = start(hz=50, open_nvml=no_driver)
    times = [sample.t_ns for sample in receiver.wait_for_more(15)]
    # One that is late may be followed closely by the next, but the rate as a whole is never exceeded.
    assert times[-1] - times[0] >= 10 * 20_000_000


def test_a_slow_receiver_causes_no_burst(stub_calls: Callable[[str], int]) -> None:
    held = threading.Event()
    times: list[int] = []
    enough = threading.Event()

    def receive(sample: Sample) -> None:
        times.append(sample.t_ns)
        if len(times) == 2:
            held.wait(0.3)  # fifteen periods
        if len(times) == 8:
            enough.set()

    sampler = Sampler(hz=50, on_sample=receive, open_nvml=no_driver)
    sampler.start()
    assert enough.wait(WAIT_S)
    assert sampler.stop()
    # Those that were missed are not made up for: six periods at least lie between the six samples that follow.
    assert times[7] - times[2] >= 4 * 20_000_000
    assert times[2] - times[1] >= 300_000_000


def test_rate_changes_at_once_and_zero_pauses(start: Start) -> None:
    sampler, receiver = start(hz=0, open_nvml=no_driver)
    assert sampler.latest is None
    assert not sampler.stale
    sampler.set_rate(0.001)  # the next one would come in a quarter of an hour
    assert len(receiver.wait_for_more(1)) == 1
    sampler.set_rate(200)
    receiver.wait_for_more(3)
    sampler.set_rate(0)
    sampler.set_rate(0.001)
    receiver.wait_for_more(1)
    assert sampler.hz == 0.001


@pytest.mark.parametrize("hz", [-1, 1001, float("nan"), float("inf")])
def test_impossible_rates(hz: float) -> None:
    with pytest.raises(ValueError, match="sampling rate"):
        Sampler(hz=hz)


def test_history_is_bounded(start: Start) -> None:
    sampler, receiver = start(hz=500, history=10, open_nvml=no_driver)
    receiver.wait_for_more(30)
    assert len(sampler.window(0, time.monotonic_ns() + 10**12)) <= 10


def test_window_has_a_neighbour_on_either_side(start: Start) -> None:
    sampler, receiver = start(open_nvml=no_driver)
    receiver.wait_for_more(10)
    assert sampler.stop()
    samples = sampler.window(0, 1 << 62)
    times = [sample.t_ns for sample in samples]
    assert sampler.window(times[3], times[6]) == samples[2:8]
    assert sampler.window(times[3] + 1, times[6] - 1) == samples[3:7]
    assert sampler.window(times[3] + 1, times[4] - 1) == samples[3:5]
    assert sampler.window(times[-1] + 1, times[-1] + 2) == samples[-1:]
    assert sampler.window(0, times[0] - 1) == samples[:1]


def test_a_failing_receiver_is_a_fault_and_nothing_worse(stub_calls: Callable[[str], int]) -> None:
    calls: list[Sample] = []
    enough = threading.Event()

    def receive(sample: Sample) -> None:
        calls.append(sample)
        if len(calls) >= 5:
            enough.set()
        raise ValueError(f"\033[31mnumber {len(calls)}")

    sampler = Sampler(hz=200, on_sample=receive, open_nvml=no_driver)
    sampler.start()
    assert enough.wait(WAIT_S)
    assert sampler.stop()
    (fault,) = sampler.faults
    assert fault.message == "a receiver of samples failed: ValueError: number 1"


def test_a_lost_gpu_is_one_fault_and_sampling_goes_on(start: Start, stub_settings: Settings, tmp_path: Path) -> None:
    stub_settings(gpus=2, lost_file=tmp_path / "lost")
    sampler, receiver = start()
    receiver.wait_for_more(2)
    (tmp_path / "lost").touch()
    receiver.wait_for(lambda samples: bool(samples[-1].gpus[0].lost))
    samples = receiver.wait_for_more(3)
    assert samples[-1].gpus[1].power_w == 300.0
    (fault,) = sampler.faults
    assert fault.uuid == sampler.gpus[0].uuid
    assert fault.message.startswith("GPU 0: the GPU is lost")
    assert fault.t_ns <= time.monotonic_ns()


def test_a_dead_driver_is_one_fault_and_the_host_goes_on(start: Start, stub_settings: Settings, tmp_path: Path) -> None:
    stub_settings(gpus=3, dead_file=tmp_path / "dead")
    sampler, receiver = start()
    receiver.wait_for_more(1)
    (tmp_path / "dead").touch()
    receiver.wait_for(lambda samples: bool(samples[-1].gpus[2].lost))
    samples = receiver.wait_for_more(3)
    assert samples[-1].host.memory_used
    (fault,) = sampler.faults
    assert "driver" in fault.message
    assert all(gpu.lost for gpu in sampler.counters().gpus)


def test_counters_alone_find_a_lost_gpu(start: Start, stub_settings: Settings, tmp_path: Path) -> None:
    stub_settings(lost_file=tmp_path / "lost")
    sampler, _ = start(hz=0)
    assert sampler.counters().gpus[0].energy_mj is not None
    (tmp_path / "lost").touch()
    assert sampler.counters().gpus[0].lost
    assert len(sampler.faults) == 1


def test_a_hanging_driver_makes_the_readings_stale(start: Start, stub_settings: Settings, tmp_path: Path) -> None:
    hang = tmp_path / "hang"
    stub_settings(hang_file=hang)
    sampler, receiver = start()
    receiver.wait_for_more(2)
    hang.touch()
    try:
        deadline = time.monotonic() + WAIT_S
        while not sampler.stale and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sampler.stale
        assert not sampler.stop(0.01)
    finally:
        hang.unlink()
    assert sampler.stop()
    assert not sampler.stale


def test_processes(start: Start, stub_settings: Settings) -> None:
    stub_settings(pids="99")
    sampler, _ = start()
    assert [process.pid for process in sampler.processes(sampler.gpus[0]) or ()] == [99]


def test_energy_of_a_window_is_power_times_time(start: Start, stub_settings: Settings) -> None:
    stub_settings(gpus=2, power_w="250,125", throttle="4,0", violation="10,0")
    sampler, receiver = start(hz=50)
    receiver.wait_for_more(2)
    before = sampler.counters()
    start_ns = before.gpus[0].t_ns
    receiver.wait_for_more(20)
    after = sampler.counters()
    end_ns = after.gpus[0].t_ns
    receiver.wait_for_more(1)
    readings = window_readings(sampler.window(start_ns, end_ns), start_ns, end_ns, before, after)
    for gpu, power in zip(readings.gpus, (250.0, 125.0), strict=True):
        assert gpu.energy.source == "counter"
        assert gpu.energy.joules == pytest.approx(power * readings.length_s, rel=0.2)
        assert gpu.power_w is not None
        assert gpu.power_w.mean == power
        integral = window_readings(sampler.window(start_ns, end_ns), start_ns, end_ns).gpus[gpu.index].energy
        assert (integral.source, integral.power_source) == ("integral", "instant")
        assert integral.joules == pytest.approx(power * readings.length_s)
    first, second = readings.gpus
    assert first.throttle == {"power-cap": 1.0}
    assert second.throttle == {}
    assert first.violation_s is not None
    assert first.violation_s["power"] == pytest.approx(0.1 * readings.length_s, rel=0.3)
    assert first.pcie_rx_mod_4gib == pytest.approx(2e9 * readings.length_s, rel=0.3)


def test_it_knows_what_it_costs(start: Start) -> None:
    sampler, receiver = start(hz=200)
    receiver.wait_for_more(20)
    assert sampler.stop()
    assert sampler.cpu_s > 0
    assert sampler.busy_s > 0


def test_it_starts_once_and_stops_twice(start: Start) -> None:
    sampler, receiver = start()
    receiver.wait_for_more(1)
    with pytest.raises(RuntimeError, match="only once"):
        sampler.start()
    assert sampler.stop()
    assert sampler.stop()


def test_stopping_what_never_started() -> None:
    assert Sampler(open_nvml=no_driver).stop()
