import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.warmup import MAX_BATCHES, MAX_SECONDS, MIN_BATCHES, TOLERANCE, warmup_state

step_times = st.floats(0, 1e3)


@given(st.lists(step_times, max_size=30), st.floats(0, 1e6), st.integers(0, 30))
def test_a_count_is_kept_exactly(steps: list[float], elapsed: float, count: int) -> None:
    state = warmup_state(steps, elapsed, count=count)
    assert state.done == (len(steps) >= count)
    assert state.steady is None


@given(st.lists(step_times, min_size=MAX_BATCHES, max_size=MAX_BATCHES), st.floats(0, MAX_SECONDS, exclude_max=True))
def test_auto_stops_between_two_batches_and_ten(steps: list[float], elapsed: float) -> None:
    for spent in range(MIN_BATCHES):
        assert not warmup_state(steps[:spent], elapsed, count=None).done
    assert warmup_state(steps, elapsed, count=None).done


@given(st.lists(step_times, min_size=MIN_BATCHES, max_size=20), st.floats(0, 1e6))
def test_steady_means_that_the_last_two_agree(steps: list[float], elapsed: float) -> None:
    before, last = steps[-2:]
    state = warmup_state(steps, elapsed, count=None)
    assert state.steady == (abs(last - before) <= TOLERANCE * max(before, last))
    if state.steady:
        assert state.done


@pytest.mark.parametrize(
    ("steps", "done"),
    [
        ([1.0, 1.0], True),
        ([1.0, 0.951], True),
        ([1.0, 0.949], False),
        ([0.951, 1.0], True),
        ([0.949, 1.0], False),
        ([1.0, 1.0, 2.0], False),
        ([9.0, 2.0, 1.0, 0.99], True),
        ([0.0, 0.0], True),
        ([0.0, 1.0], False),
    ],
)
def test_two_in_a_row_within_five_percent(steps: list[float], done: bool) -> None:
    state = warmup_state(steps, 0.0, count=None)
    assert (state.done, state.steady) == (done, done)


def test_steps_that_never_settle_end_after_ten_batches_and_say_so() -> None:
    steps = [1.0, 2.0] * (MAX_BATCHES // 2)
    states = [warmup_state(list(seen), 0.0, count=None) for seen in itertools.accumulate([[step] for step in steps])]
    assert [state.done for state in states] == [False] * (MAX_BATCHES - 1) + [True]
    assert states[-1].steady is False


def test_a_slow_warm_up_ends_after_a_minute_and_says_so() -> None:
    """Even after a single batch: at this pace a second one would cost another minute."""
    for steps in ([70.0], [40.0, 30.0]):
        assert not warmup_state(steps, MAX_SECONDS - 1, count=None).done
        state = warmup_state(steps, MAX_SECONDS, count=None)
        assert (state.done, state.steady) == (True, False)


def test_waiting_for_the_first_batch_is_no_warm_up() -> None:
    assert not warmup_state([], 10 * MAX_SECONDS, count=None).done
