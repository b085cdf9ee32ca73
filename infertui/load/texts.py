"""Texts of a wanted number of tokens, each beginning in its own way.

Where a tokenizer is at hand the number is exact. Without one it rests on words that common tokenizers make one token of
each, and on what the server was seen to count for a known text.
"""

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate

from msgspec import Struct

from infertui import paths

Encode = Callable[[str], Sequence[int]]
POOL = 4096
"""Words in a row, of which texts are cut."""
_DISTINCT = 1 << 32
"""Texts that are told apart by how they begin."""
_LEAST_WORDS = 16
_TRIES = 16
_TOKENS_PER_WORD_OF_PROSE = 1.2
_LONGEST_WORD = 64


class TokenScale(Struct, frozen=True):
    """What a server makes of a text of the bundled words: `per_word` tokens of each, and `overhead` around them."""

    per_word: float = 1.0
    overhead: float = 0.0

    def words(self, tokens: int) -> int:
        """The words, at least one, of which it counts about so many tokens."""
        return max(1, round((tokens - self.overhead) / self.per_word))


def scale_of(counts: Sequence[tuple[int, int]]) -> TokenScale | None:
    """From texts of known words the tokens that were counted: pairs of two different sizes, of which the outer count.

    None for counts that no tokenizer makes of these words, and for those of one size.
    """
    if not counts or min(counts)[0] == max(counts)[0]:
        return None
    (few, least), (many, most) = min(counts), max(counts)
    per_word = (most - least) / (many - few)
    return TokenScale(per_word, least - per_word * few) if 0.5 <= per_word <= 20 else None


KNOWN_WORDS = (64, 320)
"""Sizes of texts from which a server's scale is learned: see `MadeTexts.known` and `scale_of`."""


def bundled_words() -> tuple[str, ...]:
    """Common English words, of lower case, all different.

    Each is one token, first or after a blank, in the vocabularies of Llama 2 and 3, Qwen 2, GPT-2 and NeoX, Falcon,
    Phi-3, DeepSeek, Command R, StarCoder, SmolLM2, MPT, Baichuan, Aquila and BERT, where this was looked at.
    """
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

    def unique(self, number: int, tokens: int, shared: float = 0.0) -> str:
        """A text of so many tokens, of which the first share is that of all such texts."""
        return self._fitted(tokens, lambda words: self._own(number, words, shared), exact=self._exact)

    def of_prompt(self, prompt: str, number: int, tokens: int, shared: float = 0.0) -> str:
        """The same, and after its beginning it goes on with a prompt, cut, or again and again from the start."""
        pieces = _pieces(prompt)
        if not pieces:
            return self.unique(number, tokens, shared)

        def made(words: int) -> str:
            alike = round(words * shared)
            lead = self._digits_of(number)[: max(0, words - alike)]
            rest = max(0, words - alike - len(lead))
            if rest and not self._encode:
                rest = max(1, round(rest / _TOKENS_PER_WORD_OF_PROSE))
            body = (pieces * math.ceil(rest / len(pieces)))[:rest]
            return "".join((self._cut(0, alike), *lead, *body))[1:]

        return self._fitted(tokens, made, exact=False)

    def blocks(self, names: Sequence[int], size: int, tokens: int, number: int) -> str:
        """A text of blocks of `size` tokens, the last of them cut: those of one name are alike in all texts.

        What the blocks do not fill is the text's own, as `unique` has it by the text's number.
        """
        left, parts = self._scale.words(tokens), []
        each = max(1, round(size / self._scale.per_word))
        for name in names:
            if left <= 0:
                break
            parts.append(self._block(name, min(left, each)))
            left -= each
        if left > 0:
            parts.append(self._block(number, left))
        return "".join(parts)[1:]

    def known(self, words: int, number: int = 0) -> str:
        """A text of so many words, for which a server tells how many tokens it counts. See `scale_of`.

        After its beginning come all words in turn, so that between `KNOWN_WORDS` all of them stand once.
        """
        lead = self._digits_of(number)[:words]
        rest = words - len(lead)
        body = (self._words * math.ceil(rest / len(self._words)))[:rest]
        return "".join((*lead, *body))[1:]

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

    def _fitted(self, tokens: int, made: Callable[[int], str], *, exact: bool) -> str:
        """Of as many words as make so many tokens. `exact`: with a tokenizer that is known to make one of each word."""
        words = self._scale.words(tokens)
        if self._encode is None or exact:
            return made(words)
        fewest, most = 0, tokens + 1  # words: of the one it is known that they are not too many, of the other that
        best, count = "", 0
        for _ in range(_TRIES):
            text = made(words)
            counted = len(self._encode(text))
            if counted > tokens:
                most = words
            else:
                fewest, best, count = words, text, counted
            if counted == tokens or most - fewest <= 1:
                break
            words = min(max(round(words * tokens / max(1, counted)), fewest + 1), most - 1)
        return self._filled(best, tokens, count, made(fewest + 1)) or made(1)

    def _filled(self, text: str, tokens: int, count: int, longer: str) -> str:
        """A text of fewer tokens with as much behind it as they lack: words of one token, or parts of a longer text."""
        if self._encode is None or count == tokens:
            return text
        if self._exact:
            return text + self._cut(POOL // 2, tokens - count)
        for end in range(len(text) + 1, min(len(longer), len(text) + _LONGEST_WORD) + 1):
            if len(self._encode(longer[:end])) == tokens:
                return longer[:end]
        return text

    def _learned(self, encode: Encode) -> TokenScale:
        if self._exact:
            return TokenScale()
        few, many = ("".join((self._words * 2)[:number])[1:] for number in (64, 256))
        return scale_of([(64, len(encode(few))), (256, len(encode(many)))]) or TokenScale()


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


@lru_cache(maxsize=1024)
def _pieces(prompt: str) -> list[str]:
    """A prompt's words, each with a blank in front; long runs without blanks, as of Chinese, in parts."""
    pieces = []
    for word in prompt.split():
        parts = [word[at : at + _LONGEST_WORD] for at in range(0, len(word), _LONGEST_WORD)]
        pieces.append(f" {parts[0]}")
        pieces += parts[1:]
    return pieces
