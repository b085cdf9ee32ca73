"""The tokenizer of synthetic models: one token per UTF-8 byte. It needs no files and no training.

Random weights give meaningless text whatever the tokenizer; what matters is that any prompt has a known, repeatable
number of tokens, and that every id a model of any vocabulary emits can be shown.
"""

from collections.abc import Iterable

PLACEHOLDER = "\N{WHITE VERTICAL RECTANGLE}"
"""Shown for an id beyond the vocabulary: random weights choose freely among all ids of the model."""


class ByteTokenizer:
    """Ids 0..255 are the UTF-8 bytes; 256, 257 and 258 pad, begin and end a sequence."""

    pad_token_id = 256
    bos_token_id = 257
    eos_token_id = 258
    all_special_ids = (pad_token_id, bos_token_id, eos_token_id)
    vocab_size = 259

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without begin or end marks. Lone surrogates, which UTF-8 has no bytes for, become `?`."""
        return list(text.encode("utf-8", errors="replace"))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`.

        Special ids are left out, ids outside the vocabulary show as `PLACEHOLDER`, bytes that are not UTF-8 as
        U+FFFD. Control characters stay: clean the text before showing it in a terminal.
        """
        placeholder = PLACEHOLDER.encode()
        text = bytearray()
        for token in ids:
            if 0 <= token < 256:
                text.append(token)
            elif token not in self.all_special_ids:
                text += placeholder
        return text.decode("utf-8", errors="replace")
