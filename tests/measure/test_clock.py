import time

from hypothesis import given
from hypothesis import strategies as st

from infertui.measure.clock import MonotonicClock, VirtualClock


def test_the_real_clock_is_the_hosts_monotonic_one() -> None:
    before = time.monotonic_ns()
    now = MonotonicClock().now_ns()
    assert before <= now <= time.monotonic_ns()


def test_the_real_clock_returns_no_sooner_than_asked() -> None:
    clock = MonotonicClock()
    for wait_ns in (0, 1, 300_000, 3_000_000):  # spun, and slept and spun
        deadline = clock.now_ns() + wait_ns
        clock.sleep_until(deadline)
        assert clock.now_ns() >= deadline


def test_the_real_clock_does_not_wait_for_the_past() -> None:
    clock = MonotonicClock()
    clock.sleep_until(clock.now_ns() - 10**12)
    clock.sleep_until(-1)


@given(st.integers(-(10**15), 10**15), st.lists(st.integers(-(10**15), 10**15)))
def test_the_virtual_clock_moves_when_slept_on_and_never_back(start: int, deadlines: list[int]) -> None:
    clock = VirtualClock(start)
    assert clock.now_ns() == start
    for deadline in deadlines:
        before = clock.now_ns()
        clock.sleep_until(deadline)
        assert clock.now_ns() == max(before, deadline)
        assert clock.now_ns() == clock.now_ns()
