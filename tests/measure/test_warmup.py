import itertools
import math
import random
import statistics
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.batches import even_batch

from infertui.config.schema import ValidityConfig
from infertui.measure.validity import (
    LOOKED_AT_SECONDS,
    MAX_BATCHES,
    MAX_FALLING,
    MAX_SECONDS,
    MIN_BATCHES,
    TREND,
    Circumstances,
    judge,
    tends_down,
    warmup_state,
)

step_times = st.floats(0, 1e3)


@given(st.lists(step_times, max_size=30), st.floats(0, 1e6), st.integers(0, 30))
def test_a_count_is_kept_exactly(steps: list[float], elapsed: float, count: int) -> None:
    state = warmup_state(steps, elapsed, count=count)
    assert state.done == (len(steps) >= count)
    assert state.steady is None


@given(st.lists(step_times, min_size=MAX_FALLING, max_size=MAX_FALLING), st.floats(0, MAX_SECONDS, exclude_max=True))
def test_auto_stops_in_the_end(steps: list[float], elapsed: float) -> None:
    for spent in range(MIN_BATCHES):
        assert not warmup_state(steps[:spent], elapsed, count=None).done
    assert warmup_state(steps, elapsed, count=None).done


@pytest.mark.parametrize(
    ("steps", "done"),
    [
        ([1.0, 1.0], True),
        ([1.0, 0.998], True),
        ([1.0, 0.99], False),  # noise, or a fall: others tell
        ([1.0, 0.999, 1.001], True),
        ([1.0, 0.99, 1.0], False),
        ([9.0, 1.0, 1.0], False),
        ([9.0, 1.0, 1.0, 1.001], True),
        ([1.0, 0.97, 1.02, 0.99, 1.01, 0.98, 1.0], False),
        ([1.0, 0.97, 1.02, 0.99, 1.01, 0.98, 1.0, 1.01], True),
        # Every one of the 28 pairs falls: 27 of a deviation of sqrt(8 x 7 x 21 / 18) = 8.08.
        ([1.0, 0.99, 0.98, 0.97, 0.96, 0.955, 0.95, 0.945], False),
        ([1.0, 0.97, 1.02, 0.99, 1.01, 0.98, 1.0, 1.1], False),  # no two in a row within 5 %
        ([2.0, 1.5, 1.0, 0.97, 1.02, 0.99, 1.01, 0.98, 1.0, 1.01], True),
        ([0.0, 0.0], True),
        ([0.0, 1.0], False),
    ],
)
def test_two_or_three_that_are_alike_or_eight_that_do_not_fall(steps: list[float], done: bool) -> None:
    state = warmup_state(steps, 0.0, count=None)
    assert (state.done, state.steady) == (done, done)


@pytest.mark.parametrize(
    ("steps", "done"),
    [
        ([1.0, 0.97], False),
        ([1.0, 0.97, 0.98], True),
        ([1.0, 0.98, 0.96], False),
        ([1.0, 1.1, 0.98], False),  # the last two differ by more than 5 %
        ([3.0, 2.0, 1.0, 0.98, 1.01], True),
    ],
)
def test_long_batches_have_to_do_with_three(steps: list[float], done: bool) -> None:
    assert warmup_state(steps, LOOKED_AT_SECONDS - 0.1, count=None).done is False
    state = warmup_state(steps, LOOKED_AT_SECONDS, count=None)
    assert (state.done, state.steady) == (done, done)


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=20))
def test_the_trend_is_kendalls(values: list[float]) -> None:
    """Tau of SciPy times the pairs is the sum; without ties its deviation is that of Mann."""
    from scipy.stats import kendalltau

    n = len(values)
    assume(len(set(values)) == n)
    total = -float(kendalltau(range(n), values).statistic) * n * (n - 1) / 2
    assert tends_down(values) == ((round(total) - 1) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18) > TREND)


def ended(step: Callable[[int], float]) -> tuple[int, bool | None]:
    """After how many batches of such step times it is over, and whether they were steady."""
    steps: list[float] = []
    while not (state := warmup_state(steps, 0.0, count=None)).done:
        steps.append(step(len(steps)))
    return len(steps), state.steady


def warmed(step: Callable[[int], float]) -> int:
    """The same of what becomes steady."""
    over, steady = ended(step)
    assert steady
    return over


@given(st.floats(0.01, 3), st.floats(0.2, 20))
def test_what_decays_slowly_is_waited_for(height: float, batches: float) -> None:
    """By hand: what falls by 0.25 % from the last batch but two, with a time constant of k, is at most so far above."""
    over = warmed(lambda k: 1 + height * math.exp(-k / batches))
    above = height * math.exp(-over / batches)
    assert above <= 0.003 * (1 + above) / (1 - math.exp(-1 / batches))


@pytest.mark.parametrize(("noise", "most"), [(0.0, 2.0), (0.0005, 2.1), (0.002, 4.0), (0.01, 11.0), (0.02, 11.0)])
def test_a_steady_engine_is_warm_after_two_to_ten_batches(noise: float, most: float) -> None:
    draw = random.Random(1)
    assert statistics.fmean(warmed(lambda _: draw.gauss(1.0, noise)) for _ in range(200)) <= most


@pytest.mark.parametrize("noise", [0.005, 0.02])
@pytest.mark.parametrize(("height", "constant", "most"), [(0.2, 20, 0.095), (0.5, 10, 0.03), (1.0, 20, 0.09)])
def test_the_bias_that_a_decay_leaves_is_bounded_or_marked(
    height: float, constant: float, most: float, noise: float
) -> None:
    """Of five iterations after a warm-up whose step is 1 + height exp(-k / constant), on average over runs."""
    draw, runs, off, unmarked = random.Random(2), 40, 0.0, 0
    for _ in range(runs):
        steps = [(1 + height * math.exp(-k / constant)) * draw.gauss(1.0, noise) for k in range(200)]
        over, steady = ended(steps.__getitem__)
        bias = statistics.fmean(height * math.exp(-k / constant) for k in range(over, over + 5))
        before, after = ([even_batch(step) for step in part] for part in (steps[:over], steps[over : over + 5]))
        verdict = judge(
            after, Circumstances(output_len=10, warmup=tuple(before), warmup_steady=steady), ValidityConfig()
        )
        off, unmarked = off + bias / runs, unmarked + (bias > 0.05 and not verdict.marks)
    assert off <= most
    assert unmarked <= runs // 4


def test_steps_that_never_settle_end_after_sixteen_batches_and_say_so() -> None:
    steps = [1.0, 2.0] * (MAX_BATCHES // 2)
    states = [warmup_state(list(seen), 0.0, count=None) for seen in itertools.accumulate([[step] for step in steps])]
    assert [state.done for state in states] == [False] * (MAX_BATCHES - 1) + [True]
    assert states[-1].steady is False


def test_a_slow_warm_up_ends_after_a_minute_and_says_so() -> None:
    """Even after a single batch: at this pace a second one would cost another minute."""
    for steps in ([70.0], [40.0, 30.0], [40.0, 30.0, 20.0]):
        assert not warmup_state(steps, MAX_SECONDS - 1, count=None).done
        state = warmup_state(steps, MAX_SECONDS, count=None)
        assert (state.done, state.steady) == (True, False)


def test_waiting_for_the_first_batch_is_no_warm_up() -> None:
    assert not warmup_state([], 10 * MAX_SECONDS, count=None).done
