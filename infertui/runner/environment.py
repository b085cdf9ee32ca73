"""The environment of a worker, and which device it will use as far as can be told before it runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from infertui.config.schema import Config, DeviceConfig
from infertui.errors import ConfigError
from infertui.runner.loading import Choice
from infertui.targets.engine.base import spec_of
from infertui.targets.engine.environments import environment_for
from infertui.targets.engine.torch_build import NO_CUDA
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.usable import hindrance, library_of
from infertui.telemetry.visible import as_cuda_value, visible


def worker_environment(
    device: DeviceConfig,
    gpus: tuple[GpuInfo, ...],
    inherited: Mapping[str, str],
    python: Path | None = None,
    planned: Sequence[GpuInfo] = (),
) -> dict[str, str]:
    """The variables of a worker, of another interpreter where `python` names one.

    It sees the GPUs that are `planned` for it and no others: what a library allocates, captures or launches on its
    first GPU is then where the model is. They are named by UUID, so no two ways of numbering them can disagree.
    """
    environment = environment_for(python, inherited)
    environment["PYTHONUNBUFFERED"] = "1"
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    if device.name == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    elif planned and _narrows(device, gpus, planned, environment):
        environment["CUDA_VISIBLE_DEVICES"] = as_cuda_value(planned)
    elif device.visible and gpus:
        environment["CUDA_VISIBLE_DEVICES"] = as_cuda_value(visible(device.visible, gpus))
    elif device.visible:
        environment["CUDA_VISIBLE_DEVICES"] = device.visible
    return environment


def _narrows(
    device: DeviceConfig, gpus: tuple[GpuInfo, ...], planned: Sequence[GpuInfo], environment: Mapping[str, str]
) -> bool:
    """Whether others would be seen as well. The only GPU of a machine needs no name."""
    inherited = "CUDA_VISIBLE_DEVICES" in environment
    return inherited or bool(device.visible) or len(visible(device.visible, gpus)) > len(planned)


def as_the_worker_sees(device: DeviceConfig, planned: Sequence[GpuInfo]) -> DeviceConfig:
    """The device in a worker that sees no other GPUs than those planned for it: the first of them."""
    return replace(device, name="cuda:0") if planned and device.name.startswith("cuda:") else device


def as_asked(found: str, device: DeviceConfig, planned: Sequence[GpuInfo]) -> str:
    """The device that a worker names, in the numbering of the config: its `cuda:0` may be the run's `cuda:1`."""
    kind, colon, number = found.partition(":")
    if not planned or kind != "cuda" or not number.isdecimal():
        return found
    return f"{kind}{colon}{int(number) + _index(device)}"


def _index(device: DeviceConfig) -> int:
    return int(device.name.partition(":")[2] or 0)


def hidden_gpus(device: DeviceConfig, gpus: tuple[GpuInfo, ...]) -> str:
    """What to say where a run could use GPUs and is kept from seeing any; empty else."""
    if device.name != "auto" or not gpus or not device.visible or visible(device.visible, gpus):
        return ""
    return f"the CPU is used: no GPU can be seen{_hidden(device)}"


def _hidden(device: DeviceConfig) -> str:
    return f", since device.visible (or CUDA_VISIBLE_DEVICES) is {device.visible}" if device.visible else ""


def planned_gpus(config: Config, gpus: tuple[GpuInfo, ...], choice: Choice) -> tuple[GpuInfo, ...]:
    """The GPUs that a run will use, several where its layers are divided; none for the CPU.

    Raises ConfigError for a device that cannot be.
    """
    device, engine = config.device, choice.engine
    if engine.name == "simulator":  # it uses none, and may claim one
        return tuple(gpu for gpu in gpus if gpu.uuid == engine.simulator.gpu_uuid)[:1]
    devices = spec_of(engine.name).devices
    if devices == ("cpu",):
        if device.name.startswith("cuda"):
            raise ConfigError("device.name", f"{engine.name} computes on CPUs alone", allowed="auto or cpu")
        return ()
    hindered = hindrance(choice.status, gpus)
    if device.name.startswith("cuda") and hindered:
        raise ConfigError("device.name", f"is {device.name}, but {hindered.reason}", remedy=hindered.remedy)
    if device.name.startswith("cuda") and not gpus and choice.status.cuda == NO_CUDA:
        raise ConfigError(
            "device.name",
            f"is {device.name}, but {library_of(choice.status)} is built without CUDA, and no GPU was found here",
            allowed="auto or cpu",
        )
    if device.name == "cpu" or not gpus or hindered:
        if "cpu" not in devices:
            here = "device.name is cpu" if device.name == "cpu" else "none was found here"
            here = hindered.reason if hindered and device.name != "cpu" else here
            remedy = hindered.remedy if hindered else ""
            raise ConfigError("engine.name", f"{engine.name} needs an NVIDIA GPU, and {here}", remedy=remedy)
        return ()
    index, seen = _index(device), visible(device.visible, gpus)
    if device.name.startswith("cuda") and index >= len(seen):
        raise ConfigError(
            "device.name",
            f"is {device.name}, but this run can see {len(seen)} of {len(gpus)} GPUs{_hidden(device)}",
            allowed=", ".join(f"cuda:{number}" for number in range(len(seen))) or "auto or cpu",
        )
    if not seen and "cpu" not in devices:
        raise ConfigError("engine.name", f"{engine.name} needs an NVIDIA GPU, and device.visible hides every one")
    found = tuple(seen[index : index + engine.tensor_parallel])
    if found and len(found) < engine.tensor_parallel:
        raise ConfigError(
            "engine.tensor_parallel",
            f"{engine.tensor_parallel} GPUs are asked for, and this run can see {len(found)}",
            allowed=f"at most {len(found)}",
        )
    return found
