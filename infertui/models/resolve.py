"""From what a user calls a model to what it is: a synthetic one, a local directory, or one in the hub's local cache.

Nothing here asks the network or imports huggingface_hub. A config of a family that is not known here is described by
Transformers, which takes seconds the first time (`models/hub/asking.py`): not to be called on an event loop.
"""

import difflib
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct

from infertui import paths
from infertui.errors import ModelError
from infertui.models.disk import read_at_most
from infertui.models.gguf.read import is_gguf_name, parts_of, read_parts
from infertui.models.gguf.shape import shape_of
from infertui.models.hub import cache
from infertui.models.known import shape_of_config
from infertui.models.shapes import ModelShape, read_shape
from infertui.models.weights import find_weights, stored_parameters
from infertui.paths import expand
from infertui.regular_files import is_dir, is_file
from infertui.text import one_line

ModelKind = Literal["synthetic", "local", "hub", "gguf"]
SYNTHETIC = "synthetic:"
CONFIG_NAME = "config.json"

_MAX_CONFIG_BYTES = 8 << 20


class ModelSource(Struct, frozen=True):
    """One model that is here and can be loaded.

    `path` is the config.json of a synthetic model, the first file of a GGUF model, else the directory with config and
    weights. `config` is the parsed config.json, empty for a GGUF model. `weights_bytes_on_disk` is 0 for synthetic
    models. `revision` is the commit of a hub model. `label` is what results are shown under: it says when the weights
    are random.
    """

    id: str
    kind: ModelKind
    path: Path
    config: dict[str, Any]
    shape: ModelShape
    label: str
    weights_bytes_on_disk: int = 0
    revision: str = ""

    @property
    def parameters(self) -> int:
        """How many parameters the model has; `shape.exact` says whether that is exact."""
        return self.shape.parameters


def synthetic_names() -> list[str]:
    """The names of the synthetic models that ship, smallest first."""
    folder = paths.data() / "models"
    names = [entry.name for entry in folder.iterdir() if (entry / CONFIG_NAME).is_file()]
    return sorted(names, key=lambda name: (read_shape(read_config(_shipped_config(name))).parameters, name))


def resolve(model_id: str, revision: str = "") -> ModelSource:
    """Find the model that `model_id` names.

    `synthetic:NAME`, `synthetic:PATH` to a config.json or its directory; a directory with config.json and weights;
    a GGUF file (any part of one that is split); or a Hugging Face id that is in the local cache, at `revision` (a
    branch, tag or commit; empty: main). A relative directory that holds a config.json goes before a hub id of the
    same name.

    Raises ModelError, with a remedy, when the model is not there, is incomplete, or its config.json cannot be used.
    """
    if model_id.startswith(SYNTHETIC):
        return _synthetic(model_id)
    directory = expand(model_id)
    if is_gguf_name(model_id) and not is_dir(directory):
        return _gguf(model_id, directory)
    if not _is_looked_up(model_id):
        return _local(model_id, directory)
    return _hub(model_id, revision, also_a_directory=is_dir(directory))


def is_to_be_pulled(model_id: str, revision: str = "") -> bool:
    """Whether that is a model of the hub which is not here, or not whole: downloading it may help."""
    if not _is_looked_up(model_id) or not cache.is_model_id(model_id):
        return False
    try:
        resolve(model_id, revision)
    except ModelError:
        return True
    return False


def _is_looked_up(model_id: str) -> bool:
    """Whether a name is looked for in the hub's cache: it is neither synthetic nor a folder or file."""
    directory = expand(model_id)
    if model_id.startswith(SYNTHETIC) or (is_gguf_name(model_id) and not is_dir(directory)):
        return False
    return not (_looks_like_path(model_id) or (model_id and is_file(directory / CONFIG_NAME)))


def read_config(path: Path) -> dict[str, Any]:
    """Parse a config.json. Raises ModelError for whatever may be wrong with it."""
    shown = one_line(path)
    try:
        content = read_at_most(path, _MAX_CONFIG_BYTES)
        if content is None:
            raise ModelError(f"{shown} is larger than any config.json should be ({_MAX_CONFIG_BYTES >> 20} MiB)")
        config = msgspec.json.decode(content)
    except OSError as error:
        raise ModelError(f"{shown} cannot be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{shown} is not valid JSON: {one_line(error)}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{shown} holds a JSON {_json_kind(config)}, where an object is expected")
    return config


def _synthetic(model_id: str) -> ModelSource:
    name = model_id.removeprefix(SYNTHETIC)
    if _looks_like_path(name) or "/" in name or name.endswith(".json"):
        path = expand(name)
        path = path / CONFIG_NAME if is_dir(path) else path
        if not is_file(path):
            raise ModelError(
                f"there is no file {one_line(path)}", remedy="synthetic:PATH takes a config.json or its directory."
            )
    elif name in synthetic_names():
        path = _shipped_config(name)
    else:
        names = synthetic_names()
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"Did you mean synthetic:{near[0]}? " if near else ""
        raise ModelError(
            f"there is no synthetic model {one_line(repr(name))}",
            remedy=f"{hint}Known: {', '.join(names)}; or synthetic:PATH with a config.json of your own.",
        )
    config = read_config(path)
    shape = shape_of_config(config, source=one_line(path))
    shown = one_line(model_id)
    return ModelSource(model_id, "synthetic", path, config, shape, f"{shown} (random weights)")


def _shipped_config(name: str) -> Path:
    # Installed packages are directories; none of this works from a zip, and nothing else here does.
    return cast(Path, paths.data() / "models" / name / CONFIG_NAME)


def _local(model_id: str, directory: Path) -> ModelSource:
    shown = one_line(model_id)
    if not is_dir(directory):
        kind = "is a file, not a directory" if is_file(directory) else "does not exist"
        raise ModelError(f"{shown} {kind}", remedy="A local model is a directory with config.json and weights.")
    if not is_file(directory / CONFIG_NAME):
        adapter = is_file(directory / "adapter_config.json")
        raise ModelError(
            f"{shown} has no {CONFIG_NAME}",
            remedy="It holds an adapter, not a model: merge it into its base model first."
            if adapter
            else "A local model is a directory with config.json and weights (*.safetensors or *.bin).",
        )
    return _from_directory(model_id, "local", directory, label=shown, remedy="Complete the directory.")


def _gguf(model_id: str, path: Path) -> ModelSource:
    missing = [part for part in parts_of(path) if not is_file(part)]
    if missing:
        raise ModelError(f"there is no file {one_line(missing[0])}", remedy="Name a GGUF file that is here, whole.")
    file, size = read_parts(path)
    random = " (random weights)" if file.random_weights else ""
    return ModelSource(
        model_id,
        "gguf",
        parts_of(path)[0],
        {},
        shape_of(file, one_line(path)),
        one_line(model_id) + random,
        weights_bytes_on_disk=size,
    )


def _hub(model_id: str, revision: str, *, also_a_directory: bool) -> ModelSource:
    shown = one_line(model_id)
    if not cache.is_model_id(model_id):
        raise ModelError(
            f"{one_line(repr(model_id))} is neither a directory nor the id of a model",
            remedy="Name a Hugging Face id (NAME or ORG/NAME), a directory, or synthetic:NAME.",
        )
    if revision and not cache.is_revision(revision):
        raise ModelError(f"model.revision {one_line(repr(revision))} is not a branch, tag or commit")
    snapshot = cache.find_snapshot(model_id, revision)
    if snapshot is None:
        at = f" at revision {revision}" if revision else ""
        notes = ""
        if also_a_directory:
            notes += f"; the directory {shown} has no {CONFIG_NAME}"
        if cache.unfinished_bytes(cache.repo_dir(model_id)):
            notes += "; its download was begun and not finished"
        raise ModelError(f"{shown}{at} is not on this machine{notes}", remedy=_pull_remedy(model_id, revision))
    source = _from_directory(
        model_id, "hub", snapshot.path, label=shown, remedy=_pull_remedy(model_id, revision), what=shown
    )
    return msgspec.structs.replace(source, revision=snapshot.commit)


def _from_directory(
    model_id: str, kind: ModelKind, directory: Path, *, label: str, remedy: str, what: str = ""
) -> ModelSource:
    what = what or one_line(directory)
    if not is_file(directory / CONFIG_NAME):
        raise ModelError(f"{what} is incomplete: {CONFIG_NAME} is missing", remedy=remedy)
    config = read_config(directory / CONFIG_NAME)
    shape = shape_of_config(config, source=one_line(directory / CONFIG_NAME))
    try:
        weights = find_weights(directory)
    except OSError as error:
        raise ModelError(f"{one_line(directory)} cannot be read: {error.strerror or error}") from error
    if not weights.complete:
        some, more = weights.missing[:3], len(weights.missing) - 3
        listed = ", ".join(some) + (f" and {more} more" if more > 0 else "")
        raise ModelError(f"{what} is incomplete: {listed} {'are' if len(some) > 1 else 'is'} missing", remedy=remedy)
    return ModelSource(
        model_id,
        kind,
        directory,
        config,
        refine_shape(shape, weights.files),
        label,
        weights_bytes_on_disk=weights.bytes,
    )


def refine_shape(shape: ModelShape, files: tuple[Path, ...]) -> ModelShape:
    """Complete `shape` from the headers of its safetensors `files`: the dtype, and parameters where not yet exact."""
    if shape.exact and shape.dtype:
        return shape
    stored = stored_parameters(files)
    if stored is None:
        return shape
    count, dtype = stored
    if not shape.exact and not shape.quantization:
        active = shape.active_parameters if shape.experts else count
        # Of a family that is not known the matrices are those of a Llama only where the whole is about as large.
        matrices = shape.matrix_parameters if abs(count - shape.parameters) <= 0.02 * count else 0
        shape = msgspec.structs.replace(
            shape,
            parameters=count,
            active_parameters=min(active, count),
            exact=True,
            matrix_parameters=matrices,
        )
    return shape if shape.dtype else msgspec.structs.replace(shape, dtype=dtype)


def _pull_remedy(model_id: str, revision: str) -> str:
    command = f"infertui models pull {model_id}" + (f" --revision {revision}" if revision else "")
    if cache.is_offline():
        return f"HF_HUB_OFFLINE is set: unset it and run `{command}`, or copy the model into {_cache_shown()}."
    return f"Run `{command}` to download it."


def _cache_shown() -> str:
    return one_line(cache.cache_dir())


def _looks_like_path(text: str) -> bool:
    return text.startswith(("/", "./", "../", "~")) or text in {".", ".."} or text.endswith("/")


def _json_kind(value: object) -> str:
    kinds = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(value), "null")
