"""The weight files of one model directory: which there are, which are missing, and what they hold."""

import os
import re
import stat
from collections.abc import Iterable
from math import prod
from pathlib import Path

import msgspec
from msgspec import Struct

from infertui import regular_files
from infertui.models.disk import read_at_most
from infertui.text import one_line

SAFETENSORS_INDEX = "model.safetensors.index.json"
BIN_INDEX = "pytorch_model.bin.index.json"
NOT_WEIGHTS = frozenset({"training_args.bin", "optimizer.bin", "scheduler.bin", "adapter_model.bin"})
"""Files that end in .bin and hold no model weights."""

_MAX_INDEX_BYTES = 64 << 20
_MAX_HEADER_BYTES = 128 << 20
# What Transformers writes; anything else of the same ending is another copy of the weights (consolidated, fp16).
_STANDARD = re.compile(r"(?:model(?:-\d+-of-\d+)?\.safetensors|pytorch_model(?:-\d+-of-\d+)?\.bin)")


class WeightFiles(Struct, frozen=True):
    """What a directory holds. `missing` are file names an index asks for, or a hint where there is nothing at all."""

    files: tuple[Path, ...]
    bytes: int
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether a model can be loaded from here."""
        return bool(self.files) and not self.missing


def choose_weights(names: Iterable[str]) -> list[str]:
    """Those of the top-level file `names` that are the model's weights: safetensors if there are any, else .bin.

    Repositories often keep second copies under other names; they are left out where the standard ones exist.
    """
    top = [name for name in names if "/" not in name]
    chosen = [name for name in top if name.endswith(".safetensors") and not name.startswith("adapter_")]
    chosen = chosen or [name for name in top if name.endswith(".bin") and name not in NOT_WEIGHTS]
    standard = [name for name in chosen if _STANDARD.fullmatch(name)]
    return sorted(standard or chosen)


def find_weights(directory: Path) -> WeightFiles:
    """Look at `directory`: cheap, reads at most an index. A broken link counts as missing. Raises OSError."""
    sizes: dict[str, int] = {}
    broken: set[str] = set()
    for entry in os.scandir(directory):
        try:
            status = entry.stat()
        except OSError:
            broken.add(entry.name)
            continue
        if stat.S_ISREG(status.st_mode):
            sizes[entry.name] = status.st_size
    expected = choose_weights([*sizes, *broken])
    for index in (SAFETENSORS_INDEX, BIN_INDEX):
        shards = _indexed(directory / index) if index in sizes else set()
        if shards:
            expected = sorted(shards)
            break
    present = [name for name in expected if name in sizes]
    missing = [one_line(name, 120) for name in expected if name not in sizes]
    if not expected:
        missing = ["*.safetensors or *.bin"]
    return WeightFiles(
        tuple(directory / name for name in present), sum(sizes[name] for name in present), tuple(missing)
    )


def stored_parameters(files: Iterable[Path]) -> tuple[int, str] | None:
    """Count the elements that safetensors files hold, from their headers; with the dtype most of them have.

    None when a file is not safetensors or its header is not sound. The dtype is empty where it is not one of ours.
    """
    total = 0
    by_dtype: dict[str, int] = {}
    for path in files:
        header = _header(path) if path.suffix == ".safetensors" else None
        if header is None:
            return None
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            count = _elements(tensor)
            if count is None:
                return None
            total += count[0]
            by_dtype[count[1]] = by_dtype.get(count[1], 0) + count[0]
    if not total:
        return None
    common = max(by_dtype, key=lambda dtype: by_dtype[dtype])
    return total, {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}.get(common, "")


def _header(path: Path) -> dict[str, object] | None:
    """The JSON at the start of a safetensors file: eight bytes of little-endian length, then that many bytes."""
    try:
        with regular_files.opened(path) as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _MAX_HEADER_BYTES:
                return None
            return msgspec.json.decode(file.read(length), type=dict[str, object])
    except (OSError, msgspec.DecodeError, RecursionError):
        return None


def _elements(tensor: object) -> tuple[int, str] | None:
    if not isinstance(tensor, dict):
        return None
    shape, dtype = tensor.get("shape"), tensor.get("dtype")
    if not isinstance(shape, list) or not isinstance(dtype, str):
        return None
    if not all(isinstance(width, int) and 0 <= width < 1 << 40 for width in shape) or len(shape) > 16:
        return None
    return prod(shape), dtype


def _indexed(path: Path) -> set[str]:
    """File names in an index's weight_map. Names that lead out of the directory are not believed."""
    try:
        content = read_at_most(path, _MAX_INDEX_BYTES)
        index = msgspec.json.decode(content or b"{}", type=dict[str, object])
    except (OSError, msgspec.DecodeError, RecursionError):
        return set()
    shards = index.get("weight_map")
    if not isinstance(shards, dict):
        return set()
    return {name for name in shards.values() if isinstance(name, str) and name and "/" not in name}
