"""A tuning session over the whole screen: turn a knob, and see on one time axis what it did.

Leaving the screen leaves the session at work; it is found again where it was begun.
"""

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from infertui.analysis.tuning.knobs import Knob, knobs_of, stepped, text_of
from infertui.config.toml import write
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.terminal.sanitize import safe
from infertui.tui.themes import palette
from infertui.tui.tuning.dialogs import BUDGET_S, BudgetScreen, ValueScreen
from infertui.tui.tuning.view import (
    KnobRows,
    SegmentRows,
    TuningPlot,
    about_knob,
    head_line,
    marks,
    plots,
    segment_heading,
)
from infertui.tui.widgets.cells import RenderContext, chart_window
from infertui.tui.widgets.chart import LineChart, Mark
from infertui.tui.widgets.dialogs import Dialog
from infertui.tui.widgets.gauges import GaugeColumn
from infertui.tui.widgets.page import KeyLine
from infertui.tui.widgets.rowlist import RowList

if TYPE_CHECKING:
    from infertui.runner.control import RunnerApi
    from infertui.runner.tuning.state import TuningPoint, TuningView
    from infertui.tui.frame.context import AppContext

_REDRAW_S = 0.25
_CHARTS = 6
_CHART_LINES = 6
_TWO_ACROSS = 80
"""Cells that the charts need to stand two and two."""
_GUTTER = 5
_SEGMENT_LINES = 7
_LEAD_S = 600.0
_KEYS = "h l turn  enter apply  u undo  a climb  p pin  tab list  x end  esc back  b baseline  S save  e type"

_OF_GPU = (
    "Let this session change the power limit and clocks of its GPU? They are put back when it ends, also when it is"
    " killed. Clocks that somebody else has locked are not known, and would be unlocked."
)
_OF_SERVER = (
    "Let this session change settings of the server, as far as that lets it? Whoever else uses it is served with them,"
    " too. They are put back when the session ends, unless the runner is killed or the server is gone."
)

ACTIONS = (
    Action("tuning.back", "escape,q", "Back", "leave the screen; the session goes on"),
    Action("tuning.more", "l,right", "More", "the next value of the knob"),
    Action("tuning.less", "h,left", "Less", "the value before", footer=False),
    Action("tuning.apply", "enter", "Apply", "measure with the values that were turned to", writes=True, footer=False),
    Action("tuning.type", "e", "Type", "type a value of the knob", footer=False),
    Action("tuning.undo", "u", "Undo", "drop what is not applied yet, or go back to the setting before", writes=True),
    Action("tuning.baseline", "b", "Baseline", "hold segments against this one, or against none", writes=True),
    Action("tuning.climb", "a", "Climb", "find the best value of the knob by itself, within a budget", writes=True),
    Action("tuning.pin", "p", "Pin", "make the segment a result", writes=True),
    Action("tuning.save", "S", "Save", "load the config that is measured into the Config pane, to be saved"),
    Action("tuning.other", "tab,shift+tab", "Other list", "knobs, or segments", footer=False),
    Action(
        "tuning.gpu",
        "P",
        "Settings",
        "let settings of the GPU, or the server, be turned (asks)",
        writes=True,
        footer=False,
    ),
    Action("tuning.end", "x", "End", "end the session (asks)", writes=True, footer=False),
)


class TuningScreen(Dialog[None]):
    """The session of that id."""

    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    BINDING_GROUP_TITLE = "Tuning"
    DEFAULT_CSS = """
    TuningScreen { background: $background; }
    TuningScreen #tuning-frame {
        border: round $frame-focused; border-title-color: $title-colour; border-title-style: bold;
        border-subtitle-color: $muted-colour; padding: 0 1; width: 1fr; height: 1fr;
    }
    App.-ascii TuningScreen #tuning-frame { border: ascii $frame-focused; }
    TuningScreen #tuning-middle { height: 1fr; }
    TuningScreen #tuning-knobs { width: 40%; max-width: 58; margin-right: 1; }
    TuningScreen #tuning-charts { layout: grid; grid-size: 1; width: 1fr; height: 1fr; }
    TuningScreen GaugeColumn { height: 1; width: 1fr; }
    """

    def __init__(self, app_context: "AppContext", tuning: str) -> None:
        super().__init__()
        self._app_context, self._tuning = app_context, tuning
        self._knob_rows, self._segment_rows = KnobRows(), SegmentRows()
        self._knobs = RowList(self._knob_rows, id="tuning-knobs")
        self._segments = RowList(self._segment_rows, id="tuning-segments", empty="No segment has ended yet.")
        self._charts = [LineChart() for _ in range(_CHARTS)]
        self._place = Vertical(*self._charts, id="tuning-charts")
        self._head, self._about = GaugeColumn(), GaugeColumn()
        self._frame = Vertical(id="tuning-frame")
        self._drawn_view: TuningView | None = None
        self._drawn_point: TuningPoint | None = None

    def compose(self) -> ComposeResult:
        """Head, knobs beside charts, segments, keys."""
        self._frame.border_title = safe(f"Tuning {self._tuning}").replace("[", "\\[")
        with self._frame:
            yield self._head
            with Horizontal(id="tuning-middle"):
                yield self._knobs
                yield self._place
            yield self._about
            yield self._segments
            yield KeyLine(_KEYS)

    def on_mount(self) -> None:
        """Follow the session."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._redraw())
        self.set_interval(_REDRAW_S, self._look)
        self._knobs.focus()
        self.call_after_refresh(self._redraw)

    def on_resize(self) -> None:
        """Another size."""
        self.call_after_refresh(self._redraw)

    @property
    def _view(self) -> "TuningView | None":
        return self._app_context.client_state.tunings.get(self._tuning)

    @property
    def _points(self) -> "list[TuningPoint]":
        return list(self._app_context.client_state.points.get(self._tuning, ()))

    def _look(self) -> None:
        points = self._app_context.client_state.points.get(self._tuning)
        view, point = self._view, points[-1] if points else None
        if view is not self._drawn_view or point is not self._drawn_point:
            self._drawn_view, self._drawn_point = view, point
            self._redraw()

    def _redraw(self) -> None:
        view, (width, height) = self._view, self._frame.content_size
        if view is None or width < 1 or height < 1 or not self.is_attached:
            return
        look = RenderContext(palette(self.app), self._app_context.ascii_only, self._app_context.settings)
        self._head.set_cells([head_line(view, width, look)])
        self._draw_knobs(view, look)
        self._draw_segments(view, look, height)
        self._draw_charts(view, look)

    def _draw_knobs(self, view: "TuningView", look: RenderContext) -> None:
        rows = self._knob_rows
        rows.look, rows.wanted, rows.climbing = look, view.wanted, view.climbing
        rows.knobs = knobs_of(view.config, view.gpu)
        known = {knob.key: knob.value for knob in rows.knobs}
        rows.pending = {key: value for key, value in rows.pending.items() if known.get(key, value) != value}
        self._knobs.redraw()
        self._draw_about()

    def _draw_about(self) -> None:
        look = self._knob_rows.look
        if look is None or self._view is None:
            return
        knob = self._knob()
        width = self._frame.content_size.width
        self._about.set_cells([about_knob(knob, width, look)] if knob else [])

    def _draw_segments(self, view: "TuningView", look: RenderContext, height: int) -> None:
        rows = self._segment_rows
        rows.look, rows.segments, rows.marked = look, view.segments, view.marked
        lines = max(3, min(_SEGMENT_LINES, height // 4 + 1, len(view.segments) + 2))
        if self._segments.styles.height is None or self._segments.styles.height.value != lines:
            self._segments.styles.height = lines
        self._segments.set_header(segment_heading(self._segments.row_width, look))
        self._segments.redraw()
        if not self._segments.has_focus:
            self._segments.cursor = 0

    def _draw_charts(self, view: "TuningView", look: RenderContext) -> None:
        points = self._points
        width, height = self._place.size
        across = 2 if width >= _TWO_ACROSS else 1
        most = 0 if self._app_context.settings.slow_link else across * max(1, height // _CHART_LINES)
        shown = plots(points, look)[: min(_CHARTS, most)] if points else []
        columns = across if len(shown) > 1 else 1
        if self._place.styles.grid_size_columns != columns:
            self._place.styles.grid_size_columns = columns
        window = (0.0, 30.0)
        if points:
            first = max(points[0].t, points[-1].t - _LEAD_S)
            window = chart_window(first, max(first, points[-1].t))
        drawn = marks(view)
        for chart, plot in zip(self._charts, [*shown, *[None] * (_CHARTS - len(shown))], strict=True):
            self._draw_chart(chart, plot, window, drawn)

    def _draw_chart(
        self, chart: LineChart, plot: TuningPlot | None, window: tuple[float, float], drawn: tuple[Mark, ...]
    ) -> None:
        if chart.display != (plot is not None):
            chart.display = plot is not None
        if plot is not None:
            chart.set_series(plot.series, window, plot.name, plot.unit, marks=drawn, gutter=_GUTTER)

    # Keys.

    def _knob(self) -> Knob | None:
        key = self._knobs.current_key
        return next((knob for knob in self._knob_rows.knobs if knob.key == key), None)

    @on(RowList.Moved, "#tuning-knobs")
    def _moved(self, event: RowList.Moved) -> None:
        event.stop()
        self._draw_about()

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        if event.rows is self._knobs:
            self.action_apply()
        else:
            self._app_context.say("p makes a result of this segment, b a baseline.")

    def _set(self, knob: Knob, value: bool | float | str) -> None:
        self._knob_rows.pending.pop(knob.key, None)
        if value != knob.value:
            self._knob_rows.pending[knob.key] = value
        self._knobs.redraw()

    def _turn(self, direction: int) -> None:
        from msgspec.structs import replace

        if (knob := self._knob()) is None:
            return
        value = self._knob_rows.pending.get(knob.key, knob.value)
        following = stepped(replace(knob, value=value), direction)
        if following is not None:
            self._set(knob, following)

    def action_more(self) -> None:
        """The next value."""
        self._turn(1)

    def action_less(self) -> None:
        """The value before."""
        self._turn(-1)

    def action_type(self) -> None:
        """Type a value."""
        if (knob := self._knob()) is None:
            return

        def answered(value: bool | float | str | None) -> None:
            if value is not None:
                self._set(knob, value)

        self.app.push_screen(ValueScreen(knob), answered)

    def action_apply(self) -> None:
        """Ask for what was turned to; it stays to be seen until it is measured."""
        pending = {key: text_of(value) for key, value in self._knob_rows.pending.items()}
        if not pending:
            self._app_context.say("Nothing is turned: h and l change a knob.")
            return

        async def turn(control: "RunnerApi") -> None:
            await control.turn(self._tuning, pending)
            self._knob_rows.pending = {}

        self._app_context.intend(turn)

    def action_undo(self) -> None:
        """Drop what is not applied; else the setting before."""
        if self._knob_rows.pending:
            self._knob_rows.pending = {}
            self._knobs.redraw()
            return
        self._app_context.intend(lambda control: control.undo_turn(self._tuning))

    def _segment(self) -> int:
        """The segment that is meant: the one under the cursor of their list, else the last; 0 of none."""
        view = self._view
        if view is None or not view.segments:
            self._app_context.say("No segment has ended yet: a change ends the one under way.", "warning")
            return 0
        key = self._segments.current_key
        if self._segments.has_focus and isinstance(key, int):
            return key
        return next((one.number for one in reversed(view.segments) if one.measured), view.segments[-1].number)

    def action_baseline(self) -> None:
        """Mark it, or none."""
        view, number = self._view, self._segment()
        if view is not None and number:
            marked = 0 if view.marked == number else number
            self._app_context.intend(lambda control: control.mark_segment(self._tuning, marked))

    def action_pin(self) -> None:
        """Make it a result."""
        view = self._view
        live = view.live if view is not None and view.phase == "measure" else None
        here = live is not None and live.batches and not self._segments.has_focus
        if number := live.number if live is not None and here else self._segment():
            done = f"Segment {number} is a result now."
            self._app_context.intend(lambda control: control.pin_segment(self._tuning, number), done=done)

    def action_climb(self) -> None:
        """Ask for the budget, and climb."""
        if (knob := self._knob()) is None:
            return

        def answered(budget: float | None) -> None:
            if budget is not None:
                self._app_context.intend(lambda control: control.climb(self._tuning, knob.key, budget))

        self.app.push_screen(BudgetScreen(knob, BUDGET_S), answered)

    def action_save(self) -> None:
        """To the Config pane, where it is saved under a name."""
        if (view := self._view) is not None:
            self.dismiss()
            self._app_context.open_in_config(write(view.config), f"tuning {self._tuning}")

    def action_other(self) -> None:
        """The other list."""
        (self._segments if self._knobs.has_focus else self._knobs).focus()

    def action_gpu(self) -> None:
        """Let settings of the GPU, or of the server, be changed, after asking."""
        of_server = self._view is not None and self._view.config.target.kind == "endpoint"
        self._app_context.confirm(
            _OF_SERVER if of_server else _OF_GPU,
            yes="Let it",
            then=lambda: self._app_context.intend(lambda control: control.allow_gpu_settings(self._tuning)),
        )

    def action_end(self) -> None:
        """End the session, after asking."""
        view = self._view
        if view is None or view.status == "ended":
            self.dismiss()
            return
        self._app_context.confirm(
            "End this tuning session? Its segments stay in its folder; pin what is to be a result.",
            yes="End it",
            then=lambda: self._app_context.intend(lambda control: control.end_tuning(self._tuning)),
        )

    def action_back(self) -> None:
        """The session goes on."""
        view = self._view
        if view is not None and view.status != "ended":
            self._app_context.say("The tuning session goes on; t shows it again.")
        self.dismiss()
