"""A question with a few answers: the base of confirmations and of the quit dialog.

The base of everything that opens in front of the main screen.

Asked before something is lost.

The base of dialogs that ask for one line, and say beneath it what it would mean or what is wrong with it.
"""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from msgspec import Struct
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.terminal.sanitize import plain
from infertui.tui.widgets.prompt import LineInput
from infertui.tui.widgets.rowlist import RowList

DIALOG_CSS = Path(__file__).parents[1] / "dialogs.tcss"
"""Absolute: Textual looks for relative ones beside the module of the subclass."""
AnswerT = TypeVar("AnswerT")


class Dialog(ModalScreen[AnswerT]):
    """A modal screen that closes once: keys come quicker than a screen goes, and the second of two would close what
    lies under it, or end the program where that is the main screen."""

    def dismiss(self, result: AnswerT | None = None) -> AwaitComplete:
        """Close, with an answer for whoever asked."""
        return super().dismiss(result) if self.app.screen is self else AwaitComplete()


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
    CSS_PATH = DIALOG_CSS

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


YES = "yes"


class ConfirmScreen(ChoiceScreen):
    """Returns YES, or something else for no; `yes` names the act."""

    def __init__(self, question: str, *, yes: str) -> None:
        super().__init__(question, (Answer("no", "Leave it"), Answer(YES, yes)), back="leave it")


class LineDialog(Dialog[AnswerT | None], Generic[AnswerT]):
    """Returns what `understood` makes of the line in its LineInput, or None. The note is a Static of class `note`."""

    def understood(self, typed: str) -> tuple[AnswerT | None, Text]:
        """The answer, None where the line is none, and what to say of it."""
        raise NotImplementedError

    def tell(self, typed: str) -> AnswerT | None:
        """Show what the line means; its answer."""
        answer, text = self.understood(typed)
        text.no_wrap = False
        self.query_one(".note", Static).update(text)
        return answer

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.tell(event.value)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if answer := self.tell(event.value):
            self.dismiss(answer)

    @on(LineInput.Cancelled)
    def _cancelled(self, event: LineInput.Cancelled) -> None:
        event.stop()
        self.dismiss(None)

    def action_back(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)
