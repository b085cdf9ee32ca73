"""The keys of the config of a kept line, as small as they can be kept in the index: those that are not the default.

An imported line tells some keys of its own and has no defaults.
"""

from typing import Any

import msgspec
from msgspec import Struct

from infertui.config.fields import FIELDS
from infertui.config.schema import Config
from infertui.results.upgrade import SCHEMA, upgraded

Table = dict[str, Any]


class _Keys(Struct, frozen=True):
    schema: int = 0
    config: Table | None = None
    told: Table = {}


_decoder = msgspec.json.Decoder(_Keys)
_encoder = msgspec.json.Encoder()
_DEFAULTS: Table = msgspec.to_builtins(Config())


def config_keys(line: bytes) -> tuple[bool, str]:
    """Whether defaults hold of what is not there, and the keys with their values, flat, as a JSON object.

    Raises what msgspec raises for a line that is none.
    """
    found = _decoder.decode(line)
    if found.schema < SCHEMA:
        found = msgspec.convert(upgraded(line), _Keys)
    if found.config is None:
        return False, _encoder.encode(found.told).decode()
    return True, _encoder.encode(_changed(found.config, _DEFAULTS)).decode()


def changed_keys(config: Config) -> Table:
    """The same of a config: its keys that are not the default, flat."""
    return _changed(msgspec.to_builtins(config), _DEFAULTS)


def default_of(key: str) -> object:
    """What a config has for a key that it does not name; None for a label."""
    field = FIELDS.get(key)
    return None if field is None or field.is_table else field.default


def _changed(table: Table, defaults: Table, above: str = "") -> Table:
    found: Table = {}
    for name, value in table.items():
        if name in defaults and defaults[name] == value and type(defaults[name]) is type(value):
            continue
        if isinstance(value, dict):
            below = defaults.get(name)
            found |= _changed(value, below if isinstance(below, dict) else {}, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found
