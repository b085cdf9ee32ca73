"""The real nvidia-ml-py over the stub driver library."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pynvml
import pytest

from infertui.telemetry.nvml import Nvml, NvmlUnavailableError
from infertui.telemetry.readings import GpuInfo, GpuSample, throttle_names

Open = Callable[..., Nvml]
Calls = Callable[[str], int]


def test_describes_every_device(open_nvml: Open) -> None:
    nvml = open_nvml(gpus=3, limit_w="700,350", name="NVIDIA H200")
    devices = nvml.devices()
    assert [device.label for device in devices] == ["0", "1", "2"]
    assert [device.power_limit_w for device in devices] == [700.0, 350.0, 350.0]
    assert len({device.uuid for device in devices}) == 3
    first = devices[0]
    assert first.name == "NVIDIA H200"
    assert first.driver == nvml.driver == "580.95.05"
    assert first.cuda_driver == "13.0"
    assert first.compute_capability == "9.0"
    assert (first.power_limit_default_w, first.power_limit_max_w) == (700.0, 750.0)
    assert (first.max_sm_mhz, first.max_memory_mhz, first.memory_bus_bits) == (1980, 3201, 6144)
    assert (first.temp_slowdown_c, first.temp_shutdown_c) == (89, 92)
    assert first.pci_bus_id == "00000000:06:00.0"
    assert (first.mig, first.persistence_mode, first.ecc) == (False, True, True)
    assert first.memory_total == 150754820096


def test_samples_what_the_device_says(open_nvml: Open) -> None:
    nvml = open_nvml(power_w=250.5, util=73, used_mib=2048, temp_c=61, sm_mhz=1755, throttle=0x4)
    sample = nvml.sample(nvml.devices()[0])
    assert sample == GpuSample(
        0,
        nvml.devices()[0].uuid,
        utilization=73.0,
        memory_utilization=36.0,
        memory_used=2048 << 20,
        memory_total=150754820096,
        power_w=250.5,
        power_instant_w=250.5,
        temperature_c=61.0,
        memory_temperature_c=66.0,
        sm_mhz=1755,
        memory_mhz=3201,
        throttle=("power-cap",),
        pstate=0,
    )


def test_zero_is_a_reading(open_nvml: Open) -> None:
    nvml = open_nvml(util=0, used_mib=0, throttle=0)
    sample = nvml.sample(nvml.devices()[0])
    assert (sample.utilization, sample.memory_used, sample.throttle) == (0.0, 0, ())


@pytest.mark.parametrize(
    ("next_step", "call", "field"),
    [
        ("unsupported", "nvmlDeviceGetUtilizationRates", "utilization"),
        ("unsupported", "nvmlDeviceGetPowerUsage", "power_w"),
        ("missing", "nvmlDeviceGetClockInfo", "sm_mhz"),
        ("unsupported", "nvmlDeviceGetPerformanceState", "pstate"),
        ("missing", "nvmlDeviceGetFieldValues", "power_instant_w"),
        ("missing", "nvmlDeviceGetFieldValues", "memory_temperature_c"),
        ("unsupported", "nvmlDeviceGetTemperature,nvmlDeviceGetTemperatureV", "temperature_c"),
    ],
)
def test_unsupported_is_none_and_asked_no_more(
    open_nvml: Open, stub_calls: Calls, next_step: str, call: str, field: str
) -> None:
    nvml = open_nvml(**{next_step: call})
    gpu = nvml.devices()[0]
    assert getattr(nvml.sample(gpu), field) is None
    calls = [stub_calls(name) for name in call.split(",")]
    again = nvml.sample(gpu)
    assert getattr(again, field) is None
    assert again.lost == ""
    assert again.memory_used is not None
    assert [stub_calls(name) for name in call.split(",")] == calls


def test_one_missing_field_value_leaves_the_other(open_nvml: Open) -> None:
    nvml = open_nvml(unsupported="field:186")
    sample = nvml.sample(nvml.devices()[0])
    assert sample.power_instant_w is None
    assert sample.power_w == 300.0
    assert sample.memory_temperature_c == 45.0


@pytest.mark.parametrize(
    ("call", "number", "field"),
    [
        ("nvmlDeviceGetPowerUsage", 0xFFFFFFFF, "power_w"),
        ("nvmlDeviceGetPowerUsage", 0, "power_w"),
        ("nvmlDeviceGetUtilizationRates", 991, "utilization"),
        ("nvmlDeviceGetTemperature", 0xFFFFFFFF, "temperature_c"),
        ("nvmlDeviceGetClockInfo", 0xFFFFFFFF, "sm_mhz"),
        ("nvmlDeviceGetPerformanceState", 32, "pstate"),
        ("nvmlDeviceGetCurrentClocksEventReasons", 2**64 - 1, "throttle"),
    ],
)
def test_sentinels_and_garbage_are_missing(open_nvml: Open, call: str, number: int, field: str) -> None:
    nvml = open_nvml(raw=f"{call}={number}")
    assert getattr(nvml.sample(nvml.devices()[0]), field) is None


def test_an_old_driver_still_gives_memory_and_reasons(open_nvml: Open) -> None:
    nvml = open_nvml(
        missing="nvmlDeviceGetMemoryInfo_v2,nvmlDeviceGetCurrentClocksEventReasons,nvmlDeviceGetTemperatureV",
        throttle=0x20,
        used_mib=100,
    )
    sample = nvml.sample(nvml.devices()[0])
    assert sample.throttle == ("sw-thermal",)
    assert sample.memory_used == (100 << 20) + 600000000  # the old call counts the driver's reserve


def test_a_driver_that_knows_no_field_values_at_all(open_nvml: Open) -> None:
    nvml = open_nvml(unsupported="nvmlDeviceGetFieldValues")
    gpu = nvml.devices()[0]
    assert nvml.sample(gpu).power_instant_w is None
    (counters,) = nvml.counters()
    assert counters.pcie_tx_bytes is None
    assert counters.energy_mj is not None


def test_counters_agree_with_the_power(open_nvml: Open) -> None:
    nvml = open_nvml(gpus=2, power_w="400,100", violation=25)
    outer_start = time.monotonic_ns()
    before = nvml.counters()
    inner_start = time.monotonic_ns()
    time.sleep(0.01)
    inner_end = time.monotonic_ns()
    after = nvml.counters()
    outer_end = time.monotonic_ns()
    for start, end, power in zip(before, after, (400, 100), strict=True):
        assert outer_start < start.t_ns < inner_start < inner_end < end.t_ns < outer_end
        assert start.energy_mj is not None
        assert end.energy_mj is not None
        # The counter holds whole millijoules.
        least, most = power * (inner_end - inner_start) / 1e6 - 1, power * (outer_end - outer_start) / 1e6 + 1
        assert least <= end.energy_mj - start.energy_mj <= most
        assert set(end.violation_ns) == {
            "power",
            "thermal",
            "sync-boost",
            "board-limit",
            "low-utilization",
            "reliability",
        }
        assert end.violation_ns["power"] > start.violation_ns["power"]
        assert end.violation_ns["thermal"] == 0
        assert end.pcie_rx_bytes is not None
        assert end.pcie_rx_bytes > (start.pcie_rx_bytes or 0) > 0


def test_no_energy_counter(open_nvml: Open) -> None:
    nvml = open_nvml(unsupported="nvmlDeviceGetTotalEnergyConsumption,nvmlDeviceGetViolationStatus")
    (counters,) = nvml.counters()
    assert counters.energy_mj is None
    assert counters.violation_ns == {}
    assert counters.lost == ""


def test_mig_instances_follow_their_gpu(open_nvml: Open) -> None:
    nvml = open_nvml(gpus=2, mig="2,0")
    devices = nvml.devices()
    assert [device.label for device in devices] == ["0", "0:1", "0:2", "1"]
    assert [device.mig for device in devices] == [True, False, False, False]
    instance = devices[1]
    assert instance.uuid.startswith("MIG-")
    assert instance.parent == devices[0].uuid
    assert instance.memory_total == 150754820096 // 7
    sample = nvml.sample(instance)
    assert sample.memory_used == 1024 << 20
    assert (sample.power_w, sample.utilization, sample.throttle, sample.lost) == (None, None, None, "")
    assert [counters.energy_mj is None for counters in nvml.counters()] == [False, True, True, False]


def test_processes(open_nvml: Open) -> None:
    nvml = open_nvml(gpus=2, pids="4242,17")
    first, second = nvml.devices()
    listed = nvml.processes(first)
    assert listed is not None
    assert [(process.pid, process.memory_used) for process in listed] == [(17, 1 << 30), (4242, 1 << 30)]
    assert listed[0].name == "/usr/bin/stub-17"  # without the escape sequence that the stub puts in
    assert nvml.processes(second) == ()


def test_processes_not_available(open_nvml: Open) -> None:
    calls = "nvmlDeviceGetComputeRunningProcesses_v3,nvmlDeviceGetMPSComputeRunningProcesses_v3"
    nvml = open_nvml(unsupported=calls, pids="1")
    assert nvml.processes(nvml.devices()[0]) is None


def test_a_lost_gpu_is_said_to_be_lost_and_the_others_go_on(open_nvml: Open, tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    nvml = open_nvml(gpus=2, lost_file=lost)
    first, second = nvml.devices()
    assert nvml.sample(first).lost == ""
    lost.touch()
    sample = nvml.sample(first)
    assert "lost" in sample.lost
    assert sample.memory_used is None
    assert nvml.sample(second).power_w == 300.0
    assert [bool(counters.lost) for counters in nvml.counters()] == [True, False]
    assert nvml.processes(first) is None
    assert nvml.dead == ""


def test_a_gpu_that_needs_a_reset_takes_its_instances_along(open_nvml: Open, tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    nvml = open_nvml(gpus=2, mig="1,1", lost_file=lost, lost_code=16)
    lost.touch()
    samples = [nvml.sample(gpu) for gpu in nvml.devices()]
    assert ["reset" in sample.lost for sample in samples] == [True, True, False, False]


@pytest.mark.parametrize("calls", range(20, 80, 3))
def test_lost_at_any_call(open_nvml: Open, calls: int) -> None:
    nvml = open_nvml(lost_after=calls)
    assert len(nvml.devices()) == 1
    samples = [nvml.sample(nvml.devices()[0]) for _ in range(20)]
    assert all(sample.lost or sample.power_w == 300.0 for sample in samples)
    last = samples[-1]
    assert last.lost
    assert last == GpuSample(0, last.uuid, lost=last.lost)


def test_a_gpu_that_is_lost_from_the_start_is_noted(open_nvml: Open, tmp_path: Path) -> None:
    (tmp_path / "lost").touch()
    nvml = open_nvml(gpus=2, lost_file=tmp_path / "lost")
    assert [gpu.index for gpu in nvml.devices()] == [1]
    assert nvml.notes[0].startswith("GPU 0 cannot be used: the GPU is lost")


def test_a_lost_gpu_is_left_alone(open_nvml: Open, stub_calls: Calls, tmp_path: Path) -> None:
    nvml = open_nvml(lost_file=tmp_path / "lost")
    (tmp_path / "lost").touch()
    nvml.sample(nvml.devices()[0])
    calls = stub_calls("nvmlDeviceGetFieldValues")
    nvml.sample(nvml.devices()[0])
    assert stub_calls("nvmlDeviceGetFieldValues") == calls


def test_a_driver_that_dies_takes_all_devices_along(open_nvml: Open, tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    nvml = open_nvml(gpus=2, dead_file=dead)
    dead.touch()
    samples = [nvml.sample(gpu) for gpu in nvml.devices()]
    assert all("driver" in sample.lost for sample in samples)
    assert "driver" in nvml.dead
    assert all(counters.lost for counters in nvml.counters())
    nvml.close()  # must not raise either


def test_a_denied_device_is_noted_and_the_rest_is_used(open_nvml: Open) -> None:
    nvml = open_nvml(gpus=3, denied=1)
    assert [gpu.index for gpu in nvml.devices()] == [0, 2]
    assert nvml.notes == ("GPU 1 cannot be used: no permission",)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (4, "permission"),
        (9, "not loaded"),
        (13, "too old"),
        (15, "lost"),
        (18, "differ in version"),
        (999, "unknown error"),
        (23, "error 23"),
    ],
)
def test_why_it_cannot_be_opened(open_nvml: Open, code: int, words: str) -> None:
    with pytest.raises(NvmlUnavailableError, match=words) as caught:
        open_nvml(init_error=code)
    assert caught.value.remedy


def test_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", refuse)
    with pytest.raises(NvmlUnavailableError, match=r"libnvidia-ml\.so\.1 was not found"):
        Nvml.open()


def test_closed_devices_answer_that_they_are_closed(open_nvml: Open) -> None:
    nvml = open_nvml()
    nvml.close()
    nvml.close()
    assert "closed" in nvml.sample(nvml.devices()[0]).lost


def test_names_from_the_driver_are_made_safe(open_nvml: Open) -> None:
    nvml = open_nvml(name="GPU\033]0;owned\007 \033[31mred")
    assert nvml.devices()[0].name == "GPU red"


def test_undecodable_names_are_survived(open_nvml: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = open_nvml(name="x")
    assert nvml.devices()[0].name == "x"
    monkeypatch.setitem(os.environb, b"NVML_STUB_NAME", b"\xff\xfe")
    assert open_nvml().devices()[0].name == "NVIDIA GPU"


def test_readings_survive_json(open_nvml: Open) -> None:
    nvml = open_nvml(gpus=2, mig="1,0", unsupported="nvmlDeviceGetPowerUsage")
    for gpu in nvml.devices():
        sample = nvml.sample(gpu)
        assert msgspec.json.decode(msgspec.json.encode(sample), type=GpuSample) == sample
        assert msgspec.json.decode(msgspec.json.encode(gpu), type=GpuInfo) == gpu


def test_throttle_names() -> None:
    assert throttle_names(0) == ()
    assert throttle_names(0x44) == ("power-cap", "hw-thermal")
    assert throttle_names(0x1001) == ("idle", "unknown-0x1000")


def traffic(nvml: Nvml, number: int = 0) -> list[float | None]:
    """What the links carry in the 20 ms before a sample."""
    nvml.begin_traffic()
    time.sleep(0.02)
    found = nvml.sample(nvml.devices()[number])
    return [found.pcie_rx, found.pcie_tx, found.nvlink_rx, found.nvlink_tx]


def test_traffic_is_what_crosses_the_links_in_a_second(open_nvml: Open) -> None:
    nvml = open_nvml(nvlinks=4)
    assert nvml.devices()[0].nvlinks == 3
    first = traffic(nvml)
    assert first[:2] == [pytest.approx(2e9, rel=0.05), pytest.approx(1e9, rel=0.05)]
    assert first[2:] == [None, None]  # it takes two readings
    assert traffic(nvml) == [pytest.approx(rate, rel=0.05) for rate in (2e9, 1e9, 6e9, 3e9)]
    repeated = nvml.sample(nvml.devices()[0])
    assert repeated.pcie_rx == pytest.approx(2e9, rel=0.05)


def test_without_nvlink_or_counters_there_is_no_traffic(open_nvml: Open, tmp_path: Path) -> None:
    assert traffic(open_nvml())[2:] == [None, None]
    nvml = open_nvml(unsupported="field:197", mig="1", lost_file=tmp_path / "lost")
    assert nvml.devices()[0].nvlinks is None
    assert traffic(nvml)[0] == pytest.approx(2e9, rel=0.05)
    assert traffic(nvml)[1] is None
    assert traffic(nvml, 1) == [None] * 4  # a MIG instance has no links of its own
    (tmp_path / "lost").touch()
    assert traffic(nvml) == [None] * 4
    assert nvml.sample(nvml.devices()[0]).lost


def test_readings_too_far_apart_are_no_rate_since_the_counter_may_have_started_again(open_nvml: Open) -> None:
    nvml = open_nvml()
    nvml.begin_traffic()
    time.sleep(0.08)  # 16 lanes of generation 5 carry 4 GiB in 67 ms
    assert nvml.sample(nvml.devices()[0]).pcie_rx is None


def test_processes_without_permission(open_nvml: Open) -> None:
    nvml = open_nvml(
        refused="nvmlDeviceGetComputeRunningProcesses_v3,nvmlDeviceGetMPSComputeRunningProcesses_v3", pids="1"
    )
    assert nvml.processes(nvml.devices()[0]) is None
