"""Write a model as a GGUF file: a synthetic one with random weights, or a checkpoint in safetensors.

Files made for a run are kept in the user's cache, `$XDG_CACHE_HOME/infertui/gguf` (else `~/.cache/infertui/gguf`),
under a name that says model, format and a hash of all that went in. All of it can be made again: delete what you like.
"""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from infertui.errors import ModelError
from infertui.models.gguf.layout import GgufLayout, Planned, Vocabulary, layout, of_bytes, of_checkpoint
from infertui.models.gguf.read import ALIGNMENT, RANDOM_WEIGHTS, read_gguf
from infertui.models.gguf.weights import Checkpoint, GgufFormat, Rows, bytes_per_row, drawn, stored_format
from infertui.models.kept import ELSEWHERE, slug
from infertui.models.kept import kept as kept_at
from infertui.models.resolve import ModelSource
from infertui.models.weights import find_weights
from infertui.paths import cache_dir
from infertui.text import clean, one_line
from infertui.units import format_bytes

# To be raised when a file written for the same input would come out differently.
_RECIPE = 2
_MARGIN = 64 << 20
_FILE_TYPES: Final[dict[GgufFormat, int]] = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7, "bf16": 32}


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where files made for runs are kept."""
    return cache_dir(environ) / "gguf"


def cached_gguf(
    source: ModelSource,
    form: GgufFormat,
    *,
    seed: int = 0,
    environ: Mapping[str, str] = os.environ,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """The GGUF file of a model in that weight format, written first where it is not in the cache yet.

    `seed` is that of synthetic weights. `tell` hears of progress. Several processes may ask at once: one writes.
    Raises ModelError for a model that cannot be written so, for a full disk, and for a cache that cannot be written.
    """
    name = _name(source, form, seed)
    return kept(name, lambda path: write_gguf(source, path, form, seed=seed, tell=tell), environ=environ, tell=tell)


def kept(
    name: str,
    write: Callable[[Path], None],
    *,
    environ: Mapping[str, str] = os.environ,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """The file of that name in the cache, made by `write` where it is not there yet; one process writes at a time.

    Raises ModelError for a cache that cannot be made or written, and what `write` raises.
    """
    return kept_at(cache_folder(environ), name, write, what="GGUF file", tell=tell)


def write_gguf(
    source: ModelSource,
    path: Path,
    form: GgufFormat,
    *,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Write a model to `path`, tensor by tensor, a few MiB in memory at a time. Raises ModelError as `cached_gguf`."""
    plan = layout(source.config, source.shape)
    rows, vocabulary = _origin(source, seed)
    needed = sum(_padded(_bytes(tensor, form)) for tensor in plan.tensors)
    free = shutil.disk_usage(path.parent).free
    where = one_line(path.parent)
    if needed + _MARGIN > free:
        raise ModelError(
            f"the GGUF file of {source.label} takes {format_bytes(needed)}, but {where} has {format_bytes(free)} free",
            remedy=ELSEWHERE,
        )
    tell(f"writing {source.label} as {form} GGUF, {format_bytes(needed)}, to {path}")
    try:
        _write_header(path, plan, form, source, vocabulary)
        with path.open("ab") as file:
            _pad(file)
            _write_tensors(file, plan.tensors, form, rows, needed, tell)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        problem = f"{where} is full" if full else clean(error.strerror or str(error))
        raise ModelError(f"the GGUF file of {source.label} cannot be written: {problem}", remedy=ELSEWHERE) from error
    read_gguf(path)  # what cannot be read back is not kept


def _origin(source: ModelSource, seed: int) -> tuple[Rows, Vocabulary | None]:
    if source.kind == "synthetic":
        spread = source.config.get("initializer_range")
        std = float(spread) if isinstance(spread, int | float) and 0 < spread < 10 else 0.02
        return (lambda tensor, form: drawn(tensor, form, seed, std)), of_bytes(source.shape.vocab)
    if source.kind not in ("local", "hub"):
        raise ModelError(f"{source.label} is not a checkpoint that a GGUF file could be made of")
    must_be_dense(source)
    checkpoint = Checkpoint(find_weights(source.path).files)
    marks = (source.config.get("bos_token_id"), source.config.get("eos_token_id"))
    return checkpoint.rows, of_checkpoint(source.path, source.shape.vocab, *marks)


def must_be_dense(source: ModelSource) -> None:
    """Raise ModelError for a checkpoint whose experts would have to be put together; made-up ones are drawn so."""
    if source.kind in ("local", "hub") and source.shape.experts:
        raise ModelError(
            f"{source.label} is a mixture of experts, of which no GGUF file is written here",
            remedy="Name a .gguf file as model.id: llama.cpp's convert_hf_to_gguf.py makes one of most checkpoints.",
        )


def _write_header(
    path: Path, plan: GgufLayout, form: GgufFormat, source: ModelSource, vocabulary: Vocabulary | None
) -> None:
    """Metadata and the list of tensors, by the gguf package; the data follows without it, so as not to be in memory."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, plan.architecture)
    try:
        writer.add_name(source.label)
        writer.add_file_type(_FILE_TYPES[form])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        if source.kind == "synthetic":
            writer.add_bool(RANDOM_WEIGHTS, val=True)
        for key, value in plan.metadata.items():
            add: Any = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}[type(value)]
            add(f"{plan.architecture}.{key}", value)
        _add_vocabulary(writer, vocabulary)
        for tensor in plan.tensors:
            held = stored_format(tensor, form)
            shape = (*tensor.shape[:-1], bytes_per_row(tensor, held))
            kind = gguf.GGMLQuantizationType[held.upper()]
            writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), _bytes(tensor, form), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()


def _add_vocabulary(writer: Any, vocabulary: Vocabulary | None) -> None:
    if vocabulary is None:
        writer.add_tokenizer_model("none")
        return
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.bos)
    writer.add_eos_token_id(vocabulary.eos)
    writer.add_add_bos_token(value=False)


def _write_tensors(
    file: IO[bytes], tensors: tuple[Planned, ...], form: GgufFormat, rows: Rows, total: int, tell: Callable[[str], None]
) -> None:
    written, told = 0, 0
    for tensor in tensors:
        expected = _bytes(tensor, form)
        for part in rows(tensor, stored_format(tensor, form)):
            file.write(part.data)
            written += part.nbytes
            expected -= part.nbytes
            if (tenth := 10 * written // total) > told:
                told = tenth
                tell(f"  {format_bytes(written)} of {format_bytes(total)}")
        assert expected == 0, tensor.name  # noqa: S101
        _pad(file)


def _bytes(tensor: Planned, form: GgufFormat) -> int:
    rows = 1
    for width in tensor.shape[:-1]:
        rows *= width
    return rows * bytes_per_row(tensor, stored_format(tensor, form))


def _padded(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT


def _pad(file: IO[bytes]) -> None:
    place = file.tell()
    file.write(bytes(_padded(place) - place))


def _name(source: ModelSource, form: GgufFormat, seed: int) -> str:
    """A file name that is another one whenever the content would be."""
    facts: list[object] = [_RECIPE, form, source.config]
    if source.kind == "synthetic":
        facts.append(seed)
    else:
        files = (*find_weights(source.path).files, source.path / "tokenizer.json")
        for file in files:
            with contextlib.suppress(OSError):
                status = file.stat()
                facts.append([str(file.resolve()), status.st_size, status.st_mtime_ns])
    digest = hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).hexdigest()[:16]
    return f"{slug(source)}-{form}-{digest}.gguf"
