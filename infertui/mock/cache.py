"""A simulated prefix cache: whole blocks of 16 tokens, found by the longest prefix in common with earlier prompts.

A prompt's tokens are counted without a tokenizer: four bytes of UTF-8 each, or one an id where ids are sent. As in
vLLM a hit never covers the whole prompt, since the last token has to be computed for its logits.
"""

from collections import OrderedDict
from collections.abc import Sequence

BLOCK = 16
BYTES_A_TOKEN = 4


class Prompt:
    """A prompt as bytes, or as token ids."""

    __slots__ = ("_ids", "_text", "tokens")

    def __init__(self, text: bytes = b"", ids: Sequence[int] = ()) -> None:
        self._text, self._ids = text, tuple(ids)
        self.tokens = len(self._ids) or -(-len(text) // BYTES_A_TOKEN)

    def blocks(self) -> list[int]:
        """A number for each whole block, which stands for it and all before it."""
        source: bytes | tuple[int, ...] = self._ids or self._text
        width = BLOCK if self._ids else BLOCK * BYTES_A_TOKEN
        found, chain = [], 0
        for start in range(0, len(source) - width + 1, width):
            chain = hash((chain, source[start : start + width]))
            found.append(chain)
        return found


class PrefixCache:
    """The blocks of earlier prompts, the least recently used of them dropped beyond `size`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self.queried = self.hit = 0

    def take(self, prompt: Prompt) -> int:
        """How many tokens of the prompt were cached; from now on its whole blocks are."""
        blocks = prompt.blocks()
        found = 0
        for block in blocks[: max(prompt.tokens - 1, 0) // BLOCK]:
            if block not in self._blocks:
                break
            found += 1
        for block in blocks:
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._size:
            self._blocks.popitem(last=False)
        self.queried += prompt.tokens
        self.hit += found * BLOCK
        return found * BLOCK

    def clear(self) -> None:
        """Forget all blocks."""
        self._blocks.clear()
