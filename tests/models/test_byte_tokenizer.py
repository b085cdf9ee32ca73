from hypothesis import given
from hypothesis import strategies as st

from infertui.models.tokenizers import PLACEHOLDER, ByteTokenizer

tokenizer = ByteTokenizer()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_survives_encoding_and_decoding(text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) == len(text.encode())
    assert all(0 <= token < 256 for token in ids)


@given(st.lists(st.integers(-(2**40), 2**40)))
def test_any_ids_decode_to_valid_text(ids: list[int]) -> None:
    tokenizer.decode(ids).encode("utf-8")


@given(st.text())
def test_any_text_encodes(text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text.encode(errors="replace").decode()


def test_the_text_of_special_and_unknown_ids() -> None:
    assert tokenizer.decode([257, 72, 105, 258, 256]) == "Hi"
    assert tokenizer.decode([72, 259, 50256, -1]) == "H" + 3 * PLACEHOLDER
    assert tokenizer.decode([0xE2, 0x82]) == "\N{REPLACEMENT CHARACTER}"
    assert tokenizer.decode([0xE2, 4000, 0x82]) == f"\ufffd{PLACEHOLDER}\ufffd"


def test_ids_lie_below_the_vocabulary_size() -> None:
    assert max(tokenizer.all_special_ids) == tokenizer.vocab_size - 1 == 258
