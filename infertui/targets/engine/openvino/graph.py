"""A model of a GGUF file as an OpenVINO graph, weights in the number format in which the file holds them.

OpenVINO GenAI reads GGUF files itself, but only with float16 or quantized weights, and of few architectures. Here
float32 stays float32, so that its tokens can be held against those of another engine. The graph has the inputs, states
and patterns that GenAI expects of an exported model: the plugin fuses rotary positions, norms and attention.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infertui.errors import ModelError
from infertui.models.gguf.read import DTYPES, GgufFile, read_gguf
from infertui.models.gguf.shape import shape_of
from infertui.models.shapes import ModelShape
from infertui.text import clean, one_line

if TYPE_CHECKING:
    import openvino

LLAMA_LIKE = ("llama", "qwen2", "qwen3")
ARCHITECTURES = (*LLAMA_LIKE, "gpt2")
# The file keeps the halves of each head interleaved, as ggml rotates them for these; the graph rotates halves.
_INTERLEAVED = ("llama",)

_FREQUENCIES = "rope_freqs.weight"


def build(path: Path) -> "openvino.Model":
    """The graph of the model in a GGUF file with plain (float) weights, logits of the last position included.

    Raises ModelError for a model that it could not compute truthfully.
    """
    file = read_gguf(path)
    shape = shape_of(file, one_line(path))
    _check(file, shape, one_line(path))
    weights = _Weights(path)
    model = _Gpt2(file, shape, weights) if file.architecture == "gpt2" else _Llama(file, shape, weights)
    built = model.build()
    if left := weights.unused():
        raise ModelError(f"{clean(str(path))} holds tensors that have no place in the graph: {', '.join(left[:3])}")
    return built


def _check(file: GgufFile, shape: ModelShape, shown: str) -> None:
    problem = ""
    scaling = file.metadata.get(f"{file.architecture}.rope.scaling.type", "none")
    rotated = file.metadata.get(f"{file.architecture}.rope.dimension_count", shape.head_dim)
    kinds = {tensor.type for tensor in file.tensors} - set(DTYPES)
    if file.architecture not in ARCHITECTURES:
        problem = f"its architecture is {file.architecture or 'not named'}; built are {', '.join(ARCHITECTURES)}"
    elif kinds:
        problem = f"it has weights in {clean(sorted(kinds)[0])}"
    elif shape.experts or shape.sliding_layers:
        problem = "it has experts or a sliding window"
    elif scaling not in ("none", "linear"):
        problem = f"it scales positions with {clean(str(scaling))}"
    elif rotated != shape.head_dim:
        problem = f"it rotates {rotated} of {shape.head_dim} dimensions"
    if problem:
        raise ModelError(
            f"no OpenVINO graph can be built of {shown}: {problem}",
            remedy="Export the model with optimum-cli, and name that folder as model.id.",
        )


class _Weights:
    """The tensors of a GGUF file, mapped into memory, and which of them were used."""

    def __init__(self, path: Path) -> None:
        import gguf

        self._tensors: dict[str, Any] = {tensor.name: tensor for tensor in gguf.GGUFReader(path, "c").tensors}
        self._used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def array(self, name: str) -> Any:
        """Its weights, rows first: float32, float16, or uint16 with the bits of bfloat16."""
        import numpy as np

        tensor = self._tensors.get(name)
        if tensor is None:
            raise ModelError(f"the GGUF file has no tensor {name}")
        self._used.add(name)
        rows = tuple(int(width) for width in reversed(tensor.shape))
        data = tensor.data.view(np.uint16) if tensor.tensor_type.name == "BF16" else tensor.data
        return data.reshape(rows)

    def unused(self) -> list[str]:
        """Tensors that nothing asked for."""
        return sorted(set(self._tensors) - self._used)


class _Graph:
    """What all architectures have. Tensors are [batch, positions, width], by heads [batch, heads, positions, head]."""

    def __init__(self, file: GgufFile, shape: ModelShape, weights: _Weights) -> None:
        import numpy as np
        from openvino import opset13

        self.file, self.shape, self.weights = file, shape, weights
        self.np, self.op = np, opset13
        self.ids = self._input("input_ids", np.int64, [-1, -1])
        self.mask = self._input("attention_mask", np.int64, [-1, -1])
        self.positions = self._input("position_ids", np.int64, [-1, -1])
        self.beams = self._input("beam_idx", np.int32, [-1])
        self.batch = self.op.gather(self.op.shape_of(self.ids), self.ints([0]), self.ints(0))
        self.sinks: list[Any] = []
        self.bias: Any = None  # of attention, the same in every layer

    def _input(self, name: str, dtype: Any, shape: list[int]) -> Any:
        node = self.op.parameter(shape, dtype, name=name)
        node.output(0).tensor.set_names({name})
        return node

    def ints(self, values: Any) -> Any:
        return self.op.constant(values, self.np.int64)

    def number(self, value: float) -> Any:
        return self.op.constant(value, self.np.float32)

    def metadata(self, key: str, default: float | None = None) -> float:
        value = self.file.metadata.get(f"{self.file.architecture}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelError(f"the GGUF file: {self.file.architecture}.{key} is missing, or is no number")
        return float(value)

    def weight(self, name: str, arrange: Callable[[Any], Any] = lambda array: array) -> Any:
        """A tensor as float32 for computing, held as the file has it."""
        import openvino

        array = self.np.ascontiguousarray(arrange(self.weights.array(name)))
        if array.dtype == self.np.float32:
            return self.op.constant(array, shared_memory=True)
        kind = openvino.Type.bf16 if array.dtype == self.np.uint16 else openvino.Type.f16
        held = openvino.Tensor(array.view(self.np.float16), openvino.Shape(array.shape), kind)
        return self.op.convert(openvino.op.Constant(held, shared_memory=False), "f32")

    def linear(self, value: Any, name: str, arrange: Callable[[Any], Any] = lambda array: array) -> Any:
        product = self.op.matmul(value, self.weight(f"{name}.weight", arrange), False, True)
        bias = f"{name}.bias"
        return self.op.add(product, self.weight(bias, arrange)) if bias in self.weights else product

    def heads(self, value: Any, count: int) -> Any:
        split = self.op.reshape(value, self.ints([0, 0, count, self.shape.head_dim]), special_zero=True)
        return self.op.transpose(split, self.ints([0, 2, 1, 3]))

    def attention(self, layer: int, query: Any, key: Any, value: Any) -> Any:
        """Attention over the cached positions and these; gives [batch, positions, heads x head]."""
        op, shape = self.op, self.shape
        past, keys = self._cached(f"past_key_values.{layer}.key", key)
        _, values = self._cached(f"past_key_values.{layer}.value", value)
        if self.bias is None:
            self.bias = self._causal(past)
        mixed = op.scaled_dot_product_attention(query, self._repeated(keys), self._repeated(values), self.bias)
        width = shape.heads * shape.head_dim
        return op.reshape(op.transpose(mixed, self.ints([0, 2, 1, 3])), self.ints([0, 0, width]), special_zero=True)

    def _cached(self, name: str, new: Any) -> tuple[Any, Any]:
        import openvino
        from openvino.op.util import Variable, VariableInfo

        heads, width = self.shape.kv_heads, self.shape.head_dim
        info = VariableInfo()
        info.data_shape = openvino.PartialShape([-1, heads, -1, width])
        info.data_type = openvino.Type.f32
        info.variable_id = name
        state = Variable(info)
        dimensions = self.op.concat([self.batch, self.ints([heads]), self.ints([0]), self.ints([width])], 0)
        empty = self.op.broadcast(self.number(0.0), dimensions)
        past = self.op.gather(self.op.read_value(empty, state), self.beams, self.ints(0))
        both = self.op.concat([past, new], 2)
        self.sinks.append(self.op.assign(both, state))
        return past, both

    def _repeated(self, value: Any) -> Any:
        """Each key or value head once for every query head that shares it."""
        shape, op = self.shape, self.op
        if shape.kv_heads == shape.heads:
            return value
        group = [shape.kv_heads, shape.heads // shape.kv_heads, 1, shape.head_dim]
        dimensions = op.concat([self.batch, *(self.ints([width]) for width in group)], 0)
        spread = op.broadcast(op.unsqueeze(value, self.ints(2)), dimensions, broadcast_spec="BIDIRECTIONAL")
        return op.reshape(spread, self.ints([0, shape.heads, -1, shape.head_dim]), special_zero=True)

    def _causal(self, past: Any) -> Any:
        """What is added to the attention scores, [batch, 1, positions, cached + positions]: 0, or nearly -infinity."""
        op = self.op
        before = op.gather(op.shape_of(past), self.ints(2), self.ints(0))
        end = op.add(before, op.gather(op.shape_of(self.ids), self.ints(1), self.ints(0)))
        key_at = op.unsqueeze(op.range(self.ints(0), end, self.ints(1), output_type="i64"), self.ints(0))
        query_at = op.unsqueeze(op.range(before, end, self.ints(1), output_type="i64"), self.ints(1))
        real = op.unsqueeze(op.not_equal(self.mask, self.ints(0)), self.ints([1, 2]))
        seen = op.logical_and(op.less_equal(key_at, query_at), real)
        return op.select(seen, self.number(0.0), self.number(float(self.np.finfo(self.np.float32).min)))

    def finish(self, hidden: Any, embedding: Any) -> "openvino.Model":
        import openvino

        head = self.weight("output.weight") if "output.weight" in self.weights else embedding
        logits = self.op.matmul(hidden, head, False, True)
        logits.output(0).tensor.set_names({"logits"})
        inputs = [self.ids, self.mask, self.positions, self.beams]
        return openvino.Model([self.op.result(logits)], self.sinks, inputs, self.file.architecture)


class _Llama(_Graph):
    """Llama and Qwen: norms by root mean square, rotary positions, gated MLP."""

    def build(self) -> "openvino.Model":
        op, shape = self.op, self.shape
        embedding = self.weight("token_embd.weight")
        hidden = op.gather(embedding, self.ids, self.ints(0))
        cosine, sine = self._rotary_tables()
        for layer in range(shape.layers):
            block = f"blk.{layer}."
            normed = self._norm(hidden, block + "attn_norm")
            query = self._projected(normed, block + "attn_q", shape.heads)
            key = self._projected(normed, block + "attn_k", shape.kv_heads)
            value = self.heads(self.linear(normed, block + "attn_v"), shape.kv_heads)
            mixed = self.attention(layer, self._rotated(query, cosine, sine), self._rotated(key, cosine, sine), value)
            hidden = op.add(hidden, self.linear(mixed, block + "attn_output"))
            normed = self._norm(hidden, block + "ffn_norm")
            gate = op.swish(self.linear(normed, block + "ffn_gate"))
            hidden = op.add(
                hidden, self.linear(op.multiply(gate, self.linear(normed, block + "ffn_up")), block + "ffn_down")
            )
        return self.finish(self._norm(hidden, "output_norm"), embedding)

    def _projected(self, normed: Any, name: str, count: int) -> Any:
        halves = self.file.architecture in _INTERLEAVED

        def arrange(array: Any) -> Any:
            pairs = array.reshape(count, self.shape.head_dim // 2, 2, -1)
            return pairs.swapaxes(1, 2).reshape(array.shape) if halves else array

        value = self.heads(self.linear(normed, name, arrange), count)
        return self._norm(value, f"{name}_norm") if f"{name}_norm.weight" in self.weights else value

    def _norm(self, value: Any, name: str) -> Any:
        op = self.op
        squares = op.reduce_mean(op.power(value, self.number(2.0)), self.ints([-1]), keep_dims=True)
        size = op.sqrt(op.add(squares, self.number(self.metadata("attention.layer_norm_rms_epsilon"))))
        return op.multiply(self.weight(f"{name}.weight"), op.multiply(value, op.divide(self.number(1.0), size)))

    def _rotary_tables(self) -> tuple[Any, Any]:
        np, op = self.np, self.op
        pairs = np.arange(0, self.shape.head_dim, 2, dtype=np.float32) / self.shape.head_dim
        frequencies = 1.0 / np.float32(self.metadata("rope.freq_base", 10000.0)) ** pairs
        if _FREQUENCIES in self.weights:
            frequencies = frequencies / self.weights.array(_FREQUENCIES)
        if self.file.metadata.get(f"{self.file.architecture}.rope.scaling.type") == "linear":
            frequencies = frequencies / np.float32(self.metadata("rope.scaling.factor"))
        column = op.constant(frequencies.astype(np.float32).reshape(1, -1, 1))
        spread = op.broadcast(
            column, op.concat([self.batch, self.ints([1]), self.ints([1])], 0), broadcast_spec="BIDIRECTIONAL"
        )
        at = op.convert(op.unsqueeze(self.positions, self.ints(1)), "f32")
        angles = op.transpose(op.matmul(spread, at, False, False), self.ints([0, 2, 1]))
        angles = op.concat([angles, angles], -1)
        return op.unsqueeze(op.cos(angles), self.ints(1)), op.unsqueeze(op.sin(angles), self.ints(1))

    def _rotated(self, value: Any, cosine: Any, sine: Any) -> Any:
        op, half = self.op, self.shape.head_dim // 2
        step, axis = self.ints([1]), self.ints([3])
        first = op.slice(value, self.ints([0]), self.ints([half]), step, axis)
        second = op.slice(value, self.ints([half]), self.ints([2**63 - 1]), step, axis)
        turned = op.concat([op.multiply(second, self.number(-1.0)), first], -1)
        return op.add(op.multiply(value, cosine), op.multiply(turned, sine))


class _Gpt2(_Graph):
    """GPT-2: layer norms, learned positions, queries, keys and values in one matrix."""

    def build(self) -> "openvino.Model":
        op, shape = self.op, self.shape
        embedding = self.weight("token_embd.weight")
        hidden = op.add(
            op.gather(embedding, self.ids, self.ints(0)),
            op.gather(self.weight("position_embd.weight"), self.positions, self.ints(0)),
        )
        for layer in range(shape.layers):
            block = f"blk.{layer}."
            joined = self.linear(self._norm(hidden, block + "attn_norm"), block + "attn_qkv")
            query, key, value = (self.heads(part, shape.heads) for part in op.split(joined, self.ints(2), 3).outputs())
            hidden = op.add(hidden, self.linear(self.attention(layer, query, key, value), block + "attn_output"))
            inner = self.linear(self._norm(hidden, block + "ffn_norm"), block + "ffn_up")
            hidden = op.add(hidden, self.linear(op.gelu(inner, "tanh"), block + "ffn_down"))
        return self.finish(self._norm(hidden, "output_norm"), embedding)

    def _norm(self, value: Any, name: str) -> Any:
        epsilon = self.metadata("attention.layer_norm_epsilon")
        flat = self.op.mvn(value, self.ints([-1]), normalize_variance=True, eps=epsilon, eps_mode="INSIDE_SQRT")
        scaled = self.op.multiply(flat, self.weight(f"{name}.weight"))
        return self.op.add(scaled, self.weight(f"{name}.bias"))


def held_types(model: "openvino.Model") -> Mapping[str, int]:
    """Bytes of the constants of a graph by their number format, such as `f32` or `u8`; what is small is left out."""
    found: dict[str, int] = {}
    for node in model.get_ops():
        if node.get_type_name() == "Constant" and node.get_byte_size() >= 64:
            kind = str(node.get_element_type().to_string())
            found[kind] = found.get(kind, 0) + int(node.get_byte_size())
    return found
