"""What a config.json says about a model's size: layers, widths, parameters, bytes of weights and of KV cache."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from infertui.errors import ModelError
from infertui.models.decoders import check_decoder
from infertui.models.memory.kv_cache import Cache, bytes_per_token, uniform
from infertui.text import one_line

DTYPE_BYTES: Final[Mapping[str, int]] = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1, "int8": 1,
}  # fmt: skip

_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_HIDDEN = ("hidden_size", "n_embd", "n_embed", "d_model")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv")
_INTERMEDIATE = ("intermediate_size", "n_inner", "ffn_dim", "d_ff")
_POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_ACTIVE_EXPERTS = ("num_experts_per_tok", "num_experts_per_token", "moe_topk")

_MAX_LAYERS = 10_000
_MAX_WIDTH = 1 << 20
_MAX_VOCAB = 1 << 26
_MAX_POSITIONS = 1 << 32


class ModelShape(Struct, frozen=True):
    """The dimensions of one decoder-only model.

    `architecture` is the config's `model_type`. `intermediate` is the width of one MLP (of one expert in a mixture of
    experts). `max_positions` is 0 where the config names no limit. `exact` says whether `parameters` is exact; for a
    family that is not known here it is computed as if it were Llama. `active_parameters` are those that one token
    passes through: fewer than all in a mixture of experts. `gated_mlp` tells an MLP of three matrices from one of two.
    `dtype` is the checkpoint's, empty where it is not said.
    `cache` is what the layers keep of a sequence; None where that is not known. `told_by` names the library that was
    asked, empty where the figures follow from the config or the file itself. `quantization` names the scheme of a
    quantized checkpoint: its weights take what they take on disk.
    """

    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    max_positions: int
    tied_embeddings: bool
    parameters: int
    active_parameters: int
    exact: bool
    gated_mlp: bool = True
    dtype: str = ""
    experts: int = 0
    active_experts: int = 0
    quantization: str = ""
    matrix_parameters: int = 0
    """Weights of the layers' matrices that one token is multiplied with, the output layer left out; 0: not known."""
    cache: Cache | None = None
    told_by: str = ""

    @property
    def sliding_layers(self) -> int:
        """Layers that attend to the last tokens alone."""
        return sum(group.layers for group in self.cache or () if group.window)

    @property
    def sliding_window(self) -> int | None:
        """How many tokens those see; the widest where they differ, None where there are none."""
        return max((group.window for group in self.cache or ()), default=0) or None

    def kv_share(self, devices: int) -> float:
        """The share of the KV cache that each of so many devices holds. Heads that cannot be divided further are held
        by several, and what is no ordinary heads (a latent, a state) by all."""
        ordinary = all(group.keys == self.kv_heads * self.head_dim and not group.state for group in self.cache or ())
        if devices <= 1 or not ordinary or not self.kv_heads:
            return 1.0
        return -(-self.kv_heads // devices) / self.kv_heads


class _Family(Struct, frozen=True):
    """In what a family of architectures differs from Llama. Biases: a fixed answer, or the config key that says."""

    gated_mlp: bool = True
    norm_bias: bool = False
    norms_per_layer: int = 2
    qk_norms: bool = False
    qkv_bias: bool | str = False
    out_bias: bool | str = False
    mlp_bias: bool | str = False
    learned_positions: bool = False
    tied: bool = False
    grouped_query: bool = True
    kv_heads: int | None = None
    head_dim: int | None = None
    window: int | None = None


_LLAMA = _Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias")
_QWEN2 = _Family(qkv_bias=True, window=4096)
_QWEN3 = _Family(qkv_bias="attention_bias", out_bias="attention_bias", qk_norms=True, window=4096)
_FAMILIES: Final[Mapping[str, _Family]] = {
    "llama": _LLAMA,
    "granite": _LLAMA,
    "smollm3": _Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias", tied=True),
    "mistral": _Family(kv_heads=8, window=4096),
    "mixtral": _Family(kv_heads=8),
    "phi3": _Family(),
    "qwen2": _QWEN2,
    "qwen2_moe": _QWEN2,
    "qwen3": _Family(qkv_bias="attention_bias", out_bias="attention_bias", qk_norms=True, head_dim=128, window=4096),
    "qwen3_moe": _QWEN3,
    "gemma": _Family(qkv_bias="attention_bias", out_bias="attention_bias", tied=True, head_dim=256),
    "gemma2": _Family(
        qkv_bias="attention_bias", out_bias="attention_bias", tied=True, norms_per_layer=4, kv_heads=4, head_dim=256,
        window=4096,
    ),
    "gemma3_text": _Family(
        qkv_bias="attention_bias", out_bias="attention_bias", tied=True, norms_per_layer=4, qk_norms=True, kv_heads=4,
        head_dim=256, window=4096,
    ),
    "gpt2": _Family(
        gated_mlp=False, norm_bias=True, qkv_bias=True, out_bias=True, mlp_bias=True, learned_positions=True, tied=True,
        grouped_query=False,
    ),
    "gpt_neox": _Family(
        gated_mlp=False, norm_bias=True, qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias=True,
        grouped_query=False,
    ),
}  # fmt: skip
# Keys that default to true in their family; every other bias key defaults to false.
_TRUE_BY_DEFAULT = {("gpt_neox", "attention_bias")}


def dtype_bytes(dtype: str) -> int:
    """Bytes of one element. Raises ValueError for a dtype that is not known."""
    if dtype not in DTYPE_BYTES:
        raise ValueError(f"unknown dtype {dtype!r}")
    return DTYPE_BYTES[dtype]


def weight_bytes(shape: ModelShape, dtype: str) -> int:
    """Bytes of all weights held in `dtype`, without buffers (rotary tables, masks), which are small."""
    return shape.parameters * dtype_bytes(dtype)


def kv_bytes_per_token(shape: ModelShape, dtype: str) -> int | None:
    """Bytes that one token of one sequence adds to the KV cache while no window is full; None: not known."""
    if shape.cache is None:
        return None
    size = dtype_bytes(dtype)
    return round(bytes_per_token(shape.cache, size, size))


def read_shape(config: Mapping[str, object], *, source: str = "config.json") -> ModelShape:
    """The shape that a Hugging Face config.json describes.

    A multimodal config is read for its language part, whose size is then not exact. What is kept of a token is told
    for the families of this module alone. Raises ModelError naming the key, its value and what is allowed, and for
    models that are no decoders; `source` says in which file.
    """
    check_decoder(config, source)
    reader = _Reader(config, source)
    inner = config.get("text_config")
    if isinstance(inner, Mapping):
        reader = _Reader({**{key: config.get(key) for key in ("dtype", "torch_dtype")}, **inner}, source)
    model_type = reader.text("model_type") or first_architecture(config) or "unknown"
    family = _FAMILIES.get(model_type)
    traits = family or _LLAMA

    layers = reader.integer(_LAYERS, _MAX_LAYERS)
    hidden = reader.integer(_HIDDEN, _MAX_WIDTH)
    heads = reader.integer(_HEADS, _MAX_WIDTH)
    kv_heads = heads
    if traits.grouped_query:
        kv_heads = reader.integer(_KV_HEADS, _MAX_WIDTH, default=traits.kv_heads or heads)
    if heads % kv_heads:
        raise reader.error(_KV_HEADS[0], kv_heads, f"a divisor of the {heads} attention heads")
    head_dim = reader.integer(("head_dim",), _MAX_WIDTH, default=traits.head_dim or hidden // heads)
    if head_dim == 0:
        raise reader.error(_HEADS[0], heads, f"at most the hidden size, {hidden}")
    experts = reader.integer(_EXPERTS, _MAX_WIDTH, default=0, least=0)
    intermediate = reader.integer(_INTERMEDIATE, _MAX_WIDTH, default=4 * hidden)
    expert_width = reader.integer(("moe_intermediate_size",), _MAX_WIDTH, default=intermediate)
    active = reader.integer(_ACTIVE_EXPERTS, _MAX_WIDTH, default=min(experts, 2), least=0)
    if active > experts:
        raise reader.error(_ACTIVE_EXPERTS[0], active, f"at most the {experts} experts")
    window = _window(reader, traits)
    sliding_layers = _sliding_layers(reader, model_type, layers) if window else 0
    shape = ModelShape(
        architecture=model_type,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=expert_width if experts else intermediate,
        vocab=reader.integer(("vocab_size",), _MAX_VOCAB),
        max_positions=reader.integer(_POSITIONS, _MAX_POSITIONS, default=0, least=0),
        tied_embeddings=reader.flag("tie_word_embeddings", default=traits.tied),
        parameters=0,
        active_parameters=0,
        exact=family is not None and inner is None,
        gated_mlp=traits.gated_mlp,
        dtype=checkpoint_dtype(reader.config),
        experts=experts,
        active_experts=active,
        quantization=quantization_of(config),
        cache=uniform(layers, kv_heads, head_dim, sliding=sliding_layers, window=window) if family else None,
    )
    return _with_parameters(shape, reader, traits, dense_width=intermediate)


def _with_parameters(shape: ModelShape, reader: "_Reader", traits: _Family, *, dense_width: int) -> ModelShape:
    """Count the weights: embeddings, then per layer attention, MLP and norms, then the head."""
    hidden, layers = shape.hidden, shape.layers
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    norm = hidden * (2 if traits.norm_bias else 1)

    def biased(trait: bool | str) -> bool:
        if isinstance(trait, bool):
            return trait
        return reader.flag(trait, default=(shape.architecture, trait) in _TRUE_BY_DEFAULT)

    attention = hidden * (query + 2 * key) + query * hidden
    attention += (query + 2 * key) * biased(traits.qkv_bias) + hidden * biased(traits.out_bias)
    attention += 2 * shape.head_dim * traits.qk_norms + traits.norms_per_layer * norm

    def mlp(width: int) -> int:
        ins = 2 if traits.gated_mlp else 1
        return (ins + 1) * hidden * width + (ins * width + hidden) * biased(traits.mlp_bias)

    sparse = _sparse_layers(reader, layers) if shape.experts else 0
    shared_width = reader.integer(("shared_expert_intermediate_size",), _MAX_WIDTH, default=0, least=0)
    # Besides the experts: the router and, in Qwen2-MoE, a shared expert behind a gate.
    around = hidden * shape.experts + (mlp(shared_width) + hidden if shared_width else 0)

    outside = shape.vocab * hidden * (1 if shape.tied_embeddings else 2) + norm
    outside += shape.max_positions * hidden * traits.learned_positions

    def total(experts: int) -> int:
        sparse_layer = around + experts * mlp(shape.intermediate)
        return outside + layers * attention + (layers - sparse) * mlp(dense_width) + sparse * sparse_layer

    def matrices(width: int) -> int:
        return (3 if traits.gated_mlp else 2) * hidden * width

    routed = hidden * shape.experts + shape.active_experts * matrices(shape.intermediate)
    routed += matrices(shared_width) + hidden if shared_width else 0
    matrix = layers * (hidden * (query + 2 * key) + query * hidden)
    matrix += (layers - sparse) * matrices(dense_width) + sparse * routed
    return replace(
        shape,
        parameters=total(shape.experts),
        active_parameters=total(shape.active_experts),
        matrix_parameters=matrix,
    )


def _sparse_layers(reader: "_Reader", layers: int) -> int:
    """How many layers hold experts: all, unless the config names dense ones or a step (Qwen-MoE's two keys)."""
    step = reader.integer(("decoder_sparse_step",), _MAX_LAYERS, default=1)
    dense = reader.config.get("mlp_only_layers")
    dense = dense if isinstance(dense, list) else []
    return sum(1 for layer in range(layers) if layer not in dense and (layer + 1) % step == 0)


def _window(reader: "_Reader", traits: _Family) -> int | None:
    """Tokens that sliding layers see; None where none slides. A key that is null says none, a missing one nothing."""
    if "sliding_window" not in reader.config:
        return traits.window
    if not reader.config["sliding_window"]:
        return None
    return reader.integer(("sliding_window",), _MAX_POSITIONS)


def _sliding_layers(reader: "_Reader", model_type: str, layers: int) -> int:
    """How many layers attend to a window: as listed, else by the rule of the family, else all."""
    if reader.config.get("use_sliding_window") is False:
        return 0
    listed = reader.config.get("layer_types")
    if isinstance(listed, list):
        return min(layers, listed.count("sliding_attention"))
    if model_type.startswith("qwen"):
        if reader.config.get("use_sliding_window") is not True:
            return 0
        return max(0, layers - reader.integer(("max_window_layers",), _MAX_LAYERS, default=28, least=0))
    if model_type == "gemma2":
        return (layers + 1) // 2
    if model_type == "gemma3_text":
        return layers - layers // reader.integer(("sliding_window_pattern",), _MAX_LAYERS, default=6)
    return layers


def checkpoint_dtype(config: Mapping[str, object]) -> str:
    """The number format that a config names for its weights, empty where it names none that is known."""
    named = next((value for key in ("dtype", "torch_dtype") if isinstance(value := config.get(key), str) and value), "")
    named = named.removeprefix("torch.")
    return named if named in DTYPE_BYTES else ""


def quantization_of(config: Mapping[str, object]) -> str:
    """The scheme of a quantized checkpoint, empty where it is none."""
    section = config.get("quantization_config")
    if not isinstance(section, Mapping):
        return ""
    method = section.get("quant_method")
    return one_line(method, 40) if isinstance(method, str) and method else "unknown"


def first_architecture(config: Mapping[str, object]) -> str:
    """The first name in `architectures`, empty where there is none."""
    names = config.get("architectures")
    return one_line(names[0], 80) if isinstance(names, list) and names and isinstance(names[0], str) else ""


def _no_size(value: object, most: int) -> bool:
    return isinstance(value, int) and not 0 <= value <= most


class OddConfigError(ModelError):
    """A key that is missing or reads otherwise than in the families that are known here; others may have it so."""


class _Reader:
    """Takes single values out of a config that anyone may have written."""

    def __init__(self, config: Mapping[str, object], source: str) -> None:
        self.config = config
        self._source = source

    def error(self, key: str, value: object, allowed: str) -> OddConfigError:
        shown = one_line(str(value) if isinstance(value, int) else repr(value), 60)
        return OddConfigError(f"{self._source}: {key} is {shown}; allowed: {allowed}")

    def integer(self, keys: tuple[str, ...], most: int, *, default: int | None = None, least: int = 1) -> int:
        for key in keys:
            value = self.config.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                problem = self.error(key, value, f"a whole number from {least} to {most}")
                raise ModelError(problem.message) if _no_size(value, most) else problem
            return value
        if default is None:
            others = f" (nor {', '.join(keys[1:])})" if keys[1:] else ""
            raise OddConfigError(
                f"{self._source}: there is no {keys[0]}{others}",
                remedy="It must be the config.json of a decoder-only language model.",
            )
        return default

    def flag(self, key: str, *, default: bool) -> bool:
        value = self.config.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, value, "true or false")
        return value

    def text(self, key: str) -> str:
        value = self.config.get(key)
        return one_line(value, 80) if isinstance(value, str) else ""
