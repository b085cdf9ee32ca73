"""Tables on the command line."""

import sys
from collections.abc import Callable, Sequence

from infertui.cli.output import console, say


def print_table(
    head: Sequence[str], rows: Sequence[tuple[str, ...]], faint: Callable[[tuple[str, ...]], bool] = lambda _row: False
) -> None:
    """A table in a terminal; elsewhere aligned columns, a row a line however long. Cells are clean."""
    if sys.stdout.isatty():
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for index, title in enumerate(head):
            table.add_column(title, overflow="fold", no_wrap=index == 0)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row), style="dim" if faint(row) else "")
        console().print(table)
        return
    widths = [max((len(row[index]) for row in rows), default=0) for index in range(len(head) - 1)]
    for row in rows:
        say("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))
