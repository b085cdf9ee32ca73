"""The memory of the GPUs now, for who has no sampler at hand."""

from msgspec import Struct

from infertui.integers import Whole
from infertui.telemetry.nvml import Nvml, NvmlUnavailableError
from infertui.telemetry.readings import GpuInfo


class CardNow(Struct, frozen=True):
    """A GPU, and the bytes that are in use there, by whomever; None where the driver does not tell."""

    info: GpuInfo
    used: Whole | None = None


def cards_now() -> tuple[CardNow, ...]:
    """All GPUs; none where there is no driver."""
    try:
        nvml = Nvml.open()
    except NvmlUnavailableError:
        return ()
    try:
        return tuple(CardNow(gpu, nvml.sample(gpu).memory_used) for gpu in nvml.devices())
    finally:
        nvml.close()
