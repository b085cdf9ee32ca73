"""A search for a capacity over the whole screen: its stays as they come, the boundary closing in, what it found.

Leaving the screen leaves the search at work; it is found again from its entry in the queue.
"""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from infertui.runner.scheduling.queue_store import ENDED
from infertui.tui.capacity.view import (
    Drawn,
    StayRows,
    head_lines,
    level_chart,
    pareto_chart,
    stay_heading,
    tab_separated,
)
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.sanitize import safe
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext
from infertui.tui.widgets.dialogs import Dialog
from infertui.tui.widgets.gauges import GaugeColumn
from infertui.tui.widgets.page import KeyLine
from infertui.tui.widgets.result_chart import ResultPlot
from infertui.tui.widgets.rowlist import RowList

if TYPE_CHECKING:
    from infertui.runner.capacity.state import CapacityView
    from infertui.runner.control import RunnerApi
    from infertui.runner.scheduling.queue_store import Entry
    from infertui.tui.frame.context import AppContext

_REDRAW_S = 0.25
_TWO_ACROSS = 110
_STAY_LINES = 9
_LEAST_CHART = 5
_KEYS = "v other chart  c go on  x end  y copy  esc back"

ACTIONS = (
    Action("capacity.back", "escape,q", "Back", "leave the screen; the search goes on"),
    Action("capacity.turn", "v,tab", "Chart", "over the level, or throughput against what each user has of it"),
    Action("capacity.go-on", "c", "Go on", "queue a search that ended early once more: it goes on", writes=True),
    Action("capacity.end", "x", "End", "end the search (asks); what was measured is kept", writes=True),
    Action("capacity.copy", "y", "Copy", "copy the figures of its levels, tab-separated"),
)


class CapacityScreen(Dialog[None]):
    """The search of that name in a reports folder; `read` is what its folder told, where it is no longer told of."""

    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    BINDING_GROUP_TITLE = "Capacity"
    DEFAULT_CSS = """
    CapacityScreen { background: $background; }
    CapacityScreen #capacity-frame {
        border: round $frame-focused; border-title-color: $title-colour; border-title-style: bold;
        border-subtitle-color: $muted-colour; padding: 0 1; width: 1fr; height: 1fr;
    }
    App.-ascii CapacityScreen #capacity-frame { border: ascii $frame-focused; }
    CapacityScreen #capacity-charts { height: 1fr; width: 1fr; }
    CapacityScreen #capacity-pareto { width: 40%; margin-left: 2; }
    CapacityScreen GaugeColumn { height: auto; width: 1fr; }
    """

    def __init__(self, app_context: "AppContext", search: str, *, read: "CapacityView | None" = None) -> None:
        super().__init__()
        self._app_context, self._search, self._read = app_context, search, read
        self._rows = StayRows()
        self._stays = RowList(self._rows, id="capacity-stays", empty="No stay is over yet.")
        self._levels, self._pareto = ResultPlot(), ResultPlot(id="capacity-pareto")
        self._head = GaugeColumn()
        self._frame = Vertical(id="capacity-frame")
        self._charts = Horizontal(self._levels, self._pareto, id="capacity-charts")
        self._drawn_view: CapacityView | None = None
        self._turned: Drawn = "levels"

    def compose(self) -> ComposeResult:
        """Head, charts, stays, keys."""
        self._frame.border_title = safe(f"Capacity {self._search}").replace("[", "\\[")
        with self._frame:
            yield self._head
            yield self._charts
            yield self._stays
            yield KeyLine(_KEYS)

    def on_mount(self) -> None:
        """Follow the search."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._redraw())
        self.set_interval(_REDRAW_S, self._look)
        self._stays.focus()
        self.call_after_refresh(self._redraw)

    def on_resize(self) -> None:
        """Another size."""
        self.call_after_refresh(self._redraw)

    @property
    def _view(self) -> "CapacityView | None":
        return self._app_context.client_state.capacities.get(self._search, self._read)

    @property
    def _entry(self) -> "Entry | None":
        entries = reversed(self._app_context.client_state.entries.values())
        return next((entry for entry in entries if entry.run == self._search), None)

    def _look(self) -> None:
        if self._view is not self._drawn_view:
            self._redraw()

    def _redraw(self) -> None:
        view, (width, height) = self._view, self._frame.content_size
        if view is None or width < 1 or height < 1 or not self.is_attached:
            return
        self._drawn_view = view
        look = RenderContext(palette(self.app), self._app_context.ascii_only, self._app_context.settings)
        lines = head_lines(view, width, look)
        rows = max(3, min(_STAY_LINES, height // 3, self._rows_of(view) + 1))
        lines = lines[: max(2, height - rows - 1 - _LEAST_CHART)] if height > rows + _LEAST_CHART else lines[:2]
        self._head.set_cells(lines)
        self._rows.look, self._rows.view = look, view
        if self._stays.styles.height is None or self._stays.styles.height.value != rows:
            self._stays.styles.height = rows
        newest = self._stays.cursor == 0
        self._stays.redraw()
        if newest:
            self._stays.cursor = 0
        self._stays.set_header(stay_heading(self._stays.row_width, look))
        self._draw_charts(view, look, width)

    @staticmethod
    def _rows_of(view: "CapacityView") -> int:
        return len(view.stays) + (view.live is not None)

    def _draw_charts(self, view: "CapacityView", look: RenderContext, width: int) -> None:
        levels, pareto = level_chart(view, look), pareto_chart(view, look)
        both = width >= _TWO_ACROSS
        shown = {
            self._levels: levels if both or self._turned == "levels" else None,
            self._pareto: pareto if both or self._turned == "pareto" else None,
        }
        self._pareto.styles.width = "40%" if both and levels is not None else "100%"
        for plot, chart in shown.items():
            if plot.display != (chart is not None):
                plot.display = chart is not None
            if chart is not None:
                plot.show(chart)

    # Keys.

    def action_turn(self) -> None:
        """The other chart; where there is room both are shown."""
        self._turned = "pareto" if self._turned == "levels" else "levels"
        self._redraw()

    def action_end(self) -> None:
        """Cancel its entry."""
        entry, view = self._entry, self._view
        if entry is None or entry.state != "running" or view is None or view.status == "ended":
            self._app_context.say("This search has ended.")
            return
        number = entry.id
        self._app_context.confirm(
            "End this search? What was measured is kept, and it can go on later.",
            yes="End the search",
            then=lambda: self._app_context.intend(lambda control: control.cancel((number,))),
        )

    def action_go_on(self) -> None:
        """Queue it once more."""
        entry, view = self._entry, self._view
        if view is not None and view.status != "ended":
            self._app_context.say("This search is under way.")
        elif view is not None and view.outcome is not None and view.outcome.ending not in ("interrupted", ""):
            self._app_context.say("This search came to its end; infertui capacity --continue takes more time for it.")
        elif entry is None or entry.state not in ENDED:
            self._app_context.say(f"It is no entry of the queue: infertui capacity --continue {self._search}")
        else:
            number = entry.id

            async def again(control: "RunnerApi") -> None:
                await control.retry((number,))

            self._app_context.intend(again, done="Queued: the search goes on when its turn comes.")

    def action_copy(self) -> None:
        """For a spreadsheet."""
        if (view := self._view) is not None:
            self._app_context.copy(tab_separated(view), "the figures of its levels")

    def action_back(self) -> None:
        """Leave the screen."""
        self.dismiss(None)
