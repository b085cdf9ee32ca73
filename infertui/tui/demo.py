"""The first run, one key away."""

from collections.abc import Mapping
from pathlib import Path

from infertui.runner.control import Submission

PRESET = "demo"


def submission(out: Path, environ: Mapping[str, str]) -> Submission:
    """The demo preset, to be queued. Raises ConfigError when the environment contradicts it."""
    from infertui.config.layers import load
    from infertui.config.submission import variants_of

    config = load(PRESET, environ=environ).config
    return Submission(title=PRESET, variants=tuple(variants_of(config, "")), out=str(out))
