"""The table of devices, and calibrations beside it."""

import pytest

from infertui.analysis.roofline import device_named, devices, reached
from infertui.measure.roofline import FORMATS, DevicePeaks


@pytest.mark.parametrize("device", devices(), ids=lambda device: device.name)
def test_datasheet_figures_fit_together(device: object) -> None:
    """Dense tensor rates double from TF32 to 16 bit to 8 bit; a figure with sparsity among them would stand out."""
    from infertui.analysis.roofline import ListedDevice

    assert isinstance(device, ListedDevice)
    rates = device.matrix_rates
    assert set(rates) <= set(FORMATS)
    assert rates["float16"] == rates["bfloat16"]
    assert rates["bfloat16"] == pytest.approx(2 * rates["tf32"], rel=0.02)
    assert rates["float32"] <= rates["tf32"]
    if "float8" in rates:
        assert rates["float8"] == pytest.approx(2 * rates["bfloat16"], rel=0.03)
    assert 1e11 < device.memory_bandwidth < 1e13
    assert device.copied is None or device.copied < device.memory_bandwidth
    assert device.source


def test_names_are_whole() -> None:
    names = [device.name for device in devices()]
    assert len(set(names)) == len(names)
    assert device_named("NVIDIA H200") is not None
    assert device_named("NVIDIA GeForce RTX 4090 Laptop GPU") is None
    assert device_named("NVIDIA H200 MIG 1g.18gb") is None
    h200, nvl = device_named("NVIDIA H200"), device_named("NVIDIA H200 NVL")
    assert h200 is not None
    assert nvl is not None
    assert h200.matrix_rates["bfloat16"] > nvl.matrix_rates["bfloat16"]


def test_a_calibration_beside_the_datasheet() -> None:
    found = DevicePeaks(
        "NVIDIA H200", "580", 4.27e12, {"bfloat16": 7.916e14}, "now", spreads={"copy": 0.01},
        reasons={"float8": "PyTorch cannot"},
    )  # fmt: skip
    rows = {row.what: row for row in reached(found)}
    assert rows["copy"].share == pytest.approx(4.27 / 4.8)
    assert rows["copy"].spread == 0.01
    assert rows["bfloat16"].share == pytest.approx(0.8)
    assert rows["float8"].measured is None
    assert rows["float8"].datasheet == 1.979e15
    assert rows["float8"].missing == "PyTorch cannot"


def test_an_unknown_device_has_no_datasheet() -> None:
    rows = reached(DevicePeaks("Some CPU", "", 1e10, {}, "now", threads=4))
    assert [(row.what, row.datasheet, row.share) for row in rows] == [("copy", None, None)]
