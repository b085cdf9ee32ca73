"""What is to be said of the engines: their descriptions, and whether they can be used here."""

from msgspec import Struct, field

from infertui.config.engine_options import COMMON_OPTIONS, limits_with, option_fields, own_default, path_of, words
from infertui.config.engines.registry import BUILT_IN, SPECS
from infertui.config.engines.spec import EngineSpec
from infertui.config.fields import FIELDS, Value
from infertui.config.schema import EngineConfig
from infertui.config.toml import value_literal
from infertui.errors import InfertuiError, UsageError
from infertui.targets.engine.base import Probe
from infertui.targets.engine.environments import interpreter_for, probe_all, probe_for
from infertui.text import clean


class CommonOptionFacts(Struct, frozen=True):
    """A key of `[engine]` that an engine takes. `own_default` is what `default` comes to; no `words`: as `allowed`."""

    default: Value
    own_default: str
    words: tuple[str, ...]
    allowed: str
    description: str


class OptionFacts(Struct, frozen=True):
    """A key of an engine's own table."""

    type: str
    default: Value
    allowed: str
    description: str

    @property
    def shown_default(self) -> str:
        """As TOML spells it."""
        return value_literal(self.default)


class EngineFacts(Struct, frozen=True):
    """An engine. `python` is empty where it runs in this interpreter."""

    name: str
    summary: str
    available: bool
    reason: str
    remedy: str
    versions: dict[str, str]
    python: str
    devices: tuple[str, ...]
    common: dict[str, CommonOptionFacts] = field(name="levers")
    table: str
    options: dict[str, OptionFacts]
    install: str
    sized_at_load: bool
    not_run_on_hardware: str

    @property
    def state(self) -> str:
        """The versions of its libraries, or why it cannot be used."""
        versions = ", ".join(f"{library} {number}" for library, number in self.versions.items())
        return (versions or self.reason) if self.available else self.reason


def facts(name: str | None) -> list[EngineFacts]:
    """All engines, or the one of that name. Raises UsageError for an unknown one. Imports no backend.

    Engines in other interpreters are asked there, which can take its time-out.
    """
    if name is not None:
        return [_facts(named(name), probe_for(EngineConfig(name=name)))]
    return [_facts(SPECS[probe.engine], probe) for probe in probe_all()]


def named(name: str) -> EngineSpec:
    """The description of the engine that an argument names. Raises UsageError where there is none."""
    if name not in SPECS:
        raise UsageError(f"there is no engine {clean(name)!r}", remedy=f"Engines: {', '.join(SPECS)}.")
    return SPECS[name]


def _facts(spec: EngineSpec, probe: Probe) -> EngineFacts:
    try:
        python = interpreter_for(EngineConfig(name=spec.name))
    except InfertuiError:  # the probe says so
        python = None
    common: dict[str, CommonOptionFacts] = {}
    for option in COMMON_OPTIONS:
        if option in spec.common:
            field = FIELDS[path_of(option)]
            assert isinstance(field.default, Value)  # noqa: S101
            common[option] = CommonOptionFacts(
                field.default, own_default(spec, option), words(spec, option) or (), limits_with(field, [spec]),
                field.description,
            )  # fmt: skip
    options = {
        field.key: OptionFacts(field.type, field.default, field.limits, field.description)
        for field in option_fields(spec)
        if isinstance(field.default, Value)
    }
    return EngineFacts(
        name=spec.name,
        summary=spec.summary,
        available=probe.available,
        reason=probe.reason,
        remedy=probe.remedy,
        versions=probe.versions,
        python=str(python) if python is not None else "",
        devices=spec.devices,
        common=common,
        table=spec.table,
        options=options,
        install=spec.install,
        sized_at_load=spec.sized_at_load,
        not_run_on_hardware=spec.not_run_on_hardware,
    )


def markdown_table() -> str:
    """infertui's own engines as a Markdown table, the same on every machine."""
    lines = ["| engine | devices | common options | own options | install |", "| --- | --- | --- | --- | --- |"]
    for spec in BUILT_IN:
        common = []
        for option in COMMON_OPTIONS:
            if option in spec.common:
                listed = words(spec, option) if spec.common[option] else None
                common.append(f"`{option}`" + (f": {', '.join(listed)}" if listed else ""))
        options = ", ".join(f"`{field.key}`" for field in option_fields(spec))
        about = spec.summary + (
            f"; not run on hardware: {spec.not_run_on_hardware}" if spec.not_run_on_hardware else ""
        )
        cells = (f"`{spec.name}`: {about}", ", ".join(spec.devices), "; ".join(common), options, spec.install)
        lines.append(f"| {' | '.join(_cell(cell) or 'none' for cell in cells)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
