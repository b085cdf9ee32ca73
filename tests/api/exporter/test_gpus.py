"""GPUs under the names of DCGM's exporter, read of the real binding over a stub of the driver."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.exporters import Told
from support.exporters import parsed as told

from infertui.api.exporter.own import ANEW_S, OwnReadings
from infertui.telemetry.nvml import Nvml, NvmlUnavailableError

Settings = Callable[..., None]
DCGM = {
    "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE",
    "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_MEMORY_TEMP", "DCGM_FI_DEV_SM_CLOCK",
    "DCGM_FI_DEV_MEM_CLOCK",
}  # fmt: skip
"""Of its default-counters.csv, as far as NVML's cheap readings have them."""


def values(page: Told, name: str) -> list[float]:
    return [value for _, value in page.get(name, [])]


def test_names_units_and_labels_are_those_of_dcgms_exporter(stub_settings: Settings) -> None:
    stub_settings(gpus=2, util=73, used_mib=2048, total_mib=8192, power_w=321, temp_c=61, sm_mhz=1755, name='Stub "A"')
    page = told(OwnReadings().text())
    assert set(page) >= DCGM
    assert values(page, "DCGM_FI_DEV_GPU_UTIL") == [73, 73]
    assert values(page, "DCGM_FI_DEV_FB_USED") == [2048, 2048]
    assert values(page, "DCGM_FI_DEV_FB_FREE") == [6144, 6144]
    assert values(page, "DCGM_FI_DEV_FB_TOTAL") == [8192, 8192]
    assert values(page, "DCGM_FI_DEV_POWER_USAGE") == [321, 321]
    assert values(page, "DCGM_FI_DEV_GPU_TEMP") == [61, 61]
    assert values(page, "DCGM_FI_DEV_SM_CLOCK") == [1755, 1755]
    labels = [labels for labels, _ in page["DCGM_FI_DEV_GPU_UTIL"]]
    assert [one["gpu"] for one in labels] == ["0", "1"]
    assert [one["device"] for one in labels] == ["nvidia0", "nvidia1"]
    assert {one["modelName"] for one in labels} == {'Stub "A"'}
    assert len({one["UUID"] for one in labels}) == 2
    assert all(one["UUID"].startswith("GPU-") and one["Hostname"] and one["pci_bus_id"] for one in labels)


def test_a_reading_that_the_driver_does_not_have_is_absent(stub_settings: Settings) -> None:
    stub_settings(unsupported="nvmlDeviceGetPowerUsage,nvmlDeviceGetTemperature,nvmlDeviceGetTemperatureV,field:82")
    page = told(OwnReadings().text())
    assert not {"DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_MEMORY_TEMP"} & set(page)
    assert values(page, "DCGM_FI_DEV_GPU_UTIL") == [50]


def test_what_holds_the_clocks_back(stub_settings: Settings) -> None:
    stub_settings(throttle=0x4)
    reasons = {labels["reason"]: value for labels, value in told(OwnReadings().text())["infertui_gpu_throttled"]}
    assert reasons["power-cap"] == 1
    assert sum(reasons.values()) == 1
    assert len(reasons) > 5


def test_instances_have_their_gpus_uuid_and_a_profile(stub_settings: Settings) -> None:
    stub_settings(mig=2)
    labels = [labels for labels, _ in told(OwnReadings().text())["DCGM_FI_DEV_FB_USED"]]
    whole, *instances = labels
    assert "GPU_I_ID" not in whole
    assert [one["GPU_I_ID"] for one in instances] == ["1", "2"]  # slots: the stub leaves one free
    assert {one["UUID"] for one in labels} == {whole["UUID"]}
    assert all(one["GPU_I_PROFILE"] for one in instances)


def test_a_lost_gpu_says_so_and_has_no_readings(stub_settings: Settings, tmp_path: Path) -> None:
    lost, now = tmp_path / "lost", [0.0]
    stub_settings(gpus=2, lost_file=lost)
    own = OwnReadings(clock=lambda: now[0])
    assert values(told(own.text()), "infertui_gpu_lost") == [0, 0]
    lost.touch()
    page = told(own.text())
    assert values(page, "infertui_gpu_lost") == [1, 0]
    assert len(values(page, "DCGM_FI_DEV_GPU_UTIL")) == 1
    lost.unlink()
    assert values(told(own.text()), "infertui_gpu_lost") == [1, 0]
    now[0] += ANEW_S
    assert values(told(own.text()), "infertui_gpu_lost") == [0, 0]
    own.close()


def test_a_driver_that_is_not_there_is_tried_again_after_a_while() -> None:
    tried, now = [], [0.0]

    def none() -> Nvml:
        tried.append(now[0])
        raise NvmlUnavailableError("no driver")

    own = OwnReadings(none, clock=lambda: now[0])
    for now[0] in (0.0, 1.0, ANEW_S - 0.1, ANEW_S, ANEW_S + 1):
        page = told(own.text())
        assert not any(name.startswith("DCGM") for name in page)
        assert values(page, "infertui_runner_up") == [0]
        assert values(page, "infertui_host_memory_bytes")
    assert tried == [0.0, ANEW_S]


@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_as_many_as_there_are(stub_settings: Settings, gpus: int) -> None:
    stub_settings(gpus=gpus)
    assert len(values(told(OwnReadings().text()), "DCGM_FI_DEV_GPU_UTIL")) == gpus


def test_nothing_that_costs_milliseconds_is_read(stub_settings: Settings, stub_calls: Callable[[str], int]) -> None:
    stub_settings(gpus=2)
    slow = ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetViolationStatus", "nvmlDeviceGetPcieThroughput")
    own, cheap = OwnReadings(), "nvmlDeviceGetUtilizationRates"
    before = {name: stub_calls(name) for name in (cheap, *slow)}
    for _ in range(3):
        own.text()
    grown = {name: stub_calls(name) - count for name, count in before.items()}
    assert grown == {cheap: 6, **dict.fromkeys(slow, 0)}
