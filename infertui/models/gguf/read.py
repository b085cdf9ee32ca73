"""GGUF files, read without any library: metadata and tensors.

The format (version 2 and 3, little-endian): `GGUF`, version, counts of tensors and of metadata, then the metadata as
key, type and value, then name, dimensions, type and offset of each tensor, then, aligned, the data. Files are anyone's:
every length is checked against the file before it is believed.
"""

import re
import struct
from math import prod
from pathlib import Path
from typing import IO, Final

from msgspec import Struct

from infertui import regular_files
from infertui.errors import ModelError
from infertui.text import one_line

SUFFIX = ".gguf"
ALIGNMENT = 32
RANDOM_WEIGHTS = "infertui.random_weights"
"""The key that marks a file of random weights."""

TYPES: Final[dict[int, tuple[str, int, int]]] = {
    0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20), 6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24), 8: ("q8_0", 32, 34), 9: ("q8_1", 32, 40), 10: ("q2_k", 256, 84), 11: ("q3_k", 256, 110),
    12: ("q4_k", 256, 144), 13: ("q5_k", 256, 176), 14: ("q6_k", 256, 210), 15: ("q8_k", 256, 292),
    16: ("iq2_xxs", 256, 66), 17: ("iq2_xs", 256, 74), 18: ("iq3_xxs", 256, 98), 19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18), 21: ("iq3_s", 256, 110), 22: ("iq2_s", 256, 82), 23: ("iq4_xs", 256, 136),
    24: ("i8", 1, 1), 25: ("i16", 1, 2), 26: ("i32", 1, 4), 27: ("i64", 1, 8), 28: ("f64", 1, 8),
    29: ("iq1_m", 256, 56), 30: ("bf16", 1, 2), 34: ("tq1_0", 256, 54), 35: ("tq2_0", 256, 66), 39: ("mxfp4", 32, 17),
}  # fmt: skip
"""Tensor types by their number: the name that ggml gives them, weights per block, bytes per block."""

DTYPES: Final[dict[str, str]] = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "f64": "float64"}
"""Tensor types that are plain number formats, by the name that configs use."""

FILE_TYPES: Final[dict[int, str]] = {
    2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 11: "q3_k_s", 12: "q3_k_m", 13: "q3_k_l",
    14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 19: "iq2_xxs", 20: "iq2_xs", 21: "q2_k_s",
    22: "iq3_xs", 23: "iq3_xxs", 24: "iq1_s", 25: "iq4_nl", 26: "iq3_s", 27: "iq3_m", 28: "iq2_s", 29: "iq2_m",
    30: "iq4_xs", 31: "iq1_m", 36: "tq1_0", 37: "tq2_0", 38: "mxfp4",
}  # fmt: skip
"""What a file is called by its `general.file_type`: a recipe for which tensor gets which type (`llama_ftype`)."""

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_ENTRIES = 1 << 20
_MAX_STRING = 64 << 20
_MAX_ARRAY = 1 << 26
_KEPT_STRING = 1 << 16
_KEPT_ARRAY = 1 << 14
_MAX_DIMENSIONS = 4
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_SPLIT = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]


class GgufTensor(Struct, frozen=True):
    """One tensor: its name, dimensions with the contiguous one last, and type, as in `TYPES`, `type-N` if unknown."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int

    @property
    def elements(self) -> int:
        """How many weights it holds."""
        return prod(self.shape)


class GgufFile(Struct, frozen=True):
    """What a file says. Strings of arrays and long arrays are not kept; `lengths` has the length of every array."""

    metadata: dict[str, Value]
    lengths: dict[str, int]
    tensors: tuple[GgufTensor, ...]

    @property
    def architecture(self) -> str:
        """`general.architecture`, such as llama."""
        value = self.metadata.get("general.architecture", "")
        return one_line(value, 80) if isinstance(value, str) else ""

    @property
    def random_weights(self) -> bool:
        """Whether its writer marked its weights as made up."""
        return self.metadata.get(RANDOM_WEIGHTS) is True

    def weight_type(self) -> str:
        """The type that most weights of its matrices have."""
        counts = self._weights_by_type()
        return max(counts, key=lambda kind: counts[kind], default="")

    def _weights_by_type(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            if len(tensor.shape) > 1:
                counts[tensor.type] = counts.get(tensor.type, 0) + tensor.elements
        return counts

    @property
    def quantization(self) -> str:
        """The form that the file goes by, such as q4_k_m, where its tensors can be of that form; `none` where most
        weights are in a plain number format, else the type that most have.

        In K forms, tensors whose rows are no multiple of 256 are held in other types, and that may be most of them.
        """
        kind = self.weight_type()
        if kind in DTYPES or not kind:
            return "none"
        number = self.metadata.get("general.file_type")
        form = FILE_TYPES.get(number, "") if isinstance(number, int) else ""
        base = form[:4] if form.startswith("q") and "_k" in form else form
        held = {tensor.type for tensor in self.tensors}
        odd = any(len(tensor.shape) > 1 and tensor.shape[-1] % 256 for tensor in self.tensors)
        stands_in = odd and ("_k" in form or form.startswith("i"))
        return form if form and (base in held or stands_in) else kind

    def types_told(self) -> str:
        """The types of its matrices with their shares of the weights, the largest first: `q4_0 79%, q8_0 21%`."""
        counts = self._weights_by_type()
        whole = sum(counts.values())
        ordered = sorted(counts, key=lambda kind: (-counts[kind], kind))
        return ordered[0] if len(ordered) == 1 else ", ".join(f"{kind} {counts[kind] / whole:.0%}" for kind in ordered)

    def tensor_bytes(self) -> int:
        """Bytes of all tensors, without what stands around them; those of an unknown type are left out."""
        sizes = {name: (block, width) for name, block, width in TYPES.values()}
        return sum(
            tensor.elements // sizes[tensor.type][0] * sizes[tensor.type][1]
            for tensor in self.tensors
            if tensor.type in sizes
        )

    def quantized_tensors(self) -> int:
        """How many tensors are in a format that is no plain number format."""
        return sum(1 for tensor in self.tensors if tensor.type not in DTYPES and not tensor.type.startswith("i"))


def is_gguf_name(text: str) -> bool:
    """Whether a name is that of a GGUF file."""
    return text.lower().endswith(SUFFIX)


def parts_of(path: Path) -> list[Path]:
    """All files of the model that `path` belongs to: itself, or `NAME-00001-of-0000N.gguf` and its fellows."""
    match = _SPLIT.fullmatch(path.name)
    if not match or not 1 < int(match[3]) < 10_000:
        return [path]
    return [path.with_name(f"{match[1]}-{part:05d}-of-{match[3]}.gguf") for part in range(1, int(match[3]) + 1)]


def read_gguf(path: Path) -> GgufFile:
    """Metadata and tensor list of one file. Raises ModelError for whatever may be wrong with it, cut short included."""
    shown = one_line(path)
    try:
        with regular_files.opened(path, buffering=1 << 20) as file:
            size = file.seek(0, 2)
            file.seek(0)
            return _read(_Cursor(file, size), size)
    except _BadFileError as error:
        raise ModelError(
            f"{shown} is not a usable GGUF file: {error}", remedy="Download or convert it again."
        ) from error
    except OSError as error:
        raise ModelError(f"{shown} cannot be read: {error.strerror or error}") from error


def must_hold_weights(file: GgufFile, name: str) -> None:
    """Raise ModelError for a file without matrices: a vocabulary alone, or the head of a model in several files."""
    if not file.weight_type():
        raise ModelError(
            f"{name} holds no weights, only what describes a model",
            remedy="Name a .gguf file with the model's tensors; of a model in several files, the first that has them.",
        )


def read_parts(path: Path) -> tuple[GgufFile, int]:
    """A model that may be in several files, as one, and its bytes on disk. Raises ModelError where one is missing."""
    parts = parts_of(path)
    files: list[GgufFile] = []
    total = 0
    for part in parts:
        files.append(read_gguf(part))
        total += part.stat().st_size
    tensors = tuple(tensor for file in files for tensor in file.tensors)
    return GgufFile(files[0].metadata, files[0].lengths, tensors), total


class _BadFileError(Exception):
    """What is wrong with a file, for the message."""


class _Cursor:
    """Takes values from a file and never more than it holds."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def take(self, count: int) -> bytes:
        self._left -= count
        if self._left < 0:
            raise _BadFileError("it ends in the middle of its header")
        data = self._file.read(count)
        if len(data) != count:
            raise _BadFileError("it ends in the middle of its header")
        return data

    def skip(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _BadFileError("it ends in the middle of its header")
        self._file.seek(count, 1)

    def unpack(self, code: str) -> int | float | bool:
        value: int | float | bool = struct.unpack(code, self.take(struct.calcsize(code)))[0]
        return value

    def count(self, most: int, what: str, code: str = "<Q") -> int:
        value = int(self.unpack(code))
        if value > most:
            raise _BadFileError(f"it claims {value} {what}, more than {most}")
        return value

    def text(self) -> str:
        length = self.count(_MAX_STRING, "bytes in one text")
        kept = self.take(min(length, _KEPT_STRING))
        self.skip(length - len(kept))
        return kept.decode("utf-8", errors="replace")

    def skip_texts(self, count: int) -> None:
        for _ in range(count):
            self.skip(self.count(_MAX_STRING, "bytes in one text"))

    def value(self, kind: int, name: str) -> tuple[Value | None, int]:
        """A value and, of an array, its length. Long arrays and those of texts are passed over."""
        if kind == _STRING:
            return self.text(), 0
        if kind in _SCALARS:
            return self.unpack(_SCALARS[kind]), 0
        if kind != _ARRAY:
            raise _BadFileError(f"{one_line(name, 60)} has the unknown type {kind}")
        inner = int(self.unpack("<I"))
        length = self.count(_MAX_ARRAY, "entries of one array")
        if inner == _STRING:
            self.skip_texts(length)
            return None, length
        if inner not in _SCALARS:
            raise _BadFileError(f"{one_line(name, 60)} is an array of the unknown type {inner}")
        width = struct.calcsize(_SCALARS[inner])
        if length > _KEPT_ARRAY:
            self.skip(length * width)
            return None, length
        code = f"<{length}{_SCALARS[inner][1]}"
        return struct.unpack(code, self.take(length * width)), length


def _read(cursor: _Cursor, size: int) -> GgufFile:
    if cursor.take(4) != _MAGIC:
        raise _BadFileError("it does not begin with GGUF")
    version = int(cursor.unpack("<I"))
    if version not in _VERSIONS:
        raise _BadFileError(f"its version is {version}; known: {', '.join(map(str, _VERSIONS))}, little-endian")
    tensor_count = cursor.count(_MAX_ENTRIES, "tensors")
    entries = cursor.count(_MAX_ENTRIES, "metadata entries")
    metadata: dict[str, Value] = {}
    lengths: dict[str, int] = {}
    for _ in range(entries):
        key = cursor.text()
        value, length = cursor.value(int(cursor.unpack("<I")), key)
        if value is not None:
            metadata[key] = value
        if length:
            lengths[key] = length
    tensors = tuple(_tensor(cursor) for _ in range(tensor_count))
    _check_end(tensors, metadata, size, start=size - cursor._left)
    return GgufFile(metadata, lengths, tensors)


def _tensor(cursor: _Cursor) -> GgufTensor:
    name = cursor.text()
    dimensions = cursor.count(_MAX_DIMENSIONS, "dimensions of a tensor", "<I")
    shape = tuple(cursor.count(1 << 40, "elements in one dimension") for _ in range(dimensions))
    kind = int(cursor.unpack("<I"))
    offset = int(cursor.unpack("<Q"))
    return GgufTensor(one_line(name, 120), shape[::-1], TYPES[kind][0] if kind in TYPES else f"type-{kind}", offset)


def _check_end(tensors: tuple[GgufTensor, ...], metadata: dict[str, Value], size: int, start: int) -> None:
    """A download that was cut off has its header, and not its last tensors."""
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
        raise _BadFileError("general.alignment is no sensible number")
    begin = -(-start // alignment) * alignment
    widths = {name: (block, width) for name, block, width in TYPES.values()}
    for tensor in tensors:
        if tensor.type in widths:
            block, width = widths[tensor.type]
            end = begin + tensor.offset + tensor.elements // block * width
            if end > size:
                raise _BadFileError(f"it is cut short: {tensor.name} ends at byte {end}, the file at {size}")
