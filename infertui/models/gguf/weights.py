"""The weights that go into a GGUF file, some rows at a time: made up, or read from safetensors.

Made-up weights are drawn in the format in which they are stored, so that a file of any size is written about as fast
as the disk takes it. With the same seed F32, F16 and BF16 files hold the same weights, but for rounding.
"""

import functools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from msgspec import Struct

from infertui import regular_files
from infertui.errors import ModelError
from infertui.models.gguf.layout import Planned
from infertui.text import one_line

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

GgufFormat = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]
"""Forms of files that are written here; llama.cpp's own quantizer makes the others, and Q4_0 of real weights."""
Held = Literal[GgufFormat, "q6_k"]
"""Formats of single tensors in them."""

BLOCK: Final = 32
"""Weights that share one scale in Q8_0 and Q4_0."""
K_BLOCK: Final = 256
"""Weights of a block of Q6_K."""

_BYTES_PER_BLOCK: Final[dict[Held, int]] = {"f32": 128, "f16": 64, "bf16": 64, "q8_0": 34, "q4_0": 18}
_Q6_K_BYTES: Final = 210
_CHUNK = 1 << 22
_SPREAD = 0.02
_MAX_HEADER_BYTES = 128 << 20


def stored_format(tensor: Planned, wanted: GgufFormat) -> Held:
    """In which format a tensor is held: as wanted for a matrix, in F16 where its rows are no whole blocks, else F32.

    The head of a Q4_0 file is in Q6_K, or in Q8_0 where its rows are no multiple of 256, as llama.cpp's quantizer
    has it.
    """
    if not tensor.matrix:
        return "f32"
    width = tensor.shape[-1]
    if wanted in ("q8_0", "q4_0") and width % BLOCK:
        return "f16"
    if wanted == "q4_0" and tensor.head:
        return "q8_0" if width % K_BLOCK else "q6_k"
    return wanted


def bytes_per_row(tensor: Planned, form: Held) -> int:
    """Bytes that one row of a tensor takes."""
    if form == "q6_k":
        return tensor.shape[-1] * _Q6_K_BYTES // K_BLOCK
    return tensor.shape[-1] * _BYTES_PER_BLOCK[form] // BLOCK


def quantize(values: "Array", form: Held) -> "Array":
    """Rows of float32 as rows of bytes, by the reference quantizer of the gguf package."""
    import gguf
    import numpy as np

    if form in ("f32", "f16"):
        return np.ascontiguousarray(values, dtype=np.float32 if form == "f32" else np.float16).view(np.uint8)
    encoded: Array = gguf.quants.quantize(values, gguf.GGMLQuantizationType[form.upper()])
    return encoded.view(np.uint8)


def drawn(tensor: Planned, form: Held, seed: int, std: float = _SPREAD) -> Iterator["Array"]:
    """Rows of bytes of a made-up tensor, a few MiB at a time: normal weights of that deviation, or what `fill` says.

    Q8_0 and Q6_K weights are uniform over their 256 and 64 steps and Q4_0 weights normal over the 16, at one scale.
    """
    import numpy as np

    if tensor.fill != "normal":
        yield _filled(tensor)
        return
    generator = np.random.Generator(np.random.SFC64([seed, zlib.crc32(tensor.name.encode())]))
    width = bytes_per_row(tensor, form)
    rows, columns = math.prod(tensor.shape[:-1]), tensor.shape[-1]
    per_chunk = max(1, _CHUNK // width)
    for first in range(0, rows, per_chunk):
        count = min(per_chunk, rows - first)
        if form == "q6_k":
            yield _k_blocks(generator, count * columns // K_BLOCK, std).reshape(count, width)
        elif form in ("q8_0", "q4_0"):
            yield _blocks(generator, count * columns // BLOCK, form, std).reshape(count, width)
        else:
            indices = _random_bytes(generator, 2 * count * columns).view(np.uint16)
            yield _normal(form, std)[indices].view(np.uint8).reshape(count, width)


def _filled(tensor: Planned) -> "Array":
    import numpy as np

    values = tensor.values or (1.0 if tensor.fill == "ones" else 0.0)
    return np.full(tensor.shape, values, dtype=np.float32).reshape(1, -1).view(np.uint8)


def _random_bytes(generator: Any, count: int) -> "Array":
    import numpy as np

    words = generator.integers(0, 2**64 - 1, size=-(-count // 8), dtype=np.uint64, endpoint=True)
    found: Array = words.view(np.uint8)[:count]
    return found


def _k_blocks(generator: Any, count: int, std: float) -> "Array":
    """Q6_K: the lower 4 bits of 256 weights, their upper 2, 16 scales of 8 bits, and the scale of these in float16."""
    import numpy as np

    blocks = _random_bytes(generator, count * _Q6_K_BYTES).reshape(count, _Q6_K_BYTES)
    blocks[:, 192:208] = 1
    deviation = ((64**2 - 1) / 12) ** 0.5
    blocks[:, 208:] = np.array([std / deviation], dtype=np.float16).view(np.uint8)
    return blocks


def _blocks(generator: Any, count: int, form: Held, std: float) -> "Array":
    import numpy as np

    width = _BYTES_PER_BLOCK[form]
    blocks = _random_bytes(generator, count * width)
    if form == "q4_0":
        table, deviation = _nibbles()
        blocks = table[blocks]
    else:
        deviation = ((256**2 - 1) / 12) ** 0.5
    blocks = blocks.reshape(count, width)
    blocks[:, :2] = np.array([std / deviation], dtype=np.float16).view(np.uint8)
    return blocks


@functools.cache
def _normal(form: Held, std: float) -> "Array":
    """65536 quantiles of a normal distribution: a random 16-bit number picks one."""
    import numpy as np

    normal = NormalDist(0.0, std)
    values = np.array([normal.inv_cdf((step + 0.5) / 65536) for step in range(65536)], dtype=np.float32)
    if form == "bf16":
        return quantize(values.reshape(1, -1), "bf16").reshape(-1).view(np.uint16)
    return values.astype(np.float32 if form == "f32" else np.float16)


@functools.cache
def _nibbles() -> tuple["Array", float]:
    """For each byte the two 4-bit weights of Q4_0 (stored plus 8) that normal quantiles give, and their deviation."""
    import numpy as np

    quantiles = [NormalDist().inv_cdf((step + 0.5) / 16) for step in range(16)]
    steps = np.array([round(value * 7 / quantiles[-1]) for value in quantiles])
    low, high = np.meshgrid(steps + 8, steps + 8)
    return (low + 16 * high).reshape(-1).astype(np.uint8), float(steps.std())


class _Stored(Struct, frozen=True):
    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int


_PREFIXES = ("", "model.", "transformer.", "base_model.model.")
_DTYPES: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class Checkpoint:
    """The tensors of a checkpoint's safetensors files. They are mapped, not read, so memory stays small."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._tensors: dict[str, _Stored] = {}
        for path in files:
            if path.suffix != ".safetensors":
                raise ModelError(
                    f"{one_line(path)} is no safetensors file: a GGUF file is made of those alone",
                    remedy="Save the model again with save_pretrained of Transformers.",
                )
            self._tensors |= _headers(path)

    def rows(self, tensor: Planned, form: Held) -> Iterator["Array"]:
        """Rows of bytes of one tensor, a few MiB at a time. Raises ModelError where it is missing or another shape."""
        import numpy as np

        if tensor.fill == "values":
            yield _filled(tensor)
            return
        values = self._values(tensor)
        per_chunk = max(1, _CHUNK // (4 * tensor.shape[-1]))
        for first in range(0, len(values), per_chunk):
            part = values[first : first + per_chunk]
            if part.dtype == np.uint16:  # bfloat16 is the upper half of a float32
                part = (part.astype(np.uint32) << 16).view(np.float32)
            yield quantize(np.ascontiguousarray(part, dtype=np.float32), form)

    def _values(self, tensor: Planned) -> "Array":
        """The tensor with rows first, in the layout that GGUF wants; a mapping where that is one."""
        import numpy as np

        stored = next((found for prefix in _PREFIXES if (found := self._tensors.get(prefix + tensor.source))), None)
        if stored is None:
            raise ModelError(f"the checkpoint has no tensor {tensor.source}", remedy="Its files are incomplete.")
        expected = tensor.shape[::-1] if tensor.transform == "transpose" else tensor.shape
        if stored.shape != expected:
            raise ModelError(
                f"the checkpoint's {tensor.source} is {_dims(stored.shape)}, its config.json says {_dims(expected)}"
            )
        values: Array = np.memmap(stored.path, _DTYPES[stored.dtype], "r", stored.offset, stored.shape)
        if tensor.transform == "transpose":
            return values.T
        if tensor.transform == "rotary":
            # Transformers turns the halves of a head against each other, llama.cpp its neighbours.
            head = values.shape[0] // tensor.heads // 2
            halves = values.reshape(tensor.heads, 2, head, *values.shape[1:])
            values = halves.swapaxes(1, 2).reshape(values.shape)
        return values.reshape(1, -1) if values.ndim == 1 else values


def _dims(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


class _Header(Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def _headers(path: Path) -> dict[str, _Stored]:
    """Names, types and places of a safetensors file's tensors; every place is checked against the file's size."""
    shown = one_line(path)
    try:
        with regular_files.opened(path) as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _MAX_HEADER_BYTES:
                raise ModelError(f"{shown} is not a safetensors file")
            table = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
            size = file.seek(0, 2)
    except OSError as error:
        raise ModelError(f"{shown} cannot be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise ModelError(f"{shown} is not a safetensors file") from error
    table.pop("__metadata__", None)
    found: dict[str, _Stored] = {}
    for name, raw in table.items():
        try:
            header = msgspec.json.decode(raw, type=_Header)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ModelError(f"{shown} is damaged: the entry of {one_line(name, 80)}") from error
        if header.dtype not in _DTYPES:
            continue  # masks and the like; a weight in such a type is missed by name
        shape = tuple(header.shape)
        begin, end = header.data_offsets
        needed = functools.reduce(int.__mul__, shape, 1) * int(_DTYPES[header.dtype][-1])
        if min(shape, default=1) < 0 or not 0 <= begin <= end <= size - 8 - length or end - begin != needed:
            raise ModelError(f"{shown} is damaged or cut short: the place of {one_line(name, 80)}")
        found[name] = _Stored(path, header.dtype, shape, 8 + length + begin)
    return found


Rows = Callable[[Planned, Held], Iterator["Array"]]
