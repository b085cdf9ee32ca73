"""From a config with a `[sweep]` to the configs that it stands for, each fit to be measured from any folder."""

import itertools
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from infertui import paths
from infertui.config.engine_options import owner_of
from infertui.config.fields import FIELDS, TABLES, Value
from infertui.config.parse import FlatValue, axis_key, build, flat_values
from infertui.config.ranges import axis_values
from infertui.config.schema import Config, EngineConfig
from infertui.config.section import Section
from infertui.errors import ConfigError
from infertui.integers import Whole
from infertui.text import one_line

_LONGEST_VALUE = 40
# The field's own abbreviations; every other key goes by its last part where that is unmistakable.
_ABBREVIATIONS = {
    "model.id": "model",
    "engine.name": "engine",
    "engine.dtype": "dtype",
    "engine.attention": "attn",
    "engine.quantization": "quant",
    "engine.speculation": "spec",
    "engine.draft_model": "draft",
    "engine.tensor_parallel": "tp",
    "workload.batch_size": "bs",
    "workload.input_len": "isl",
    "workload.output_len": "osl",
    "workload.seed": "seed",
    "workload.temperature": "temp",
    "measurement.iterations": "iters",
    "engine.llama_cpp.n_gpu_layers": "n_gpu_layers",
    "engine.simulator.n_gpu_layers": "n_gpu_layers",
    "device.name": "device",
}


class Place(Struct, frozen=True):
    """Where a run stands in a bench, which measures several configs in turn: rounds of one run for each arm."""

    bench: str
    """The same for all runs of one bench, unlike that of any other."""
    arm: str
    """The name of the config."""
    round: Whole
    """From 0. The runs of one round are compared with each other."""
    rounds: Whole
    baseline: bool = False
    """Whether this arm is the one that the others are compared with."""
    arms: tuple[str, ...] = ()
    """All arms as they were given, the baseline first; empty where that was not kept."""
    seed: Whole = 0
    """What the order of the runs was drawn with."""


class Variant(Struct, frozen=True):
    """One config of a sweep or a bench. `name` says what sets it apart, as in "bs=4 isl=128"; empty if nothing does."""

    name: str
    config: Config
    values: dict[str, Value]
    """The swept keys by dotted path, with this variant's values."""
    place: Place | None = None


def expand(config: Config) -> list[Variant]:
    """The configs that `config` stands for, each without a sweep; the config itself when it has none.

    The grid's last axis varies fastest, then the axes of `zip` together, faster still. Raises ConfigError for a variant
    whose values contradict each other.
    """
    grid = {key: axis_values(key, axis, where=f"sweep.grid.{key}") for key, axis in config.sweep.grid.items()}
    together = {key: axis_values(key, axis, where=f"sweep.zip.{key}") for key, axis in config.sweep.zip.items()}
    keys = (*grid, *together)
    rows = [
        (*chosen, *row)
        for chosen in itertools.product(*grid.values())
        for row in (zip(*together.values(), strict=True) if together else [()])
    ]
    base = {path: value for path, value in flat_values(config).items() if not axis_key(path)}
    return [
        Variant(name, _variant(base, keys, row, name), dict(zip(keys, row, strict=True)))
        for name, row in zip(_names(keys, rows), rows, strict=True)
    ]


def _variant(base: dict[str, FlatValue], keys: Sequence[str], row: Sequence[Value], name: str) -> Config:
    flat: dict[str, FlatValue] = {**base, **dict(zip(keys, row, strict=True))}
    try:
        return build(flat)
    except ConfigError as error:
        raise ConfigError(
            error.path, error.problem, allowed=error.allowed, source=f"the sweep at {name}", remedy=error.remedy
        ) from None


def short_name(path: str) -> str:
    """A key as the names of variants call it: `bs` for workload.batch_size."""
    if path in _ABBREVIATIONS:
        return _ABBREVIATIONS[path]
    if path.startswith("labels."):
        return one_line(path.removeprefix("labels."), _LONGEST_VALUE)
    last = path.rpartition(".")[2]
    alone = sum(other.rpartition(".")[2] == last for other in FIELDS if other not in TABLES) == 1
    return last if alone else path


def _names(keys: Sequence[str], rows: Sequence[Sequence[Value]]) -> list[str]:
    columns = [_texts(key, [row[index] for row in rows]) for index, key in enumerate(keys)]
    if not columns:
        return [""] * len(rows)
    shorts = [short_name(key) for key in keys]
    names = [
        " ".join(f"{key}={text}" for key, text in zip(shorts, texts, strict=True))
        for texts in zip(*columns, strict=True)
    ]
    seen: dict[str, int] = {}
    for index, name in enumerate(names):  # texts cut short or cleaned can coincide
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            names[index] = f"{name} #{seen[name]}"
    return names


def _texts(key: str, values: Sequence[Value]) -> list[str]:
    """The values of one axis as names show them: models by their last part if that tells them apart."""
    texts = {value: _text(value) for value in values}
    if key in ("model.id", "engine.draft_model"):
        parts = {value: text.rstrip("/").rpartition("/")[2].rpartition(":")[2] for value, text in texts.items()}
        if len(set(parts.values())) == len(parts):
            texts = parts
    return [texts[value] for value in values]


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.6g}"
    return one_line(str(value).strip(), _LONGEST_VALUE)


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
        prompts = str(paths.expand(prompts).absolute())
        config = replace(config, workload=replace(config.workload, prompts_file=prompts))
    if text := config.quality.text_file:
        config = replace(config, quality=replace(config.quality, text_file=str(paths.expand(text).absolute())))
    engine = replace(config.engine, draft_model=_rooted_model(config.engine.draft_model))
    if engine.python:
        engine = replace(engine, python=str(paths.expand(engine.python).absolute()))
    engine = replace(engine, **_rooted_options(engine))
    return replace(config, model=replace(config.model, id=_rooted_model(model)), engine=engine)


def _rooted_model(model: str) -> str:
    """A model's folder or file, absolute; every other name as it is."""
    if not model:
        return model
    prefix = "synthetic:" if model.startswith("synthetic:") else ""
    path = paths.expand(model.removeprefix(prefix))
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
            found[spec.table] = replace(table, **{field.key: str(paths.expand(text).absolute())})
    return found
