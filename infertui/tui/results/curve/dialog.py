"""Curves over what was swept, in front of the results: one at a time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.markup import escape
from textual.widgets import Static

from infertui.tui.frame.actions import Action, bindings
from infertui.tui.results.curve.view import curve_page, tab_separated
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.dialogs import DIALOG_CSS, Dialog
from infertui.tui.widgets.pager import Pager

if TYPE_CHECKING:
    from infertui.analysis.decision.sweep_curve import SweepCurve
    from infertui.tui.frame.context import AppContext

_WIDTH = 100


class CurveScreen(Dialog[None]):
    """Shows the first of `curves`, which are one at least; the keys turn to the others."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        Action("curve.back", "escape,q,v", "Back", "back to the results"),
        Action("curve.next", "right,l,tab", "Next", "the next curve"),
        Action("curve.previous", "left,h,shift+tab", "Previous", "the curve before", footer=False),
        Action("curve.copy", "y", "Copy", "copy the points, tab-separated"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    CSS_PATH = DIALOG_CSS

    def __init__(self, app_context: "AppContext", curves: "Sequence[SweepCurve]") -> None:
        super().__init__(classes="dialog")
        self._app_context = app_context
        self._curves = tuple(curves)
        self._at = 0
        self._pager = Pager(id="curve-text")
        self._box = Vertical(classes="box tall")

    def compose(self) -> ComposeResult:
        """The drawing, and what the keys do."""
        self._box.styles.width = _WIDTH
        turn = "h l other curves   " if len(self._curves) > 1 else ""
        with self._box:
            yield self._pager
            yield Static(plain(f"esc back   {turn}j k scroll   y copy"), classes="keys", markup=False)

    def on_mount(self) -> None:
        """Keys go to the text."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._lay_out())
        self._pager.focus()

    def on_pager_laid(self, event: Pager.Laid) -> None:
        """There is a size, or another one."""
        event.stop()
        self._lay_out()

    def on_pager_turned(self, event: Pager.Turned) -> None:
        """The position stands in the frame."""
        event.stop()
        self._box.border_subtitle = event.position

    def _lay_out(self, *, top: int | None = None) -> None:
        width, height = self._pager.size
        one = self._curves[self._at]
        of = f", {self._at + 1} of {len(self._curves)}" if len(self._curves) > 1 else ""
        self._box.border_title = escape(safe(f"Over {one.heading}{of}"))
        if width and height:
            look = RenderContext(palette(self.app), self._app_context.ascii_only, self._app_context.settings)
            self._pager.set_lines(curve_page(one, width, height, look), top=top)

    def _turn(self, by: int) -> None:
        self._at = (self._at + by) % len(self._curves)
        self._lay_out(top=0)

    def action_next(self) -> None:
        """The next curve."""
        self._turn(1)

    def action_previous(self) -> None:
        """The curve before."""
        self._turn(-1)

    def action_copy(self) -> None:
        """For a spreadsheet."""
        self._app_context.copy(tab_separated(self._curves[self._at]), "the points of the curve")

    def action_back(self) -> None:
        """Close."""
        self.dismiss(None)
