"""What Transformers asks of PyTorch's allocator: weights as they are made, a prefill by layers, a cache that grows.

Sizes follow from a model's shape; the order is that of the library's Llama, of which other decoders differ little.

PyTorch's caching allocator for one GPU, as arithmetic: what it reserves of the device for a sequence of requests.

The rules are those of its source (c10/cuda/CUDACachingAllocator.cpp), with its default settings:
sizes are multiples of 512 B; requests of up to 1 MiB share segments of 2 MiB, those below 10 MiB segments of 20 MiB,
larger ones get a segment of their own in multiples of 2 MiB. A request takes the smallest free block that holds it,
which is split where more than that is left; neighbours that are free are joined. A segment is kept when all of it is
free, and given back before memory runs out.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from infertui.models.shapes import ModelShape

_UNIT: Final = 512
_MIB: Final = 1 << 20
_SMALL: Final = _MIB
_SMALL_SEGMENT: Final = 2 * _MIB
_LARGE: Final = 10 * _MIB
_LARGE_SEGMENT: Final = 20 * _MIB
_ROUNDED: Final = 2 * _MIB


class Block:
    """A part of a segment, with its neighbours there."""

    __slots__ = ("after", "before", "free", "key", "size", "small")

    def __init__(self, size: int, key: int, *, small: bool) -> None:
        self.size, self.key, self.small, self.free = size, key, small, True
        self.before: Block | None = None
        self.after: Block | None = None


class CachingAllocator:
    """`reserved` and `in_use` are bytes now; `reserved_peak` and `in_use_peak` the most there were."""

    def __init__(self) -> None:
        self.reserved = self.reserved_peak = self.in_use = self.in_use_peak = 0
        self._free: dict[bool, list[tuple[int, int, Block]]] = {True: [], False: []}
        self._keys = 0

    def allocate(self, size: int) -> Block:
        """A block of at least `size` bytes."""
        size = max(_UNIT, -(-size // _UNIT) * _UNIT)
        small = size <= _SMALL
        free = self._free[small]
        at = bisect_left(free, (size, -1))
        block = free.pop(at)[2] if at < len(free) else self._segment(size, small=small)
        left = block.size - size
        if left >= _UNIT if small else left > _SMALL:
            rest = self._new(left, small=small)
            rest.before, rest.after = block, block.after
            if block.after is not None:
                block.after.before = rest
            block.after, block.size = rest, size
            self._keep(rest)
        block.free = False
        self.in_use += block.size
        self.in_use_peak = max(self.in_use_peak, self.in_use)
        return block

    def free(self, block: Block) -> None:
        """Keep the block for later requests."""
        self.in_use -= block.size
        block.free = True
        after = block.after
        if after is not None and after.free:
            self._join(block, self._taken(after))
        before = block.before
        if before is not None and before.free:
            self._join(self._taken(before), block)
            block = before
        self._keep(block)

    def empty(self) -> None:
        """Give back the segments that are free as a whole."""
        for small, blocks in self._free.items():
            whole = [entry for entry in blocks if entry[2].before is None and entry[2].after is None]
            self.reserved -= sum(size for size, _, _ in whole)
            gone = {key for _, key, _ in whole}
            self._free[small] = [entry for entry in blocks if entry[1] not in gone]

    def _segment(self, size: int, *, small: bool) -> Block:
        segment = (
            _SMALL_SEGMENT if small else _LARGE_SEGMENT if size < _LARGE else -(-size // _ROUNDED) * _ROUNDED
        )  # fmt: skip
        self.reserved += segment
        self.reserved_peak = max(self.reserved_peak, self.reserved)
        return self._new(segment, small=small)

    def _new(self, size: int, *, small: bool) -> Block:
        self._keys += 1
        return Block(size, self._keys, small=small)

    def _keep(self, block: Block) -> None:
        insort(self._free[block.small], (block.size, block.key, block))

    def _taken(self, block: Block) -> Block:
        free = self._free[block.small]
        del free[bisect_left(free, (block.size, block.key))]
        return block

    def _join(self, first: Block, second: Block) -> None:
        first.size += second.size
        first.after = second.after
        if second.after is not None:
            second.after.before = first


Growth = Literal["grows", "fixed", "captured"]
"""The KV cache: made anew with each token, made once, or made once for a step that is captured as a CUDA graph."""

CUBLAS_WORKSPACE: Final = 32 << 20
"""Bytes that PyTorch allocates for cuBLAS on each stream that multiplies matrices, on GPUs from Hopper on. Older ones
take less (CUBLAS_WORKSPACE_CONFIG)."""
# Growing caches are followed at so many lengths that they make about so many requests: more takes its time.
_REQUESTS: Final = 2400


class DecoderSizes(Struct, frozen=True):
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


def sizes_of(shape: ModelShape, number: int) -> DecoderSizes:
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
    return DecoderSizes(
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
def reserved(sizes: DecoderSizes, batch: int, prompt: int, output: int, growth: Growth, *, made_here: bool) -> Reserved:
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


def _captured(allocator: CachingAllocator, sizes: DecoderSizes, batch: int, prompt: int, positions: int) -> Reserved:
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
    allocator: CachingAllocator, sizes: DecoderSizes, batch: int, prompt: int, cache: list[Block], *, over: int
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


def _norm(allocator: CachingAllocator, tokens: int, sizes: DecoderSizes) -> Block:
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


def _repeated(allocator: CachingAllocator, sizes: DecoderSizes, tokens: int) -> list[Block]:
    """Keys and values with a head for each of the query's, where there are fewer."""
    if sizes.query == sizes.key:
        return []
    return [allocator.allocate(tokens * sizes.query * sizes.number) for _ in range(2)]


def _free(allocator: CachingAllocator, blocks: Iterable[Block]) -> None:
    for block in blocks:
        allocator.free(block)
