"""PyTorch's caching allocator for one GPU, as arithmetic: what it reserves of the device for a sequence of requests.

The rules are those of its source (c10/cuda/CUDACachingAllocator.cpp), with its default settings:
sizes are multiples of 512 B; requests of up to 1 MiB share segments of 2 MiB, those below 10 MiB segments of 20 MiB,
larger ones get a segment of their own in multiples of 2 MiB. A request takes the smallest free block that holds it,
which is split where more than that is left; neighbours that are free are joined. A segment is kept when all of it is
free, and given back before memory runs out.
"""

from bisect import bisect_left, insort
from typing import Final

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
