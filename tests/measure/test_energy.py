import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.energy import EnergyFigures, above_idle, energy_figures


def test_a_case_worked_by_hand() -> None:
    # 10 s at 300 W are 3000 J; at rest the device draws 100 W, 1000 J of them. 500 tokens, 20 requests.
    assert energy_figures(3000, tokens=500, requests=20) == EnergyFigures(6.0, 150.0, 500 / 3000)
    left = above_idle(3000, 10, 100)
    assert left == 2000
    assert energy_figures(left, tokens=500, requests=20) == EnergyFigures(4.0, 100.0, 0.25)


def test_what_cannot_be_divided_is_not_available() -> None:
    assert energy_figures(3000, tokens=0, requests=0) == EnergyFigures()
    assert energy_figures(-1, tokens=10, requests=2) == EnergyFigures(-0.1, -0.5, None)


@given(st.floats(0.01, 1e9), st.floats(0.01, 1e6), st.integers(1, 10**9), st.integers(1, 10**6))
def test_tokens_a_second_per_watt_do_not_depend_on_the_window(
    joules: float, seconds: float, tokens: int, requests: int
) -> None:
    found = energy_figures(joules, tokens=tokens, requests=requests)
    assert found.tokens_per_s_per_w == pytest.approx((tokens / seconds) / (joules / seconds))
    assert found.joules_per_token is not None
    assert found.joules_per_request is not None
    assert found.joules_per_token * tokens == pytest.approx(found.joules_per_request * requests)
