"""What `infertui cost` prints: rows for one run, a table for several, Markdown, JSON, and the list of prices."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from infertui.analysis.cost.extras import Deal, Gain, deal_rows, gain_rows
from infertui.analysis.cost.prices import Prices, user_file
from infertui.analysis.cost.total import PUE, PUE_SOURCE, RunCost, Terms, price_lists
from infertui.analysis.cost.wording import HEADINGS, Remedies, cost_rows, notes, table
from infertui.cli.output import console, say, say_json
from infertui.cli.table import print_table
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.report.escaping import markdown, markdown_line
from infertui.text import clean


def print_text(
    costs: Sequence[RunCost], saved: Gain | None, bought: Deal | None, terms: Terms, remedies: Remedies
) -> None:
    """One run as rows, several as a table with what each needs or saves, then the gain and the purchase."""
    if len(costs) > 1:
        _print_table(costs, remedies)
    else:
        for one in costs:
            _print_rows(cost_rows(one, terms, remedies))
    if len(costs) > 1 and (terms.load is not None or terms.budget is not None):
        for one in costs:
            rows = cost_rows(one, terms, remedies)
            if shown := [row for row in rows if row[0] in ("fleet", "saving")]:
                say(f"\n{one.id}")
                _print_rows(shown)
    sections = [gain_rows(saved) if saved else [], deal_rows(bought, terms.pue) if bought else []]
    for at, rows in enumerate(sections):
        if rows:
            if costs or any(sections[:at]):
                say("")
            _print_rows(rows)


def _print_rows(rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"{name:<{width}}  {value}")


def _print_table(costs: Sequence[RunCost], remedies: Remedies) -> None:
    rows = table(costs)
    # A column in which nothing is known for any run says nothing: the notes say why.
    shown = [at for at in range(len(HEADINGS)) if at < 2 or any(row[at] not in (NOT_AVAILABLE, "-") for row in rows)]
    terminal = console()
    if not terminal.is_terminal:
        terminal.width = 400
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for at in shown:
        drawn.add_column(HEADINGS[at], justify="left" if at < 2 else "right", overflow="fold")
    for row, one in zip(rows, costs, strict=True):
        drawn.add_row(*(Text(row[at], style="" if one.valid else "red") for at in shown))
    terminal.print(drawn)
    for note in notes(costs, remedies):
        say(note)


def print_markdown(costs: Sequence[RunCost], remedies: Remedies) -> None:
    """A table with a line for each run, then its notes."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(markdown(cell) for cell in cells)} |"

    say(line(HEADINGS))
    say(f"|{' --- |' * len(HEADINGS)}")
    for row in table(costs):
        say(line(row))
    for note in notes(costs, remedies):
        say(f"\n{markdown_line(note)}")


def print_json(costs: Sequence[RunCost], saved: Gain | None, bought: Deal | None) -> None:
    """Everything that was worked out, as one document; null for what was not asked for."""
    say_json({"runs": list(costs), "gain": saved, "purchase": bought})


def print_prices(prices: Prices, *, as_json: bool) -> None:
    """The prices that count, with source and date, and the file of the user's own."""
    if as_json:
        say_json(prices)
        return
    for title, rows in price_lists(prices).items():
        say(f"{title}:")
        print_table(("name", "price", "source", "date"), rows)
        say("")
    say(f"PUE {PUE}: {PUE_SOURCE}")
    say(f"yours: {clean(str(user_file()))}")
