"""The base of everything that opens in front of the main screen."""

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A modal screen that closes once: keys come quicker than a screen goes, and the second of two would close what
    lies under it, or end the program where that is the main screen."""

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Close, with an answer for whoever asked."""
        return super().dismiss(result) if self.app.screen is self else AwaitComplete()
