"""What there is to choose from: models, engines, devices, words, and configs to open."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from infertui.config import presets
from infertui.config.engines.registry import SPECS
from infertui.config.fields import FIELDS, Field
from infertui.config.parse import FlatValue
from infertui.errors import ConfigError
from infertui.models.local import LocalModel
from infertui.results.table import ResultRow
from infertui.tui.config import engines
from infertui.tui.config.knowledge import Knowledge, Standing, described, described_model, is_hub_id
from infertui.units import format_number

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


def model_options(knowledge: Knowledge) -> list[Option]:
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
    for name in presets.names():
        table = presets.preset(name).get("model")
        model = table.get("id") if isinstance(table, Mapping) else None
        if isinstance(model, str):
            found[name] = model
    return found


def _model(model: LocalModel, group: str) -> Option:
    note, standing = "", "ok"
    if not model.complete:
        again = f" Finish it: infertui models pull {model.id}" if model.kind == "hub" else ""
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
    return f"{model} is not on this machine. Download it: infertui models pull {model}"


def engine_options(knowledge: Knowledge) -> list[Option]:
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


def device_options(knowledge: Knowledge) -> list[Option]:
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
    for name in presets.names():
        try:
            about = presets.description(name)
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
