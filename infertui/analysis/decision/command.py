"""The command line that measures again what a run measured. Pure."""

import shlex

from infertui.results.result import Result


def repeating(result: Result, folder: str) -> str:
    """From the config that is kept below `folder`, else spelled out; empty for an imported run, which has none."""
    has_config, changed = result.setup.changed
    if not has_config:
        return ""
    if folder:
        return shlex.join(["infertui", "run", f"{folder}/{result.id}/run.toml"])
    words = (f"{key}={_text(value)}" for key, value in changed.items() if not key.startswith(("labels.", "sweep.")))
    return shlex.join(["infertui", "run", *(word for text in words for word in ("--set", text))])


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
