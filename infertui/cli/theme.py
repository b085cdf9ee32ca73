"""Colours by meaning, from a theme file."""

import tomllib

from rich.theme import Theme

from infertui import paths


def theme(name: str = "ansi") -> Theme:
    """A theme that ships with infertui, as rich styles by meaning: title, accent, ok, warning, error, ..."""
    text = (paths.themes() / f"{name}.toml").read_text(encoding="utf-8")
    return Theme(tomllib.loads(text)["styles"])
