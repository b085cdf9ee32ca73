"""Where the contents of a form come from: a preset, a file, a run; with the values that they are compared with."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from infertui.config.parse import FlatValue, flat_values, flatten
from infertui.config.schema import Config
from infertui.config.sources import (
    DEFAULT,
    Layer,
    Resolved,
    default_layer,
    environment_layer,
    file_layer,
    preset_layer,
    resolve,
)
from infertui.config.toml_text import loads
from infertui.tui.config.config_file import text_of


class Base(Struct, frozen=True):
    """What was loaded: flat values, every key of them, and where each came from.

    `label` says what it is ("preset demo"), `title` what its runs are called. `target` is what `infertui run` takes to
    start from the same, and `file` where to save it; both may be empty. `text` is the file's content as it was read.
    """

    label: str
    title: str
    values: Mapping[str, FlatValue]
    sources: Mapping[str, str]
    target: str = ""
    file: str = ""
    text: str = ""


def from_preset(name: str, environ: Mapping[str, str]) -> Base:
    """A preset under the environment's variables, as `infertui run NAME` has it. Raises ConfigError."""
    resolved = resolve([environment_layer(environ), preset_layer(name), default_layer()])
    return _base(resolved, label=f"preset {name}", title=name, target=name)


def from_defaults(environ: Mapping[str, str]) -> Base:
    """The defaults under the environment's variables. Raises ConfigError."""
    return _base(resolve([environment_layer(environ), default_layer()]), label="the defaults", title="")


def from_file(path: str | Path, environ: Mapping[str, str]) -> Base:
    """A TOML file under the environment's variables, as `infertui run FILE` has it. Raises ConfigError."""
    resolved = resolve([environment_layer(environ), file_layer(path), default_layer()])
    text = text_of(path)
    where = str(path)
    return _base(resolved, label=f"file {where}", title=Path(where).stem, target=where, file=where, text=text)


def from_text(text: str, label: str, title: str | None = None) -> Base:
    """TOML text exactly as it is, without the environment: what repeats a run. Raises ConfigError.

    `title` is what its runs are called if not after `label`; empty: after the model.
    """
    layer = Layer(label, flatten(loads(text.encode(errors="replace"), label), label))
    return _base(resolve([layer, default_layer()]), label=label, title=label if title is None else title)


def from_config(config: Config, label: str, title: str) -> Base:
    """A config exactly as it is."""
    values = flat_values(config)
    defaults = default_layer().values
    sources = {path: DEFAULT if defaults.get(path) == value else label for path, value in values.items()}
    return Base(label, title, values, sources)


def _base(resolved: Resolved, *, label: str, title: str, target: str = "", file: str = "", text: str = "") -> Base:
    return Base(label, title, flat_values(resolved.config), resolved.sources, target, file, text)
