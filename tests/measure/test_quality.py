"""Perplexity from a sum of log-likelihoods, windows over a text, and what is beyond a threshold."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from infertui.measure.quality import Quality, agreement, beyond, perplexity, same_text, windows


def test_a_model_that_guesses_among_ten_has_a_perplexity_of_ten() -> None:
    assert perplexity(-7 * math.log(10), 7) == pytest.approx(10)
    # One token at 1/2, one at 1/8: exp((ln 2 + ln 8) / 2) = 4.
    assert perplexity(math.log(1 / 2) + math.log(1 / 8), 2) == pytest.approx(4)
    assert perplexity(0.0, 5) == 1


def test_what_is_no_perplexity_is_none() -> None:
    for broken in (perplexity(-1.0, 0), perplexity(math.nan, 3), perplexity(-math.inf, 3), perplexity(-1e9, 1)):
        assert broken is None


@given(st.integers(0, 60), st.integers(2, 20))
def test_every_token_but_the_first_is_predicted_once(count: int, length: int) -> None:
    pieces = list(windows(range(count), length))
    predicted = [token for piece in pieces for token in piece[1:]]
    assert predicted == list(range(1, count))
    assert all(2 <= len(piece) <= length for piece in pieces)


def test_what_is_beyond_is_said_with_both_figures() -> None:
    parted = agreement({"a": [1, 2, 3, 4]}, {"a": [1, 9, 9, 9]})
    found = Quality(agreement=parted, perplexity=10.6, reference_perplexity=10.0)
    few, rise = beyond(found, min_agreement=0.9, max_rise=0.05)
    assert few == "25.0% of its tokens are the reference's, fewer than 90%, the first to part at token 2"
    assert rise == "perplexity 10.6, 6.0% above the reference's 10"
    assert beyond(found, min_agreement=0.25, max_rise=0.06) == ()
    assert beyond(found, min_agreement=0, max_rise=0) == ()
    assert beyond(replace(found, perplexity=5.0), min_agreement=0, max_rise=0.05) == ()
    assert beyond(Quality(), min_agreement=1, max_rise=0.01) == ()


def test_perplexities_of_other_texts_or_windows_are_not_comparable() -> None:
    one = Quality(perplexity=3.0, text="a 12", text_tokens=10, window=8)
    assert same_text(one, replace(one, perplexity=4.0))
    for other in (replace(one, text="b 12"), replace(one, text_tokens=9), replace(one, window=16)):
        assert not same_text(one, other)


def test_the_kept_agreement_is_short_and_says_the_same() -> None:
    whole = agreement({"ab" * 32: [1, 2], "cd" * 32: [3], "ef" * 32: [4]}, {"ab" * 32: [1, 9], "cd" * 32: [9]})
    kept = whole.brief()
    assert kept.diverged == {"abababababab": 1, "cdcdcdcdcdcd": 0}
    assert (kept.prompts, kept.equal, kept.share) == (2, 0, whole.share)
    assert kept.begun_alike == 1
