import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.telemetry.traffic import PCIE_WRAP, LinkCounters, longest_ns, nvlink_rates, pcie_rates

MS = 1_000_000


def test_sixteen_lanes_of_generation_five_carry_the_whole_counter_in_67_ms() -> None:
    assert 55 * MS < longest_ns(5, 16) < 67 * MS
    assert longest_ns(4, 8) == pytest.approx(4 * longest_ns(5, 16))
    assert longest_ns(None, 16) == longest_ns(5, None) == longest_ns(99, 16) == 30 * MS


@given(st.integers(0, PCIE_WRAP - 1), st.floats(0, 63e9), st.integers(5 * MS, 60 * MS))
def test_a_rate_is_found_wherever_the_counter_starts_again(start: int, rate: float, took: int) -> None:
    moved = int(rate * took / 1e9)
    before = LinkCounters(0, pcie_rx=start, pcie_tx=start)
    after = LinkCounters(took, pcie_rx=(start + moved) % PCIE_WRAP, pcie_tx=start)
    received, sent = pcie_rates(before, after, longest_ns(5, 16))
    assert received is not None
    assert abs(received - moved * 1e9 / took) <= 1e-6 * received
    assert sent == 0.0


def test_what_is_missing_or_too_near_or_too_far_is_no_rate() -> None:
    full = LinkCounters(20 * MS, 1, 1, 1, 1)
    assert pcie_rates(LinkCounters(0), full, 60 * MS) == (None, None)
    assert pcie_rates(LinkCounters(0, 0, None), full, 60 * MS) == (50.0, None)
    for t_ns in (20 * MS, 16 * MS, 30 * MS, -100 * MS):
        assert pcie_rates(LinkCounters(t_ns, 0, 0), full, 60 * MS) == (None, None)


def test_nvlink_counts_kib_and_a_reset_is_no_rate() -> None:
    assert nvlink_rates(LinkCounters(0, None, None, 10, 20), LinkCounters(10**9, None, None, 12, 20)) == (2048.0, 0.0)
    assert nvlink_rates(LinkCounters(0, None, None, 10, 20), LinkCounters(10**9, None, None, 5, 20)) == (None, 0.0)
    assert nvlink_rates(LinkCounters(0, None, None, 10, 20), LinkCounters(11 * 10**9, 0, 0, 20, 30)) == (None, None)
