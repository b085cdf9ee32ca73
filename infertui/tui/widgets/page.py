"""The base of screens that are one text to page through: a frame that says where one is in it, and a line of keys."""

from typing import TYPE_CHECKING

from rich.text import Text
from textual.containers import Vertical

from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.terminal.sanitize import plain
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext, paragraph
from infertui.tui.widgets.dialogs import Dialog
from infertui.tui.widgets.lines import Lines, cut
from infertui.tui.widgets.pager import Pager

if TYPE_CHECKING:
    from infertui.tui.frame.context import AppContext


class KeyLine(Lines):
    """What the keys do."""

    DEFAULT_CSS = "KeyLine { height: 1; width: 1fr; }"

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def compose_lines(self) -> None:
        """One line, as much of it as fits."""
        line = plain(self._words, palette(self.app).muted)
        self.paint_lines([cut(line, self.size.width, glyphs(self.app).ellipsis)])


class PageScreen(Dialog[None]):
    """Subclasses compose `_pager` and a KeyLine into `_frame`, read in `action_reload`, and make the lines."""

    DEFAULT_CSS = """
    PageScreen { background: $background; }
    PageScreen #page-frame {
        border: round $frame-focused; border-title-color: $title-colour; border-title-style: bold;
        border-subtitle-color: $muted-colour; padding: 0 1; width: 1fr; height: 1fr;
    }
    App.-ascii PageScreen #page-frame { border: ascii $frame-focused; }
    """

    def __init__(self, app_context: "AppContext", pager: Pager) -> None:
        super().__init__()
        self._app_context = app_context
        self._pager = pager
        self._frame = Vertical(id="page-frame")
        self._problem = ""
        """Why what is to be shown could not be read."""

    def lines(self, width: int, height: int, look: RenderContext) -> list[Text]:
        """The text for this size."""
        raise NotImplementedError

    def action_reload(self) -> None:
        """Read what is shown, now or again, and lay it out."""
        raise NotImplementedError

    def fit(self) -> None:
        """The text is about to be laid out for another size."""

    def on_mount(self) -> None:
        """Read it."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._lay_out())
        self._pager.focus()
        self.action_reload()

    def on_pager_laid(self, event: Pager.Laid) -> None:
        """Another size."""
        event.stop()
        self.fit()
        self._lay_out()

    def on_pager_turned(self, event: Pager.Turned) -> None:
        """The position stands in the frame."""
        event.stop()
        self._frame.border_subtitle = event.position

    def _lay_out(self, *, top: int | None = None) -> None:
        """Make the lines for this size and theme."""
        width, height = self._pager.size
        if width and height:
            look = RenderContext(palette(self.app), self._app_context.ascii_only, self._app_context.settings)
            self._pager.set_lines(self._safe_lines(width, height, look), top=top)

    def _safe_lines(self, width: int, height: int, look: RenderContext) -> list[Text]:
        if self._problem:
            return [line for text in self._problem.split("\n") for line in paragraph(text, width, look.palette.error)]
        try:
            return self.lines(width, height, look)
        except Exception as error:  # noqa: BLE001 (files may hold anything; a line is not worth the whole screen)
            return paragraph(f"This cannot be shown: {type(error).__name__}: {error}", width, look.palette.error)

    def action_back(self) -> None:
        """Back; what is still being read is given up."""
        self.dismiss()
