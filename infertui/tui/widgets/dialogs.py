"""A question with a few answers: the base of confirmations and of the quit dialog."""

from collections.abc import Hashable, Sequence
from typing import ClassVar

from msgspec import Struct
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from infertui.tui.actions import Action, bindings
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.terminal.sanitize import plain
from infertui.tui.widgets.dialog import Dialog
from infertui.tui.widgets.rowlist import RowList


class Answer(Struct, frozen=True):
    """One of the answers: what is returned, and what it says."""

    value: str
    text: str


class _Answers:
    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = answers

    def row_count(self) -> int:
        return len(self._answers)

    def row_key(self, index: int) -> Hashable:
        return self._answers[index].value

    def row_text(self, index: int, width: int) -> Text:
        return plain(self._answers[index].text)


class ChoiceScreen(Dialog[str]):
    """Asks; returns the value of the answer, the first one's on Esc. The first answer is the safe one, and focused."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (Action("choice.back", "escape,q", "Back", "the safe answer"),)
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = "../dialogs.tcss"

    def __init__(self, question: str, answers: Sequence[Answer], *, back: str) -> None:
        super().__init__(classes="dialog")
        self._back = back
        self._question = question
        self._answers = tuple(answers)

    def compose(self) -> ComposeResult:
        """The question above its answers."""
        with Vertical(classes="box"):
            for line in self._question.splitlines() or [""]:
                text = plain(line)
                text.no_wrap = False
                yield Static(text, classes="question", markup=False)
            answers = RowList(_Answers(self._answers), id="answers")
            answers.styles.height = len(self._answers)
            yield answers
            signs = glyphs(self.app)
            keys = f"{signs.up}{signs.down} choose   enter do it   esc {self._back}"
            yield Static(plain(keys), classes="keys", markup=False)

    def on_mount(self) -> None:
        """The safe answer first."""
        self.query_one(RowList).focus()

    def on_row_list_chosen(self, chosen: RowList.Chosen) -> None:
        """That is the answer."""
        chosen.stop()
        self.dismiss(str(chosen.key))

    def action_back(self) -> None:
        """Esc is the safe answer."""
        self.dismiss(self._answers[0].value)
