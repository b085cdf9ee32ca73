"""Whether an engine can use the GPUs that the driver shows: its PyTorch may be built without CUDA, or for a newer."""

from collections.abc import Sequence

from msgspec import Struct

from infertui.engines.contract import Probe
from infertui.engines.torch_build import NO_CUDA
from infertui.gpu.readings import GpuInfo

_INSTALL = "https://pytorch.org/get-started/locally"


class Hindrance(Struct, frozen=True):
    """Why an engine cannot use the GPUs, and what to do about it."""

    reason: str
    remedy: str


def hindrance(probe: Probe, gpus: Sequence[GpuInfo]) -> Hindrance | None:
    """What keeps an engine on PyTorch from these GPUs; None where nothing is known to, and where there are none.

    A driver runs what was built for its own major version of CUDA or an older one (NVIDIA's CUDA compatibility guide).
    """
    if not gpus or not probe.available or not probe.cuda:
        return None
    torch = f"PyTorch {probe.versions['torch']}" if "torch" in probe.versions else "the installed PyTorch"
    driver = next((gpu for gpu in gpus if gpu.cuda_driver), None)
    newest = driver.cuda_driver or "" if driver else ""
    if probe.cuda == NO_CUDA:
        suited = f" for CUDA {newest} or older" if newest else ""
        return Hindrance(
            f"{torch} is built without CUDA and cannot use the GPUs",
            f"Install a build of torch with CUDA{suited}: {_INSTALL}. Until then the CPU is used: --device cpu.",
        )
    if newest and _major(probe.cuda) > _major(newest):
        version = f" {driver.driver}" if driver and driver.driver else ""
        return Hindrance(
            f"{torch} is built for CUDA {probe.cuda}, and the driver{version} supports CUDA {newest} at most",
            f"Update the NVIDIA driver, or install a build of torch for CUDA {_major(newest)}: {_INSTALL}.",
        )
    return None


def _major(version: str) -> int:
    head = version.partition(".")[0]
    return int(head) if head.isdecimal() else 0
