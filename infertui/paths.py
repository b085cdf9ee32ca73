"""The files that ship with the package: `data/` and `themes/`.

They stand at the top of the repository and inside the wheel; an editable install reads them from the former.
"""

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
