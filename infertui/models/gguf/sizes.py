"""What each part of a GGUF model takes: input tables, every layer, the output layer. Of a file, or of one to come."""

from collections.abc import Iterable

from msgspec import Struct

from infertui.errors import ModelError
from infertui.integers import whole_number
from infertui.models.gguf.layout import layout
from infertui.models.gguf.read import TYPES, GgufTensor, read_parts
from infertui.models.gguf.weights import GgufFormat, bytes_per_row, stored_format
from infertui.models.resolve import ModelSource

_INPUT = ("token_embd.", "position_embd.", "token_types.", "per_layer_")


class Parts(Struct, frozen=True):
    """Bytes of a model's tensors. `output` is what the output layer reads; where it is `tied`, it is the table of input
    embeddings, of which a device gets a copy of its own. `largest` is the largest matrix of a layer."""

    inputs: int
    layers: tuple[int, ...]
    output: int
    tied: bool
    largest: int
    experts: tuple[int, ...] = ()
    """Of each layer, those of its experts."""

    @property
    def total(self) -> int:
        """Bytes of all tensors."""
        return self.inputs + sum(self.layers) + (0 if self.tied else self.output)


def parts_of_file(source: ModelSource) -> Parts | None:
    """The parts of a GGUF file; None where it holds tensors of a type whose size is not known."""
    file, _ = read_parts(source.path)
    sizes = []
    for tensor in file.tensors:
        size = _size(tensor)
        if size is None:
            return None
        sizes.append((tensor.name, size))
    return _parts(sizes, source.shape.layers)


def parts_to_write(source: ModelSource, form: GgufFormat) -> Parts | None:
    """The parts of the file that would be written of a checkpoint or a synthetic model; None where none would be."""
    try:
        plan = layout(source.config, source.shape)
    except ModelError:
        return None
    sizes = []
    for tensor in plan.tensors:
        rows = 1
        for width in tensor.shape[:-1]:
            rows *= width
        sizes.append((tensor.name, rows * bytes_per_row(tensor, stored_format(tensor, form))))
    return _parts(sizes, source.shape.layers)


def _parts(sizes: Iterable[tuple[str, int]], layers: int) -> Parts:
    inputs = output = table = norm = largest = 0
    each, experts = [0] * layers, [0] * layers
    for name, size in sizes:
        block = name.split(".", 2)
        number = whole_number(block[1]) if block[0] == "blk" and len(block) > 1 else None
        if number is not None:
            if number < layers:  # those beyond predict further tokens, and are not loaded
                each[number] += size
                experts[number] += size if "exps." in name else 0
                largest = max(largest, size)
        elif name.startswith(_INPUT):
            inputs += size
            table = size if name == "token_embd.weight" else table
        elif name.startswith("output.weight"):
            output = size
        elif not name.startswith("rope_"):
            norm += size
    tied = output == 0
    return Parts(inputs, tuple(each), (table if tied else output) + norm, tied, largest, tuple(experts))


def _size(tensor: GgufTensor) -> int | None:
    for kind, block, width in TYPES.values():
        if kind == tensor.type:
            return tensor.elements // block * width
    return None
