"""Which GPUs a worker may see: `CUDA_VISIBLE_DEVICES` mapped to NVML's devices by UUID.

CUDA silently ends its list at the first entry that it does not understand; here that is an error, since a run on
fewer or other GPUs than were asked for measures something else. What goes to the worker is a list of UUIDs
(`as_cuda_value`), so that CUDA's own ordering never matters.
"""

from collections.abc import Mapping, Sequence

from infertui.errors import ConfigError
from infertui.telemetry.readings import GpuInfo
from infertui.text import quoted

_ALLOWED = "indices (0,1), GPU UUIDs (GPU-…, as far as unambiguous), one MIG UUID (MIG-…), -1 for none, empty for all"
_NONE = frozenset({"-1", "nodevfiles"})
_VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible(spec: str, devices: Sequence[GpuInfo], *, path: str = "device.visible") -> tuple[GpuInfo, ...]:
    """The devices that `spec` names, in its order.

    Empty means all that can compute: whole GPUs, and the instances of those divided by MIG. Raises ConfigError, about
    the key `path`, for an entry that names nothing or several, for duplicates, and for what CUDA cannot combine: one
    process uses either whole GPUs or a single MIG instance.
    """
    if not spec.strip():
        return tuple(device for device in devices if not device.mig)
    entries = [entry.strip() for entry in spec.split(",")]
    if len(entries) == 1 and entries[0].lower() in _NONE:
        return ()
    chosen: list[GpuInfo] = []
    for entry in entries:
        device = _find(entry, devices, path)
        if device in chosen:
            raise ConfigError(path, f"{quoted(entry)} names GPU {device.label} a second time", allowed="each GPU once")
        chosen.append(device)
    instances = [device for device in chosen if device.parent]
    if instances and len(chosen) > 1:
        raise ConfigError(
            path,
            f"{quoted(spec)} names MIG instance {instances[0].label} beside other devices",
            allowed="whole GPUs, or a single MIG instance: CUDA gives a process no more",
        )
    return tuple(chosen)


def visible_from_environment(environ: Mapping[str, str], devices: Sequence[GpuInfo]) -> tuple[GpuInfo, ...]:
    """The devices that an inherited `CUDA_VISIBLE_DEVICES` leaves: all if unset, none if empty. Raises ConfigError."""
    spec = environ.get(_VARIABLE)
    if spec is None:
        return visible("", devices)
    return visible(spec, devices, path=_VARIABLE) if spec.strip() else ()


def as_cuda_value(devices: Sequence[GpuInfo]) -> str:
    """The value of `CUDA_VISIBLE_DEVICES` that gives a process exactly these devices; for none, one that hides all."""
    return ",".join(device.uuid for device in devices) or "-1"


def by_uuid(uuid: str, devices: Sequence[GpuInfo]) -> GpuInfo | None:
    """The device of a UUID as CUDA or torch write it, with or without `GPU-` or `MIG-`; None if it is not there."""
    wanted = _bare(uuid)
    return next((device for device in devices if wanted and _bare(device.uuid) == wanted), None)


def _find(entry: str, devices: Sequence[GpuInfo], path: str) -> GpuInfo:
    if not entry:
        raise ConfigError(path, "an entry of the list is empty", allowed=_ALLOWED)
    whole = [device for device in devices if device.parent is None]
    if entry.isascii() and entry.isdigit():
        # Longer numbers than any index would be; int() refuses absurd ones with an error of its own.
        found = [device for device in whole if len(entry) < 10 and device.index == int(entry)]
    elif entry.lower().startswith("gpu-"):
        found = _matching(entry, whole)
    elif entry.lower().startswith("mig-"):
        found = _matching(entry, [device for device in devices if device.parent])
    else:
        raise ConfigError(path, f"{quoted(entry)} is neither an index nor a UUID", allowed=_ALLOWED)
    if not found:
        raise ConfigError(
            path,
            f"there is no GPU {quoted(entry)}",
            allowed=", ".join(f"{device.label} ({device.uuid})" for device in devices)
            or "none: no NVIDIA GPU is usable",
            remedy="`infertui gpus` lists the GPUs.",
        )
    if len(found) > 1:
        raise ConfigError(
            path,
            f"{quoted(entry)} fits several devices: {', '.join(device.uuid for device in found)}",
            allowed="enough of a UUID to tell them apart",
        )
    if found[0].mig:
        raise ConfigError(
            path,
            f"GPU {found[0].label} is divided into MIG instances, so none can compute on the whole of it",
            allowed=", ".join(device.uuid for device in devices if device.parent == found[0].uuid)
            or "another GPU: this one has no instances yet",
        )
    return found[0]


def _matching(prefix: str, devices: Sequence[GpuInfo]) -> list[GpuInfo]:
    """A full UUID beats a prefix."""
    prefix = prefix.lower()
    exact = [device for device in devices if device.uuid.lower() == prefix]
    return exact or [device for device in devices if device.uuid.lower().startswith(prefix)]


def _bare(uuid: str) -> str:
    return uuid.strip().lower().removeprefix("gpu-").removeprefix("mig-")
