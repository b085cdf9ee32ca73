"""The memory of the GPUs now, for who has no sampler at hand."""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from infertui.integers import Whole
from infertui.telemetry.nvml import Nvml, NvmlUnavailableError
from infertui.telemetry.readings import GpuInfo, GpuSample

_T = TypeVar("_T")


class CardNow(Struct, frozen=True):
    """A GPU, and the bytes that are in use there, by whomever; None where the driver does not tell."""

    info: GpuInfo
    used: Whole | None = None


def cards_now() -> tuple[CardNow, ...]:
    """All GPUs; none where there is no driver."""
    return _each(lambda nvml, gpu: CardNow(gpu, nvml.sample(gpu).memory_used))


def samples_now() -> tuple[tuple[GpuInfo, GpuSample], ...]:
    """The same with all that is read of each."""
    return _each(lambda nvml, gpu: (gpu, nvml.sample(gpu)))


def gpus_now() -> tuple[GpuInfo, ...]:
    """The same without their memory."""
    return _each(lambda _, gpu: gpu)


def _each(read: Callable[[Nvml, GpuInfo], _T]) -> tuple[_T, ...]:
    try:
        nvml = Nvml.open()
    except NvmlUnavailableError:
        return ()
    try:
        return tuple(read(nvml, gpu) for gpu in nvml.devices())
    except NvmlUnavailableError:
        return ()
    finally:
        nvml.close()
