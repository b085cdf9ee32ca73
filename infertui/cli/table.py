"""Tables on the command line."""

import sys
from collections.abc import Callable, Sequence

from infertui.cli.output import console, say

_SHORT = 24
"""Cells that stay in columns where there is no room for a whole table."""


def print_table(
    head: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    faint: Callable[[tuple[str, ...]], bool] = lambda _row: False,
    *,
    blocks: bool = False,
) -> None:
    """A table in a terminal; elsewhere aligned columns, a row a line however long. Cells are clean.

    With `blocks` long cells stand above the others where the terminal is too narrow for the table.
    """
    if sys.stdout.isatty():
        from rich.table import Table
        from rich.text import Text

        shown = console()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for index, title in enumerate(head):
            table.add_column(title, overflow="fold", no_wrap=index == 0)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row), style="dim" if faint(row) else "")
        if blocks and sum(width + 2 for width in _widths([head, *rows])) > shown.width:
            _print_blocks(head, rows)
        else:
            shown.print(table)
        return
    widths = [max((len(row[index]) for row in rows), default=0) for index in range(len(head) - 1)]
    for row in rows:
        say("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Cells that each column takes."""
    from rich.cells import cell_len

    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def _print_blocks(head: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """Long cells on a line of their own above the short ones, which stay columns."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    shown = console()
    widest = _widths([head, *rows])
    short = [index for index, width in enumerate(widest) if index and width <= _SHORT]
    above = [index for index in range(1, len(head)) if index not in short]

    def line(cells: Sequence[str], style: str) -> None:
        table = Table.grid(padding=(0, 2, 0, 0))
        for index in short:
            table.add_column(width=widest[index], no_wrap=True)
        table.add_row(*(Text(cells[index], style=style) for index in short))
        shown.print(Padding(table, (0, 0, 0, 2)))

    line(head, "bold")
    for row in rows:
        name = Text(row[0], style="bold")
        shown.print(name.append(Text("".join(f"  {row[index]}" for index in above), style="not bold")))
        line(row, "")
