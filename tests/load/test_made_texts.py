"""Texts of a wanted number of tokens, counted by tokenizers."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from infertui.load.texts import POOL, Encode, MadeTexts, TokenScale, bundled_words, salt_of, scale_of
from infertui.models.tokenizers import ByteTokenizer


def whole_words() -> Encode:
    """One token for every word, with and without a blank in front, and one for every byte of anything else."""
    pieces = [*bundled_words(), *(f"\u0120{word}" for word in bundled_words())]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces] + [(one, -9.0) for one in letters]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return lambda text: tokenizer.encode(text).ids


def pairs(text: str) -> Sequence[int]:
    """Tokens of two characters: no word is one."""
    return [1] * -(-len(text) // 2)


def test_the_bundled_words_are_256_different_ones() -> None:
    words = bundled_words()
    assert len(words) == len(set(words)) == 256
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)


@pytest.mark.parametrize("tokens", [1, 2, 3, 4, 5, 128, POOL - 1, POOL, POOL + 1, 3 * POOL + 7])
def test_a_text_has_its_words_whatever_their_number(tokens: int) -> None:
    for number in (0, 1, 999, 2**32 - 1, 2**40):
        assert len(MadeTexts(0).unique(number, tokens, 0.3).split()) == tokens


@settings(max_examples=40)
@given(st.integers(1, 3000), st.integers(0, 2**33), st.sampled_from([0.0, 0.2, 0.999, 1.0]))
def test_with_a_tokenizer_lengths_are_exact(tokens: int, number: int, shared: float) -> None:
    encode = whole_words()
    texts = MadeTexts(5, encode=encode)
    assert len(encode(texts.unique(number, tokens, shared))) == tokens
    prompt = 'He said "no", and 12 went on; \u65e5\u672c\u8a9e too.'
    assert len(encode(texts.of_prompt(prompt, number, tokens, shared))) == tokens


@settings(max_examples=40)
@given(st.integers(1, 2000), st.integers(0, 2**33))
def test_with_tokens_of_bytes_lengths_are_exact(tokens: int, number: int) -> None:
    encode = ByteTokenizer().encode
    assert len(encode(MadeTexts(5, encode=encode).unique(number, tokens))) == tokens
    assert len(pairs(MadeTexts(5, encode=pairs).unique(number, tokens))) == tokens


@settings(max_examples=60)
@given(st.text(max_size=60), st.integers(1, 300), st.sampled_from([None, whole_words(), ByteTokenizer().encode]))
def test_any_prompt_can_be_brought_to_a_length(prompt: str, tokens: int, encode: Encode | None) -> None:
    text = MadeTexts(5, encode=encode).of_prompt(prompt, 3, tokens)
    assert text
    if encode is not None:
        assert abs(len(encode(text)) - tokens) <= 0.1 * tokens + 64


def test_prompts_go_on_after_a_beginning_of_their_own() -> None:
    texts = MadeTexts(0)
    one, other = texts.of_prompt("alpha beta", 1, 40).split(), texts.of_prompt("alpha beta", 2, 40).split()
    assert one[0] != other[0]
    assert one[4:8] == other[4:8] == ["alpha", "beta", "alpha", "beta"]


def test_a_prompt_without_blanks_is_cut_within() -> None:
    text = MadeTexts(0, encode=ByteTokenizer().encode).of_prompt("x" * 100_000, 0, 1000)
    assert len(text) == pytest.approx(1000, abs=64)


def test_blocks_of_one_name_are_alike_and_others_are_not() -> None:
    texts = MadeTexts(0)
    one = texts.blocks([7, 8, 9], 512, 1300, number=0).split()
    other = texts.blocks([7, 8, 10, 11], 512, 1600, number=1).split()
    assert (len(one), len(other)) == (1300, 1600)
    assert one[:1024] == other[:1024]
    assert one[1024] != other[1024]
    longer = texts.blocks([9], 512, 512, number=2).split()
    assert longer[:276] == one[1024:]


def test_what_blocks_do_not_fill_is_the_texts_own() -> None:
    texts = MadeTexts(0)
    assert texts.blocks([], 512, 90, number=4) == texts.unique(4, 90)
    one, other = (texts.blocks([7], 512, 600, number=number).split() for number in (1, 2))
    assert one[:512] == other[:512]
    assert one[512] != other[512]
    assert len(texts.blocks([1, 2, 3], 512, 100, number=0).split()) == 100


def test_huge_and_negative_names_of_blocks() -> None:
    texts = MadeTexts(0)
    assert len({texts.blocks([name], 512, 512, number=0) for name in (0, -1, 2**64, 10**19 + 1)}) >= 3


def test_a_scale_of_two_counts_is_the_line_through_them() -> None:
    """A server that makes 1.5 tokens of a word, and 30 of its template."""
    scale = scale_of([(100, 180), (300, 480), (200, 331)])
    assert scale is not None
    assert scale == TokenScale(1.5, 30)
    assert scale.words(630) == 400
    assert scale.words(3) == 1
    assert len(MadeTexts(0, scale=scale).unique(0, 630).split()) == 400


@pytest.mark.parametrize(
    "counts", [[], [(100, 130)], [(100, 130), (100, 140)], [(100, 90), (300, 91)], [(1, 1), (2, 90)]]
)
def test_counts_that_teach_nothing(counts: list[tuple[int, int]]) -> None:
    assert scale_of(counts) is None


def test_known_texts_have_their_words() -> None:
    assert [len(MadeTexts(0).known(words).split()) for words in (1, 64, 256)] == [1, 64, 256]


def test_salts_of_names_differ() -> None:
    assert salt_of("20261201-a") != salt_of("20261201-b")
    assert 0 <= salt_of("") < 2**48
