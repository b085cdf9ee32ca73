from hypothesis import given
from hypothesis import strategies as st

from infertui.tui.frame.layouts import PANES, THIRD, gpu_rows, kind_of, neighbour, number_of, shown


def test_kinds() -> None:
    assert [kind_of(*size) for size in ((160, 48), (120, 40), (100, 30))] == ["wide"] * 3
    assert [kind_of(*size) for size in ((80, 24), (60, 20), (200, 20), (90, 60))] == ["tabs"] * 4
    assert [kind_of(*size) for size in ((59, 40), (80, 19), (1, 1))] == ["compact"] * 3


@given(st.sampled_from(["wide", "tabs", "compact"]), st.sampled_from(PANES), st.booleans(), st.sampled_from(THIRD))
def test_what_is_active_can_be_shown(kind: str, active: str, zoomed: bool, third: str) -> None:
    panes = shown(kind, active, zoomed=zoomed, third=third, tab="queue")  # type: ignore[arg-type]
    if zoomed:
        assert panes == {active}
    elif kind == "wide":
        assert len(panes) == 5
        assert panes.intersection(THIRD) == {third}


@given(st.sampled_from(["wide", "tabs"]), st.integers(20, 80), st.integers(1, 40))
def test_gauges_leave_room_for_the_rest(kind: str, height: int, wanted: int) -> None:
    rows = gpu_rows(kind, height, wanted)  # type: ignore[arg-type]
    assert 4 <= rows <= max(4, height // 2)


def test_eight_gpus_fit_in_whole() -> None:
    assert gpu_rows("wide", 40, 10) == 12
    assert gpu_rows("tabs", 24, 6) == 8


def test_round_the_panes() -> None:
    panes = frozenset({"gpus", "queue", "results"})
    assert neighbour(panes, "gpus", 1) == "queue"  # type: ignore[arg-type]
    assert neighbour(panes, "gpus", -1) == "results"  # type: ignore[arg-type]
    assert neighbour(panes, "logs", 1) == "gpus"  # type: ignore[arg-type]
    assert neighbour(frozenset(), "logs", 1) == "logs"
    assert [number_of(pane) for pane in PANES] == list("1234567")
    assert number_of("other") == ""
