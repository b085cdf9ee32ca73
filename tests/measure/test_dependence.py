"""How often intervals hold the truth, by many runs drawn from it."""

import math

import numpy as np
import pytest
from support.series import SERIES, Series, autoregressive, normal

from infertui.measure.comparison import Totals, ratio
from infertui.measure.dependence import SEEN_FROM, certainty, scatter
from infertui.measure.statistics import ratio_interval

RUNS = 1500
"""Shares of them are known to 0.6 points (1 sigma) where they are 5 %."""
PAIRS = 700
"""Compared; their shares are known to 0.8 points."""


def covered(series: Series, iterations: int, seed: int = 1) -> float:
    """How many of the intervals that are told hold the true throughput."""
    times = series.draw(np.random.default_rng(seed), RUNS, iterations)
    found = [ratio_interval([10.0] * iterations, run) for run in times.tolist()]
    told = [interval for interval in found if interval is not None]
    assert len(told) > RUNS / 2
    return sum(interval.low <= 10 / series.mean <= interval.high for interval in told) / len(told)


def alarms(series: Series, iterations: int, seed: int = 2) -> float:
    """How many comparisons of equal runs find a difference."""
    times = series.draw(np.random.default_rng(seed), 2 * PAIRS, iterations).tolist()
    pairs = zip(times[::2], times[1::2], strict=True)
    found = [ratio(Totals.mean_of(one), Totals.mean_of(other)) for one, other in pairs]
    return sum(one is not None and one.differs is True for one in found) / PAIRS


@pytest.mark.parametrize("name", ["normal", "lognormal 0.1", "lognormal 0.5"])
@pytest.mark.parametrize("iterations", [3, 5, 20, 50])
def test_intervals_of_independent_iterations_hold_the_truth_95_times_in_100(name: str, iterations: int) -> None:
    assert 0.925 <= covered(SERIES[name], iterations) <= 0.975


def test_just_where_dependence_is_looked_for_intervals_are_a_little_too_wide() -> None:
    assert 0.95 <= covered(normal(), SEEN_FROM) <= 0.99


@pytest.mark.parametrize("iterations", [16, 20, 50, 300])
def test_intervals_of_iterations_that_depend_on_one_another_do_so_too(iterations: int) -> None:
    assert 0.925 <= covered(autoregressive(0.5), iterations) <= 0.975


@pytest.mark.parametrize(("correlation", "iterations", "least"), [(0.5, 10, 0.90), (0.8, 50, 0.88), (0.8, 300, 0.92)])
def test_stronger_dependence_needs_more_iterations(correlation: float, iterations: int, least: float) -> None:
    assert covered(autoregressive(correlation), iterations) >= least


@pytest.mark.parametrize(
    ("name", "iterations"),
    [("normal", 3), ("normal", 5), ("normal", 10), ("normal", 20), ("lognormal 0.5", 3), ("lognormal 0.5", 20)],
)
def test_equal_runs_are_called_different_once_in_twenty(name: str, iterations: int) -> None:
    assert 0.015 <= alarms(SERIES[name], iterations) <= 0.07


@pytest.mark.parametrize(("correlation", "iterations", "most"), [(0.5, 10, 0.08), (0.5, 20, 0.08), (0.8, 50, 0.10)])
def test_equal_runs_that_depend_on_what_was_before_too(correlation: float, iterations: int, most: float) -> None:
    assert alarms(autoregressive(correlation), iterations) <= most


def test_a_run_that_only_wanders_has_no_interval() -> None:
    """Ten iterations on one straight line tell one thing, and are worth fewer than three independent ones."""
    line = [1 + 0.1 * at for at in range(SEEN_FROM)]
    assert ratio_interval([10.0] * SEEN_FROM, line) is None
    found = ratio(Totals.mean_of(line), Totals.mean_of(line))
    assert found is not None
    assert (found.interval, found.p, found.differs) == (None, None, None)
    assert found.correlation is not None
    assert found.correlation > 0.5


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.5, 0.8])
def test_the_variance_is_the_models(correlation: float) -> None:
    """Of 100 iterations the mean's variance is (1 + c) / (1 - c) times that of independent ones, but for the ends."""
    runs, iterations = 400, 100
    times = autoregressive(correlation).draw(np.random.default_rng(3), runs, iterations)
    found = []
    for run in times.tolist():
        one = scatter(run, [1.0] * iterations)
        assert one is not None
        found.append(certainty([one]))
    variance = float(np.mean([known.variances[0] for known in found]))
    assert variance == pytest.approx(float(np.var(times.mean(axis=1))), rel=0.25)
    seen = [known.correlation for known in found if known.correlation is not None]
    assert math.fsum(seen) / runs == pytest.approx(correlation, abs=0.06)
