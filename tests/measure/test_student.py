"""Student's distribution against SciPy's."""

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.statistics import student_quantile, two_sided


@given(st.floats(0, 200), st.floats(1, 1e4))
def test_tails(t: float, degrees: float) -> None:
    assert two_sided(t, degrees) == pytest.approx(2 * scipy.stats.t.sf(t, degrees), rel=1e-8, abs=1e-250)


@given(st.sampled_from([0.9, 0.975, 0.995, 0.9995]), st.floats(1, 2e6))
def test_quantiles(probability: float, degrees: float) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(scipy.stats.t.ppf(probability, degrees), rel=1e-5)
