"""How much number formats lose: their order is that of the errors of rounding to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.precision import loss, significant_bits


@pytest.mark.parametrize(("name", "epsilon"), [("float32", 2**-23), ("float16", 2**-10), ("bfloat16", 2**-7)])
def test_bits_of_floats_are_those_of_their_machine_epsilon(name: str, epsilon: float) -> None:
    assert 2.0 ** (1 - significant_bits(name)) == epsilon


def test_fewer_bits_lose_more() -> None:
    order = ("f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_s", "q2_k")
    losses = [loss([word]) for word in order]
    assert losses == sorted(losses)
    assert len(set(losses)) == len(losses)
    assert loss(["iq2_xxs"]) == loss(["q2_k"]) > loss(["q4_1"]) == loss(["int4"])
    assert loss(["float32", "float32", "q4_0"]) > loss(["bfloat16"] * 3) > loss(["float32"] * 3)


@given(st.text(max_size=30))
def test_any_name_has_a_loss(name: str) -> None:
    assert 0 < loss([name]) < 1
