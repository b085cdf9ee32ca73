import itertools
import math
import random
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.warmup import MAX_BATCHES, MAX_FALLING, MAX_SECONDS, MIN_BATCHES, warmup_state

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
        ([1.0, 0.951], False),  # a third batch tells whether it goes on
        ([0.951, 1.0], False),
        ([1.0, 0.951, 0.96], True),
        ([1.0, 0.96, 0.951], False),
        ([0.96, 0.951, 1.01], False),
        ([0.951, 0.96, 1.0], True),  # slower each time: nothing that a warm-up would mend
        ([1.0, 1.0, 2.0], False),
        ([9.0, 2.0, 1.0, 0.99], False),
        ([9.0, 2.0, 1.0, 0.9995], True),
        ([9.0, 1.0, 1.0], True),
        ([0.0, 0.0], True),
        ([0.0, 1.0], False),
    ],
)
def test_two_in_a_row_within_five_percent_and_no_three_ever_faster(steps: list[float], done: bool) -> None:
    state = warmup_state(steps, 0.0, count=None)
    assert (state.done, state.steady) == (done, done)


def warmed(step: Callable[[int], float]) -> int:
    """After how many batches of such step times it is over."""
    steps: list[float] = []
    while not (state := warmup_state(steps, 0.0, count=None)).done:
        steps.append(step(len(steps)))
    assert state.steady
    return len(steps)


@given(st.floats(0.01, 3), st.floats(0.2, 20))
def test_what_decays_slowly_is_waited_for(height: float, batches: float) -> None:
    """By hand: what falls by 0.1 % a batch, with a time constant of k batches, is 0.1 % x k above its plateau."""
    over = warmed(lambda k: 1 + height * math.exp(-k / batches))
    assert height * math.exp(-over / batches) <= max(0.0011 * batches, 0.003 / (1 - math.exp(-1 / batches)))


@pytest.mark.parametrize("noise", [0.0, 0.002, 0.01, 0.02])
def test_a_steady_engine_is_warm_after_two_or_three_batches(noise: float) -> None:
    draw = random.Random(1)
    spent = [warmed(lambda _: draw.gauss(1.0, noise)) for _ in range(300)]
    assert statistics.fmean(spent) < 3.4
    assert statistics.median(spent) <= 3


def test_steps_that_never_settle_end_after_ten_batches_and_say_so() -> None:
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
