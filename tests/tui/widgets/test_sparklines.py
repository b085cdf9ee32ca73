import math

from hypothesis import given
from hypothesis import strategies as st

from infertui.tui.widgets.chart import means, sparkline


def test_each_stretch_has_the_mean_of_its_points() -> None:
    points = [(0.0, 1.0), (9.9, 3.0), (10.0, 5.0), (29.0, 7.0)]
    assert means(points, 29.0, 3, 10.0) == [2.0, 5.0, 7.0]
    assert means(points, 39.0, 3, 10.0) == [5.0, 7.0, None]
    assert means([], 5.0, 2, 1.0) == [None, None]
    assert means(points, 29.0, 0, 10.0) == []


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 100)), max_size=50), st.integers(1, 40), st.floats(0.1, 100))
def test_all_but_the_last_stay_as_they_are_while_time_goes_on(
    points: list[tuple[float, float]], width: int, step: float
) -> None:
    end = max((at for at, _ in points), default=0.0)
    before = means(points, end, width, step)
    later = means(points, (math.floor(end / step) + 1.5) * step, width, step)
    assert later == [*before[1:], None]


def test_a_block_a_value() -> None:
    assert sparkline([0.0, 50.0, 100.0, None, math.nan, -5.0, 1e9], 0.0, 100.0) == "▁▅█  ▁█"
    assert sparkline([0.0, 50.0, 100.0, None], 0.0, 100.0, ascii=True) == "_=# "
    assert sparkline([3.0], 3.0, 3.0) == "▁"
