"""The base of dialogs that ask for one line, and say beneath it what it would mean or what is wrong with it."""

from typing import Generic, TypeVar

from rich.text import Text
from textual import on
from textual.widgets import Input, Static

from infertui.tui.widgets.dialog import Dialog
from infertui.tui.widgets.prompt import LineInput

Answer = TypeVar("Answer")


class LineDialog(Dialog[Answer | None], Generic[Answer]):
    """Returns what `understood` makes of the line in its LineInput, or None. The note is a Static of class `note`."""

    def understood(self, typed: str) -> tuple[Answer | None, Text]:
        """The answer, None where the line is none, and what to say of it."""
        raise NotImplementedError

    def tell(self, typed: str) -> Answer | None:
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
