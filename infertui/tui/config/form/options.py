"""What there is to choose from: models, engines, devices, words, and configs to open.

What the machine says about values of the form: engines that work here, GPUs, models that need no download.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from infertui.config import sources
from infertui.config.engines.registry import SPECS
from infertui.config.fields import FIELDS, Field
from infertui.config.parse import FlatValue
from infertui.errors import ConfigError
from infertui.models.hub.cache import is_model_id
from infertui.models.hub.progress import PullView
from infertui.models.local import LocalModel
from infertui.results.table import ResultRow
from infertui.targets.engine.base import Probe
from infertui.telemetry.readings import GpuInfo
from infertui.telemetry.usable import hindrance
from infertui.telemetry.visible import visible
from infertui.text import one_line
from infertui.tui.config import engines
from infertui.tui.state import ClientState
from infertui.units import format_about, format_bytes, format_count, format_number, format_seconds

Standing = Literal["ok", "warning", "muted"]


class Remark(Struct, frozen=True):
    """Something worth knowing about a value."""

    text: str
    standing: Standing = "muted"


class MachineInfo(Struct, frozen=True):
    """Of the machine on which runs are measured. `models` is None until they have been listed."""

    engines: tuple[Probe, ...] = ()
    gpus: tuple[GpuInfo, ...] = ()
    gpus_unavailable: str = ""
    known: bool = False
    """Whether a runner has told its facts."""
    models: tuple[LocalModel, ...] | None = None
    pulls: tuple[PullView, ...] = ()
    """Downloads of models."""

    @classmethod
    def of(cls, client_state: ClientState, models: tuple[LocalModel, ...] | None) -> "MachineInfo":
        """What the mirror knows."""
        facts = client_state.runner
        if facts is None:
            return cls(models=models)
        pulls = tuple(client_state.pulls.values())
        return cls(facts.engines, facts.gpus, facts.gpus_unavailable, known=True, models=models, pulls=pulls)

    def pull_of(self, model: str) -> PullView | None:
        """The last download of a model."""
        return next((pull for pull in self.pulls if pull.model == model), None)

    def is_missing(self, model: str) -> bool:
        """Whether that is a model of the hub which is not here, or not whole, as far as is known."""
        if self.models is None or not is_hub_id(model) or not is_model_id(model):
            return False
        return not any(known.id == model and known.complete for known in self.models)

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
        pull = self.pull_of(name)
        if pull is not None and pull.state == "running":
            return Remark(pull_text(pull), "warning")
        if self.models is None:
            return None
        model = next((model for model in self.models if model.id == name), None)
        if model is not None:
            return Remark(described_model(model), "ok" if model.complete else "warning")
        if not is_hub_id(name):
            return None
        if not is_model_id(name):
            return Remark("no folder here, and not the id of a model on the hub (NAME or ORG/NAME)", "warning")
        if pull is not None and pull.state == "failed":
            return Remark(f"not downloaded: {pull.problem}", "warning")
        return Remark(f"not on this machine: {PULL_KEY} downloads it", "warning")

    def _whole(self) -> Sequence[GpuInfo]:
        return [gpu for gpu in self.gpus if gpu.mig_index is None]


PULL_KEY = "D"


def pull_text(pull: PullView) -> str:
    """How far a download is: `downloading 34 % of 548 MiB, 12.0 MiB/s, 28.0 s left`."""
    progress = pull.progress
    if progress is None:
        return "downloading: asking the hub"
    share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 1.0
    text = f"downloading {share:.0%} of {format_bytes(progress.total_bytes)}"
    if not pull.rate:
        return text
    left = (progress.total_bytes - progress.done_bytes) / pull.rate
    return f"{text}, {format_bytes(pull.rate)}/s, {format_seconds(left)} left"


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


HERE, FROM_PRESETS, SYNTHETIC = "on this machine", "of the presets", "synthetic: random weights"
PRESET, FILE, RUN = "preset:", "file:", "run:"
DEFAULTS = "defaults:"


class Option(Struct, frozen=True):
    """Something to choose. `detail` stands beside it; `note` says more while the cursor is on it."""

    value: str
    text: str
    detail: str = ""
    note: str = ""
    group: str = ""
    standing: Standing = "ok"


def model_options(knowledge: MachineInfo) -> list[Option]:
    """Models that are here, those that the presets measure, and synthetic ones; each once."""
    local = knowledge.models or ()
    found = [_model(model, HERE) for model in local if model.kind != "synthetic"]
    taken = {option.value for option in found} | {model.id for model in local}
    for name, model in preset_models().items():
        if model not in taken and not model.startswith("synthetic:"):
            found.append(_absent(model, f"preset {name}", known=knowledge.models is not None))
            taken.add(model)
    synthetic = [_model(model, SYNTHETIC) for model in local if model.kind == "synthetic"]
    if not synthetic:
        default = str(FIELDS["model.id"].default)
        names = dict.fromkeys(
            [default, *(model for model in preset_models().values() if model.startswith("synthetic:"))]
        )
        synthetic = [Option(name, name, "random weights", group=SYNTHETIC) for name in names]
    return [*found, *synthetic]


def preset_models() -> dict[str, str]:
    """The model of each preset that names one."""
    found = {}
    for name in sources.names():
        table = sources.preset(name).get("model")
        model = table.get("id") if isinstance(table, Mapping) else None
        if isinstance(model, str):
            found[name] = model
    return found


def _model(model: LocalModel, group: str) -> Option:
    note, standing = "", "ok"
    if not model.complete:
        again = f" {PULL_KEY} in the form finishes it." if model.kind == "hub" else ""
        note, standing = f"{model.id}: {model.problem}.{again}", "warning"
    elif model.kind == "synthetic":
        note = "the real architecture with random weights: its speed is real, its text and its perplexity mean nothing"
    elif model.architecture:
        note = f"{model.architecture}, {model.path}"
    return Option(model.id, model.id, described_model(model), note, group, "warning" if standing == "warning" else "ok")


def _absent(model: str, where: str, *, known: bool) -> Option:
    if known and is_hub_id(model):
        return Option(
            model, model, f"{where}, not on this machine", download_hint(model), FROM_PRESETS, standing="muted"
        )
    return Option(model, model, where, group=FROM_PRESETS)


def download_hint(model: str) -> str:
    """How to get a model that is not here."""
    return f"{one_line(model, 60)} is not on this machine: {PULL_KEY} in the form downloads it"


def engine_options(knowledge: MachineInfo) -> list[Option]:
    """The engines; those that cannot be used here are muted and say why."""
    found = []
    for name, spec in SPECS.items():
        remark = knowledge.on_engine(name)
        never = f"not run on hardware: {spec.not_run_on_hardware}" if spec.not_run_on_hardware else ""
        if remark is not None and remark.standing == "warning":
            # Remedies can be long, and the end of a note is cut.
            found.append(Option(name, name, remark.text, f"{never}; {remark.text}".lstrip("; "), standing="muted"))
        else:
            versions = remark.text if remark else ""
            found.append(Option(name, name, versions or spec.summary, f"{spec.summary}; {never}".rstrip("; ")))
    return found


SERVER = Option(
    "server:", "a server", "behind a URL, asked over HTTP", "load on a server that speaks OpenAI, Anthropic, TGI, ..."
)
"""Stands among the engines: what answers is not run here."""


def device_options(knowledge: MachineInfo) -> list[Option]:
    """`auto`, the CPU, and each GPU with its name."""
    found = []
    for name in knowledge.devices():
        remark = knowledge.on_device(name)
        found.append(Option(name, name, remark.text if remark else "the CPU" if name == "cpu" else ""))
    for gpu in knowledge.gpus:
        if gpu.mig_index is not None:
            text = f"GPU {gpu.label}"
            found.append(
                Option("auto", text, described(gpu), f"set device.visible to {gpu.uuid} for it", standing="muted")
            )
    return found


def choice_options(field: Field, values: Mapping[str, FlatValue]) -> list[Option]:
    """The words of a choice, those that the engine takes; with what a word comes to where the engine decides."""
    aliases: dict[str, list[str]] = {}
    for alias, word in field.aliases.items():
        aliases.setdefault(word, []).append(alias)
    default = field.default
    return [
        Option(
            word,
            word,
            "; ".join(
                [
                    *(["default"] if word == default else []),
                    *([f"comes to {meant}"] if (meant := engines.comes_to(values, field.path, word)) else []),
                    *([", ".join(names)] if (names := aliases.get(word)) else []),
                ]
            ),
        )
        for word in engines.words(values, field.path)
    ]


def preset_options() -> list[Option]:
    """The presets, with what each is for; and the defaults alone."""
    found = []
    for name in sources.names():
        try:
            about = sources.description(name)
        except ConfigError as error:
            about = error.message
        found.append(Option(PRESET + name, name, about, about, "presets"))
    return [*found, Option(DEFAULTS, "the defaults", "every key at its default", group="presets")]


def file_options(paths: Iterable[Path], own: Path) -> list[Option]:
    """Files, those in `own` (the user's configs) apart from the others."""
    return [
        Option(
            FILE + str(path),
            path.stem if path.parent == own else path.name,
            "" if path.parent == own else str(path.parent),
            str(path),
            "your configs" if path.parent == own else "in this folder",
        )
        for path in paths
    ]


def run_options(rows: Sequence[ResultRow]) -> list[Option]:
    """Runs that were measured, the newest first, as they came."""
    found = []
    for row in rows:
        speed = f", {format_number(row.throughput)} tokens/s" if row.throughput is not None else ""
        detail = f"{row.model}, {row.engine}, batch {row.batch_size}, {row.state}{speed}"
        found.append(Option(RUN + row.id, row.id, detail, f"{row.name} {detail}".strip(), "recent runs"))
    return found
