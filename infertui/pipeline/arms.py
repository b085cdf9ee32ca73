"""What is measured beside what, as it is typed: `ENGINE[:WORD...]`, such as `llama-cpp:q8_0`, to a config each."""

import difflib
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from infertui.config.engine_options import COMMON_OPTIONS, option_fields, path_of, words
from infertui.config.engines.registry import SPECS, engine_called
from infertui.config.engines.spec import EngineSpec
from infertui.config.fields import FIELDS, Field, Value, parse_text
from infertui.config.parse import FlatValue, axis_key, build, flat_values
from infertui.config.schema import Config
from infertui.errors import ConfigError, UsageError
from infertui.text import quoted

BASELINE = "transformers:eager"
"""PyTorch as it comes: Transformers, nothing compiled."""
MODE = "engine.mode"


class ArmSpec(Struct, frozen=True):
    """One way to run the model: its name, as it was typed, and the keys of the config that make it so."""

    name: str
    values: Mapping[str, Value]

    @property
    def engine(self) -> str:
        """The engine's name."""
        return str(self.values["engine.name"])


def parse_arms(text: str, flag: str) -> tuple[ArmSpec, ...]:
    """A list with commas between; what is named twice counts once. Raises UsageError."""
    found = [parse_arm(part.strip(), flag) for part in text.split(",") if part.strip()]
    if not found:
        raise UsageError(f"{flag} names no engine", remedy=f"Engines: {', '.join(SPECS)}; as in {BASELINE},llama-cpp.")
    return tuple({arm.name: arm for arm in found}.values())


def parse_arm(text: str, flag: str) -> ArmSpec:
    """`ENGINE`, then words of its options after colons, each as itself or as KEY=VALUE. Raises UsageError."""
    engine, *parts = (part.strip() for part in text.split(":"))
    if engine not in SPECS:
        near = difflib.get_close_matches(engine, SPECS, n=1)
        meant = engine_called(engine) or (near[0] if near else "")
        hint = f"Did you mean {meant}? " if meant else ""
        raise UsageError(f"{flag}: there is no engine {quoted(engine)}", remedy=f"{hint}Engines: {', '.join(SPECS)}.")
    values: dict[str, Value] = {"engine.name": engine}
    for part in parts:
        path, value = _option(SPECS[engine], part, flag)
        values[path] = parse_text(path, value, source=f"{flag} {text}")
    return ArmSpec(":".join((engine, *parts)), values)


def _option(spec: EngineSpec, part: str, flag: str) -> tuple[str, str]:
    """The key and the text of its value that a part of an arm's name means.

    A word that several options take is one of the mode, else of the option that engines share.
    """
    fields = {field.key: field for field in _fields(spec)}
    key, equals, value = part.partition("=")
    if equals:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            raise UsageError(
                f"{flag}: {spec.name} has no option {quoted(key)}",
                remedy=(f"Did you mean {near[0]}? " if near else "") + f"It has {', '.join(fields)}.",
            )
        return fields[key].path, value
    takers = [field.path for field in fields.values() if part in _words(spec, field)]
    common = [path for path in takers if path.count(".") == 1]
    for meant in ([path for path in takers if path == MODE], common, takers):
        if len(meant) == 1:
            return meant[0], part
    if takers:
        raise UsageError(
            f"{flag}: {quoted(part)} may be one of {', '.join(takers)}",
            remedy=f"Say which: {spec.name}:{takers[0].rpartition('.')[2]}={part}",
        )
    known = [word for field in fields.values() for word in _words(spec, field)]
    raise UsageError(
        f"{flag}: {spec.name} knows no {quoted(part)}",
        remedy=f"Words: {', '.join(dict.fromkeys(known)) or 'none'}; or KEY=VALUE of an option: {', '.join(fields)}.",
    )


def _fields(spec: EngineSpec) -> Iterator[Field]:
    yield from (FIELDS[path_of(option)] for option in COMMON_OPTIONS if option in spec.common)
    yield from option_fields(spec)


def _words(spec: EngineSpec, field: Field) -> tuple[str, ...]:
    """The words that say by themselves which option they are of: none of those that stand for a default or a switch."""
    option = next((option for option in COMMON_OPTIONS if path_of(option) == field.path), None)
    taken = (words(spec, option) or ()) if option is not None else field.choices
    return tuple(
        word for word in (*taken, *field.aliases) if word not in ("auto", "none", "on", "off", "true", "false")
    )


def config_of(base: Config, arm: ArmSpec) -> Config:
    """`base` run as the arm says; its mode is the engine's own where the arm names none. Raises ConfigError."""
    flat: dict[str, FlatValue] = {path: value for path, value in flat_values(base).items() if not axis_key(path)}
    try:
        return build({**flat, MODE: "auto", **arm.values})
    except ConfigError as error:
        raise ConfigError(
            error.path, error.problem, allowed=error.allowed, source=arm.name, remedy=error.remedy
        ) from None


def differing(one: Config, other: Config, ignored: Sequence[str] = ()) -> list[str]:
    """The keys whose values are not the same, each with both values."""
    first, second = flat_values(one), flat_values(other)
    keys = [key for key in dict.fromkeys((*first, *second)) if key not in ignored]
    return [f"{key} {_shown(first.get(key))} -> {_shown(second.get(key))}" for key in keys
            if first.get(key) != second.get(key)]  # fmt: skip


def _shown(value: FlatValue | None) -> str:
    return "(not set)" if value is None else quoted(value) if isinstance(value, str) else str(value)
