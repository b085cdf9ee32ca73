"""Command lines that ask for what the form or an entry of the queue holds."""

import shlex
from collections.abc import Mapping

from infertui.config.parse import FlatValue, axis_key, flat_values
from infertui.config.schema import Config
from infertui.config.sources import default_layer
from infertui.errors import UsageError
from infertui.text import clean
from infertui.tui.config.form import values as texts
from infertui.tui.config.form.form import Form


def command_line(form: Form) -> str:
    """`infertui run PRESET --set key=value ...`, quoted for a shell.

    Raises UsageError for what no command line can say: an axis whose values hold commas, text with a line break.
    """
    target, base = form.base.target, form.base.values
    removed = [path for path in base if path not in form.values and path.startswith("labels.")]
    if not target or removed:  # no flag takes a label away
        target, base = "", default_layer().values
    return _command(form.values, base, target)


def config_command(config: Config) -> str:
    """`infertui run --set key=value ...` with every setting that is not its default. Raises as `command_line`."""
    return _command(flat_values(config), default_layer().values, "")


def _command(values: Mapping[str, FlatValue], base: Mapping[str, FlatValue], target: str) -> str:
    """What makes `values` of `base`, which `target` names."""
    words = ["infertui", "run", *([target] if target else [])]
    for path, value in values.items():
        key = axis_key(path) or path
        axis = texts.axis_path(values, key)
        # A plain value ends an axis from below: one over the same key has to be said again.
        plain_differs = base.get(key) != values.get(key) or (not axis and texts.axis_path(base, key))
        if not (plain_differs if path != axis else plain_differs or base.get(path) != value):
            continue
        words += _words(path, key, texts.text_at(values, path) or "")
    return shlex.join(words)


def _words(path: str, key: str, text: str) -> list[str]:
    quoted = key[-1:] in ("'", '"') and key.startswith("labels.")
    listed = path != key and text.startswith("[")
    if any(sign in text for sign in "\n\r") or listed or quoted or "=" in path or path != path.strip():
        raise UsageError(
            f"{clean(path)} cannot be written on a command line", remedy="Save the config as a file and run that."
        )
    if path.startswith("sweep.grid."):
        return ["--sweep", f"{key}={text}"]
    return ["--set", f"{path}={text}"]
