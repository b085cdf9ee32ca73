from hypothesis import given
from hypothesis import strategies as st

from infertui.tui.frame.layouts import PANES, TABBED, THIRD, Arrangement, PaneId, arrange, kind_of, neighbour, number_of

SIZES = st.tuples(st.integers(1, 300), st.integers(1, 90))


def arranged(width: int, height: int, active: PaneId, **more: object) -> Arrangement:
    given: dict[str, object] = {"zoomed": False, "third": "live", "tab": "config", "large": active, "gpu_lines": 10}
    return arrange(width, height, active, **(given | more))  # type: ignore[arg-type]


def test_kinds() -> None:
    assert [kind_of(*size) for size in ((160, 48), (120, 40), (100, 30))] == ["wide"] * 3
    assert [kind_of(*size) for size in ((80, 24), (60, 20), (80, 15), (40, 10), (200, 20), (90, 60))] == ["tabs"] * 6
    assert [kind_of(*size) for size in ((39, 40), (80, 9), (1, 1))] == ["compact"] * 3


@given(SIZES, st.sampled_from(PANES), st.booleans(), st.sampled_from(THIRD), st.integers(0, 60))
def test_whatever_the_size_the_active_pane_is_in_view_and_the_others_have_room(
    size: tuple[int, int], active: PaneId, zoomed: bool, third: PaneId, gpu_lines: int
) -> None:
    width, height = size
    third, tab = active if active in THIRD else third, active if active in TABBED else "config"
    now = arranged(width, height, active, zoomed=zoomed, third=third, tab=tab, gpu_lines=gpu_lines)
    if zoomed:
        assert now.shown == {active}
        assert not now.tabs
    elif now.kind == "compact":
        assert not now.shown
    else:
        assert active in now.shown
        assert active in now.tabs or not now.tabs or active == "gpus"
    if now.kind == "wide" and not zoomed:
        assert now.gpu_rows is not None
        rest = height - 2 - now.gpu_rows
        middle = rest / 2 if now.middle_rows is None else now.middle_rows
        assert middle >= 6
        assert rest - middle >= 6
        assert not now.widths or sum(now.widths.values()) == width
        assert all(columns >= 32 for columns in now.widths.values())


def test_what_is_worked_in_is_the_largest_from_120_columns_on() -> None:
    for width, height in ((120, 40), (160, 48), (250, 70)):
        for active in ("queue", "config", "live"):
            now = arranged(width, height, active)
            assert max(now.widths, key=lambda pane: now.widths[pane]) == active
            assert now.middle_rows is not None
            assert now.gpu_rows is not None
            assert now.middle_rows > (height - 2 - now.gpu_rows) / 2
        results = arranged(width, height, "results")
        assert results.middle_rows is not None
        assert results.gpu_rows is not None
        assert results.middle_rows < (height - 2 - results.gpu_rows) / 2
        assert arranged(width, height, "config", large="live").widths["live"] > width / 2 - 10
        assert arranged(width, height, "config", large=None).widths == {}
    assert arranged(119, 40, "config").widths == {}


def test_few_lines_leave_the_active_pane_its_tab_and_no_frame() -> None:
    for size in ((80, 15), (40, 10), (200, 19)):
        for active in PANES:
            now = arranged(*size, active)
            assert now == Arrangement("tabs", frozenset({active}), PANES, low=True)
    full = arranged(80, 20, "gpus")
    assert full.shown == {"gpus", "config"}
    assert (full.tabs, full.low) == (TABBED, False)


def test_eight_gpus_fit_in_whole() -> None:
    assert arranged(120, 40, "config", gpu_lines=10).gpu_rows == 12
    assert arranged(80, 24, "config", gpu_lines=6).gpu_rows == 8


def test_round_the_panes() -> None:
    panes: frozenset[PaneId] = frozenset({"gpus", "queue", "results"})
    assert neighbour(panes, "gpus", 1) == "queue"
    assert neighbour(panes, "gpus", -1) == "results"
    assert neighbour(panes, "logs", 1) == "gpus"
    assert neighbour(frozenset(), "logs", 1) == "logs"
    assert [number_of(pane) for pane in PANES] == list("1234567")
    assert number_of("other") == ""


def test_a_machine_without_gpus_has_one_line() -> None:
    for size in ((160, 48), (80, 24)):
        assert arranged(*size, "config", gpu_lines=1).gpu_rows == 1
    assert arranged(80, 24, "config", gpu_lines=10).gpu_rows == 10  # eight, each with a line
