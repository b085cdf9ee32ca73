"""From a config as it was written to the runs that it asks for, fit to be measured from any folder."""

from pathlib import Path

from msgspec.structs import replace

from infertui.config.schema import Config
from infertui.config.sweep import Variant, expand


def variants_of(config: Config, title: str) -> list[Variant]:
    """The runs that `config` stands for, their names headed by `title`, which may be empty.

    Relative paths become absolute, so that the run.toml of a run repeats it from any folder. Raises ConfigError for a
    variant whose values contradict each other.
    """
    return [
        replace(variant, name=f"{title} {variant.name}".strip(), config=rooted(variant.config))
        for variant in expand(config)
    ]


def rooted(config: Config) -> Config:
    """`config` with its relative paths made absolute, seen from the current folder."""
    prompts, model = config.workload.prompts_file, config.model.id
    if prompts:
        config = replace(config, workload=replace(config.workload, prompts_file=str(_expanded(prompts).absolute())))
    prefix = "synthetic:" if model.startswith("synthetic:") else ""
    path = _expanded(model.removeprefix(prefix))
    try:
        is_path = (path / "config.json").is_file() or (bool(prefix) and path.is_file())
    except (OSError, ValueError):  # no file can have such a name
        is_path = False
    return replace(config, model=replace(config.model, id=f"{prefix}{path.absolute()}")) if is_path else config


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # the home of somebody who is not here
        return Path(text)
