"""How often movement is found where there is none, and where there is; and whether slow warm-ups bias unmarked."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from support.batches import even_batch
from support.series import SERIES, Series, moving, normal

from infertui.config.schema import ValidityConfig
from infertui.measure.trend import movement, tends_up
from infertui.measure.validity import Circumstances, Verdict, judge, warmup_state

RUNS = 500


def share_marked(
    series: Series, iterations: int, mark: str = "drift", *, against: bool = False, runs: int = RUNS
) -> float:
    """Of runs, how many get a mark; with `against` how many are invalid."""
    times = series.draw(np.random.default_rng(7), runs, iterations)
    found = [judged(run) for run in times.tolist()]
    return sum(mark in one.marks and (not one.valid or not against) for one in found) / runs


def judged(seconds: list[float], warmup: list[float] = [], steady: bool | None = True) -> Verdict:  # noqa: B006
    batches, before = ([even_batch(time, tokens=50) for time in times] for times in (seconds, warmup))
    seen = Circumstances(output_len=50, warmup_steady=steady, warmup=tuple(before))
    return judge(batches, seen, ValidityConfig())


@pytest.mark.parametrize("iterations", [3, 10])
def test_noise_is_called_noisy_once_in_a_hundred_where_it_may_be(iterations: int) -> None:
    """By the chi-squared distribution: so much truly varying iterations seem to vary by 10 % in 1 of 100 runs."""
    free = iterations - 1
    variation = 0.10 / math.sqrt(scipy.stats.chi2.ppf(0.99, free) / free)
    assert 0.001 <= share_marked(normal(variation), iterations, "noisy") <= 0.026
    assert share_marked(normal(variation / 1.5), iterations, "noisy") <= 0.004
    # Half of those whose true variation is a little above the observed one that is marked are.
    assert share_marked(normal(0.10 * math.sqrt(free / scipy.stats.chi2.ppf(0.5, free))), iterations, "noisy") > 0.4


@pytest.mark.parametrize("iterations", [4, 5, 10, 20])
@pytest.mark.parametrize("variation", [0.03, 0.08])
def test_noise_is_seldom_called_drift(variation: float, iterations: int) -> None:
    """1 % is stated; 500 draws of which show up to 2 % in one of a hundred tests."""
    assert share_marked(normal(variation), iterations) <= 0.02
    assert share_marked(normal(variation), iterations, "warming") <= 0.02


@pytest.mark.parametrize("iterations", [2, 3, 5, 7, 10])
@pytest.mark.parametrize("slow", [(1.9, 1.7), (1.9,), (3.0, 2.0, 1.6)], ids=len)
def test_a_slow_warm_up_that_was_over_is_no_rise(slow: tuple[float, ...], iterations: int) -> None:
    """First batches compile and fill caches: what is flat after them rose before it was measured."""
    times = normal(0.01).draw(np.random.default_rng(3), 100, iterations)
    marked = sum("warming" in judged((1.53 * run).tolist(), list(slow)).marks for run in times)
    assert marked <= 2


def test_iterations_that_depend_on_one_another_are_not_much_more_often() -> None:
    assert share_marked(SERIES["AR 0.5"], 20) <= 0.045


def steadily(change: float) -> Series:
    """Throughput that moves by so much from beginning to end."""
    return moving(lambda n: 1 / np.linspace(1, 1 + change, n), 0.02)


def at_once(change: float, after: float = 0.5, variation: float = 0.02) -> Series:
    return moving(lambda n: np.where(np.arange(n) < n * after, 1.0, 1 / (1 + change)), variation)


@pytest.mark.parametrize(("iterations", "power"), [(10, 0.95), (20, 0.99)])
def test_a_change_of_a_fifth_is_found_and_counts(iterations: int, power: float) -> None:
    for series in (steadily(-0.2), at_once(-0.2)):
        assert share_marked(series, iterations, against=True) >= power


@pytest.mark.parametrize("after", [0.25, 0.4, 0.67, 0.8])
@pytest.mark.parametrize("change", [-0.2, 0.25])
def test_a_step_is_found_wherever_it_is(after: float, change: float) -> None:
    """Least noise of all: neither half nor line fits it, and what they miss is no noise."""
    for iterations in (10, 20, 50):
        assert share_marked(at_once(change, after, 0.005), iterations, against=True, runs=10) == 1.0


def test_a_step_is_told_from_before_to_after_it() -> None:
    rates = [10.0] * 14 + [8.0] * 6
    (reason,) = judged([50 / (rate + 0.01 * (at % 3)) for at, rate in enumerate(rates)]).invalid
    assert reason == "throughput drifted by -20% at one stroke, by more than 15 %"


def test_a_few_odd_iterations_are_no_step() -> None:
    for odd in range(19):
        seconds = [1.2 if at in (odd, odd + 1) else 1.0 + 0.001 * (at % 3) for at in range(20)]
        assert "drift" not in judged(seconds).marks


def test_a_steady_change_is_told_from_end_to_end() -> None:
    rates = [10 - 2 * at / 19 for at in range(20)]
    (reason,) = judged([50 / rate for rate in rates]).invalid
    assert reason == "throughput drifted by -20% steadily, from beginning to end, by more than 15 %"


@given(st.lists(st.integers(50, 200).map(float), min_size=4, max_size=9))
def test_the_test_is_scipys_where_values_are_few(values: list[float]) -> None:
    found = movement(values)
    assert found is not None
    line = scipy.stats.linregress(range(len(values)), values)
    half = len(values) // 2
    halves = scipy.stats.ttest_ind(values[:half], values[-half:]) if max(values) > min(values) else None
    expected = [line.pvalue, *([halves.pvalue] if halves is not None else [])]
    if found.shape == "step":  # at the best of so many places, and called a fifth as often as either of the others
        places = range(2, len(values) - 1)
        steps = [scipy.stats.ttest_ind(values[:at], values[at:]).pvalue for at in places]
        assert found.p == pytest.approx(min(1.0, min(steps) * len(places) * 5), rel=1e-5, abs=1e-9)
        return
    assert any(found.p == pytest.approx(one, rel=1e-5, abs=1e-9) for one in expected) or any(map(math.isnan, expected))


@given(st.lists(st.integers(0, 10**6), min_size=12, max_size=30, unique=True))
def test_tending_up_is_kendalls_test(values: list[int]) -> None:
    tau, _ = scipy.stats.kendalltau(range(len(values)), values)
    n = len(values)
    rising = tau * n * (n - 1) / 2
    z = (rising - 1) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    assert tends_up([float(value) for value in values]) == (scipy.stats.norm.sf(z) < 0.05)


@pytest.mark.parametrize("values", [[], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
def test_too_little_to_move(values: list[float]) -> None:
    assert movement(values) is None


@pytest.mark.parametrize("iterations", [5, 10, 20])
@pytest.mark.parametrize(("height", "batches"), [(0.2, 20), (0.5, 10), (1.0, 20)])
@pytest.mark.parametrize("noise", [0.0, 0.002, 0.01])
def test_a_slow_warm_up_is_waited_for_or_marked(height: float, batches: float, noise: float, iterations: int) -> None:
    """Runs whose step time decays, through warm-up and measuring: those that are off by over 5 % say so.

    Where noise hides the fall of one batch to the next, the warm-up ends early; the few batches of a short run are then
    not always enough to see it.
    """
    unmarked = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)

        def step(k: int, generator: np.random.Generator = generator) -> float:
            return (1 + height * math.exp(-k / batches)) * float(generator.normal(1, noise))

        warmup: list[float] = []
        while not (state := warmup_state(warmup, 0.0, count=None)).done:
            warmup.append(step(len(warmup)))
        times = [step(len(warmup) + k) for k in range(iterations)]
        off = sum(times) / iterations - 1
        unmarked += off > 0.05 and not judged(times, warmup, state.steady).marks
    assert unmarked <= (20 if noise > 0.005 else 2) * (iterations < 10)
