import msgspec
from msgspec.structs import replace

from infertui.results.row import ResultLine, row_of
from infertui.tui.results.selection import Selection

ROWS = {name: replace(row_of(msgspec.json.decode(b'{"id": "x"}', type=ResultLine)), id=name) for name in "abcd"}


def test_marks_keep_their_order_and_rows_that_are_no_longer_here() -> None:
    selection = Selection(baseline_due=False)
    selection.mark({"c"}, ROWS.values())
    selection.mark({"c", "a"}, [ROWS["a"]])
    assert list(selection.marked) == ["c", "a"]
    selection.mark({"a", "d"}, [ROWS["d"]])
    assert list(selection.marked) == ["a", "d"]


def test_an_act_is_on_the_marked_runs_or_the_one_under_the_cursor() -> None:
    selection = Selection(baseline_due=False)
    assert selection.targets(None) == []
    assert selection.targets(ROWS["b"]) == [ROWS["b"]]
    selection.mark({"a", "c"}, ROWS.values())
    assert selection.targets(ROWS["b"]) == [ROWS["a"], ROWS["c"]]


def test_the_baseline_comes_first_and_once() -> None:
    selection = Selection(baseline_due=True)
    selection.compare_with(ROWS["c"])
    assert (selection.baseline, selection.baseline_due) == (ROWS["c"], False)
    assert selection.compared(ROWS["b"]) == [ROWS["c"], ROWS["b"]]
    assert selection.compared(ROWS["c"]) == [ROWS["c"]]
    selection.mark({"a", "c"}, ROWS.values())
    assert selection.compared(None) == [ROWS["c"], ROWS["a"]]
    selection.compare_with(None, due=True)
    assert (selection.baseline, selection.baseline_due) == (None, True)
    assert selection.compared(None) == [ROWS["a"], ROWS["c"]]
