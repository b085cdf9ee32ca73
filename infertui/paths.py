"""The files that ship with the package: `data/` and `themes/`.

They stand at the top of the repository and inside the wheel; an editable install reads them from the former.

Where this user's own settings, and what is known of this machine, are kept: the one place that reads the variables of
the XDG Base Directory Specification 0.8 for infertui's own folders. As it asks, relative values count as not set.

There may be no home: containers and services run as users without an entry in the user database, and without HOME.
Then the XDG variables say where things go, each by itself.
"""
# platformdirs finds the same places (tests/test_paths.py holds both together). It reads the environment of the process
# alone, while ours is passed in; without a home it raises or, before 4.14, names a folder "~"; and its import takes as
# long as all that the screen's settings need before the first paint.

import os
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import cast


def _shipped(folder: str) -> Traversable:
    package = files("infertui")
    inside = package / folder
    return inside if inside.is_dir() else cast(Path, package).parent / folder


def data() -> Traversable:
    """The folder of prompts, presets, model shapes and hardware figures."""
    return _shipped("data")


def themes() -> Traversable:
    """The folder of colour themes."""
    return _shipped("themes")


NO_HOME = Path("/proc/no-home")
"""Stands for the home of whoever has none: nothing is found below it, and nothing can be made there, by root either."""


def home_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """HOME, else the home in the user's entry, else NO_HOME."""
    if named := environ.get("HOME"):
        return Path(named)
    return expand("~", NO_HOME)


def expand(text: str | Path, otherwise: Path | None = None) -> Path:
    """`text` as a path, `~` replaced; as it stands, or `otherwise`, where there is no such user or home."""
    try:
        return Path(text).expanduser()
    except (RuntimeError, ValueError):  # nobody of that name; a null byte in it
        return Path(text) if otherwise is None else otherwise


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """$XDG_CONFIG_HOME/infertui, or ~/.config/infertui. Makes nothing."""
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "infertui"


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """$XDG_STATE_HOME/infertui, or ~/.local/state/infertui. Makes nothing."""
    return _base(environ, "XDG_STATE_HOME", ".local/state").absolute() / "infertui"


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """$XDG_CACHE_HOME/infertui, or ~/.cache/infertui. Makes nothing."""
    return _base(environ, "XDG_CACHE_HOME", ".cache") / "infertui"


def runtime_dir(environ: Mapping[str, str] = os.environ) -> Path | None:
    """$XDG_RUNTIME_DIR/infertui; None where it is not set. Whether it can be trusted is for who uses it to find out."""
    named = environ.get("XDG_RUNTIME_DIR", "")
    return Path(named) / "infertui" if named.startswith("/") else None


def without_home(path: Path) -> str:
    """What to say where `path` is below a home that there is not; empty else."""
    if NO_HOME not in path.parents:
        return ""
    return f"there is no home directory: HOME is not set, and user {os.getuid()} has no entry in the user database"


def _base(environ: Mapping[str, str], variable: str, folder: str) -> Path:
    named = environ.get(variable, "")
    return Path(named) if named.startswith("/") else home_dir(environ) / folder
