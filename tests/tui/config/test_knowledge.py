"""What the form says of GPUs that runs cannot use."""

import pytest

from infertui.targets.engine.base import Probe
from infertui.telemetry.readings import GpuInfo
from infertui.tui.config.form.options import MachineInfo, Remark

GPU = GpuInfo(0, "GPU-a0", "NVIDIA H100", memory_total=80 << 30, driver="535.1", cuda_driver="12.2")


def remark(device: str, *, cuda: str = "12.1", gpus: tuple[GpuInfo, ...] = (GPU,), visible: str = "") -> Remark | None:
    probe = Probe("transformers", available=True, reason="", versions={"torch": "2.9"}, cuda=cuda)
    known = MachineInfo((probe,), gpus, "no driver", known=True)
    values = {"engine.name": "transformers", "device.name": device, "device.visible": visible}
    return known.remark("device.name", values)


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
@pytest.mark.parametrize(
    ("cuda", "visible", "words"),
    [
        ("none", "", ("PyTorch 2.9 is built without CUDA", "Install a build of torch", "CUDA 12.2 or older")),
        ("13.0", "", ("built for CUDA 13.0", "the driver 535.1 supports CUDA 12.2", "Update the NVIDIA driver")),
        ("12.1", "-1", ("device.visible is -1", "no GPU is used")),
        ("12.1", "NoDevFiles", ("device.visible is NoDevFiles", "no GPU is used")),
        ("12.1", "7", ("device.visible: there is no GPU", "allowed")),
    ],
)
def test_gpus_that_cannot_be_used(device: str, cuda: str, visible: str, words: tuple[str, ...]) -> None:
    told = remark(device, cuda=cuda, visible=visible)
    assert told is not None
    assert told.standing == "warning"
    for word in words:
        assert word in told.text


def test_what_can_be_used_or_is_not_wanted_is_no_warning() -> None:
    assert remark("cpu", cuda="none", visible="-1") is None
    fine = remark("cuda:0")
    assert fine is not None
    assert fine.standing == "ok"
    none = remark("cuda", gpus=(), visible="-1")
    assert none is not None
    assert none.text == "no GPU here: no driver"
