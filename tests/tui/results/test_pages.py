from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.results import make_results

from infertui.results.index import ResultPage, ResultQuery, ResultRow
from infertui.results.row import ResultLine, row_of
from infertui.tui.results.pages import KEPT, PAGE, ResultPages

TEMPLATE = row_of(msgspec.json.decode(b'{"id": "x"}', type=ResultLine))
QUERY = ResultQuery("/reports")


def rows(count: int, *, prefix: str = "run") -> list[ResultRow]:
    return [replace(TEMPLATE, id=f"{prefix}{n}") for n in range(count)]


class Table:
    """Answers queries from a list."""

    def __init__(self, found: list[ResultRow]) -> None:
        self.rows = found
        self.version = 1
        self.asked: list[ResultQuery] = []

    def answer(self, query: ResultQuery) -> ResultPage:
        self.asked.append(query)
        place = next((n for n, row in enumerate(self.rows) if row.id == query.find), None)
        offset = query.offset
        if place is not None and not offset <= place < offset + query.limit:
            offset = place // query.limit * query.limit
        part = tuple(self.rows[offset : offset + query.limit])
        return ResultPage(len(self.rows), len(self.rows), offset, part, self.version, place)


def settle(pages: ResultPages, table: Table, *, cursor: int = 0, run: str = "") -> None:
    for _ in range(20):
        query = pages.ask(cursor=cursor, run=run)
        if query is None:
            return
        pages.take(query, table.answer(query))
    raise AssertionError("it never has enough")


def test_what_is_in_view_comes_first_then_what_is_next_to_it() -> None:
    table, pages = Table(rows(1000)), ResultPages(QUERY)
    pages.look_at(range(30))
    settle(pages, table)
    assert [query.offset for query in table.asked] == [0, 100]
    pages.look_at(range(495, 525))
    settle(pages, table, cursor=500)
    assert [query.offset for query in table.asked[2:]] == [400, 500, 600, 300]
    row = pages.row(500)
    assert row
    assert row.id == "run500"
    assert pages.row(700) is None


def test_when_nothing_is_there_one_question_is_enough() -> None:
    table, pages = Table([]), ResultPages(QUERY)
    settle(pages, table)
    assert pages.answered
    assert len(table.asked) == 1


def test_the_rows_that_were_there_stay_until_the_new_ones_come() -> None:
    table, pages = Table(rows(300)), ResultPages(QUERY)
    settle(pages, table)
    assert pages.change(replace(QUERY, filter="llama"))
    assert not pages.change(replace(QUERY, filter="llama"))
    assert pages.row(5)
    query = pages.ask(cursor=5, run="run5")
    assert query
    assert (query.filter, query.find) == ("llama", "run5")
    table.rows = rows(3, prefix="other")
    pages.take(query, table.answer(query))
    row = pages.row(0)
    assert row
    assert row.id == "other0"
    assert pages.row(5) is None


def test_an_answer_to_an_older_question_is_dropped() -> None:
    table, pages = Table(rows(300)), ResultPages(QUERY)
    query = pages.ask(cursor=0, run="")
    assert query
    pages.change(replace(QUERY, sort="ttft"))
    assert not pages.take(query, table.answer(query))
    assert pages.row(0) is None


def test_a_page_of_newer_results_makes_it_begin_again_at_the_run_under_the_cursor() -> None:
    table, pages = Table(rows(1000)), ResultPages(QUERY)
    settle(pages, table)
    table.rows, table.version = [*rows(150, prefix="new"), *table.rows], 2
    pages.look_at(range(200, 230))
    settle(pages, table, cursor=205, run="run205")
    assert pages.place("run205") == 355
    assert all(row.id == table.rows[pages.place(row.id) or 0].id for row in pages.rows())


def test_few_pages_are_kept() -> None:
    table, pages = Table(rows(100 * PAGE)), ResultPages(QUERY)
    for start in range(0, 100 * PAGE, PAGE):
        pages.look_at(range(start, start + 40))
        settle(pages, table, cursor=start)
        assert len(list(pages.rows())) <= KEPT * PAGE
    assert pages.row(0) is None
    assert pages.place("run0") is None
    assert pages.place("run9999") == 9999


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(["look", "change", "grow"])), max_size=30))
def test_whatever_happens_every_row_is_in_its_place(steps: list[tuple[int, str]]) -> None:
    table, pages = Table(rows(1000)), ResultPages(QUERY)
    for at, what in steps:
        if what == "change":
            pages.change(replace(QUERY, filter=str(at)))
        elif what == "grow":
            table.rows, table.version = [*rows(1, prefix=f"new{table.version}-"), *table.rows], table.version + 1
            pages.outdated()
        pages.look_at(range(at, at + 40))
        settle(pages, table, cursor=at)
        for index in range(at, min(at + 40, len(table.rows))):
            assert pages.row(index) == table.rows[index]
            assert pages.place(table.rows[index].id) == index


def test_the_generator_of_results_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    assert list(make_results(5, seed=3)) == list(make_results(5, seed=3)) != list(make_results(5, seed=4))
