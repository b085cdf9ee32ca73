"""The configurations that ship with infertui, by name: TOML files under `data/presets`.

A preset holds only what sets it apart from the defaults. Its leading comment says, in the first
paragraph, what it is for.
"""

import difflib
import itertools
from importlib.resources.abc import Traversable

from infertui import paths
from infertui.config.toml_text import loads
from infertui.errors import ConfigError
from infertui.text import clean, shorten

_SUFFIX = ".toml"


def names() -> list[str]:
    """Every preset's name, sorted."""
    return sorted(entry.name.removesuffix(_SUFFIX) for entry in _folder().iterdir() if entry.name.endswith(_SUFFIX))


def preset(name: str) -> dict[str, object]:
    """The tables of a preset, unchecked. Raises ConfigError with the nearest name for one that does not exist."""
    return loads(_file(name).read_bytes(), f"preset {name}")


def description(name: str) -> str:
    """What a preset is for: one sentence or two, on one line. Raises ConfigError for an unknown name."""
    lines = _file(name).read_text(encoding="utf-8").splitlines()
    paragraph = itertools.takewhile(lambda line: line.strip("# ") and line.startswith("#"), lines)
    return " ".join(line.lstrip("# ").strip() for line in paragraph)


def unknown(name: str) -> ConfigError:
    """The error for a name that is neither a preset nor a file."""
    near = difflib.get_close_matches(name[:100], names(), n=1, cutoff=0.5)
    remedy = f"Did you mean {near[0]}? " if near else ""
    return ConfigError(
        "",
        f'there is no preset or file "{shorten(clean(name), 100)}"',
        allowed="a TOML file, or a preset: " + ", ".join(names()),
        remedy=remedy + "`infertui config presets` says what each is for.",
    )


def _file(name: str) -> Traversable:
    if name not in names():
        raise unknown(name)
    return _folder() / f"{name}{_SUFFIX}"


def _folder() -> Traversable:
    return paths.data() / "presets"
