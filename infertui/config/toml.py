"""Config files: read with errors that name the place, written complete and with a comment on every key."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomli_w

from infertui import regular_files
from infertui.config.engine_options import NAME, TABLES, applies, limits_with, named_engines
from infertui.config.engines.spec import EngineSpec
from infertui.config.fields import FIELDS, SECTIONS, Field
from infertui.config.parse import flat_values
from infertui.config.schema import Config
from infertui.config.toml_text import loads
from infertui.errors import ConfigError
from infertui.text import clean

MAX_BYTES = 2 << 20
_WIDTH = 100
_HEAD = """\
# A configuration of infertui. `infertui run FILE` measures it, `infertui config check FILE` looks
# for mistakes in it.
# Every key may be left out; it then has the default given above it.
"""


def read(path: str | Path) -> dict[str, object]:
    """The tables of a TOML file, unchecked. Raises ConfigError with file, line and column when it cannot be read."""
    name = clean(str(path))
    try:
        content = regular_files.read(path, MAX_BYTES)
    except FileNotFoundError:
        raise ConfigError("", f"there is no file {name}", allowed="a TOML file") from None
    except regular_files.NotRegularError as error:
        raise ConfigError("", f"{name} is {error.kind}", allowed="a TOML file") from None
    except regular_files.TooLargeError:
        problem = f"{name} is larger than {MAX_BYTES >> 20} MiB"
        raise ConfigError("", problem, allowed="a TOML file of settings") from None
    except regular_files.NoNameError:
        raise ConfigError("", f"{name} is no file name", allowed="a TOML file") from None
    except OSError as error:
        raise ConfigError("", f"cannot read {name}: {error.strerror}", allowed="a readable TOML file") from None
    return loads(content, name)


def write(config: Config) -> str:
    """Complete TOML for `config`, every key with its meaning, what is allowed and the default above it.

    Of the engines' keys and tables there are those that the chosen engine heeds, and others that are not at their
    default. `decode(loads(...))` gives back an equal config.
    """
    flat = flat_values(config)
    engines = named_engines(config.engine.name, config.sweep.grid.get(NAME, config.sweep.zip.get(NAME)))
    blocks = [_HEAD]
    for section, keys in SECTIONS.items():
        leaves = [FIELDS[path] for key in keys if (path := f"{section}.{key}") in FIELDS and not FIELDS[path].is_table]
        if section in TABLES and TABLES[section] not in engines:
            leaves = leaves if any(flat[field.path] != field.default for field in leaves) else []
        elif section == "engine":
            leaves = [
                field
                for field in leaves
                if flat[field.path] != field.default or any(applies(spec, field.path) for spec in engines)
            ]
        if section and leaves:
            blocks.append(_comment(_describe_section(section)) + f"[{section}]\n")
            blocks += [_entry(field, flat[field.path], engines) for field in leaves]
    for field in FIELDS.values():
        if field.is_table:
            start = field.path + "."
            entries = {path[len(start) :]: value for path, value in flat.items() if path.startswith(start)}
            blocks.append(_free_table(field, entries))
    return "\n".join(blocks)


def _entry(field: Field, value: object, engines: Sequence[EngineSpec]) -> str:
    limits = f"allowed: {limits_with(field, engines)}; default: {json.dumps(field.default)}"
    return _comment(field.description) + _comment(limits) + literal(field.key, value)


def _free_table(field: Field, entries: Mapping[str, object]) -> str:
    lines = "".join(literal(key, value) for key, value in entries.items())
    return _comment(f"{field.description}; allowed: {field.limits}") + f"[{field.path}]\n{lines}"


def literal(key: str, value: object) -> str:
    """One `key = value` line of TOML, lists on the same line."""
    if not isinstance(value, list):
        return tomli_w.dumps({key: value})
    name = tomli_w.dumps({key: 0}).removesuffix("0\n")
    return name + "[" + ", ".join(value_literal(item) for item in value) + "]\n"


def value_literal(value: object) -> str:
    """A value as TOML spells it."""
    if isinstance(value, list):
        return "[" + ", ".join(value_literal(item) for item in value) + "]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").removesuffix("\n")


def _describe_section(section: str) -> str:
    table: object = Config()
    for part in section.split("."):
        table = getattr(table, part)
    return (type(table).__doc__ or "").partition("\n")[0]


def _comment(text: str) -> str:
    return textwrap.indent(textwrap.fill(text, _WIDTH - 2, break_on_hyphens=False), "# ") + "\n"
