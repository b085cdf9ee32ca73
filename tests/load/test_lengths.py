"""Lengths, against the distributions they are drawn from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from infertui.load.lengths import INPUT, OUTPUT, PlannedLengths


def test_fixed_lengths_are_the_mean() -> None:
    lengths = PlannedLengths(77, "fixed", 0.0, seed=0, stream=INPUT)
    assert {lengths.at(index) for index in (0, 1, 1023, 1024, 10**12)} == {77}


def test_normal_lengths_have_mean_and_deviation() -> None:
    lengths = PlannedLengths(1000, "normal", 0.2, seed=3, stream=INPUT)
    drawn = np.array([lengths.at(index) for index in range(20000)])
    assert drawn.mean() == pytest.approx(1000, abs=4 * 200 / np.sqrt(20000))
    assert drawn.std() == pytest.approx(200, rel=0.03)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, len(drawn))  # undoes the rounding
    assert stats.kstest(drawn + noise, "norm", args=(1000, 200)).pvalue > 0.001


def test_uniform_lengths_fill_their_width_evenly() -> None:
    lengths = PlannedLengths(100, "uniform", 0.1, seed=3, stream=INPUT)
    drawn = [lengths.at(index) for index in range(20000)]
    counts = [drawn.count(length) for length in range(91, 110)]
    assert set(drawn) == set(range(90, 111))
    assert stats.chisquare(counts).pvalue > 0.001
    assert (drawn.count(90) + drawn.count(110)) / 2 == pytest.approx(500, abs=100)  # half a length each, of 20


def test_no_request_is_empty() -> None:
    lengths = PlannedLengths(1, "normal", 1.0, seed=0, stream=OUTPUT)
    assert min(lengths.at(index) for index in range(5000)) == 1


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=20), st.integers(0, 2**31 - 1))
def test_a_length_is_that_of_its_index_in_any_order(indices: list[int], seed: int) -> None:
    lengths = PlannedLengths(500, "normal", 0.5, seed=seed, stream=INPUT)
    known = {index: lengths.at(index) for index in sorted(indices)}
    assert [lengths.at(index) for index in indices] == [known[index] for index in indices]
    doubled = PlannedLengths(1000, "normal", 0.5, seed=seed, stream=INPUT)
    assert all(doubled.at(index) == pytest.approx(2 * known[index], abs=1.5) for index in indices if known[index] > 1)


def test_inputs_and_outputs_are_not_drawn_alike() -> None:
    drawn = [
        [PlannedLengths(500, "normal", 0.5, seed=0, stream=stream).at(index) for index in range(1000)]
        for stream in (INPUT, OUTPUT)
    ]
    assert abs(stats.pearsonr(*drawn).statistic) < 0.13
