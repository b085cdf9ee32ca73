"""The runs that were measured, to open their details."""

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

from infertui.tui.palette.command import PaletteCommand

if TYPE_CHECKING:
    from infertui.results.table import ResultRow
    from infertui.tui.app import InfertuiApp

MOST = 10_000
_PAGE = 500
"""Rows that are asked for at once: reading them holds up no key."""


async def later(app: "InfertuiApp") -> AsyncIterator[list[PaletteCommand]]:
    """The newest first, some at a time."""
    from infertui.results.table import ResultQuery
    from infertui.tui.config.form.options import run_options

    out = str(app.out)
    for start in range(0, MOST, _PAGE):
        page = await app.control.results(ResultQuery(out, offset=start, limit=_PAGE))
        yield [_of_row(app, row, option.detail) for row, option in zip(page.rows, run_options(page.rows), strict=True)]
        if start + len(page.rows) >= page.matching or not page.rows:
            return


def _of_row(app: "InfertuiApp", row: "ResultRow", detail: str) -> PaletteCommand:
    run = partial(app.show_details, row.id)
    return PaletteCommand(f"run:{row.id}", row.name or row.id, run, "Run", detail, words=row.id)
