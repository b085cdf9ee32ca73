"""What the driver says of the GPUs, for the question whether an engine supports them.

Asked of NVML here, and not of `infertui.telemetry`, which stands above the engines.
"""

import os

from msgspec import Struct


class Gpu(Struct, frozen=True):
    """One GPU: its name, UUID and compute capability, `9.0` for Hopper."""

    name: str
    uuid: str
    capability: tuple[int, int]


class Driver(Struct, frozen=True):
    """The driver's version, the newest CUDA it supports as `major * 1000 + minor * 10`, and the GPUs it shows."""

    version: str
    cuda: int
    gpus: tuple[Gpu, ...]


def read() -> Driver | None:
    """The driver and its GPUs in NVML's order; None where there is none."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        gpus = tuple(
            Gpu(
                name=_text(pynvml.nvmlDeviceGetName(handle)),
                uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
                capability=tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)),
            )
            for handle in handles
        )
        return Driver(
            version=_text(pynvml.nvmlSystemGetDriverVersion()),
            cuda=int(pynvml.nvmlSystemGetCudaDriverVersion_v2()),
            gpus=gpus,
        )
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def visible(driver: Driver, spec: str | None = None) -> tuple[Gpu, ...]:
    """The GPUs that `CUDA_VISIBLE_DEVICES` leaves, in its order; entries that name nothing end the list, as in CUDA."""
    spec = os.environ.get("CUDA_VISIBLE_DEVICES") if spec is None else spec
    if spec is None:
        return driver.gpus
    chosen: list[Gpu] = []
    for entry in filter(None, (part.strip() for part in spec.split(","))):
        if entry.isdecimal() and int(entry) < len(driver.gpus):
            chosen.append(driver.gpus[int(entry)])
        elif entry.startswith("GPU-") and (found := [gpu for gpu in driver.gpus if gpu.uuid.startswith(entry)]):
            chosen.append(found[0])
        else:
            break
    return tuple(chosen)


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
