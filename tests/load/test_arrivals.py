"""DueTimes, against theory: distributions by scipy, integrals by hand."""

import math
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from infertui.config.endpoint import LoadConfig
from infertui.load.arrivals import CHUNK, DueTimes, UnitArrivals
from infertui.load.levels import Levels, levels_of

Kind = Literal["poisson", "constant", "gamma"]
SEEDS = 200


def arrivals(
    rate: float, kind: Kind = "poisson", shape: float = 1.0, seed: int = 0, ramp_s: float = 0.0, steps: str = ""
) -> DueTimes:
    levels: Levels = levels_of(LoadConfig(request_rate=rate, ramp_s=ramp_s, steps=steps))
    return DueTimes(UnitArrivals(kind, shape, seed), levels)


def until(times: Iterator[float], end: float) -> list[float]:
    return list(takewhile(lambda time: time < end, times))


def test_constant_arrivals_are_exact_after_a_million() -> None:
    times = islice(arrivals(1000, "constant").due(), 1_000_001)
    assert all(time == number / 1000 for number, time in enumerate(times))


def test_gaps_of_poisson_arrivals_are_exponential() -> None:
    """Kolmogorov-Smirnov of each seed: its p values are uniform, which is tested in turn."""
    values, cvs, means = [], [], []
    for seed in range(SEEDS):
        gaps = np.diff(list(islice(arrivals(50, seed=seed).due(), 3001)), prepend=0.0)
        values.append(stats.kstest(gaps, "expon", args=(0, 1 / 50)).pvalue)
        cvs.append(gaps.std() / gaps.mean())
        means.append(gaps.mean())
    assert stats.kstest(values, "uniform").pvalue > 0.001
    assert np.mean(cvs) == pytest.approx(1, abs=0.01)
    assert all(abs(cv - 1) < 0.15 for cv in cvs)
    # The mean of 200 x 3001 exponential gaps is within 3.3 standard errors of 1/50.
    assert np.mean(means) == pytest.approx(1 / 50, rel=3.3 / math.sqrt(SEEDS * 3001))


def test_counts_in_a_window_are_poisson() -> None:
    """Of 2,000 seeds, in a window that is not at the beginning; chi-square over classes with five and more."""
    counts = []
    for seed in range(2000):
        times = until(arrivals(4, seed=seed).due(), 5)
        counts.append(sum(2 <= time < 5 for time in times))
    expected = stats.poisson(12)
    edges = range(5, 21)
    observed = [sum(count <= edges[0] for count in counts)]
    wanted = [expected.cdf(edges[0])]
    for edge in edges[1:]:
        observed.append(sum(count == edge for count in counts))
        wanted.append(expected.pmf(edge))
    observed.append(sum(count > edges[-1] for count in counts))
    wanted.append(expected.sf(edges[-1]))
    assert stats.chisquare(observed, np.array(wanted) * len(counts)).pvalue > 0.001


@pytest.mark.parametrize("shape", [0.25, 0.5, 1.0, 4.0, 100.0])
def test_gaps_of_gamma_arrivals_have_the_mean_and_the_variation_of_their_shape(shape: float) -> None:
    gaps = np.concatenate(
        [np.diff(list(islice(arrivals(20, "gamma", shape, seed).due(), 1000)), prepend=0.0) for seed in range(SEEDS)]
    )
    assert stats.kstest(gaps[::17], "gamma", args=(shape, 0, 1 / (20 * shape))).pvalue > 0.001
    variation = 1 / math.sqrt(shape)
    assert gaps.mean() == pytest.approx(1 / 20, rel=4 * variation / math.sqrt(len(gaps)))
    assert gaps.std() / gaps.mean() == pytest.approx(variation, rel=0.03)


def test_a_ramp_is_the_root_of_its_integral() -> None:
    """Rate 10 t / 20 for 20 s: the integral is t^2 / 4, so that constant arrivals come at 2 sqrt(n)."""
    times = list(islice(arrivals(10, "constant", ramp_s=20).due(), 121))
    assert times[:101] == pytest.approx([2 * math.sqrt(number) for number in range(101)], abs=1e-12)
    assert times[101:] == pytest.approx([20 + number / 10 for number in range(1, 21)], abs=1e-12)


def test_a_ramp_of_poisson_arrivals_is_an_inhomogeneous_poisson_process() -> None:
    """Given their number, the times in the ramp are independent with the distribution t^2 / T^2."""
    times = [time / 20 for seed in range(SEEDS) for time in until(arrivals(10, seed=seed, ramp_s=20).due(), 20)]
    assert len(times) == pytest.approx(100 * SEEDS, abs=4 * math.sqrt(100 * SEEDS))
    assert stats.kstest(times, lambda share: np.square(share)).pvalue > 0.001


def test_steps_begin_anew_after_a_pause_and_end() -> None:
    times = list(arrivals(1, "constant", steps="2:1.5,0:10,4:1").due())
    assert times == pytest.approx([0, 0.5, 1, 11.5, 11.75, 12, 12.25])
    assert list(arrivals(1, "constant", steps="0:1,1:1").due()) == [1]


def test_steps_have_the_counts_of_their_rates() -> None:
    counts = [len(list(arrivals(1, seed=seed, steps="10:5,40:5").due())) for seed in range(SEEDS)]
    assert np.mean(counts) == pytest.approx(250, abs=4 * math.sqrt(250 / SEEDS))
    assert np.var(counts) == pytest.approx(250, rel=0.4)


@given(st.sampled_from(["poisson", "constant", "gamma"]), st.integers(0, 2**31 - 1), st.integers(0, 5 * CHUNK))
def test_any_index_can_be_begun_with(kind: Kind, seed: int, first: int) -> None:
    whole = list(islice(arrivals(7, kind, 0.5, seed).due(), 5 * CHUNK + 10))
    assert list(islice(arrivals(7, kind, 0.5, seed).due(first), 10)) == whole[first : first + 10]


def test_seeds_differ() -> None:
    firsts = {tuple(islice(arrivals(1, seed=seed).due(), 3)) for seed in range(1000)}
    assert len(firsts) == 1000


@given(st.integers(0, 100), st.floats(0, 30), st.floats(0.5, 200))
def test_a_change_stretches_what_is_still_to_come(seed: int, at: float, rate: float) -> None:
    before = arrivals(20, seed=seed, ramp_s=3)
    after = before.changed(at, rate)
    old, new = list(islice(before.due(), 900)), list(islice(after.due(), 900))
    done = sum(time <= at for time in old)
    assert new[:done] == old[:done]
    assert all(time >= at for time in new[done:])
    # Behind the change the same unit gaps are stretched to the new rate.
    reached = before.rate.integral(at)
    units = [before.rate.integral(time) for time in old[done:]]
    assert new[done:] == pytest.approx([at + (unit - reached) / rate for unit in units], rel=1e-9, abs=1e-9)


def test_poisson_arrivals_stay_poisson_over_many_changes() -> None:
    """Changed every second to another rate: the integral of the rate at the arrivals has gaps of a unit process."""
    units = []
    for seed in range(50):
        process = arrivals(10, seed=seed)
        for second in range(1, 20):
            process = process.changed(second, 5 + second % 7 * 10)
        units.append([process.rate.integral(time) for time in until(process.due(), 20)])
    gaps = np.concatenate([np.diff(one) for one in units])
    # Gaps that fit into a window are the shorter ones: of some 650 a window that is beyond what the test sees.
    assert stats.kstest(gaps, "expon").pvalue > 0.001


def test_huge_and_tiny_rates() -> None:
    assert list(islice(arrivals(1e6, "constant").due(5_000_000), 2)) == [5.0, 5.000001]
    assert list(islice(arrivals(1e-6, "constant").due(), 2)) == [0, 1e6]
    times = list(islice(arrivals(1e6, "gamma", 0.001).due(), 5000))
    assert times == sorted(times)
    assert all(map(math.isfinite, times))
