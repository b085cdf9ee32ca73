"""Pages of the results table around what is looked at. Pure: it says what to ask next, and takes the answers."""

from collections.abc import Iterable

from msgspec.structs import replace

from infertui.metrics.varying import Varied
from infertui.results.table import ResultPage, ResultQuery, ResultRow

PAGE = 100
KEPT = 12


class ResultPages:
    """The rows of one query, as far as they were fetched.

    `look_at` says which rows are in view, `ask` names the next request if one is due, and `take` its answer: one at a
    time. When the query changes, or the results do, the rows that were there stay until the first page of the new ones.
    """

    def __init__(self, query: ResultQuery) -> None:
        self.query = replace(query, offset=0, limit=PAGE)
        self.total = 0
        self.matching = 0
        self.skipped = self.newer = 0
        self.varied: tuple[Varied, ...] = ()
        """What is not the same in all rows."""
        self.answered = False
        """Whether there was an answer at all."""
        self._pages: dict[int, tuple[ResultRow, ...]] = {}
        self._places: dict[str, int] = {}
        self._version: int | None = None
        self._stale = True
        self._view = range(0)

    def change(self, query: ResultQuery) -> bool:
        """Show another query; whether it is one."""
        query = replace(query, offset=0, limit=PAGE, find="")
        if query == self.query:
            return False
        self.query, self._stale = query, True
        return True

    def outdated(self) -> None:
        """The results are not what they were."""
        self._stale = True

    def look_at(self, view: range) -> None:
        """The rows in view."""
        self._view = view

    def row(self, index: int) -> ResultRow | None:
        """A row, if it was fetched."""
        page = self._pages.get(index // PAGE, ())
        return page[index % PAGE] if index % PAGE < len(page) else None

    def place(self, run: str) -> int | None:
        """Where a run is, if it is in one of the pages here."""
        return self._places.get(run)

    def rows(self) -> Iterable[ResultRow]:
        """All rows that were fetched."""
        for page in self._pages.values():
            yield from page

    def ask(self, *, cursor: int, run: str) -> ResultQuery | None:
        """What is to be fetched next, with the cursor here on this run; None when all is there."""
        if self._stale:
            return replace(self.query, offset=cursor // PAGE * PAGE, find=run)
        first, last = self._view.start // PAGE, max(self._view.start, self._view.stop - 1) // PAGE
        pages = self._count(self.matching)
        # What is seen, then what comes next when scrolling on.
        for page in (*range(first, last + 1), last + 1, first - 1):
            if 0 <= page < pages and page not in self._pages:
                return replace(self.query, offset=page * PAGE)
        return None

    def take(self, query: ResultQuery, page: ResultPage) -> bool:
        """The answer to `query`; False when it is of no use any more."""
        if replace(query, offset=0, find="") != self.query:
            return False
        if not self._stale and page.version != self._version:
            # It tells of newer results than its fellows: begin again, with the run under the cursor.
            self._stale = True
            return False
        if self._stale:
            self._pages.clear()
            self._places.clear()
            self._stale, self._version = False, page.version
        self.answered = True
        self.total, self.matching = page.total, page.matching
        self.skipped, self.newer = page.skipped, page.newer
        self.varied = page.varied
        number = page.offset // PAGE
        self._forget_far(number)
        self._pages[number] = page.rows
        self._places |= {row.id: page.offset + at for at, row in enumerate(page.rows)}
        return True

    def _forget_far(self, number: int) -> None:
        while len(self._pages) >= KEPT:
            far = max(self._pages, key=lambda page: abs(page - number))
            for row in self._pages.pop(far):
                self._places.pop(row.id, None)

    def _count(self, rows: int) -> int:
        return -(-rows // PAGE)
