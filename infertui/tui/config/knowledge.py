"""What the machine says about values of the form: engines that work here, GPUs, models that need no download."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from infertui.errors import ConfigError
from infertui.models.local import LocalModel
from infertui.targets.engine.base import Probe
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.usable import hindrance
from infertui.telemetry.visible import visible
from infertui.tui.state import Mirror
from infertui.units import format_about, format_bytes, format_count

Standing = Literal["ok", "warning", "muted"]


class Remark(Struct, frozen=True):
    """Something worth knowing about a value."""

    text: str
    standing: Standing = "muted"


class Knowledge(Struct, frozen=True):
    """Of the machine on which runs are measured. `models` is None until they have been listed."""

    engines: tuple[Probe, ...] = ()
    gpus: tuple[GpuInfo, ...] = ()
    gpus_unavailable: str = ""
    known: bool = False
    """Whether a runner has told its facts."""
    models: tuple[LocalModel, ...] | None = None

    @classmethod
    def of(cls, mirror: Mirror, models: tuple[LocalModel, ...] | None) -> "Knowledge":
        """What the mirror knows."""
        facts = mirror.runner
        if facts is None:
            return cls(models=models)
        return cls(facts.engines, facts.gpus, facts.gpus_unavailable, known=True, models=models)

    def options(self, key: str) -> tuple[str, ...]:
        """Words to step through for a key whose choices depend on the machine."""
        return self.devices() if key == "device.name" else ()

    def devices(self) -> tuple[str, ...]:
        """What `device.name` can be here: each GPU by its number, MIG instances under their GPU's."""
        return ("auto", "cpu", *dict.fromkeys(f"cuda:{gpu.index}" for gpu in self._whole()))

    def remark(self, key: str, values: Mapping[str, object]) -> Remark | None:
        """What there is to say about the value of `key`."""
        value = values.get(key)
        if not isinstance(value, str):
            return None
        if key == "engine.name":
            return self.on_engine(value)
        if key == "model.id":
            return None if values.get("engine.name") == "simulator" else self.on_model(value)
        if key != "device.name":
            return None
        seen = str(values.get("device.visible", ""))
        if value != "cpu" and (hidden := self._hidden(seen)):
            return Remark(hidden, "warning")
        return self.on_device(value, str(values.get("engine.name", "")))

    def _hidden(self, seen: str) -> str:
        """What is wrong with `device.visible`; nothing where it leaves a GPU, or there is none to hide."""
        try:
            hidden = bool(self.gpus) and not visible(seen, self.gpus)
        except ConfigError as error:
            return error.message
        return f"device.visible is {seen.strip()} (CUDA_VISIBLE_DEVICES): no GPU is used" if hidden else ""

    def on_engine(self, name: str) -> Remark | None:
        """Whether an engine can be used here, and why not."""
        probe = next((probe for probe in self.engines if probe.engine == name), None)
        if probe is None:
            return Remark("the runner does not know this engine", "warning") if self.engines else None
        if not probe.available:
            return Remark(f"not available: {probe.reason}" + (f". {probe.remedy}" if probe.remedy else ""), "warning")
        return Remark(", ".join(f"{library} {version}" for library, version in probe.versions.items()), "ok")

    def on_device(self, name: str, engine: str = "") -> Remark | None:
        """Which device a name stands for, and whether the engine can use it."""
        if not self.known or name == "cpu":
            return None
        gpus = self._whole()
        probe = next((probe for probe in self.engines if probe.engine == engine), None)
        if probe is not None and (hindered := hindrance(probe, gpus)):
            return Remark(f"{hindered.reason}. {hindered.remedy}", "warning")
        if name.startswith("cuda"):
            index = int(name.partition(":")[2] or 0)
            if not gpus:
                why = self.gpus_unavailable.partition("\n")[0]
                return Remark(f"no GPU here: {why or 'none was found'}", "warning")
            gpu = next((gpu for gpu in gpus if gpu.index == index), None)
            if gpu is None:
                return Remark(f"there is no GPU {index} here, only {_numbers(gpus)}", "warning")
            return Remark(described(gpu), "ok")
        if not gpus:
            return Remark("the CPU: no GPU here")
        return Remark(gpus[0].name + (f" and {len(gpus) - 1} more" if len(gpus) > 1 else ""), "ok")

    def on_model(self, name: str) -> Remark | None:
        """Whether a model is here, and how to get it."""
        if name.startswith("synthetic:"):
            return Remark("random weights: real speed, meaningless text")
        if self.models is None:
            return None
        model = next((model for model in self.models if model.id == name), None)
        if model is not None:
            return Remark(described_model(model), "ok" if model.complete else "warning")
        if not is_hub_id(name):
            return None
        return Remark(f"not on this machine: infertui models pull {name}", "warning")

    def _whole(self) -> Sequence[GpuInfo]:
        return [gpu for gpu in self.gpus if gpu.mig_index is None]


def described(gpu: GpuInfo) -> str:
    """A GPU in a few words."""
    memory = f" {format_bytes(gpu.memory_total)}" if gpu.memory_total else ""
    return f"{gpu.name}{memory}" + (", divided into MIG instances" if gpu.mig else "")


def described_model(model: LocalModel) -> str:
    """A model in a few words: how large, in which format, or what it lacks."""
    facts = [
        "" if model.complete else f"cannot be loaded: {model.problem}",
        (format_count if model.parameters_exact else format_about)(model.parameters) if model.parameters else "",
        model.dtype,
        format_bytes(model.size_bytes) if model.size_bytes else "",
        "random weights" if model.kind == "synthetic" else "",
    ]
    return ", ".join(fact for fact in facts if fact)


def is_hub_id(name: str) -> bool:
    """Whether a model's name can only be one of the hub's: no path, and not synthetic."""
    return not name.startswith(("/", ".", "~", "synthetic:")) and name.count("/") <= 1


def _numbers(gpus: Sequence[GpuInfo]) -> str:
    return ", ".join(str(gpu.index) for gpu in gpus)
