"""How a model becomes a GGUF file: which tensors and which metadata, for the Llama and GPT-2 families. Pure.

Names, dimensions and keys are those of the GGUF specification and of llama.cpp's model loader.

The vocabulary that a GGUF file carries. Prompts are handed over as ids, so nothing measured depends on it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from infertui.errors import ModelError
from infertui.models.disk import read_at_most
from infertui.models.shapes import ModelShape
from infertui.models.tokenizers import ByteTokenizer
from infertui.text import one_line

Transform = Literal["", "transpose", "rotary"]
Fill = Literal["normal", "zeros", "ones", "values"]


class Planned(Struct, frozen=True):
    """One tensor of the file: name and dimensions (rows first), and where its weights come from.

    `source` is its name in the checkpoint; `transform` says how it differs there: GPT-2 keeps matrices transposed, and
    Llama's rotary halves are interleaved by `heads`. `fill` is what it holds where weights are made up. Only a
    `matrix` is held in the file's weight format, all else in float32. The `head` is what the last hidden state is
    multiplied with: the output layer, or the embedding where it is both.
    """

    name: str
    shape: tuple[int, ...]
    source: str
    matrix: bool = False
    head: bool = False
    transform: Transform = ""
    heads: int = 0
    fill: Fill = "normal"
    values: tuple[float, ...] = ()


class GgufLayout(Struct, frozen=True):
    """The architecture's name in GGUF, its metadata (keys without that name), and its tensors in order."""

    architecture: str
    metadata: dict[str, int | float | str]
    tensors: tuple[Planned, ...]


def layout(config: Mapping[str, Any], shape: ModelShape) -> GgufLayout:
    """The GGUF layout of a Hugging Face model. Raises ModelError for what the file could not hold truthfully."""
    if shape.quantization:
        raise ModelError(
            f"a checkpoint quantized with {shape.quantization} cannot be written as GGUF",
            remedy="Name its 16-bit original, or a GGUF file.",
        )
    if shape.architecture in ("llama", "mistral", "mixtral"):
        return _llama(config, shape)
    if shape.architecture == "gpt2":
        return _gpt2(config, shape)
    raise ModelError(
        f"a GGUF file is written for the architectures llama, mistral, mixtral and gpt2, not for {shape.architecture}",
        remedy="Name a .gguf file as model.id: llama.cpp's convert_hf_to_gguf.py makes one of most checkpoints.",
    )


def _llama(config: Mapping[str, Any], shape: ModelShape) -> GgufLayout:
    _must(config, "hidden_act", ("silu",), "silu")
    width, head = shape.hidden, shape.head_dim
    queries, keys = shape.heads * head, shape.kv_heads * head
    metadata = _common(shape) | {
        # llama.cpp attends to all positions: beyond a window it would say something else than the model.
        "context_length": min(shape.max_positions or 2048, shape.sliding_window or 1 << 30),
        "attention.head_count_kv": shape.kv_heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.layer_norm_rms_epsilon": _number(config, "rms_norm_eps", 1e-6),
        "rope.dimension_count": head,
        "rope.freq_base": _rope(config, "rope_theta", 10000.0),
    }
    if shape.experts:
        metadata |= {"expert_count": shape.experts, "expert_used_count": shape.active_experts}
    extra = _rope_scaling(config, shape, metadata)

    def tensors() -> Iterator[Planned]:
        yield _matrix("token_embd", (shape.vocab, width), "model.embed_tokens", head=shape.tied_embeddings)
        yield from extra
        for layer in range(shape.layers):
            block, source = f"blk.{layer}.", f"model.layers.{layer}."
            biased = {"self_attn": bool(config.get("attention_bias")), "mlp": bool(config.get("mlp_bias"))}
            yield _ones(block + "attn_norm", width, source + "input_layernorm")
            yield _ones(block + "ffn_norm", width, source + "post_attention_layernorm")
            if shape.experts:
                yield from _experts(block, source + "block_sparse_moe.", shape)
            dense = (
                ("ffn_gate", shape.intermediate, width, "mlp.gate_proj", 0),
                ("ffn_up", shape.intermediate, width, "mlp.up_proj", 0),
                ("ffn_down", width, shape.intermediate, "mlp.down_proj", 0),
            )
            for name, rows, columns, part, heads in (
                ("attn_q", queries, width, "self_attn.q_proj", shape.heads),
                ("attn_k", keys, width, "self_attn.k_proj", shape.kv_heads),
                ("attn_v", keys, width, "self_attn.v_proj", 0),
                ("attn_output", width, queries, "self_attn.o_proj", 0),
                *(() if shape.experts else dense),
            ):
                turn: Transform = "rotary" if heads else ""
                yield _matrix(block + name, (rows, columns), source + part, transform=turn, heads=heads)
                if biased[part.partition(".")[0]]:
                    yield _bias(block + name, rows, source + part, transform=turn, heads=heads)
        yield _ones("output_norm", width, "model.norm")
        if not shape.tied_embeddings:
            yield _matrix("output", (shape.vocab, width), "lm_head", head=True)

    return GgufLayout("llama", metadata, tuple(tensors()))


def _experts(block: str, source: str, shape: ModelShape) -> Iterator[Planned]:
    """The router, and of each kind of matrix all experts' in one tensor."""
    width, inner, experts = shape.hidden, shape.intermediate, shape.experts
    yield Planned(f"{block}ffn_gate_inp.weight", (experts, width), f"{source}gate.weight")
    for name, rows, columns in (("gate", inner, width), ("up", inner, width), ("down", width, inner)):
        yield Planned(f"{block}ffn_{name}_exps.weight", (experts, rows, columns), f"{source}experts", matrix=True)


def _gpt2(config: Mapping[str, Any], shape: ModelShape) -> GgufLayout:
    # ggml's GELU is the tanh approximation, which is what these names mean.
    _must(config, "activation_function", ("gelu_new", "gelu_pytorch_tanh"), "gelu_new")
    for key in ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn"):
        _must(config, key, (False,), False)
    width, inner = shape.hidden, shape.intermediate
    metadata = _common(shape) | {"attention.layer_norm_epsilon": _number(config, "layer_norm_epsilon", 1e-5)}

    def tensors() -> Iterator[Planned]:
        yield _matrix("token_embd", (shape.vocab, width), "wte", head=shape.tied_embeddings)
        yield Planned("position_embd.weight", (shape.max_positions, width), "wpe.weight")
        for layer in range(shape.layers):
            block, source = f"blk.{layer}.", f"h.{layer}."
            for name, part in (("attn_norm", "ln_1"), ("ffn_norm", "ln_2")):
                yield _ones(block + name, width, source + part)
                yield _bias(block + name, width, source + part)
            for name, rows, columns, part in (
                ("attn_qkv", 3 * width, width, "attn.c_attn"),
                ("attn_output", width, width, "attn.c_proj"),
                ("ffn_up", inner, width, "mlp.c_fc"),
                ("ffn_down", width, inner, "mlp.c_proj"),
            ):
                yield _matrix(block + name, (rows, columns), source + part, transform="transpose")
                yield _bias(block + name, rows, source + part)
        yield _ones("output_norm", width, "ln_f")
        yield _bias("output_norm", width, "ln_f")
        if not shape.tied_embeddings:
            yield _matrix("output", (shape.vocab, width), "lm_head", head=True)

    return GgufLayout("gpt2", metadata, tuple(tensors()))


def _common(shape: ModelShape) -> dict[str, int | float | str]:
    return {
        "context_length": shape.max_positions or 2048,
        "embedding_length": shape.hidden,
        "block_count": shape.layers,
        "feed_forward_length": shape.intermediate,
        "attention.head_count": shape.heads,
        "vocab_size": shape.vocab,
    }


def _matrix(
    name: str,
    shape: tuple[int, int],
    source: str,
    *,
    head: bool = False,
    transform: Transform = "",
    heads: int = 0,
) -> Planned:
    return Planned(
        f"{name}.weight", shape, f"{source}.weight", matrix=True, head=head, transform=transform, heads=heads
    )


def _ones(name: str, width: int, source: str) -> Planned:
    return Planned(f"{name}.weight", (width,), f"{source}.weight", fill="ones")


def _bias(name: str, width: int, source: str, *, transform: Transform = "", heads: int = 0) -> Planned:
    return Planned(f"{name}.bias", (width,), f"{source}.bias", transform=transform, heads=heads, fill="zeros")


def _rope_table(config: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary parameters: one table in Transformers 5, `rope_theta` beside `rope_scaling` before."""
    found: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        table = config.get(key)
        if isinstance(table, Mapping):
            found |= table
    return found


def _rope(config: Mapping[str, Any], key: str, default: float) -> float:
    table = _rope_table(config)
    return _number(table if table.get(key) is not None else config, key, default)


def _rope_scaling(
    config: Mapping[str, Any], shape: ModelShape, metadata: dict[str, int | float | str]
) -> list[Planned]:
    """Add the scaling of positions to `metadata`, or give the tensor that holds it."""
    table = _rope_table(config)
    kind = table.get("rope_type", table.get("type", "default"))
    if kind == "default":
        return []
    if kind == "linear":
        metadata["rope.scaling.type"] = "linear"
        metadata["rope.scaling.factor"] = _number(table, "factor", 1.0)
        return []
    if kind == "llama3":
        factors = llama3_factors(
            shape.head_dim,
            _rope(config, "rope_theta", 10000.0),
            factor=_number(table, "factor", 8.0),
            low=_number(table, "low_freq_factor", 1.0),
            high=_number(table, "high_freq_factor", 4.0),
            original=_number(table, "original_max_position_embeddings", 8192),
        )
        return [Planned("rope_freqs.weight", (len(factors),), "", fill="values", values=tuple(factors))]
    raise ModelError(
        f"config.json: rope_type is {one_line(kind, 60)}; a GGUF file is written for default, linear and llama3",
        remedy="Name a .gguf file as model.id.",
    )


def llama3_factors(
    head_dim: int, theta: float, *, factor: float, low: float, high: float, original: float
) -> list[float]:
    """By how much each rotary frequency is divided in Llama 3.1: by 1 for short waves, `factor` for long ones.

    Between wavelengths original/high and original/low the divisor goes over smoothly (Transformers'
    `_compute_llama3_parameters`, llama.cpp's `rope_freqs`).
    """
    factors = []
    for pair in range(0, head_dim, 2):
        wavelength = 2 * math.pi * theta ** (pair / head_dim)
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def _number(table: Mapping[str, Any], key: str, default: float) -> float:
    value = table.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e30:
        raise ModelError(f"config.json: {key} is {one_line(value, 60)}; allowed: a positive number")
    return float(value)


def _must(config: Mapping[str, Any], key: str, allowed: tuple[object, ...], default: object) -> None:
    value = config.get(key)
    if (default if value is None else value) not in allowed:
        raise ModelError(
            f"config.json: {key} is {one_line(value, 60)}; a GGUF file is written for {', '.join(map(str, allowed))}",
            remedy="Name a .gguf file as model.id.",
        )


NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Token types, as llama.cpp numbers them."""

_MAX_BYTES = 256 << 20
_LLAMA3_SPLIT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"


class Vocabulary(Struct, frozen=True):
    """A byte-level BPE vocabulary, as GGUF keeps it: `pre` names how text is split before merging."""

    tokens: list[str]
    types: list[int]
    merges: list[str]
    pre: str
    bos: int
    eos: int


def byte_letters() -> list[str]:
    """The visible character that stands for each byte in byte-level BPE (GPT-2's mapping)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    shifted = {byte: 256 + place for place, byte in enumerate(others)}
    return [chr(shifted.get(byte, byte)) for byte in range(256)]


def of_bytes(size: int) -> Vocabulary:
    """The vocabulary of `ByteTokenizer`, filled up to `size`. Nothing merges: each byte is a token."""
    tokens = [*byte_letters(), "<pad>", "<s>", "</s>"][:size]
    types = [NORMAL] * min(size, 256) + [CONTROL] * max(0, len(tokens) - 256)
    more = range(len(tokens), size)
    tokens += [_unused(number) for number in more]
    types += [UNUSED] * len(more)
    begin, end = ByteTokenizer.bos_token_id, ByteTokenizer.eos_token_id
    # llama.cpp wants at least one merge; this one is of texts that no byte gives.
    return Vocabulary(tokens, types, ["<pad> <pad>"], "gpt-2", min(begin, size - 1), min(end, size - 1))


def of_checkpoint(folder: Path, size: int, bos: object, eos: object) -> Vocabulary | None:
    """The vocabulary of a tokenizer.json of `size` ids; None where it is not byte-level BPE in a way known here."""
    try:
        content = read_at_most(folder / "tokenizer.json", _MAX_BYTES)
        table = msgspec.json.decode(content or b"{}", type=dict[str, Any])
        model = table["model"]
        pre = _splitting(table)
        if pre is None or model["type"] != "BPE" or model.get("byte_fallback"):
            return None
        by_id = {number: text for text, number in model["vocab"].items()}
        added = {token["id"]: token for token in table.get("added_tokens", ())}
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        tokens, types = [], []
        for number in range(size):
            if number in added:
                tokens.append(str(added[number]["content"]))
                types.append(CONTROL if added[number].get("special") else USER_DEFINED)
            else:
                tokens.append(str(by_id.get(number, _unused(number))))
                types.append(NORMAL if number in by_id else UNUSED)
    except (OSError, msgspec.DecodeError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    if not merges:
        return None
    return Vocabulary(tokens, types, merges, pre, _id(bos, size), _id(eos, size))


def _splitting(table: dict[str, Any]) -> str | None:
    """llama.cpp's name for how the file splits text; None where it knows none, or a normalizer changes it first."""
    if table.get("normalizer"):
        return None
    steps = list(_steps(table.get("pre_tokenizer")))
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and not steps[0].get("add_prefix_space") and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Split", "ByteLevel"]:
        pattern = steps[0].get("pattern")
        regex = pattern.get("Regex", "") if isinstance(pattern, dict) else ""
        return "llama-bpe" if str(regex).startswith(_LLAMA3_SPLIT) else None
    return None


def _steps(step: Any) -> Iterable[dict[str, Any]]:
    if not isinstance(step, dict):
        return ()
    if step.get("type") == "Sequence":
        return [inner for inner in step.get("pretokenizers", ()) if isinstance(inner, dict)]
    return (step,)


def _id(value: object, size: int) -> int:
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, int) and 0 <= first < size else 0


def _unused(number: int) -> str:
    return f"[unused{number}]"
