"""What models are here: those of the hub's local cache, model directories, and the synthetic ones that ship.

Listing reads names, sizes and config.json files alone, so it stays fast with hundreds of gigabytes on disk, and it
lists what it cannot read instead of failing.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from infertui.errors import ModelError
from infertui.models.gguf.read import is_gguf_name, parts_of, read_parts
from infertui.models.gguf.shape import shape_of
from infertui.models.hub import cache
from infertui.models.known import shape_of_config
from infertui.models.resolve import CONFIG_NAME, SYNTHETIC, ModelKind, read_config, resolve, synthetic_names
from infertui.models.shapes import ModelShape
from infertui.models.weights import find_weights
from infertui.paths import expand
from infertui.regular_files import is_dir, is_file
from infertui.text import one_line

MODELS_DIR_VARIABLE = "INFERTUI_MODELS_DIR"
"""Directories of models, separated like PATH."""


class LocalModel(Struct, frozen=True):
    """One line of the list. `id` is what `model.id` takes; it and the other texts are safe to show.

    `parameters` is None where there is no readable config, and exact where `parameters_exact` says so. `size_bytes`
    counts files once however often they are linked, `last_used` is the latest access to the weights in seconds since
    the epoch, None where nothing was ever used. `problem` says why a model that is not `complete` cannot be loaded.
    """

    id: str
    kind: ModelKind
    path: str
    size_bytes: int
    complete: bool
    problem: str = ""
    architecture: str = ""
    parameters: int | None = None
    parameters_exact: bool = False
    dtype: str = ""
    revision: str = ""
    last_used: float | None = None


def local_models(
    extra_dirs: Iterable[Path] = (), *, environ: Mapping[str, str] = os.environ, synthetic: bool = True
) -> list[LocalModel]:
    """Everything that `resolve` finds on this machine, by kind and name.

    Looks into the hub's cache, `extra_dirs`, the directories of INFERTUI_MODELS_DIR and ./models. A directory is a
    model when it holds a config.json; its children and grandchildren are looked at too (ORG/NAME), and every GGUF file
    in them is a model.
    """
    found = [*_cached(cache.cache_dir(environ)), *_in_directories(extra_dirs, environ)]
    found.sort(key=lambda model: (model.kind != "hub", model.id.lower()))
    if synthetic:
        found += [_synthetic(name) for name in synthetic_names()]
    return found


def _synthetic(name: str) -> LocalModel:
    source = resolve(SYNTHETIC + name)
    return LocalModel(
        source.id,
        "synthetic",
        str(source.path),
        size_bytes=0,
        complete=True,
        **_described(source.shape),  # type: ignore[arg-type]
    )


def _cached(root: Path) -> Iterator[LocalModel]:
    for repo in _folders(root):
        model_id = cache.model_id_of(repo)
        if model_id is None:
            continue
        size = _size_on_disk(repo)
        snapshot = cache.newest_snapshot(repo)
        if snapshot is not None:
            yield _examined(model_id, "hub", snapshot.path, size=size, revision=snapshot.commit)
        elif size:
            yield LocalModel(
                one_line(model_id, 300), "hub", one_line(repo, 300), size, complete=False, problem="download unfinished"
            )


def _in_directories(extra_dirs: Iterable[Path], environ: Mapping[str, str]) -> Iterator[LocalModel]:
    named = [expand(part) for part in environ.get(MODELS_DIR_VARIABLE, "").split(os.pathsep) if part]
    seen: set[Path] = set()
    for root in [*extra_dirs, *named, Path("models")]:
        for directory in _model_directories(root):
            real = Path(os.path.realpath(directory))
            if real not in seen:
                seen.add(real)
                # A relative name of one part would read as a hub id.
                name = str(directory) if len(directory.parts) > 1 else f"./{directory}"
                yield _examined(name, "local", directory, size=_size_on_disk(directory))
        for path in _gguf_files(root):
            real = Path(os.path.realpath(path))
            if real not in seen:
                seen.add(real)
                yield _examined_gguf(path)


def _gguf_files(root: Path) -> Iterator[Path]:
    """GGUF files in `root`, its children and grandchildren; of one in parts the first."""
    children = _folders(root)
    for folder in (root, *children, *(inner for child in children for inner in _folders(child))):
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if is_gguf_name(entry.name))
        except OSError:
            continue
        for path in (folder / name for name in names if not name.startswith(".")):
            if is_file(path) and parts_of(path)[0] == path:
                yield path


def _examined_gguf(path: Path) -> LocalModel:
    """Describe a GGUF file; whatever is wrong with it becomes the model's `problem`."""
    described: dict[str, object] = {}
    problem = ""
    size, used = 0, None
    try:
        status = path.stat()
        size, used = status.st_size, status.st_atime
        file, size = read_parts(path)
        described = _described(shape_of(file, path.name))
        described["dtype"] = file.weight_type()
    except ModelError as error:
        problem = error.message
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
    return LocalModel(
        one_line(path, 300),
        "gguf",
        one_line(path, 300),
        size,
        complete=not problem,
        problem=one_line(problem, 300),
        last_used=used,
        **described,  # type: ignore[arg-type]
    )


def _model_directories(root: Path) -> Iterator[Path]:
    for directory in (root, *_folders(root)):
        if is_file(directory / CONFIG_NAME):
            yield directory
        elif directory != root:
            yield from (child for child in _folders(directory) if is_file(child / CONFIG_NAME))


def _examined(model_id: str, kind: ModelKind, directory: Path, *, size: int, revision: str = "") -> LocalModel:
    """Describe what is in `directory`; whatever is wrong with it becomes the model's `problem`."""
    problem = ""
    described: dict[str, object] = {}
    used: list[float] = []
    try:
        described = _described(
            shape_of_config(read_config(directory / CONFIG_NAME), source=CONFIG_NAME, only_kept=True)
        )
    except ModelError as error:
        problem = error.message if is_file(directory / CONFIG_NAME) else f"no {CONFIG_NAME}"
    try:
        weights = find_weights(directory)
        used = [path.stat().st_atime for path in weights.files]
        if not weights.complete:
            problem = problem or _missing(weights.missing)
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
    if problem and kind == "hub" and cache.unfinished_bytes(directory.parent.parent):
        problem = f"download unfinished; {problem}"
    return LocalModel(
        one_line(model_id, 300),
        kind,
        one_line(directory, 300),
        size,
        complete=not problem,
        problem=one_line(problem, 300),
        revision=one_line(revision, 300),
        last_used=max(used, default=None),
        **described,  # type: ignore[arg-type]
    )


def _described(shape: ModelShape) -> dict[str, object]:
    return {
        "architecture": shape.architecture,
        "parameters": shape.parameters,
        "parameters_exact": shape.exact,
        "dtype": shape.dtype,
    }


def _missing(names: tuple[str, ...]) -> str:
    return f"{names[0]} is missing" if len(names) == 1 else f"{len(names)} weight files are missing"


def _folders(root: Path) -> list[Path]:
    """The directories in `root`, sorted; none where it cannot be read. Hidden ones (.locks, .cache) hold no models."""
    try:
        names = sorted(entry.name for entry in os.scandir(root))
    except OSError:
        return []
    return [root / name for name in names if not name.startswith(".") and is_dir(root / name)]


def _size_on_disk(root: Path) -> int:
    """Bytes of the files under `root`. A file that several links lead to counts once, a broken link not at all."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                status = (Path(folder) / name).stat()
            except OSError:
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total
