"""Whether an engine can use the GPUs that the driver shows: its library may be built without CUDA, or for a newer."""

from collections.abc import Sequence

from msgspec import Struct

from infertui.config.engines.registry import SPECS
from infertui.targets.engine.contract import Probe
from infertui.targets.engine.torch_build import NO_CUDA
from infertui.telemetry.readings import GpuInfo

_INSTALL = "https://pytorch.org/get-started/locally"


class Hindrance(Struct, frozen=True):
    """Why an engine cannot use the GPUs, and what to do about it."""

    reason: str
    remedy: str


def hindrance(probe: Probe, gpus: Sequence[GpuInfo]) -> Hindrance | None:
    """What keeps an engine from these GPUs; None where nothing is known to, and where there are none.

    A driver runs what was built for its own major version of CUDA or an older one (NVIDIA's CUDA compatibility guide).
    """
    if not gpus or not probe.available or not probe.cuda:
        return None
    if probe.engine == "llama-cpp":
        return _of_llama_cpp(probe)
    torch = library_of(probe)
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


def _of_llama_cpp(probe: Probe) -> Hindrance | None:
    """What its probe tells of CUDA is that there is none."""
    if probe.cuda != NO_CUDA:
        return None
    remedy = f"{SPECS[probe.engine].install}. Until then the CPU is used: --device cpu."
    return Hindrance(f"{library_of(probe)} is built without CUDA and cannot use the GPUs", remedy)


def library_of(probe: Probe) -> str:
    """What computes in an engine, in words."""
    names = {"torch": "PyTorch", "llama-cpp-python": "llama-cpp-python"}
    found = next((f"{words} {probe.versions[name]}" for name, words in names.items() if name in probe.versions), "")
    return found or ("llama-cpp-python" if probe.engine == "llama-cpp" else "the installed PyTorch")


def _major(version: str) -> int:
    head = version.partition(".")[0]
    return int(head) if head.isdecimal() else 0
