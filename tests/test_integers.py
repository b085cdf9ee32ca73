import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.integers import whole_number
from infertui.tui.results.bench_dialog import MOST_ROUNDS, rounds_of


@given(st.integers(0, 2**59))
def test_a_count_is_read(number: int) -> None:
    assert whole_number(str(number)) == number


@pytest.mark.parametrize("text", ["", "-1", "1.0", "\u00b2", "\u0663", "9" * 19, "9" * 5000, "1e3", " 1"])
def test_what_is_none_is_no_error(text: str) -> None:
    assert whole_number(text) is None


@pytest.mark.parametrize("text", ["0", "1001", "00001" + "9" * 5, "00001" + "9" * 5000])
def test_rounds_are_judged_whole(text: str) -> None:
    assert rounds_of(text) is None
    assert rounds_of(str(MOST_ROUNDS)) == MOST_ROUNDS
