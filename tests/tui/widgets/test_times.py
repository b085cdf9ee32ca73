import pytest
from hypothesis import given
from hypothesis import strategies as st

from infertui.tui.widgets.cells import RunnerClock, chart_window, clock


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (250, "4:10"), (3725, "1:02:05"), (-3, "0:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@given(st.floats(0, 1e6), st.floats(0, 540))
def test_a_window_holds_all_data_that_fits(first: float, length: float) -> None:
    low, high = chart_window(first, first + length)
    assert low <= first
    assert first + length <= high
    assert high - low <= 600


def test_a_window_stays_while_data_comes_in() -> None:
    windows = {chart_window(7.0, 7.0 + second) for second in range(24)}
    assert len(windows) == 1


def test_long_data_shows_its_end() -> None:
    low, high = chart_window(0, 5000)
    assert low < 5000 <= high
    assert high - low == 600


def test_the_runners_clock_follows_what_came_quickest() -> None:
    known = RunnerClock()
    assert known.at(50) == 50
    known.note(1000, 100)
    known.note(1080, 200)  # took 20 longer to come
    assert known.at(300) == 1200
