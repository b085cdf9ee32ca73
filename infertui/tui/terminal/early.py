"""The few settings that the first paint needs, read without checking: that needs imports which can wait."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from infertui import regular_files
from infertui.paths import config_dir

MAX_BYTES = 1 << 20


class Early(Struct, frozen=True):
    """`auto` where the file says nothing, or nothing of use. `existed`: this is not the first start."""

    theme: str = "auto"
    mouse: str = "auto"
    existed: bool = False


def settings_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the settings of this user are kept."""
    return config_dir(environ) / "settings.toml"


def read(path: Path) -> Early:
    """What `path` says. Never raises; what is wrong with the file is told when it is read in full."""
    try:
        table = tomllib.loads(regular_files.read(path, MAX_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        return Early()
    except (OSError, ValueError, RecursionError):
        return Early(existed=True)
    theme, mouse = table.get("theme"), table.get("mouse")
    return Early(
        theme=theme if isinstance(theme, str) else "auto",
        mouse=mouse if mouse in ("on", "off") else "auto",
        existed=True,
    )
