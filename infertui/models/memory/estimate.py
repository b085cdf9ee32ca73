"""Will it fit: the memory that a model and a workload need, worked out before anything is loaded.

The arithmetic is kept with the result, so that whoever is refused can check it line by line.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal

from msgspec import Struct

from infertui.config.engines.gguf_words import GGUF_FORMS
from infertui.config.schema import Dtype
from infertui.errors import ConfigError, DoesNotFitError
from infertui.models.memory.kv_cache import Cache
from infertui.models.shapes import ModelShape, dtype_bytes, weight_bytes
from infertui.units import format_about, format_bytes, format_count

DeviceKind = Literal["cpu", "cuda"]

CUDA_OVERHEAD = 690 << 20
"""Bytes that the CUDA context and the loaded kernels of PyTorch and cuBLAS take, whatever the model: what a process
held beyond its allocator on an H200 with PyTorch 2.11 and CUDA 13.0."""
CPU_OVERHEAD = 350 << 20
"""Bytes that a Python process takes once PyTorch and Transformers are imported."""
_ALSO_IMPORTED = {"torchao": 180 << 20, "scipy": 60 << 20}
"""Bytes of packages that Transformers imports as well where they are installed."""

QUANTIZED_BYTES = {
    "int8": 1.0, "fp8": 1.0, "int4": 0.5 + 4 / 128, "q8_0": 34 / 32, "q6_k": 210 / 256, "q5_k_m": 0.71, "q5_k_s": 0.69,
    "q5_1": 24 / 32, "q5_0": 22 / 32, "q4_k_m": 0.61, "q4_k_s": 0.58, "q4_1": 20 / 32, "q4_0": 18 / 32, "q3_k_l": 0.54,
    "q3_k_m": 0.50, "q3_k_s": 0.45, "q2_k": 0.39,
}  # fmt: skip
"""Bytes of a weight by `engine.quantization`, scales included: int4 with a 16-bit scale and zero point for every 128
weights, GGUF's formats with a 16-bit scale for every 32. Those of int8 and fp8, one a row, are too few to count. GGUF's
mixtures of types are about what they come to for a Llama of 8 billion parameters."""
_WHOLE = GGUF_FORMS
# In the other formats a row of the embedding stays as it is: it is looked up, not multiplied with.

# Eager attention, per score: 16-bit scores, their softmax in float32 and its 16-bit copy; or two copies in float32.
_SCORE_BYTES = 8


class MemoryTerm(Struct, frozen=True):
    """One line of the sum: what it is, the arithmetic as people would write it, and the bytes."""

    name: str
    arithmetic: str
    bytes: int


class MemoryEstimate(Struct, frozen=True):
    """Bytes needed of a device, by purpose. `host_terms` is what is needed besides of the host's memory.

    `spare` is what an allocator is expected to hold beside what is in use: part of the total, but no reason to refuse,
    since most of it is given back before memory runs out.
    """

    weights: int
    kv_cache: int
    activations: int
    overhead: int
    dtype: str
    terms: tuple[MemoryTerm, ...]
    host_terms: tuple[MemoryTerm, ...] = ()
    spare: int = 0

    @property
    def total(self) -> int:
        """Bytes that it is expected to hold in all."""
        return self.least + self.spare

    @property
    def least(self) -> int:
        """Bytes without which it cannot run."""
        return self.weights + self.kv_cache + self.activations + self.overhead

    def fits(self, free_bytes: int) -> bool | None:
        """Whether it fits into so many bytes; None where it may, if the allocator gives back what it can."""
        return True if self.total <= free_bytes else None if self.least <= free_bytes else False

    def explain(self, free_bytes: int | None = None) -> list[str]:
        """The arithmetic, one line per term and a last line with the total, against `free_bytes` where known."""
        lines = [f"{term.name} {term.arithmetic} = {format_bytes(term.bytes)}" for term in self.terms]
        total = f"total {format_bytes(self.total)}"
        if free_bytes is not None:
            may = f"may not fit ({format_bytes(self.least)} at the least)"
            verdict = {True: "fits", None: may, False: "does not fit"}[self.fits(free_bytes)]
            total += f" of {format_bytes(free_bytes)} free: {verdict}"
        beside = (f"{term.name}: {term.arithmetic} = {format_bytes(term.bytes)}" for term in self.host_terms)
        return [*lines, total, *beside]


def dtype_in_use(shape: ModelShape, dtype: Dtype, device_kind: DeviceKind) -> str:
    """What `auto` comes to: float32 on a CPU; on a GPU bfloat16 where the checkpoint is bfloat16, else float16."""
    if dtype != "auto":
        return dtype
    if device_kind == "cpu":
        return "float32"
    return "bfloat16" if shape.dtype == "bfloat16" else "float16"


def estimate(
    shape: ModelShape,
    *,
    dtype: Dtype,
    device_kind: DeviceKind,
    batch_size: int,
    input_len: int,
    output_len: int,
    attention: str = "auto",
    weights_on_disk: int = 0,
    quantization: str = "auto",
    tensor_parallel: int = 1,
) -> MemoryEstimate:
    """Bytes at the peak of generating `output_len` tokens for `batch_size` prompts of `input_len` tokens each.

    - weights: parameters x bytes; for a quantized checkpoint what it takes on disk (`weights_on_disk`). Where the
      engine quantizes them, by QUANTIZED_BYTES; a word that is not there is taken for the model's own format;
    - KV cache: what each layer keeps of a token (`models/memory/kv_cache.py`) x bytes x sequences x tokens of prompt
      and output. Layers with a sliding window keep no more tokens than the window, states do not grow at all;
    - activations, at their peak in the prefill, inside one layer. Per prompt token 4 x hidden: the embeddings and the
      layer's input, which the caller holds, the residual and its normed copy. Beside them whichever is larger of
      the MLP: gate, up and their product, 3 x intermediate, for every active expert; without a gate 4 x intermediate,
      the steps of GELU; and
      the attention: the query while it is rotated and the keys, 3 x heads x head size + 2 x KV heads x head size,
      with eager attention also the score matrix, sequences x heads x prompt^2 x 8 bytes.
      (Compared with the peaks of PyTorch's allocator for Llama and GPT-2 shapes in 16 and 32 bits, Transformers 5:
      within 5 % with SDPA, 30 % with eager attention.)
      Logits of the last position alone: sequences x vocabulary in the model's format and in float32;
    - overhead: the CUDA context and libraries, or the process itself on a CPU.

    With `tensor_parallel` it is what each device needs: a share of the weights and of the KV cache, whose heads are
    divided too. Nothing is added here for fragmentation: a refusal means that it cannot fit, not that it may be tight.
    """
    if batch_size < 1 or input_len < 0 or output_len < 0:
        raise ValueError("batch_size must be positive, lengths must not be negative")
    name = dtype_in_use(shape, dtype, device_kind)
    size = dtype_bytes(name)
    weights = _shared(_weights_term(shape, name, weights_on_disk, quantization), tensor_parallel)
    share = shape.kv_share(tensor_parallel)
    kv = [
        term if share == 1 else MemoryTerm(term.name, f"{term.arithmetic} / {1 / share:.3g}", round(term.bytes * share))
        for term in kv_terms(shape.cache or (), size, batch_size, input_len + output_len)
    ]
    activations = _activation_terms(shape, size, batch_size, max(1, input_len), attention)
    overhead = (
        MemoryTerm("overhead", "CUDA context and libraries", CUDA_OVERHEAD)
        if device_kind == "cuda"
        else MemoryTerm("overhead", "Python, PyTorch and libraries", cpu_overhead())
    )
    return MemoryEstimate(
        weights=weights.bytes,
        kv_cache=sum(term.bytes for term in kv),
        activations=sum(term.bytes for term in activations),
        overhead=overhead.bytes,
        dtype=name,
        terms=(weights, *kv, *activations, overhead),
    )


def cpu_overhead() -> int:
    """Bytes of a process that has imported PyTorch and Transformers, with what is installed here besides."""
    return CPU_OVERHEAD + sum(size for name, size in _ALSO_IMPORTED.items() if find_spec(name) is not None)


def check(needed: MemoryEstimate, free_bytes: int, ways: Callable[[], list[str]], *, forced: bool = False) -> None:
    """Raise DoesNotFitError, with the arithmetic and the `ways` that would help, when `needed` cannot fit."""
    if forced or needed.fits(free_bytes) is not False:
        return
    raise DoesNotFitError(
        "The model and workload do not fit into memory:\n  " + "\n  ".join(needed.explain(free_bytes)),
        remedy=f"Use {_one_of([*ways(), 'a device with more memory'])}; or load it all the same with --force "
        "(device.force).",
    )


def check_positions(shape: ModelShape, input_len: int, output_len: int) -> None:
    """Raise ConfigError when prompt and output are longer than the positions that the model has."""
    if shape.max_positions and input_len + output_len > shape.max_positions:
        raise ConfigError(
            "workload.input_len + workload.output_len",
            f"{input_len} + {output_len} = {input_len + output_len} tokens, "
            f"but the model has {shape.max_positions} positions",
            allowed=f"a sum of at most {shape.max_positions}",
        )


def _shared(term: MemoryTerm, devices: int) -> MemoryTerm:
    if devices <= 1:
        return term
    return MemoryTerm(term.name, f"{term.arithmetic} / {devices} GPUs", term.bytes // devices)


def _weights_term(shape: ModelShape, dtype: str, weights_on_disk: int, quantization: str) -> MemoryTerm:
    if shape.quantization and weights_on_disk:
        return MemoryTerm("weights", f"as stored ({shape.quantization})", weights_on_disk)
    count = f"{format_count(shape.parameters) if shape.exact else format_about(shape.parameters)} parameters"
    each = QUANTIZED_BYTES.get(quantization)
    if each is None:
        return MemoryTerm("weights", f"{count} x {dtype_bytes(dtype)} bytes ({dtype})", weight_bytes(shape, dtype))
    kept = 0 if quantization in _WHOLE else shape.vocab * shape.hidden
    arithmetic = f"{count} x {each:.4g} bytes ({quantization})"
    if kept:
        arithmetic += f", but {format_count(kept)} of the embedding x {dtype_bytes(dtype)} ({dtype})"
    return MemoryTerm("weights", arithmetic, round((shape.parameters - kept) * each) + kept * dtype_bytes(dtype))


def kv_terms(cache: Cache, size: float, batch_size: int, tokens: int) -> list[MemoryTerm]:
    """What `batch_size` sequences of so many tokens keep, in a format of `size` bytes a number: one line, or none."""
    parts, total = [], 0
    for group in cache:
        if group.keys or group.values:
            kept = group.held(tokens)
            width = f"2 x {group.keys}" if group.keys == group.values else f"({group.keys} + {group.values})"
            note = " (sliding window)" if kept < tokens else ""
            part = f"{group.layers} layers x {width} numbers x {size:.4g} bytes x batch {batch_size} x {kept} tokens"
            parts.append(part + note)
            total += round(group.token_bytes(size, size) * batch_size * kept)
        if group.state:
            each = round(group.state_bytes(size) / group.layers)
            parts.append(f"{group.layers} layers x {format_bytes(each)} of state x batch {batch_size}")
            total += each * group.layers * batch_size
    return [MemoryTerm("KV cache", " + ".join(parts), total)] if parts else []


def _activation_terms(
    shape: ModelShape, size: int, batch_size: int, input_len: int, attention: str
) -> list[MemoryTerm]:
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    experts = max(1, shape.active_experts)
    factor = 3 if shape.gated_mlp else 4
    scores = batch_size * shape.heads * input_len**2 * _SCORE_BYTES if attention == "eager" else 0
    tokens = batch_size * input_len
    in_mlp = tokens * (4 * shape.hidden + factor * shape.intermediate * experts) * size
    in_attention = tokens * (4 * shape.hidden + 3 * query + 2 * key) * size
    if in_mlp >= in_attention + scores:
        inner = f"{factor} x {shape.intermediate}" + (f" x {experts} experts" if experts > 1 else "")
        peak, scores = in_mlp, 0
    else:
        inner, peak = f"3 x {query} + 2 x {key}", in_attention
    terms = [
        MemoryTerm(
            "activations",
            f"batch {batch_size} x {input_len} tokens x (4 x {shape.hidden} + {inner}) x {size} bytes",
            peak,
        )
    ]
    if scores:
        terms.append(
            MemoryTerm(
                "attention scores",
                f"batch {batch_size} x {shape.heads} heads x {input_len} x {input_len} x {_SCORE_BYTES} bytes",
                scores,
            )
        )
    terms.append(
        MemoryTerm(
            "logits",
            f"batch {batch_size} x vocabulary {shape.vocab} x {size + 4} bytes",
            batch_size * shape.vocab * (size + 4),
        )
    )
    return terms


def _one_of(ways: list[str]) -> str:
    return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])} or {ways[-1]}"
