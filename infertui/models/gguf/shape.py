"""What a GGUF file says of its model's shape, and what llama.cpp keeps of a token of it, layer by layer."""

from typing import Final

from infertui.errors import ModelError
from infertui.integers import whole_number
from infertui.models.decoders import check_gguf_decoder
from infertui.models.gguf.read import DTYPES, GgufFile, GgufTensor, Value
from infertui.models.memory.kv_cache import Cache, CacheLayers, gathered
from infertui.models.shapes import ModelShape
from infertui.text import one_line

_MAX_LAYERS = 10_000
_PERIODS: Final[dict[str, int]] = {
    "afmoe": 4, "cohere2": 4, "exaone-moe": 4, "exaone4": 4, "gemma2": 2, "gemma3": 6, "gemma3n": 5, "gpt-oss": 2,
    "llama4": 4, "olmo2": 4, "smallthinker": 4,
}  # fmt: skip
"""Every how many layers one sees everything, where llama.cpp knows that by the name of the architecture alone."""
_FULL_FIRST: Final = frozenset({"smallthinker"})
_CHUNKS: Final[dict[str, int]] = {"llama4": 8192}
"""Windows that llama.cpp knows by the name of the architecture."""
_WINDOW_UNUSED: Final = frozenset({
    "command-r", "gemma", "gpt2", "granite", "llama", "mistral3", "phi2", "phi3", "qwen2", "qwen2moe", "qwen3",
    "qwen3moe", "starcoder2",
})  # fmt: skip
"""Architectures all of whose layers see everything in llama.cpp, even where a file names a window."""
_STATE_OFTEN: Final[dict[str, int]] = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}
"""Architectures with linear attention in all but every so manieth layer, unless a key says otherwise."""
_BOTH: Final = frozenset({"falcon-h1"})
"""Architectures whose layers have attention and a state side by side."""
_STATE_ONLY: Final = frozenset({"arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"})


def shape_of(file: GgufFile, source: str = "the file") -> ModelShape:
    """The model's shape by its metadata and tensors. Raises ModelError naming the key that is missing or wrong, and for
    files that hold no decoder."""
    kind = file.metadata.get("general.type", "")
    check_gguf_decoder(file.architecture, kind if isinstance(kind, str) else "", source)
    keys = _Keys(file, source)
    blocks, hidden = keys.integer("block_count", most=_MAX_LAYERS), keys.integer("embedding_length")
    # Layers that predict further tokens are of use to speculation alone, and are not loaded for anything else.
    layers = max(1, blocks - keys.integer("nextn_predict_layers", 0))
    heads = keys.integer("attention.head_count", 0 if file.architecture in _STATE_ONLY else None)
    kv_heads = keys.integer("attention.head_count_kv", heads)
    experts, used = keys.integer("expert_count", 0), keys.integer("expert_used_count", 0)
    tensors = [tensor for tensor in file.tensors if not _beyond(tensor, layers)]
    by_name = {tensor.name: tensor for tensor in tensors}
    embedding = by_name.get("token_embd.weight")
    vocab = embedding.shape[0] if embedding and len(embedding.shape) > 1 else keys.vocabulary()
    parameters = sum(tensor.elements for tensor in tensors if not tensor.name.startswith("rope_"))
    in_experts = sum(tensor.elements for tensor in tensors if "_exps." in tensor.name)
    idle = in_experts * (experts - used) // experts if experts else 0
    # Matrices that a token is multiplied with: all but the tables it is looked up in and the output layer.
    outside = ("token_embd.", "position_embd.", "output.", "rope_", "per_layer_token_embd.")
    matrices = [t for t in tensors if len(t.shape) > 1 and not t.name.startswith(outside)]
    form = file.weight_type()
    return ModelShape(
        architecture=file.architecture,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=keys.integer("attention.key_length", max(1, hidden // max(1, heads))),
        intermediate=keys.integer("expert_feed_forward_length" if experts else "feed_forward_length", 4 * hidden),
        vocab=vocab,
        max_positions=keys.integer("context_length", 0),
        tied_embeddings="output.weight" not in by_name,
        parameters=parameters,
        active_parameters=parameters - idle,
        exact=True,
        gated_mlp=any(".ffn_gate" in name for name in by_name),
        dtype=DTYPES.get(form, ""),
        experts=experts,
        active_experts=used,
        quantization="" if form in DTYPES else file.quantization,
        matrix_parameters=sum(tensor.elements for tensor in matrices) - idle,
        cache=_cache(file, keys, layers, hidden, heads),
    )


def _beyond(tensor: GgufTensor, layers: int) -> bool:
    block = tensor.name.split(".", 2)
    number = whole_number(block[1]) if block[0] == "blk" and len(block) > 1 else None
    return number is not None and number >= layers


def _cache(file: GgufFile, keys: "_Keys", layers: int, hidden: int, heads: int) -> Cache | None:
    """What each layer keeps; None for windows or states of an architecture that is not known here."""
    name = file.architecture
    sliding = _sliding(name, keys, layers)
    state = _state(keys, hidden)
    with_state = _with_state(name, keys, layers)
    if sliding is None or with_state is None or (state is None and any(with_state)):
        return None
    own = layers - keys.integer("attention.shared_kv_layers", 0)  # the last ones look at the keys of earlier ones
    default = max(1, hidden // max(1, heads))
    # In its latent form the values are a part of the keys, which is kept once.
    latent = bool(keys.integer("attention.key_length_mla", 0))
    found = []
    for layer in range(layers):
        window = sliding[layer]
        kv_heads = 0 if layer >= own else keys.of_layer("attention.head_count_kv", layer, heads)
        if with_state[layer] and name not in _BOTH:
            kv_heads = 0
        key = keys.of_layer("attention.key_length", layer, default)
        value = keys.of_layer("attention.value_length", layer, default)
        if window:
            key = keys.of_layer("attention.key_length_swa", layer, key)
            value = keys.of_layer("attention.value_length_swa", layer, value)
        kept = (state or 0) if with_state[layer] else 0
        width = 0 if latent else kv_heads * value
        found.append(CacheLayers(1, kv_heads * key, width, window if kv_heads else 0, kept, kept))
    return gathered(each for each in found if each.keys or each.values or each.state)


def _sliding(name: str, keys: "_Keys", layers: int) -> list[int] | None:
    """The window of each layer, 0 where it sees everything; None where that is not known."""
    window = keys.integer("attention.sliding_window", _CHUNKS.get(name, 0))
    if not window or name in _WINDOW_UNUSED:
        return [0] * layers
    pattern = keys.raw("attention.sliding_window_pattern")
    if isinstance(pattern, tuple):
        if len(pattern) < layers:
            return None
        return [window if slides else 0 for slides in pattern[:layers]]
    period = pattern if isinstance(pattern, int) and not isinstance(pattern, bool) else _PERIODS.get(name, 0)
    if period < 1:
        return None
    sees_all = 0 if name in _FULL_FIRST else period - 1
    return [0 if layer % period == sees_all else window for layer in range(layers)]


def _with_state(name: str, keys: "_Keys", layers: int) -> list[bool] | None:
    """Which layers keep a state of their own; None where that is not known."""
    if name in _STATE_ONLY or name in _BOTH:
        return [True] * layers
    often = keys.integer("full_attention_interval", _STATE_OFTEN.get(name, 0))
    if often:
        return [layer % often < often - 1 for layer in range(layers)]
    stateful = keys.integer("ssm.state_size", 0) or keys.integer("shortconv.l_cache", 0)
    stateful = stateful or keys.integer("ssm.conv_kernel", 0)
    listed = keys.raw("attention.head_count_kv")
    if not stateful:
        return [False] * layers
    if not isinstance(listed, tuple):
        return None
    wide = keys.raw("feed_forward_length")
    # Nemotron-H has layers that are an MLP and nothing else: no KV heads there, but a width.
    mlp_only = name.startswith("nemotron_h") and isinstance(wide, tuple)
    return [
        layer < len(listed) and listed[layer] == 0 and not (mlp_only and keys.of_layer("feed_forward_length", layer, 0))
        for layer in range(layers)
    ]


def _state(keys: "_Keys", hidden: int) -> int | None:
    """Numbers that a layer with a state keeps of a sequence, all in float32; None where that is not known.

    Of a short convolution hidden x (kernel - 1); of a state-space layer the convolution's (kernel - 1) x (inner + 2 x
    groups x state) and the state itself, state x inner; of RWKV two shifted tokens and hidden x head size.
    """
    if short := keys.integer("shortconv.l_cache", 0):
        return hidden * (short - 1)
    if head := keys.integer("wkv.head_size", 0):
        return keys.integer("token_shift_count", 2) * hidden + hidden * head
    kernel, inner = keys.integer("ssm.conv_kernel", 0), keys.integer("ssm.inner_size", 0)
    states, groups = keys.integer("ssm.state_size", 0), keys.integer("ssm.group_count", 0)
    if not (kernel and inner and states):
        return None
    return (kernel - 1) * (inner + 2 * groups * states) + states * inner


class _Keys:
    """Takes numbers of the architecture's table out of metadata that anyone may have written."""

    def __init__(self, file: GgufFile, source: str) -> None:
        self._file, self._source = file, source
        if not file.architecture:
            raise ModelError(f"{source}: there is no general.architecture", remedy="It holds no language model.")

    def raw(self, key: str) -> Value | None:
        return self._file.metadata.get(f"{self._file.architecture}.{key}")

    def integer(self, key: str, default: int | None = None, *, most: int = (1 << 32) - 1) -> int:
        """A number; of a list, one for each layer, the largest."""
        value = self.raw(key)
        if isinstance(value, tuple):
            value = max((entry for entry in value if isinstance(entry, int)), default=0)
        return self._checked(key, value, default, most) or default or 0

    def of_layer(self, key: str, layer: int, default: int) -> int:
        """A number that may be given for each layer."""
        value = self.raw(key)
        if isinstance(value, tuple):
            value = value[layer] if layer < len(value) else None
        return self._checked(key, value, default)

    def _checked(self, key: str, value: Value | None, default: int | None, most: int = (1 << 32) - 1) -> int:
        if value is None and default is not None:
            return default
        least = 1 if default is None else 0
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            shown = "missing" if value is None else one_line(value, 60)
            raise ModelError(
                f"{self._source}: {self._file.architecture}.{key} is {shown}; allowed: a whole number from {least}",
                remedy="It must be a GGUF file of a decoder-only language model.",
            )
        return value

    def vocabulary(self) -> int:
        return self.integer("vocab_size", self._file.lengths.get("tokenizer.ggml.tokens", 0))
