"""Asks how many rounds a bench is to have, and says what it will measure."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from infertui.config.bench_plan import DEFAULT_ROUNDS
from infertui.integers import whole_number
from infertui.results.table import ResultRow
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.results.compare.scene import what_ran
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import clock
from infertui.tui.widgets.dialogs import DIALOG_CSS, LineDialog
from infertui.tui.widgets.lines import cut
from infertui.tui.widgets.prompt import LineInput

ROUNDS = DEFAULT_ROUNDS
MOST_ROUNDS = 1000
_NAMED = 8
_WIDTH = 76
"""Of the box, as in dialogs.tcss, its frame and padding included."""


def rounds_of(text: str) -> int | None:
    """The number of rounds that was typed; None where it is none from 1 to 1000."""
    number = whole_number(text)
    return number if number is not None and 1 <= number <= MOST_ROUNDS else None


def about(rows: Sequence[ResultRow], rounds: int) -> str:
    """How many runs that makes, and how long they take if they take as long as before."""
    runs = f"{rounds * len(rows)} runs, in an order drawn by chance and mirrored every other round"
    known = [row.seconds for row in rows if row.seconds is not None]
    if not known:
        return runs
    least = "at least " if len(known) < len(rows) else "about "
    return f"{runs}; {least}{clock(rounds * sum(known))}, going by how long these runs took"


class BenchScreen(LineDialog[int]):
    """Returns the rounds, or None. The first of `rows` is the baseline."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (Action("bench.back", "escape", "Back", "queue nothing"),)
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS
    DEFAULT_CSS = "BenchScreen #bench-note { height: auto; min-height: 2; max-height: 4; }"

    def __init__(self, rows: Sequence[ResultRow]) -> None:
        super().__init__(classes="dialog")
        self._runs = tuple(rows)

    def compose(self) -> ComposeResult:
        """What is measured, the line for the rounds, what that means."""
        signs, colours = glyphs(self.app), palette(self.app)
        muted, room = colours.muted, min(_WIDTH, int(self.app.size.width * 0.98)) - 4
        with Vertical(classes="box") as box:
            box.border_title = f"Bench: measure these {len(self._runs)} configurations in turn"
            for index, row in enumerate(self._runs[:_NAMED]):
                line = plain("baseline  " if index == 0 else "          ", colours.accent)
                line.append_text(plain(safe(row.name or row.id))).append_text(plain(f"  {safe(what_ran(row))}", muted))
                yield Static(cut(line, room, signs.ellipsis), markup=False)
            if len(self._runs) > _NAMED:
                more = f"          {signs.ellipsis} {len(self._runs) - _NAMED} more"
                yield Static(plain(more, colours.muted), markup=False)
            yield Static(plain(""), markup=False)
            yield Static(plain("rounds", colours.title), markup=False)
            yield LineInput(str(ROUNDS))
            yield Static(id="bench-note", classes="note", markup=False)
            yield Static(plain("enter queue   esc back"), classes="keys", markup=False)

    def on_mount(self) -> None:
        """Type at once, over the number that is proposed."""
        line = self.query_one(LineInput)
        line.focus()
        line.action_select_all()
        self.tell(line.value)

    def understood(self, typed: str) -> tuple[int | None, Text]:
        """A number of rounds, and what that makes."""
        rounds, colours = rounds_of(typed.strip()), palette(self.app)
        if rounds is None:
            return None, plain(f"a whole number from 1 to {MOST_ROUNDS:,}", colours.error)
        return rounds, plain(about(self._runs, rounds), colours.muted)
