"""Which keys stand on the first page of the form, and how the others are grouped under `advanced`."""

from collections.abc import Mapping

from msgspec import Struct

from infertui.config.engine_options import TABLES, option_fields
from infertui.config.fields import FIELDS, SECTIONS
from infertui.config.parse import FlatValue
from infertui.config.schema import Config

ADVANCED, LABELS, RUNS = "advanced", "labels", "runs"

_ENGINE_PAGE = (
    "model.id", "engine.name", "device.name", "workload.batch_size", "workload.prompts", "workload.input_len",
    "workload.output_len", "measurement.iterations",
)  # fmt: skip
_LOAD = (
    "load.concurrency", "load.request_rate", "workload.input_len", "workload.output_len", "measurement.max_seconds",
    "workload.num_prompts", "load.slo",
)  # fmt: skip
_ENDPOINT_PAGE = ("target.kind", "target.url", "target.model", "target.api", *_LOAD)
_SERVED_PAGE = ("target.kind", "target.serve", "model.id", "device.name", *_LOAD)

# What these are called without their table says nothing.
_PAGE_NAMES = {
    "model.id": "model", "engine.name": "engine", "device.name": "device", "target.kind": "target",
    "target.serve": "server",
}  # fmt: skip

# What rarely changes between measurements; every other key stands under its table's name.
_SELDOM = (
    "model.revision", "model.seed", "model.trust_remote_code", "engine.python", "engine.fallback",
    "workload.temperature", "workload.top_k", "workload.top_p", "workload.seed", "measurement.sample_hz",
    "measurement.load_timeout_s",
    "measurement.step_timeout_s", "measurement.total_timeout_s", "measurement.fresh_process", "device.visible",
    "device.threads", "device.force", "quality.score_timeout_s",
)  # fmt: skip
SELDOM = "seldom"

# Tables that have sane defaults, and many keys.
_FOLDED = ("validity", "quality")


class FieldGroup(Struct, frozen=True):
    """A heading, and the keys under it. `engine` is that to which all of them belong, whose name it has."""

    name: str
    about: str
    keys: tuple[str, ...] = ()
    folded: bool = False
    engine: str = ""


def _groups() -> tuple[FieldGroup, ...]:
    found = []
    for section in SECTIONS[""]:
        keys = tuple(
            path
            for path, field in FIELDS.items()
            if field.section == section and not field.is_table and path not in _SELDOM
        )
        if keys:
            about = _first_line(Config.__annotations__[section].__doc__)
            found.append(FieldGroup(section, about, keys, folded=section in _FOLDED))
        if section == "engine":
            found += [
                FieldGroup(spec.name, _first_line(spec.options.__doc__), options, engine=spec.name)
                for spec in TABLES.values()
                if (options := tuple(field.path for field in option_fields(spec)))
            ]
    return (
        *found,
        FieldGroup(SELDOM, "what rarely changes", tuple(path for path in _SELDOM if path in FIELDS), folded=True),
        FieldGroup(LABELS, "your own notes, kept with the results"),
    )


def _first_line(docstring: str | None) -> str:
    about = (docstring or "").partition("\n")[0].rstrip(".")
    named, colon, rest = about.partition(": ")
    about = rest if colon and len(named.split()) <= 3 else about  # the heading names it already
    return about[:1].lower() + about[1:]


GROUPS = _groups()
"""Every key by its table."""
HEADINGS = {
    group.name: group
    for group in (
        *GROUPS,
        FieldGroup(ADVANCED, "everything else", folded=True),
        FieldGroup(RUNS, "what the sweep makes", folded=True),
    )
}
"""Every heading that there can be."""
_GROUP_OF = {key: group.name for group in GROUPS for key in group.keys}


def group_of(key: str) -> str:
    """The group in which the line of `key` stands when it is not on the first page."""
    return _GROUP_OF.get(key, LABELS)


def first_page(values: Mapping[str, FlatValue]) -> tuple[str, ...]:
    """The keys of the first page, in their order: those of a run of an engine, or of a load on a server."""
    if values.get("target.kind") != "endpoint":
        return _ENGINE_PAGE
    return _ENDPOINT_PAGE if values.get("target.serve", "none") == "none" else _SERVED_PAGE


def page_name(key: str) -> str:
    """What the first page calls a key."""
    return _PAGE_NAMES.get(key, key.rpartition(".")[2])


def name_of(key: str, *, alone: bool = False) -> str:
    """What a line calls its key: the last part, with the table's name where it stands `alone` and could be another."""
    if key.startswith("labels."):
        return key.removeprefix("labels.")
    last = key.rpartition(".")[2]
    twins = sum(other.rpartition(".")[2] == last for other in FIELDS)
    return key if alone and twins > 1 else last
