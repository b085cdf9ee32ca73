"""Curves over what was swept, over the whole screen: those of one setting at a time."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from infertui.errors import InfertuiError
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.sanitize import safe
from infertui.tui.widgets.cells import RenderContext, paragraph
from infertui.tui.widgets.page import KeyLine, PageScreen
from infertui.tui.widgets.pager import Pager

if TYPE_CHECKING:
    from infertui.analysis.decision.sweep_curve import SweepCurve
    from infertui.chart import ResultChart
    from infertui.tui.frame.context import AppContext

_LOOK_S = 0.5
_FEWEST = 2
_KEYS = "esc back  h l other settings  j k scroll  r read again  y copy  I picture"


class CurveScreen(PageScreen):
    """Shows the first of `curves`, and turns to the others. With `runs`, which tells the runs that have ended so far,
    it reads these again whenever there are more, until `whole` says that no more will come.
    """

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        Action("curve.back", "escape,q,v", "Back", "back to where you came from"),
        Action("curve.next", "right,l,tab", "Next", "the next curve"),
        Action("curve.previous", "left,h,shift+tab", "Previous", "the curve before", footer=False),
        Action("curve.copy", "y", "Copy", "copy the points, tab-separated"),
        Action("curve.reload", "r", "Read again", "read the runs again", footer=False),
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    BINDING_GROUP_TITLE = "Curve"

    def __init__(
        self,
        app_context: "AppContext",
        runs: Callable[[], Sequence[str]],
        *,
        out: str,
        curves: "Sequence[SweepCurve]" = (),
        whole: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(app_context, Pager(id="curve-text"))
        self._runs, self._whole, self._out = runs, whole, out
        self._curves = tuple(curves)
        self._asked: tuple[str, ...] | None = tuple(runs()) if curves else None
        self._read_once = bool(curves)
        self._at = 0

    def compose(self) -> ComposeResult:
        """A frame around page and keys."""
        with self._frame:
            yield self._pager
            yield KeyLine(_KEYS)

    def on_mount(self) -> None:
        """Look for more runs as long as some may come."""
        super().on_mount()
        self.set_interval(_LOOK_S, self._look)

    def action_reload(self) -> None:
        """Read the runs, unless they were read already."""
        if not self._read_once or self._asked != tuple(self._runs()):
            self._look(again=True)
        self._lay_out()

    def _look(self, *, again: bool = False) -> None:
        runs = tuple(self._runs())
        if runs != self._asked or again:
            self._asked = runs
            self.run_worker(self._read(runs), exclusive=True)

    async def _read(self, runs: tuple[str, ...]) -> None:
        try:
            fewest = _FEWEST if len(runs) < 3 or not self._whole() else 3
            found = await self._app_context.control.curves(self._out, runs, fewest=fewest) if len(runs) > 1 else ()
            self._problem = ""
        except InfertuiError as error:
            self._problem = str(error)
        else:
            self._curves = found
        self._read_once = True
        self._lay_out()

    # What is shown.

    def lines(self, width: int, height: int, look: RenderContext) -> list[Text]:
        """The curves of one setting, or why there are none."""
        from infertui.tui.results.curve.view import curve_page, families, none_yet

        pages = families(self._curves)
        self._at = min(self._at, max(0, len(pages) - 1))
        heading = f"Over {safe(pages[self._at][0].heading)}" if pages else "Curve"
        of = f", {self._at + 1} of {len(pages)}" if len(pages) > 1 else ""
        self._frame.border_title = f"{heading}{of}".replace("[", "\\[")
        if not pages:
            ended = len(self._asked or ())
            return paragraph(none_yet(ended, whole=self._whole(), read=self._read_once), width, look.palette.muted)
        return curve_page(pages[self._at], width, height, look)

    def _turn(self, by: int) -> None:
        from infertui.tui.results.curve.view import families

        self._at = (self._at + by) % max(1, len(families(self._curves)))
        self._lay_out(top=0)

    def action_next(self) -> None:
        """The next setting."""
        self._turn(1)

    def action_previous(self) -> None:
        """The setting before."""
        self._turn(-1)

    def chart_at_hand(self) -> "ResultChart | None":
        """The chart in view, to be saved."""
        from infertui.tui.results.curve.view import families, result_chart

        pages = families(self._curves)
        return result_chart(pages[self._at]) if pages else None

    def action_copy(self) -> None:
        """For a spreadsheet."""
        from infertui.tui.results.curve.view import families, tab_separated

        if pages := families(self._curves):
            self._app_context.copy(tab_separated(pages[self._at]), "the points of the curve")
