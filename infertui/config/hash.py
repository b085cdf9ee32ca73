"""A short name for what a config measures, to recognise the same measurement again."""

import hashlib

import msgspec

from infertui.config.engine_options import owner_of
from infertui.config.fields import FIELDS
from infertui.config.parse import flat_values
from infertui.config.schema import Config

LENGTH = 12
_JUDGED = ("validity", "quality")
_LATER = ("measurement.min_seconds",)
"""Keys that count only where they are set: they came later, and a config from before means the same as ever."""


def config_hash(config: Config) -> str:
    """The first 12 hex digits of the SHA-256 of the config as canonical JSON (sorted dotted keys, full values).

    Everything that is measured counts, defaults included. Labels do not, nor the sweep: a run means the same whatever
    it is called and whichever sweep it came from; nor what its figures are judged by afterwards. Of the engines'
    tables that of the chosen engine counts.
    """
    measured = {
        path: value
        for path, value in flat_values(config).items()
        if path in FIELDS
        and (path not in _LATER or value != FIELDS[path].default)
        and path.partition(".")[0] not in _JUDGED
        and ((owner := owner_of(path)) is None or owner.name == config.engine.name)
    }
    for path, value in measured.items():
        if FIELDS[path].type == "number" and isinstance(value, int):
            measured[path] = float(value)  # a config made in code may say 20 where a file gives 20.0
    return hashlib.sha256(msgspec.json.encode(measured, order="sorted")).hexdigest()[:LENGTH]
