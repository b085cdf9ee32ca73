"""What a made model holds, read from its graph: number formats, quantized matrices, the KV cache."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from infertui.errors import ModelError
from infertui.targets.engine.onnxruntime_genai.conversion import GRAPH
from infertui.text import clean, error_text

if TYPE_CHECKING:
    import onnx

_NAMES = {"FLOAT": "float32", "FLOAT16": "float16", "BFLOAT16": "bfloat16"}
_BYTES = {"FLOAT": 4, "FLOAT16": 2, "BFLOAT16": 2, "INT8": 1, "UINT8": 1, "FLOAT8E4M3FN": 1}
_ATTENTION = ("GroupQueryAttention", "MultiHeadAttention", "Attention", "SparseAttention", "PagedAttention")
_INT8 = 4
"""`accuracy_level` of a quantized product whose activations are rounded to 8 bits."""


class OnnxContents(Struct, frozen=True):
    """What the graph says. Bytes are those of weights, without tables of sines and cosines.

    `dtype` is what is computed in, by the KV cache; `activations` what quantized weights are multiplied with: `float`
    or `int8`, empty without any. `quantized` counts matrices by their bits. `lookup_bytes` are of embeddings that are
    not the output layer as well.
    """

    dtype: str
    attention: str
    weight_bytes: int
    lookup_bytes: int
    kv_token_bytes: int | None
    quantized: dict[int, int]
    block_size: int | None
    activations: str
    prompt_logits: str
    types: dict[str, int]

    @property
    def quantization(self) -> str:
        """The word of `engine.quantization` for it; `none` without."""
        return " and ".join(f"int{bits}" for bits in sorted(self.quantized)) or "none"


def contents(folder: Path, head_size: int) -> OnnxContents:
    """Look into the graph in a folder. Raises ModelError for one that cannot be read."""
    import onnx

    try:
        model = onnx.load(str(folder / GRAPH), load_external_data=False)
    except Exception as error:
        raise ModelError(
            f"the ONNX model {clean(str(folder))} cannot be read: {error_text(error)}",
            remedy="Delete that folder: it is made again.",
        ) from error
    graph = model.graph
    kind = onnx.TensorProto.DataType.Name
    held = {each.name: (kind(each.data_type), _bytes(each)) for each in graph.initializer if not _is_table(each.name)}
    types: dict[str, int] = {}
    for name, size in held.values():
        types[name.lower()] = types.get(name.lower(), 0) + size
    nodes = list(graph.node)
    products = [node for node in nodes if node.op_type == "MatMulNBits"]
    quantized: dict[int, int] = {}
    for node in products:
        bits = int(_attribute(node, "bits", 4))
        quantized[bits] = quantized.get(bits, 0) + 1
    keys = [each for each in graph.input if each.name.startswith("past_key_values.")]
    numbers = kind(keys[0].type.tensor_type.elem_type) if keys else ""  # logits may be in float32 beside
    return OnnxContents(
        dtype=_NAMES.get(numbers, "unknown"),
        attention=", ".join(sorted({node.op_type for node in nodes} & set(_ATTENTION))) or "unknown",
        weight_bytes=sum(size for _, size in held.values()),
        lookup_bytes=_lookups(nodes, held),
        kv_token_bytes=_kv_bytes(keys, head_size, _BYTES.get(numbers)),
        quantized=quantized,
        block_size=int(_attribute(products[0], "block_size", 0)) if products else None,
        activations=_activations(products),
        prompt_logits="last" if any(node.name.startswith("/lm_head/") and node.op_type == "Gather" for node in nodes)
        else "all",
        types=types,
    )  # fmt: skip


def _is_table(name: str) -> bool:
    return name.startswith(("cos_cache", "sin_cache"))


def _bytes(tensor: "onnx.TensorProto") -> int:
    for entry in tensor.external_data:
        if entry.key == "length":
            return int(entry.value)
    return len(tensor.raw_data)


def _attribute(node: Any, name: str, otherwise: int) -> int:
    return next((int(each.i) for each in node.attribute if each.name == name), otherwise)


def _activations(products: list[Any]) -> str:
    if not products:
        return ""
    words = {"int8" if _attribute(node, "accuracy_level", 0) == _INT8 else "float" for node in products}
    return " and ".join(sorted(words))


def _lookups(nodes: list[Any], held: dict[str, tuple[str, int]]) -> int:
    """Bytes of weights that nothing but lookups of rows read."""
    readers: dict[str, set[str]] = {}
    for node in nodes:
        for name in node.input:
            if name in held:
                readers.setdefault(name, set()).add(node.op_type)
    return sum(held[name][1] for name, kinds in readers.items() if kinds <= {"Gather", "GatherBlockQuantized"})


def _kv_bytes(keys: list[Any], head_size: int, number: int | None) -> int | None:
    """Bytes of keys and values of one token: of each input heads x head size, a width that the graph leaves open."""
    if number is None or not keys:
        return None
    heads = sum(int(each.type.tensor_type.shape.dim[1].dim_value) for each in keys)
    return heads * head_size * number
