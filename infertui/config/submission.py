"""From a config as it was written to the runs that it asks for, fit to be measured from any folder."""

from msgspec.structs import replace

from infertui import userdir
from infertui.config.engine_options import owner_of
from infertui.config.fields import FIELDS
from infertui.config.schema import Config, EngineConfig
from infertui.config.section import Section
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
        prompts = str(userdir.expand(prompts).absolute())
        config = replace(config, workload=replace(config.workload, prompts_file=prompts))
    if text := config.quality.text_file:
        config = replace(config, quality=replace(config.quality, text_file=str(userdir.expand(text).absolute())))
    engine = replace(config.engine, draft_model=_rooted_model(config.engine.draft_model))
    if engine.python:
        engine = replace(engine, python=str(userdir.expand(engine.python).absolute()))
    engine = replace(engine, **_rooted_options(engine))
    return replace(config, model=replace(config.model, id=_rooted_model(model)), engine=engine)


def _rooted_model(model: str) -> str:
    """A model's folder or file, absolute; every other name as it is."""
    if not model:
        return model
    prefix = "synthetic:" if model.startswith("synthetic:") else ""
    path = userdir.expand(model.removeprefix(prefix))
    try:
        is_file = path.is_file() and (bool(prefix) or path.suffix == ".gguf")
        is_path = (path / "config.json").is_file() or is_file
    except (OSError, ValueError):  # no file can have such a name
        is_path = False
    return f"{prefix}{path.absolute()}" if is_path else model


def _rooted_options(engine: EngineConfig) -> dict[str, Section]:
    """The engines' tables whose options name files, those made absolute."""
    found: dict[str, Section] = {}
    for field in FIELDS.values():
        spec = owner_of(field.path)
        if field.is_path and spec is not None and (text := getattr(getattr(engine, spec.table), field.key)):
            table = found.get(spec.table) or getattr(engine, spec.table)
            found[spec.table] = replace(table, **{field.key: str(userdir.expand(text).absolute())})
    return found
