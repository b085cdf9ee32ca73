from hypothesis import given
from hypothesis import strategies as st
from support.scenes import HOSTILE

from infertui.tui.logs.view import Journal, find, rows_of


def texts(journal: Journal) -> list[str]:
    return [item.text for item in journal.items]


def test_what_was_there_has_no_time_and_what_comes_has() -> None:
    journal = Journal()
    assert journal.add_log("a\nb\n", "10:00:00")
    assert journal.add_log("a\nb\nc\n", "10:00:01")
    assert not journal.add_log("a\nb\nc\n", "10:00:02")
    assert [(item.time, item.text) for item in journal.items] == [("", "a"), ("", "b"), ("10:00:01", "c")]


def test_a_line_without_an_end_waits_for_it() -> None:
    journal = Journal()
    journal.add_log("a\nhal", "1")
    assert (texts(journal), journal.partial) == (["a"], "hal")
    journal.add_log("a\nhalf\n", "2")
    assert (texts(journal), journal.partial) == (["a", "half"], "")


def test_notes_are_added_once_and_stand_where_they_came() -> None:
    journal = Journal()
    journal.add_log("a\n", "1")
    assert journal.add_notes("note", ["one"], "2")
    assert not journal.add_notes("note", ["one"], "3")
    journal.add_notes("fault", ["lost"], "3")
    journal.add_log("a\nb\n", "4")
    assert [(item.kind, item.text) for item in journal.items] == [
        ("log", "a"), ("note", "one"), ("fault", "lost"), ("log", "b"),
    ]  # fmt: skip


@given(st.lists(st.text("ab\n", min_size=1, max_size=200), min_size=1, max_size=12), st.integers(300, 400))
def test_reading_a_growing_log_through_a_window_gives_the_log(pieces: list[str], window: int) -> None:
    journal, whole = Journal(), ""
    for number, piece in enumerate(pieces):
        whole += f"<{number}>" + piece
        journal.add_log(whole[-window:] if len(whole) > window else whole, "t")
    shown = "\n".join([*(item.text for item in journal.items), journal.partial])
    assert shown == whole


def test_a_log_that_ran_away_has_a_gap() -> None:
    journal = Journal()
    journal.add_log("first\n", "1")
    journal.add_log("quite another\n", "2")
    assert [(item.kind, item.text) for item in journal.items] == [
        ("log", "first"), ("gap", "part of the log was not read"), ("log", "quite another"),
    ]  # fmt: skip


def test_old_lines_go() -> None:
    journal = Journal()
    journal.add_log("x\n" * 12_000, "1")
    assert len(journal.items) == 5000
    assert journal.items[-1].number == 12_000


def test_lines_are_harmless() -> None:
    journal = Journal()
    journal.add_log(HOSTILE + "\n", "1")
    assert "\x1b" not in journal.items[0].text
    assert "[/foo]" in journal.items[0].text


def test_wrapping_makes_rows_and_cutting_leaves_one() -> None:
    journal = Journal()
    journal.add_log("abcdefgh\nxy\n", "1")
    assert [row.piece for row in rows_of(journal.items, 3, wrap=True)] == ["abc", "def", "gh", "xy"]
    assert [row.piece for row in rows_of(journal.items, 3, wrap=False)] == ["abcdefgh", "xy"]


def test_finding_goes_on_round_the_end() -> None:
    journal = Journal()
    journal.add_log("Needle\nhay\nneedle\nhay\n", "1")
    rows = rows_of(journal.items, 80, wrap=False)
    assert find(rows, "NEEDLE", 0, 1) == 2
    assert find(rows, "needle", 2, 1) == 0
    assert find(rows, "needle", 2, -1) == 0
    assert find(rows, "gold", 0, 1) is None
