"""The title in a pane's frame: its name, and what is to be said at a glance."""

from infertui.tui.terminal.sanitize import safe
from infertui.tui.widgets.pane import Pane


class Heading:
    """Adds words to the title that a pane's frame had when this was first used; sets it only when it differs."""

    def __init__(self, pane: Pane) -> None:
        self._pane = pane
        self._name: object | None = None
        self._told: str | None = None

    def say(self, words: str) -> None:
        """The frame's title is now the pane's name and `words`. Brackets are shown as they are."""
        if words == self._told:
            return
        if self._name is None:
            self._name = self._pane.border_title
        self._told = words
        shown = safe(words).replace("[", "\\[")
        with self._pane.frame_only(0):
            self._pane.border_title = f"{self._name or ''}  {shown}" if shown else str(self._name or "")
