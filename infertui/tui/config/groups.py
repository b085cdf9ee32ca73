"""How the keys of a config are grouped on the form, and which groups start folded."""

from msgspec import Struct

from infertui.config.engine_options import TABLES, option_fields
from infertui.config.fields import FIELDS, SECTIONS
from infertui.config.schema import Config

LABELS, RUNS, ADVANCED = "labels", "runs", "advanced"

# What rarely changes between measurements; every other key stands under its table's name.
_ADVANCED = (
    "model.revision", "model.seed", "model.trust_remote_code", "engine.python", "engine.fallback",
    "workload.temperature", "workload.top_k", "workload.top_p", "workload.seed", "measurement.sample_hz",
    "measurement.load_timeout_s",
    "measurement.step_timeout_s", "measurement.total_timeout_s", "measurement.fresh_process", "device.visible",
    "device.threads", "device.force", "quality.score_timeout_s",
)  # fmt: skip

# Tables that have sane defaults, and many keys.
_FOLDED = ("validity", "quality")


class Group(Struct, frozen=True):
    """A heading, and the keys under it. `engine` is that to which all of them belong, whose name it has."""

    name: str
    about: str
    keys: tuple[str, ...] = ()
    folded: bool = False
    engine: str = ""


def _groups() -> tuple[Group, ...]:
    found = []
    for section in SECTIONS[""]:
        keys = tuple(
            path
            for path, field in FIELDS.items()
            if field.section == section and not field.is_table and path not in _ADVANCED
        )
        if keys:
            about = _about(Config.__annotations__[section].__doc__)
            found.append(Group(section, about, keys, folded=section in _FOLDED))
        if section == "engine":
            found += [
                Group(spec.name, _about(spec.options.__doc__), options, engine=spec.name)
                for spec in TABLES.values()
                if (options := tuple(field.path for field in option_fields(spec)))
            ]
    return (
        *found,
        Group(ADVANCED, "what rarely changes", tuple(path for path in _ADVANCED if path in FIELDS), folded=True),
        Group(LABELS, "your own notes, kept with the results", folded=True),
        Group(RUNS, "what the sweep makes", folded=True),
    )


def _about(docstring: str | None) -> str:
    about = (docstring or "").partition("\n")[0].rstrip(".")
    named, colon, rest = about.partition(": ")
    about = rest if colon and len(named.split()) <= 3 else about  # the heading names it already
    return about[:1].lower() + about[1:]


def name_of(key: str, group: str) -> str:
    """What a line calls its key: the last part, with the table's name where that alone could be another's."""
    if key.startswith("labels."):
        return key.removeprefix("labels.")
    last = key.rpartition(".")[2]
    twins = sum(other.rpartition(".")[2] == last for other in FIELDS)
    return key if group == ADVANCED and twins > 1 else last


GROUPS = _groups()
GROUP_OF = {key: group.name for group in GROUPS for key in group.keys}
