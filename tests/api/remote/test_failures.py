"""Failures by address: so many at once, and one more as time goes by."""

from hypothesis import given
from hypothesis import strategies as st

from infertui.api.remote import failures
from infertui.api.remote.failures import BURST, MOST, RECOVER_S, Failures


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_address_may_fail_so_often_and_waits_then() -> None:
    clock = Clock()
    seen = Failures(clock)
    for _ in range(BURST):
        assert seen.wait_s("10.0.0.1") == 0
        seen.failed("10.0.0.1")
    assert seen.wait_s("10.0.0.1") == RECOVER_S
    assert seen.wait_s("10.0.0.2") == 0
    clock.now += RECOVER_S
    assert seen.wait_s("10.0.0.1") == 0
    seen.failed("10.0.0.1")
    assert seen.wait_s("10.0.0.1") == RECOVER_S
    clock.now += BURST * RECOVER_S
    assert seen.wait_s("10.0.0.1") == 0


def test_a_network_of_ipv6_is_one_address() -> None:
    seen = Failures(Clock())
    for number in range(BURST):
        seen.failed(f"2001:db8::{number:x}")
    assert seen.wait_s("2001:db8::ffff%eth0") > 0
    assert seen.wait_s("2001:db8:0:1::1") == 0
    for _ in range(BURST):
        seen.failed("::ffff:10.0.0.1")
    assert seen.wait_s("10.0.0.1") > 0


def test_what_is_remembered_is_bounded() -> None:
    seen = Failures(Clock())
    for number in range(MOST + 50):
        seen.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(seen._levels) == MOST


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=80))
def test_nobody_fails_more_often_than_the_bucket_lets_them(steps: list[tuple[float, bool]]) -> None:
    clock = Clock()
    seen = Failures(clock)
    begun, tried = clock.now, 0
    for pause, tries in steps:
        clock.now += pause
        if tries and seen.wait_s("x") == 0:
            seen.failed("x")
            tried += 1
    assert tried <= BURST + (clock.now - begun) / failures.RECOVER_S + 1
