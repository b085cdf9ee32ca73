"""What the words of levers take besides their engine: packages, and GPUs of an age."""

from collections.abc import Sequence

from infertui.config.engine_options import path_of
from infertui.config.engines.spec import Need
from infertui.config.fields import FIELDS
from infertui.errors import ConfigError
from infertui.runner.loading import Choice
from infertui.targets.engine.base import spec_of
from infertui.telemetry.readings import GpuInfo


def check_needs(choice: Choice, gpus: Sequence[GpuInfo]) -> None:
    """Raise ConfigError for a lever's word that takes a package that is not in the engine's environment, or more of the
    GPUs than they can. What is not known of either is not held against a word."""
    for lever, needs in spec_of(choice.engine.name).needs.items():
        value = getattr(choice.engine, lever)
        path = path_of(lever)
        need = needs.get(str(value)) or (needs.get("*") if value != FIELDS[path].default else None)
        if need is None:
            continue
        _check_packages(path, value, need, choice)
        _check_gpus(path, value, need, gpus)


def _check_packages(path: str, value: object, need: Need, choice: Choice) -> None:
    there = choice.status.packages
    if not need.packages or there is None or set(need.packages) & set(there):
        return
    raise ConfigError(
        path,
        f"{value} needs {' or '.join(need.packages)}, which is not installed where {choice.engine.name} is",
        remedy=f"{need.install}; or leave {path} at its default.",
    )


def _check_gpus(path: str, value: object, need: Need, gpus: Sequence[GpuInfo]) -> None:
    for gpu in gpus:
        if need.capability and gpu.compute_capability and _version(gpu.compute_capability) < _version(need.capability):
            raise ConfigError(
                path,
                f"{value} needs a GPU of compute capability {need.capability}, and GPU {gpu.label} has "
                f"{gpu.compute_capability}",
                remedy=f"Leave {path} at its default there.",
            )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in text.split("."))
