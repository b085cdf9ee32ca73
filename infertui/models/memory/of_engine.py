"""What an engine needs of a device's memory, with its own options: layers it keeps elsewhere, a cache of fixed size, a
second model."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from infertui.config.engines.llama_cpp import LlamaCppOptions
from infertui.config.schema import EngineConfig
from infertui.models.gguf.sizes import Parts, parts_of_file, parts_to_write
from infertui.models.gguf.weights import GgufFormat
from infertui.models.memory.estimate import DeviceKind, MemoryEstimate, MemoryTerm, dtype_in_use, estimate
from infertui.models.memory.kv_cache import CacheLayers, bytes_per_token
from infertui.models.memory.torch_memory import Growth, reserved, sizes_of
from infertui.models.resolve import ModelSource
from infertui.models.shapes import ModelShape, dtype_bytes, kv_bytes_per_token, weight_bytes
from infertui.units import format_bytes

LLAMA_CPP_CUDA: Final = 600 << 20
"""Bytes that the CUDA context and the kernels of ggml take beside llama.cpp's own buffers: 595 to 610 MiB on an H200
(CUDA 13.0) with all layers there. Fitted, as are the two that follow: docs/memory.md names the runs."""
LLAMA_CPP_CUBLAS: Final = 100 << 20
"""Bytes that cuBLAS adds with its first product, kernels and workspace: ggml has kernels of its own for quantized
matrices, but leaves plain ones, and attention that is not fused, to cuBLAS."""
LLAMA_CPP_ELSEWHERE: Final = 20 << 20
"""Bytes beside the buffers if all layers are in host memory, and that share of it if some are."""
LLAMA_CPP_CPU: Final = 60 << 20
"""Bytes that a Python process takes with llama.cpp loaded."""

ONNX_CPU: Final = 110 << 20
"""Bytes that a process takes beside ONNX Runtime GenAI's weights, cache and steps: 108 to 114 MiB on a CPU."""
ONNX_CUDA_SPARE: Final = 0.46
"""Of the weights: what ONNX Runtime held on a GPU beyond what is worked out: its arena grows by powers of two. Fitted
to two runs of one model on an H200 (batch 1 and 8), so that it says little of other sizes."""

TRANSFORMERS_CUDA: Final[dict[str, int]] = {
    "eager": 710 << 20, "auto": 710 << 20, "static": 690 << 20, "compile": 750 << 20, "cudagraph": 760 << 20,
    "fused": 1115 << 20,
}  # fmt: skip
"""Bytes that a process held beyond PyTorch's allocator by how it executes steps: medians of 45 kept runs on an H200."""
_FUSED_MORE: Final = 120 << 20
"""Bytes that the fused step's own buffers were short of."""
_GROWTH: Final[dict[str, Growth]] = {"static": "fixed", "compile": "captured", "cudagraph": "captured"}
_MARGIN: Final[dict[Growth, float]] = {"grows": 0.15, "fixed": 0.35, "captured": 0.35}
"""Of what is in use beside the weights: what the allocator held beyond what is worked out, at the most, in the runs
that docs/memory.md names."""
_MARGIN_LEAST: Final = 30 << 20
PAGE_POSITIONS: Final = 128
"""KV pages of vLLM are at most this long in its attention backends of 0.26 to 0.33: 16 to 128 positions."""
SPARE_PAGES: Final = 2
"""vLLM never uses one page; one more keeps a pool that fits exactly clear of rounding."""
VLLM_DRAFT_TOKENS: Final = 5

# Of the activations, on a CPU: what the C library's allocator keeps of them beside those in use.
_CPU_SLACK = 0.25
_PADDED = 256
_NUMBERS: Final[dict[str, float]] = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
_FORMS: Final[dict[str, GgufFormat]] = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
# Products of at least so many tokens are computed on the GPU even where their weights are not there.
_OFFLOADED_FROM = 32


class Task(Struct, frozen=True):
    """The sizes of a workload: sequences at once, tokens of each prompt, tokens generated for each."""

    batch_size: int
    input_len: int
    output_len: int

    @property
    def positions(self) -> int:
        """Tokens of prompt and output in one sequence."""
        return self.input_len + self.output_len


def needed(
    source: ModelSource, engine: EngineConfig, device_kind: DeviceKind, task: Task, *, draft: ModelSource | None = None
) -> MemoryEstimate | None:
    """What the engine needs of its device for a workload; None where what the model takes is not known.

    `draft` is the model that drafts, where one does.
    """
    shape = source.shape
    if engine.name == "llama-cpp":
        return _llama_cpp(source, engine, device_kind, task)
    if shape.cache is None or not (shape.exact or (shape.quantization and source.weights_bytes_on_disk)):
        return None
    whole = estimate(
        shape,
        dtype=engine.dtype,
        device_kind=device_kind,
        batch_size=task.batch_size,
        input_len=task.input_len,
        output_len=task.output_len,
        attention=engine.attention,
        weights_on_disk=source.weights_bytes_on_disk,
        quantization=engine.quantization,
        tensor_parallel=engine.tensor_parallel if device_kind == "cuda" else 1,
    )
    if engine.name == "transformers":
        whole = _transformers(whole, source, engine, device_kind, task)
        if device_kind == "cuda":
            whole = _with_spare(whole, source, engine, task)
    if engine.name == "onnxruntime-genai":
        whole = _onnxruntime_genai(whole, shape, engine, device_kind, task)
    if engine.name == "vllm" and device_kind == "cuda":
        shapes = [shape, *([draft.shape] if draft is not None else [])]
        pool = vllm_pool(shapes, engine, task, whole.dtype)
        if pool is None:
            return None
        whole = _with_pool(whole, pool)
    if draft is not None and engine.speculation == "draft-model":
        second = needed(draft, replace(engine, speculation="none", quantization="auto"), device_kind, task)
        if second is None:
            return None
        whole = _beside(whole, second, kv=engine.name != "vllm")
    return whole


def _beside(whole: MemoryEstimate, draft: MemoryEstimate, *, kv: bool) -> MemoryEstimate:
    """With the draft model's weights and cache; the two compute in turn, so one set of activations is enough."""
    added = tuple(
        MemoryTerm(f"draft {term.name}", term.arithmetic, term.bytes)
        for term in draft.terms
        if term.name == "weights" or (kv and term.name == "KV cache")
    )
    return replace(
        whole,
        weights=whole.weights + draft.weights,
        kv_cache=whole.kv_cache + (draft.kv_cache if kv else 0),
        terms=(*whole.terms, *added),
    )


# -- Transformers


def _transformers(
    whole: MemoryEstimate, source: ModelSource, engine: EngineConfig, device_kind: DeviceKind, task: Task
) -> MemoryEstimate:
    """With what its way of executing steps takes: kernels, loaded and captured, and copies of a cache that grows."""
    terms = list(whole.terms)
    copied = whole.kv_cache if engine.mode in ("auto", "eager") else 0
    beyond = _beyond_windows(source.shape, whole.dtype, engine, device_kind, task)
    if beyond:
        text = f"sliding layers hold all {task.input_len} tokens of a prompt until the first step"
        terms.append(MemoryTerm("prefill", text, beyond))
        whole = replace(whole, activations=whole.activations + beyond)
    if engine.quantization != "auto":
        # They are loaded as they are and quantized there, and PyTorch keeps what that took.
        unquantized = weight_bytes(source.shape, whole.dtype) // max(1, engine.tensor_parallel)
        beyond = unquantized - (whole.weights + whole.kv_cache + whole.activations)
        if beyond > 0:
            text = f"weights in {whole.dtype} before they are quantized, beyond what generating takes"
            terms.append(MemoryTerm("loading", text, beyond))
            whole = replace(whole, activations=whole.activations + beyond)
    if device_kind == "cuda":
        kind = "fused" if engine.mode == "cudagraph" and engine.transformers.graph_step == "fused" else engine.mode
        overhead = TRANSFORMERS_CUDA.get(kind, TRANSFORMERS_CUDA["eager"])
        at = next(index for index, term in enumerate(terms) if term.name == "overhead")
        terms[at] = MemoryTerm("overhead", f"CUDA context, libraries and kernels ({kind})", overhead)
        weights = whole.weights
        if engine.tensor_parallel > 1 and source.kind == "synthetic":
            weights *= engine.tensor_parallel
            at = next(index for index, term in enumerate(terms) if term.name == "weights")
            terms[at] = MemoryTerm("weights", "random ones are made whole on each GPU before they are divided", weights)
        return replace(whole, terms=tuple(terms), overhead=overhead, weights=weights)
    # What is held of the prefill is let go of before the cache grows.
    extra = round((whole.activations - beyond) * _CPU_SLACK) + max(0, copied - beyond)
    copies = MemoryTerm("working copies", "of the cache while it grows, and what the allocator keeps", extra)
    return replace(whole, terms=(*terms, copies), activations=whole.activations + extra)


def _beyond_windows(shape: ModelShape, dtype: str, engine: EngineConfig, device_kind: DeviceKind, task: Task) -> int:
    """Bytes by which the cache is larger right after the prefill than at its end.

    A sliding layer of a cache that grows keeps the last tokens as a view of all that it was given: the whole prompt
    stays until the next step makes a new tensor (DynamicSlidingWindowLayer of Transformers, whose window then holds
    as many tokens as its name says, though it shows one less).
    """
    if _GROWTH.get(engine.mode, "grows") != "grows" or shape.cache is None:
        return 0
    size = dtype_bytes(dtype)
    share = shape.kv_share(engine.tensor_parallel if device_kind == "cuda" else 1)
    more = [group.token_bytes(size, size) * (task.input_len - group.held(task.positions)) for group in shape.cache]
    return max(0, round(sum(more) * task.batch_size * share))


def _with_spare(whole: MemoryEstimate, source: ModelSource, engine: EngineConfig, task: Task) -> MemoryEstimate:
    """With what PyTorch's allocator holds beside what is in use: worked out request by request, and a margin.

    For weights in their own numbers on one GPU; otherwise the margin alone.
    """
    shape = source.shape
    growth = _GROWTH.get(engine.mode, "grows")
    used = whole.weights + whole.kv_cache + whole.activations
    loading = sum(term.bytes for term in whole.terms if term.name == "loading")
    plain = engine.quantization == "auto" and not shape.quantization and engine.tensor_parallel == 1
    terms = list(whole.terms)
    spare = 0
    margin = round(_MARGIN[growth] * (used - whole.weights - loading)) + _MARGIN_LEAST
    if plain:
        found = reserved(
            sizes_of(shape, dtype_bytes(whole.dtype)),
            task.batch_size,
            max(1, task.input_len),
            task.output_len,
            growth,
            made_here=source.kind == "synthetic",
        )
        spare = max(0, found.reserved - used)
        text = "cuBLAS' workspace, and segments that are not full, as PyTorch's allocator fills them"
        terms.append(MemoryTerm("reserved", text, spare))
        if engine.mode == "cudagraph" and engine.transformers.graph_step == "fused":
            margin += _FUSED_MORE
    elif engine.quantization == "fp8":
        spare = whole.weights
        terms.append(MemoryTerm("reserved", "weights in fp8 beside those that they are made of, while loading", spare))
    text = f"{_MARGIN[growth]:.0%} of all but the weights and {format_bytes(_MARGIN_LEAST)}: what runs held beyond that"
    terms.append(MemoryTerm("margin", text, margin))
    return replace(whole, terms=tuple(terms), spare=spare + margin)


# -- ONNX Runtime GenAI


def _onnxruntime_genai(
    whole: MemoryEstimate, shape: ModelShape, engine: EngineConfig, device_kind: DeviceKind, task: Task
) -> MemoryEstimate:
    """With logits of every token of the prompts, unless those of the last are asked for, and what its process takes."""
    rows = task.batch_size * (max(1, task.input_len) if engine.onnxruntime_genai.prompt_logits == "all" else 1)
    dtype = dtype_in_use(shape, engine.dtype, device_kind)
    logits = rows * shape.vocab * dtype_bytes(dtype)
    terms = {term.name: term for term in whole.terms}
    old = terms["logits"].bytes
    text = f"{rows} tokens x vocabulary {shape.vocab} ({dtype})"
    terms["logits"] = MemoryTerm("logits", text, max(logits, old))
    overhead = whole.overhead
    if device_kind == "cpu":
        overhead = ONNX_CPU
        terms["overhead"] = MemoryTerm("overhead", "Python and ONNX Runtime", overhead)
    spare = 0
    if device_kind == "cuda":
        spare = round(whole.weights * ONNX_CUDA_SPARE)
        text = "what ONNX Runtime's arena holds beside, which grows by powers of two"
        terms["reserved"] = MemoryTerm("reserved", text, spare)
    activations = whole.activations + max(0, logits - old)
    return replace(
        whole, terms=tuple(terms.values()), activations=activations, overhead=overhead, spare=whole.spare + spare
    )


# -- vLLM


def vllm_pool(
    shapes: Sequence[ModelShape], engine: EngineConfig, task: Task, dtype: str, longest: int | None = None
) -> int | None:
    """Bytes that each device reserves for keys and values: what the workload fills, in whole pages, or `kv_cache_mib`.

    Without room for one sequence of `longest` positions, its max_model_len, the library does not start; where that is
    not given, it is what the first of `shapes` takes, or no more than the workload with `sizes = workload`.
    What is kept of a token x positions, of the model and the one that drafts; drafted tokens take positions before they
    are accepted. None where vLLM's way of keeping it is not known: states beside the attention. `dtype` is resolved.
    """
    options = engine.vllm
    if options.kv_cache_mib:
        return options.kv_cache_mib << 20
    ahead = (engine.draft_tokens or VLLM_DRAFT_TOKENS) + 1 if engine.speculation != "none" else 0
    if longest is None:
        longest = 0 if options.sizes == "workload" else shapes[0].max_positions
    filled = -(-(task.positions + ahead) // PAGE_POSITIONS) * task.batch_size
    pages = max(filled, -(-(longest + ahead) // PAGE_POSITIONS)) + SPARE_PAGES
    each = 0
    for shape in shapes:
        whole = kv_bytes_per_token(shape, "float8_e4m3fn" if options.kv_cache_dtype == "fp8" else dtype)
        if whole is None or any(group.state for group in shape.cache or ()):
            return None
        each += round(whole * shape.kv_share(engine.tensor_parallel))
    return each * pages * PAGE_POSITIONS


def _with_pool(whole: MemoryEstimate, pool: int) -> MemoryEstimate:
    term = MemoryTerm("KV cache", f"vLLM's pool, in pages of {PAGE_POSITIONS} positions", pool)
    others = [each for each in whole.terms if each.name != "KV cache"]
    return replace(whole, kv_cache=pool, terms=(others[0], term, *others[1:]))


# -- llama.cpp


def llama_cpp_cells(options: LlamaCppOptions, task: Task) -> int:
    """Positions of a sequence in llama.cpp's KV cache: the context is divided among the sequences, and each part
    rounded up to 256."""
    sequences = max(1, task.batch_size)
    positions = max(options.n_ctx, sequences * max(1, task.positions))
    return -(-positions // (sequences * _PADDED)) * _PADDED


def llama_cpp_form(source: ModelSource, engine: EngineConfig, device_kind: DeviceKind) -> GgufFormat:
    """The weight format of the file that is written for a model that is none."""
    if engine.quantization in ("q8_0", "q4_0"):
        return "q8_0" if engine.quantization == "q8_0" else "q4_0"
    return _FORMS[dtype_in_use(source.shape, engine.dtype, device_kind)]


def _llama_cpp(source: ModelSource, engine: EngineConfig, device_kind: DeviceKind, task: Task) -> MemoryEstimate | None:
    """Weights and KV cache by layer and device, the buffer that one step computes in, and what surrounds it all.

    Layers go to the GPU from the last one on, the output layer, which counts as one, first of all. The table of input
    embeddings stays in host memory. A layer's keys and values are where its weights are.
    """
    shape, options = source.shape, engine.llama_cpp
    parts = parts_of_file(source) if source.kind == "gguf" else _written(source, engine, device_kind)
    if parts is None or shape.cache is None:
        return None
    count = len(parts.layers)
    wanted = options.n_gpu_layers if options.n_gpu_layers >= 0 else count + 1
    on_gpu = min(wanted, count + 1) if device_kind == "cuda" else 0
    cells = llama_cpp_cells(options, task)
    kv, kv_text = _llama_cpp_kv(shape.cache, options, task.batch_size, cells)
    inner = max(0, on_gpu - 1)  # the output layer is one, and keeps nothing
    form = (
        shape.quantization or shape.dtype or "as stored"
        if source.kind == "gguf"
        else llama_cpp_form(source, engine, device_kind)
    )
    compute = _compute_term(shape, parts, options, task.batch_size * cells, cells, on_gpu)
    if device_kind == "cpu":
        weights = MemoryTerm("weights", f"{count + 1} layers and embeddings ({form})", parts.total)
        cache = MemoryTerm("KV cache", kv_text, kv)
        overhead = MemoryTerm("overhead", "Python, llama.cpp and libraries", LLAMA_CPP_CPU)
        host: tuple[MemoryTerm, ...] = ()
    else:
        held = sum(parts.experts[count - inner : options.n_cpu_moe])
        gpu_weights = sum(parts.layers[count - inner :]) - held + (parts.output if on_gpu else 0)
        where = f"{on_gpu} of {count + 1} layers"
        where += f", experts of {options.n_cpu_moe} in host memory" if held else ""
        weights = MemoryTerm("weights", f"{where} ({form})", gpu_weights)
        share = inner / count
        cache = MemoryTerm("KV cache", f"{kv_text} x {inner} of {count} layers", round(kv * share))
        quantized = shape.quantization if source.kind == "gguf" else form not in _FORMS.values()
        overhead = _llama_cpp_overhead(shape, options, task, cells, 1 - on_gpu / (count + 1), quantized=bool(quantized))
        left = parts.inputs + held + sum(parts.layers[: count - inner]) + (0 if on_gpu or parts.tied else parts.output)
        host = (
            MemoryTerm("in host memory", "weights and KV cache of the other layers", left + kv - round(kv * share)),
        )
    return MemoryEstimate(
        weights=weights.bytes,
        kv_cache=cache.bytes,
        activations=compute.bytes,
        overhead=overhead.bytes,
        dtype=form,
        terms=(weights, cache, compute, overhead),
        host_terms=host,
    )


def _llama_cpp_overhead(
    shape: ModelShape, options: LlamaCppOptions, task: Task, cells: int, elsewhere: float, *, quantized: bool
) -> MemoryTerm:
    """What surrounds llama.cpp's buffers on a GPU. `elsewhere` is the share of layers in host memory."""
    size, text = LLAMA_CPP_CUDA + round(LLAMA_CPP_ELSEWHERE * elsewhere), "CUDA context and ggml's kernels"
    if not (quantized and options.flash_attention):
        size += LLAMA_CPP_CUBLAS
        text += ", cuBLAS"
    if not options.flash_attention:
        # It takes the scores in 16 bits: those of a step over prompts, against the positions that are filled then.
        filled = min(cells, -(-max(1, task.input_len) // _PADDED) * _PADDED)
        tokens = min(options.n_ubatch, options.n_batch, task.batch_size * max(1, task.input_len))
        size += tokens * filled * shape.heads * 2
        text += " and scores for it"
    return MemoryTerm("overhead", text, size)


def _written(source: ModelSource, engine: EngineConfig, device_kind: DeviceKind) -> Parts | None:
    return parts_to_write(source, llama_cpp_form(source, engine, device_kind))


def _llama_cpp_kv(
    cache: tuple[CacheLayers, ...], options: LlamaCppOptions, sequences: int, cells: int
) -> tuple[int, str]:
    """Bytes of the KV cache, and how they come about. A window takes as much as full attention: llama.cpp keeps it
    whole, unless it is told otherwise (`swa_full`)."""
    keys, values = _NUMBERS[options.type_k], _NUMBERS[options.type_v]
    each = bytes_per_token(cache, keys, values)
    state = round(sum(group.state_bytes(4) for group in cache)) * sequences
    names = options.type_k if options.type_k == options.type_v else f"{options.type_k} and {options.type_v}"
    text = f"{format_bytes(each)} a token ({names}) x batch {sequences} x {cells} positions"
    if state:
        text += f" + {format_bytes(state)} of states"
    return round(each * cells * sequences) + state, text


def _compute_term(
    shape: ModelShape, parts: Parts, options: LlamaCppOptions, context: int, cells: int, on_gpu: int
) -> MemoryTerm:
    """The buffer of one step over `n_ubatch` tokens, all of it in float32: the largest of logits, MLP and attention.

    Logits are reserved for every token. Where no layer is on the GPU, long prompts are computed there all the same,
    with copies of the weights: of the output layer, and of the largest matrix.
    (Compared with what llama.cpp 0.5.0 told of TinyLlama on an H200: 66.5 MiB from 5 to 23 layers, 160 MiB with 0.)
    """
    tokens = min(options.n_ubatch, options.n_batch, context)
    logits = tokens * (shape.vocab + shape.hidden) * 4
    width = 2 if shape.gated_mlp else 1
    mlp = tokens * (width * shape.intermediate * max(1, shape.active_experts) + 2 * shape.hidden) * 4
    query = shape.heads * shape.head_dim
    attention = tokens * (2 * query + 2 * shape.hidden) * 4 + tokens * cells * (2 + 4)
    if not options.flash_attention:
        attention += tokens * cells * shape.heads * 4
    peak, what = max((logits, "logits"), (mlp, "MLP"), (attention, "attention"))
    text = f"{tokens} tokens at once, {what}"
    if not on_gpu and tokens >= _OFFLOADED_FROM:
        peak += parts.output + parts.largest + tokens * (shape.intermediate + shape.hidden) * 4
        text += ", and copies of the weights in use"
    return MemoryTerm("compute buffer", text, peak)
