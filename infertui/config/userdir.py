"""Where this user's own settings are kept."""

import os
from collections.abc import Mapping
from pathlib import Path


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder `infertui` in the user's configuration directory, which need not exist."""
    home = environ.get("XDG_CONFIG_HOME", "")
    base = Path(home) if home.startswith("/") else Path(environ.get("HOME") or "~").expanduser() / ".config"
    return base / "infertui"
