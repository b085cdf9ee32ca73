"""MadeTexts of a wanted number of tokens, each beginning in its own way.

Where a tokenizer is at hand the number is exact. Without one it rests on words that common tokenizers make one token of
each, and on what the server was seen to count for a known text.
"""

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from itertools import accumulate

from msgspec import Struct

from infertui import paths

Encode = Callable[[str], Sequence[int]]
POOL = 4096
"""Words in a row, of which texts are cut."""
_DISTINCT = 1 << 32
"""MadeTexts that are told apart by how they begin."""
_LEAST_WORDS = 16
_TRIES = 16
_TOKENS_PER_WORD_OF_PROSE = 1.3
_LONGEST_WORD = 64


class TokenScale(Struct, frozen=True):
    """What a server makes of a text of the bundled words: `per_word` tokens of each, and `overhead` around them."""

    per_word: float = 1.0
    overhead: float = 0.0

    def words(self, tokens: int) -> int:
        """The words, at least one, of which it counts about so many tokens."""
        return max(1, round((tokens - self.overhead) / self.per_word))


def scale_of(counts: Sequence[tuple[int, int]]) -> TokenScale:
    """From texts of known words the tokens that were counted: pairs of two different sizes, of which the outer count.

    Counts that no tokenizer makes of these words teach nothing.
    """
    if not counts or min(counts)[0] == max(counts)[0]:
        return TokenScale()
    (few, least), (many, most) = min(counts), max(counts)
    per_word = (most - least) / (many - few)
    if not 0.5 <= per_word <= 20:
        return TokenScale()
    return TokenScale(per_word, least - per_word * few)


def bundled_words() -> tuple[str, ...]:
    """Common English words, of lower case, all different."""
    return tuple((paths.data() / "words.txt").read_text(encoding="utf-8").split())


class MadeTexts:
    """Makes texts. Equal for equal seeds, salts and words.

    No two of 2**32 begin alike: the first words are the digits of the text's number, the lowest first, so that those of
    neighbours differ in the first word already, and nothing that a server keeps of one helps it with another. `salt`
    does the same for runs that are otherwise equal. `encode`, without marks of begin and end, makes lengths exact.
    """

    def __init__(
        self, seed: int, *, salt: int = 0, scale: TokenScale | None = None, encode: Encode | None = None
    ) -> None:
        self._encode = encode
        words = bundled_words()
        fitting = _of_one_token(words, encode) if encode else ()
        self._exact = len(fitting) >= _LEAST_WORDS
        self._words = tuple(f" {word}" for word in (fitting if self._exact else words))
        self._scale = (scale or TokenScale()) if not encode else self._learned(encode)
        self._digits = math.ceil(math.log(_DISTINCT, len(self._words)))
        source = random.Random(f"{seed}:{salt}")  # noqa: S311 (texts, not secrets)
        self._offset = source.randrange(_DISTINCT)
        drawn = source.choices(self._words, k=POOL)
        self._ends = list(accumulate((len(word) for word in drawn + drawn), initial=0))
        self._pool = "".join(drawn)
        self._twice = self._pool * 2
        self._split: dict[str, list[str]] = {}

    def unique(self, number: int, tokens: int, shared: float = 0.0) -> str:
        """A text of so many tokens, of which the first share is that of all such texts."""
        return self._fitted(tokens, self._scale.words(tokens), lambda words: self._own(number, words, shared))

    def of_prompt(self, prompt: str, number: int, tokens: int, shared: float = 0.0) -> str:
        """The same, and after its beginning it goes on with a prompt, cut, or again and again from the start."""
        if prompt not in self._split:
            self._split[prompt] = _pieces(prompt)
        pieces = self._split[prompt]

        def made(words: int) -> str:
            alike = round(words * shared)
            lead = self._digits_of(number)[: max(0, words - alike)]
            rest = max(0, words - alike - len(lead))
            if pieces and not self._encode:
                rest = max(1, round(rest / _TOKENS_PER_WORD_OF_PROSE)) if rest else 0
            body = (pieces * math.ceil(rest / len(pieces)))[:rest] if pieces else []
            return "".join((self._cut(0, alike), *lead, *body))[1:]

        return self._fitted(tokens, self._scale.words(tokens), made, always=True)

    def blocks(self, names: Sequence[int], size: int, tokens: int) -> str:
        """A text of blocks of `size` tokens, the last of them shorter: those of one name are alike in all texts."""
        scale = self._scale
        left, parts = scale.words(tokens), []
        for name in names:
            words = min(left, max(1, round(size / scale.per_word)))
            if words <= 0:
                break
            parts.append(self._block(name, words))
            left -= words
        if left > 0:  # more tokens than the blocks hold
            parts.append(self._cut(0, left))
        return "".join(parts)[1:]

    def known(self, words: int, number: int = 0) -> str:
        """A text of so many words, for which a server tells how many tokens it counts. See `scale_of`."""
        return self._own(number, words, 0.0)

    def _own(self, number: int, words: int, shared: float) -> str:
        alike = round(words * shared)
        return (self._cut(0, alike) + self._block(number, words - alike))[1:]

    def _block(self, number: int, words: int) -> str:
        lead = self._digits_of(number)[:words]
        return "".join(lead) + self._cut(number * 2_654_435_761 % POOL, words - len(lead))

    def _digits_of(self, number: int) -> list[str]:
        base, words = len(self._words), self._words
        left = (number + self._offset) % _DISTINCT
        digits = []
        for _ in range(self._digits):
            left, digit = divmod(left, base)
            digits.append(words[digit])
        return digits

    def _cut(self, start: int, words: int) -> str:
        """So many words of the pool from a place on, which goes on at its beginning."""
        if words <= 0:
            return ""
        rounds, rest = divmod(words, POOL)
        ends = self._ends
        again = self._twice[ends[start] : ends[start + POOL]] * rounds if rounds else ""
        return again + self._twice[ends[start] : ends[start + rest]]

    def _fitted(self, tokens: int, words: int, made: Callable[[int], str], *, always: bool = False) -> str:
        """The text whose tokens are nearest to those wanted; exact where any number of words is."""
        text = made(words)
        if self._encode is None or (self._exact and not always):
            return text
        best, best_off = text, math.inf
        tried: dict[int, int] = {}
        for _ in range(_TRIES):
            tried[words] = len(self._encode(text))
            off = tried[words] - tokens
            if abs(off) < best_off:
                best, best_off = text, abs(off)
            if not off:
                break
            words = max(1, words - (round(off * words / tried[words]) or (1 if off > 0 else -1)))
            if words in tried:
                break
            text = made(words)
        return best

    def _learned(self, encode: Encode) -> TokenScale:
        if self._exact:
            return TokenScale()
        few, many = ("".join((self._words * 2)[:number])[1:] for number in (64, 256))
        return scale_of([(64, len(encode(few))), (256, len(encode(many)))])


def salt_of(name: str) -> int:
    """A salt of a name, as of a run's id."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])


def _of_one_token(words: Sequence[str], encode: Encode) -> tuple[str, ...]:
    """Those that are one token each, at the beginning of a text and within, whatever stands beside them."""
    found = tuple(word for word in words if len(encode(word)) == 1 and len(encode(f"{word} {word}")) == 2)
    if len(found) < _LEAST_WORDS:
        return ()
    row = [found[number * 7 % len(found)] for number in range(3 * len(found))]
    return found if len(encode(" ".join(row))) == len(row) else ()


def _pieces(prompt: str) -> list[str]:
    """A prompt's words, each with a blank in front; long runs without blanks, as of Chinese, in parts."""
    pieces = []
    for word in prompt.split():
        parts = [word[at : at + _LONGEST_WORD] for at in range(0, len(word), _LONGEST_WORD)]
        pieces.append(f" {parts[0]}")
        pieces += parts[1:]
    return pieces
