"""The model as ONNX Runtime GenAI reads it: a folder that the library's own model builder makes, kept in the cache.

The builder runs in a process of its own: it needs PyTorch and the whole checkpoint in memory, and the engine neither.
A folder is whole if it holds all files of its record, which is written last, in the sizes that they had.
"""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import msgspec
from msgspec import Struct

from infertui.errors import EngineError, ModelError
from infertui.models.disk import read_at_most
from infertui.models.kept import ELSEWHERE, fingerprint, kept, slug
from infertui.models.memory.estimate import QUANTIZED_BYTES
from infertui.models.resolve import ModelSource
from infertui.models.shapes import dtype_bytes
from infertui.models.weights import find_weights
from infertui.paths import cache_dir
from infertui.targets.engine.onnxruntime_genai.asked import FAMILIES, Recipe
from infertui.targets.engine.onnxruntime_genai.installed import versions
from infertui.text import clean, one_line
from infertui.units import format_bytes

RECORD = "infertui-model.json"
GRAPH = "model.onnx"
# To be raised when a folder made for the same input would come out differently.
_RECIPE = 1
_MARGIN = 64 << 20
_MAX_RECORD = 1 << 20
_PROVIDERS: Mapping[str, str] = {"cpu": "cpu", "cuda": "cuda", "nv-tensorrt-rtx": "NvTensorRtRtx"}


class OnnxOrder(Struct, frozen=True):
    """What the process of the builder is told. `seed` is that of random weights, `files` are a checkpoint's."""

    config: str
    """The config.json."""
    architecture: str
    files: tuple[str, ...]
    seed: int
    dtype: str
    """Of random weights, as PyTorch calls it."""
    precision: str
    provider: str
    """As the builder calls it."""
    options: dict[str, str]
    target: str


class OnnxRecord(Struct, frozen=True):
    """What is in a folder: the sizes of its files by name, and what made it."""

    files: dict[str, int]
    made_with: dict[str, str]


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where made models are kept."""
    return cache_dir(environ) / "onnx"


def converted(
    source: ModelSource,
    recipe: Recipe,
    *,
    seed: int = 0,
    environ: Mapping[str, str] = os.environ,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """The folder of a model made by `recipe`, made first where it is not in the cache yet.

    `seed` is that of synthetic weights. Several processes may ask at once: one makes it. Raises ModelError for a model
    that cannot be made, for a full disk and for a cache that cannot be written, EngineError where the builder ends
    otherwise.
    """

    def make(unfinished: Path) -> None:
        _make(source, recipe, seed, unfinished, tell)

    name = _name(source, recipe, seed)
    return kept(cache_folder(environ), name, make, what="ONNX model", tell=tell, is_whole=is_whole)


def is_whole(folder: Path) -> bool:
    """Whether all of a made model is there."""
    try:
        record = msgspec.json.decode(read_at_most(folder / RECORD, _MAX_RECORD) or b"", type=OnnxRecord)
        return all((folder / name).stat().st_size == size for name, size in record.files.items())
    except (OSError, msgspec.MsgspecError, ValueError):
        return False


def _make(source: ModelSource, recipe: Recipe, seed: int, unfinished: Path, tell: Callable[[str], None]) -> None:
    unfinished.mkdir()
    _check_space(source, recipe, unfinished)
    order = OnnxOrder(
        config=str(source.path if source.kind == "synthetic" else source.path / "config.json"),
        architecture=FAMILIES[str(source.config["model_type"])],
        files=() if source.kind == "synthetic" else tuple(map(str, _checkpoint_files(source.path))),
        seed=seed,
        dtype=recipe.dtype,
        precision=recipe.precision,
        provider=_PROVIDERS[recipe.provider],
        options=recipe.options,
        target=str(unfinished),
    )
    tell(f"making an ONNX model of {source.label}: {recipe.precision} for {recipe.provider}, in {unfinished.parent}")
    _run(order, clean(source.id))
    files = sorted(path for path in unfinished.iterdir() if path.is_file())
    if not (unfinished / GRAPH).is_file():
        raise EngineError(f"the model builder of ONNX Runtime GenAI ended well and made no {GRAPH}")
    for path in files:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    record = OnnxRecord({path.name: path.stat().st_size for path in files}, _made_with(source))
    (unfinished / RECORD).write_bytes(msgspec.json.encode(record))


def _run(order: OnnxOrder, name: str) -> None:
    """Let the builder work, its words going to the log. Raises ModelError with its own last word."""
    environ = os.environ | {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-m", f"{__package__}.building", msgspec.json.encode(order).decode()]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, env=environ, text=True, errors="replace"
    )
    if done.returncode == 0:
        return
    if done.returncode < 0:
        raise EngineError(
            f"the model builder of ONNX Runtime GenAI was killed (signal {-done.returncode}) while it made {name}",
            remedy="It holds the whole checkpoint in memory: free some, or take a smaller model.",
        )
    raise ModelError(
        f"the model builder of ONNX Runtime GenAI cannot make {name}: {one_line(done.stdout.strip(), 500)}",
        remedy="worker.log has more; --engine transformers runs the checkpoint as it is.",
    )


def _check_space(source: ModelSource, recipe: Recipe, folder: Path) -> None:
    made = QUANTIZED_BYTES.get(recipe.precision, dtype_bytes(recipe.dtype))
    needed = round(source.shape.parameters * made) + _MARGIN
    if source.kind == "synthetic":  # random weights are written first
        needed += source.shape.parameters * dtype_bytes(recipe.dtype)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"the ONNX model of {source.label} takes {format_bytes(needed)}, but {one_line(folder.parent)} has "
            f"{format_bytes(free)} free",
            remedy=ELSEWHERE,
        )


def _checkpoint_files(folder: Path) -> list[Path]:
    """The weights, and the index where they are divided."""
    found = find_weights(folder)
    return [*found.files, *sorted(folder.glob("*.index.json"))]


def _name(source: ModelSource, recipe: Recipe, seed: int) -> str:
    """The name of a folder, which is another one whenever the content would be."""
    facts: list[object] = [_RECIPE, recipe, _made_with(source)]
    facts.append([source.config, seed] if source.kind == "synthetic" else fingerprint(source))
    digest = hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()[:16]
    return f"{slug(source)}-{recipe.precision}-{recipe.provider}-{digest}"


def _made_with(source: ModelSource) -> dict[str, str]:
    """What has a say in the files: the builder, the quantizer, and for random weights what draws them."""
    found = versions()
    for package in ("torch", "transformers") if source.kind == "synthetic" else ():
        if find_spec(package) is not None:
            found[package] = importlib.metadata.version(package)
    return found


def settings(folder: Path) -> dict[str, object]:
    """What the builder wrote for the library to read, `genai_config.json`."""
    return dict(json.loads((folder / "genai_config.json").read_text(encoding="utf-8")))
