"""What Transformers asks of PyTorch's allocator: weights as they are made, a prefill by layers, a cache that grows.

Sizes follow from a model's shape; the order is that of the library's Llama, of which other decoders differ little.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from infertui.models.shapes import ModelShape
from infertui.models.torch_allocator import Block, CachingAllocator

Growth = Literal["grows", "fixed", "captured"]
"""The KV cache: made anew with each token, made once, or made once for a step that is captured as a CUDA graph."""

CUBLAS_WORKSPACE: Final = 32 << 20
"""Bytes that PyTorch allocates for cuBLAS on each stream that multiplies matrices, on GPUs from Hopper on. Older ones
take less (CUBLAS_WORKSPACE_CONFIG)."""
# Growing caches are followed at so many lengths that they make about so many requests: more takes its time.
_REQUESTS: Final = 2400


class Sizes(Struct, frozen=True):
    """The widths of a decoder, and the bytes of a number. `mlp` is the width times the experts that compute a token;
    `tables` are the matrices of one layer, in numbers."""

    layers: int
    hidden: int
    query: int
    key: int
    mlp: int
    vocab: int
    number: int
    tables: tuple[int, ...]
    gated: bool
    tied: bool


class Reserved(Struct, frozen=True):
    """Bytes at the most: what the allocator holds, and what of it is in use at once."""

    reserved: int
    in_use: int


def sizes_of(shape: ModelShape, number: int) -> Sizes:
    """Of a model whose numbers have so many bytes."""
    query, key, hidden = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim, shape.hidden
    into = 2 if shape.gated_mlp else 1
    if shape.experts:
        mlp = [into * shape.experts * hidden * shape.intermediate, shape.experts * hidden * shape.intermediate]
    else:
        mlp = [hidden * shape.intermediate] * (into + 1)
    # Without a gated MLP most are kin to GPT-2, which has one matrix for all three.
    into_attention = [query, key, key] if shape.gated_mlp else [query + 2 * key]
    attention = [hidden * width for width in (*into_attention, query)]
    return Sizes(
        layers=shape.layers,
        hidden=hidden,
        query=query,
        key=key,
        mlp=shape.intermediate * max(1, shape.active_experts),
        vocab=shape.vocab,
        number=number,
        tables=(*attention, *mlp),
        gated=shape.gated_mlp,
        tied=shape.tied_embeddings,
    )


@lru_cache(maxsize=256)
def reserved(sizes: Sizes, batch: int, prompt: int, output: int, growth: Growth, *, made_here: bool) -> Reserved:
    """What the allocator reserves to load the model and generate a batch.

    `made_here`: weights are random, so an output layer that shares the table of embeddings is made before it is let go.
    """
    allocator = CachingAllocator()
    allocate, number = allocator.allocate, sizes.number
    allocate(sizes.vocab * sizes.hidden * number)
    for _ in range(sizes.layers):
        for table in (*sizes.tables, sizes.hidden, sizes.hidden):
            allocate(table * number)
    if made_here or not sizes.tied:
        head = allocate(sizes.vocab * sizes.hidden * number)
        if sizes.tied:
            allocator.free(head)
    allocate(CUBLAS_WORKSPACE)
    positions = prompt + output
    cache: list[Block] = []
    if growth != "grows":
        cache = [allocate(batch * positions * sizes.key * number) for _ in range(2 * sizes.layers)]
    _prefill(allocator, sizes, batch, prompt, cache, over=0 if growth == "grows" else positions)
    if growth == "grows":
        _grow(allocator, cache, batch * sizes.key * number, prompt, output)
    if growth == "captured":
        return _captured(allocator, sizes, batch, prompt, positions)
    return Reserved(allocator.reserved_peak, allocator.in_use_peak)


def _captured(allocator: CachingAllocator, sizes: Sizes, batch: int, prompt: int, positions: int) -> Reserved:
    """With the step rehearsed on another stream, then captured, and the prefill with it, in a pool of their own.

    Neither shares what is free elsewhere, but before a capture what is free as a whole is given back.
    """
    before = allocator.reserved_peak
    allocator.empty()
    pool = CachingAllocator()
    pool.allocate(CUBLAS_WORKSPACE)
    _free(pool, _repeated(pool, sizes, batch * positions))
    step = pool.reserved
    _prefill(pool, sizes, batch, prompt, [], over=positions)
    captured = max(before + step, allocator.reserved + pool.reserved_peak) + CUBLAS_WORKSPACE
    in_use = max(allocator.in_use_peak, allocator.in_use + pool.in_use_peak) + CUBLAS_WORKSPACE
    return Reserved(captured, in_use)


def _prefill(
    allocator: CachingAllocator, sizes: Sizes, batch: int, prompt: int, cache: list[Block], *, over: int
) -> None:
    """One forward over all prompts. A cache that grows gets its first blocks; of one that is fixed, keys and values
    are read with a mask, for which their heads are repeated, `over` so many positions."""
    allocate, number = allocator.allocate, sizes.number
    tokens = batch * prompt
    hidden, query, key, mlp = (
        tokens * width * number for width in (sizes.hidden, sizes.query, sizes.key, sizes.mlp)
    )  # fmt: skip

    state = allocate(hidden)
    for _ in range(sizes.layers):
        normed = _norm(allocator, tokens, sizes)
        if sizes.gated:
            parts = [allocate(query), allocate(key), allocate(key)]
            turned, turned_key = _rotated(allocator, query), _rotated(allocator, key)
            _free(allocator, parts[:2])
            parts = [parts[2], turned_key]
        else:
            parts, turned = [], allocate(query + 2 * key)
        if not over:
            cache += [allocate(key), allocate(key)]
        _free(allocator, parts)
        whole = _repeated(allocator, sizes, batch * over) if over else []
        attended = allocate(query)
        _free(allocator, whole)
        projected = allocate(hidden)
        _free(allocator, [attended, turned, normed])
        state = _added(allocator, state, projected, hidden)
        normed = _norm(allocator, tokens, sizes)
        active = _gated(allocator, mlp) if sizes.gated else _gelu(allocator, mlp)
        down = allocate(hidden)
        _free(allocator, [active, normed])
        state = _added(allocator, state, down, hidden)
    _free(allocator, [_norm(allocator, tokens, sizes), state])
    _free(allocator, [allocate(batch * sizes.vocab * number), allocate(batch * sizes.vocab * 4)])


def _grow(allocator: CachingAllocator, cache: list[Block], token: int, prompt: int, output: int) -> None:
    """Each step makes every block anew, one token longer, and lets the old one go."""
    stride = max(1, (output - 1) * len(cache) // _REQUESTS)
    for length in range(prompt + stride, prompt + output, stride):
        for at, old in enumerate(cache):
            cache[at] = allocator.allocate(token * length)
            allocator.free(old)


def _gated(allocator: CachingAllocator, size: int) -> Block:
    gate, active = allocator.allocate(size), allocator.allocate(size)
    allocator.free(gate)
    up, product = allocator.allocate(size), allocator.allocate(size)
    _free(allocator, [active, up])
    return product


def _gelu(allocator: CachingAllocator, size: int) -> Block:
    """GELU by its formula: half of x is kept while the rest is worked out step by step, each in a copy."""
    inner, half, step = (allocator.allocate(size) for _ in range(3))
    for _ in range(5):
        following = allocator.allocate(size)
        allocator.free(step)
        step = following
    product = allocator.allocate(size)
    _free(allocator, [inner, half, step])
    return product


def _norm(allocator: CachingAllocator, tokens: int, sizes: Sizes) -> Block:
    """RMSNorm in float32, whatever the model's format, and scaled in the model's; LayerNorm in one kernel."""
    if not sizes.gated:
        return allocator.allocate(tokens * sizes.hidden * sizes.number)
    wide = tokens * sizes.hidden * 4
    whole, squares = allocator.allocate(wide), allocator.allocate(wide)
    allocator.free(squares)
    scaled = allocator.allocate(wide)
    allocator.free(whole)
    narrow = allocator.allocate(tokens * sizes.hidden * sizes.number)
    normed = allocator.allocate(tokens * sizes.hidden * sizes.number)
    _free(allocator, [narrow, scaled])
    return normed


def _rotated(allocator: CachingAllocator, size: int) -> Block:
    """x cos + rotate(x) sin: each product is a copy, and so is what is rotated."""
    cosine, half = allocator.allocate(size), allocator.allocate(size // 2)
    rotated = allocator.allocate(size)
    allocator.free(half)
    sine = allocator.allocate(size)
    allocator.free(rotated)
    total = allocator.allocate(size)
    _free(allocator, [cosine, sine])
    return total


def _added(allocator: CachingAllocator, state: Block, more: Block, size: int) -> Block:
    total = allocator.allocate(size)
    _free(allocator, [state, more])
    return total


def _repeated(allocator: CachingAllocator, sizes: Sizes, tokens: int) -> list[Block]:
    """Keys and values with a head for each of the query's, where there are fewer."""
    if sizes.query == sizes.key:
        return []
    return [allocator.allocate(tokens * sizes.query * sizes.number) for _ in range(2)]


def _free(allocator: CachingAllocator, blocks: Iterable[Block]) -> None:
    for block in blocks:
        allocator.free(block)
