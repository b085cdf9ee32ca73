"""The environment of a worker, and which device it will use as far as can be told before it runs."""

from collections.abc import Mapping

from infertui.config.schema import Config, DeviceConfig
from infertui.engines.base import Probe
from infertui.gpu.readings import GpuInfo
from infertui.gpu.visible import as_cuda_value, visible


def worker_environment(device: DeviceConfig, gpus: tuple[GpuInfo, ...], inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables of a worker. GPUs are named by UUID, so no two ways of numbering them can disagree."""
    environment = dict(inherited)
    environment["PYTHONUNBUFFERED"] = "1"
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    if device.name == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    elif device.visible and gpus:
        environment["CUDA_VISIBLE_DEVICES"] = as_cuda_value(visible(device.visible, gpus))
    elif device.visible:
        environment["CUDA_VISIBLE_DEVICES"] = device.visible
    return environment


def planned_gpu(config: Config, gpus: tuple[GpuInfo, ...], engine: Probe) -> GpuInfo | None:
    """The GPU that a run will use; None for the CPU. Raises ConfigError for a device that cannot be."""
    device = config.device
    if config.engine.name == "simulator":  # it uses none, and may claim one
        return next((gpu for gpu in gpus if gpu.uuid == config.engine.simulator.gpu_uuid), None)
    if device.name == "cpu" or not gpus or engine.versions.get("torch", "").endswith("+cpu"):
        return None
    seen = visible(device.visible, gpus)
    index = int(device.name.partition(":")[2] or 0)
    return seen[index] if index < len(seen) else None
