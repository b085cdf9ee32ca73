"""The Live pane: the run under way as figures and as charts on one time axis."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from time import monotonic_ns
from typing import ClassVar

from msgspec import Struct
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from infertui.measure.clock import NS_PER_S
from infertui.runner.execution.progress import RunProgress
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.context import AppContext
from infertui.tui.live.view import (
    LiveRun,
    compact_lines,
    figure_columns,
    figures,
    head_line,
    idle_lines,
    live_run,
    phase_line,
    power_points,
    progress_line,
    step_latency,
)
from infertui.tui.state import ALL_TOPICS, Topic
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext, RunnerClock, chart_window, fit
from infertui.tui.widgets.chart import LineChart, Mark, Series
from infertui.tui.widgets.gauges import GaugeColumn, GaugeGrid
from infertui.tui.widgets.pane import Heading, Pane

_GUTTER = 4
"""So that the charts share one time axis: four cells hold every usual figure."""
_CHARTS = 3
_CHART_LINES = 6
_MOST_CHART_LINES = 14
_NOTES = 2
_COMPACT_LINES = 6
_LEAD_S = 20.0
_WATCH_S = 1.0
_HOLE_S = 15.0
"""A gap between two rates that is longer is shown as one."""

ACTIONS = (
    Action("live.next", "]", "Next run", "the next of several runs under way"),
    Action("live.previous", "[", "Previous run", "the run before it", footer=False),
)

Points = list[tuple[float, float]]


class LivePane(Pane, can_focus=True):
    """What runs now. It takes the focus itself: nothing in it can be chosen."""

    TITLE = "Live"
    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    DEFAULT_CSS = """
    LivePane > GaugeColumn, LivePane > GaugeGrid { width: 1fr; height: auto; }
    LivePane > LineChart { width: 1fr; height: 1fr; max-height: 14; }
    """

    def __init__(self, app_context: AppContext, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(app_context, id=id)
        self._run = ""
        """Id of the run that is shown."""
        self._clock = RunnerClock()
        self._heading = Heading(self)
        self._figures = GaugeGrid()
        self._charts = [LineChart() for _ in range(_CHARTS)]
        self._notes = GaugeColumn()
        self._noted: list[Text] = []

    def compose(self) -> ComposeResult:
        """Figures, charts, notes."""
        yield self._figures
        yield from self._charts
        yield self._notes

    def on_mount(self) -> None:
        """Phases are noted also while the pane is not shown."""
        self.set_interval(_WATCH_S, self._watch)
        self.show(ALL_TOPICS)

    def on_resize(self) -> None:
        """Lay out anew."""
        self.show(ALL_TOPICS)

    def focus_inside(self) -> None:
        """The pane itself has the focus."""
        self.focus()

    def show(self, touched: AbstractSet[Topic]) -> None:
        """Draw what changed of the runs under way, and of the power they draw."""
        if not self.is_attached or not touched & {"live", "queue", "runner"}:
            return
        self._watch()
        width, height = self.size
        if width < 1 or height < 1:
            return
        look = RenderContext(palette(self.app), self.app_context.ascii_only, self.app_context.settings)
        running = self._under_way()
        if running:
            self._show_run(running, look, width, height)
        else:
            self._show_idle(look, width)

    def _under_way(self) -> list[Entry]:
        return [entry for entry in self.app_context.client_state.running if entry.run]

    def _watch(self) -> None:
        client_state = self.app_context.client_state
        now = monotonic_ns()
        newest = [progress.rates[-1][0] for progress in client_state.progress.values() if progress.rates]
        for stamp in newest + ([client_state.sample.t_ns] if client_state.sample else []):
            self._clock.note(stamp, now)

    # Nothing runs.

    def _show_idle(self, look: RenderContext, width: int) -> None:
        client_state = self.app_context.client_state
        lines = idle_lines(client_state.entries.values(), look, paused=client_state.paused)
        styles = ["", look.palette.muted]
        self._show_figures([fit(line, width, look, style=style) for line, style in zip(lines, styles, strict=True)], [])
        self._show_charts([])
        self._show_notes([])
        self._heading.say("")

    # A run.

    def _show_run(self, running: Sequence[Entry], look: RenderContext, width: int, height: int) -> None:
        client_state = self.app_context.client_state
        at = next((index for index, entry in enumerate(running) if entry.run == self._run), 0)
        entry = running[at]
        self._run = entry.run
        progress = client_state.progress.get(entry.run) or RunProgress()
        run = live_run(entry, progress, client_state.samples, self._clock.at(monotonic_ns()))
        if height < _COMPACT_LINES:
            self._show_figures(compact_lines(run, width, look)[:height], [])
            self._show_notes([])
            self._show_charts([])
            return
        head = [head_line(run, width, look, number=at + 1, total=len(running)), phase_line(run, width, look)]
        if progress.phase == "measure" or progress.load is not None:
            head.append(progress_line(run, width, look))
        columns = figure_columns(figures(run), width, look)
        notes = [f"! {note}" for note in progress.notes[-_NOTES:]]
        lines = len(head) + len(columns[0])
        if height < lines:
            columns = [column[: max(0, height - len(head))] for column in columns]
            lines = len(head) + len(columns[0])
        notes = notes[-max(0, height - lines) :] if height > lines else []
        self._show_figures(head, columns)
        self._show_notes([fit(note, width, look, style=look.palette.warning) for note in notes])
        left = height - lines - len(notes)
        count = 0 if self.app_context.settings.slow_link else min(_CHARTS, left // _CHART_LINES)
        if not count and left >= _CHART_LINES - 1 and not self.app_context.settings.slow_link:
            count = 1
        self._show_charts(self._series(run, look)[:count])
        self._heading.say(f"run {at + 1} of {len(running)}" if len(running) > 1 else "")

    def _series(self, run: LiveRun, look: RenderContext) -> list["_Plot"]:
        """What the charts show; seconds count from the run's first stamp."""
        progress, entry = run.progress, run.entry
        power = power_points(self.app_context.client_state.samples, entry, progress)
        rates = progress.rates
        starts = [stamp for stamp, _ in progress.entered[:1]] + [stamp for stamp, _ in rates[:1]]
        if not starts:
            return []
        origin = min(starts)
        last = max(stamp for stamp, _ in [*rates[-1:], *power[-1:], (starts[0], 0.0)])
        first = max(origin, rates[0][0] - int(_LEAD_S * NS_PER_S)) if rates else origin
        window = chart_window((first - origin) / NS_PER_S, max(first, last, origin) / NS_PER_S - origin / NS_PER_S)
        marks = tuple(Mark((stamp - origin) / NS_PER_S, phase) for stamp, phase in progress.entered)
        batch = entry.config.workload.batch_size
        speed: Points = [((stamp - origin) / NS_PER_S, rate) for stamp, rate in rates]
        steps: Points = [(x, step_latency(rate, batch)) for x, rate in speed if rate > 0]
        watts: Points = [((stamp - origin) / NS_PER_S, value) for stamp, value in power if stamp >= first]
        ttfts: Points = [((stamp - origin) / NS_PER_S, 1000 * seconds) for stamp, seconds in progress.ttfts]
        plots = (
            _Plot("tokens/s", "", look.palette.active, speed, window, marks),
            _Plot("TTFT p50", "ms", look.palette.accent, ttfts, window, marks)
            if progress.load is not None
            else _Plot("step", "ms", look.palette.accent, steps, window, marks),
            _Plot("power", "W", look.palette.warning, watts, window, marks),
        )
        return [plot for plot in plots if plot.points]

    def _show_charts(self, plots: Sequence["_Plot"]) -> None:
        for chart, plot in zip(self._charts, [*plots, *[None] * (_CHARTS - len(plots))], strict=True):
            if chart.display != (plot is not None):
                chart.display = plot is not None
            if plot is not None:
                chart.set_series(
                    [Series(plot.points, plot.style, gap=_HOLE_S)],
                    plot.window,
                    plot.name,
                    plot.unit,
                    marks=plot.marks,
                    gutter=_GUTTER,
                )

    def _show_figures(self, head: list[Text], columns: Sequence[list[Text]]) -> None:
        self._figures.show_cells([column[0].cell_len if column else 0 for column in columns], columns, above=head)

    def _show_notes(self, notes: list[Text]) -> None:
        if notes != self._noted:
            self._noted = notes
            self._notes.display = bool(notes)
            self._notes.set_cells(notes)

    # Keys.

    def action_next(self) -> None:
        """The next run under way."""
        self._step(1)

    def action_previous(self) -> None:
        """The run before."""
        self._step(-1)

    def _step(self, by: int) -> None:
        runs = [entry.run for entry in self._under_way()]
        if len(runs) > 1:
            at = runs.index(self._run) if self._run in runs else 0
            self._run = runs[(at + by) % len(runs)]
            self.show(ALL_TOPICS)


class _Plot(Struct, frozen=True):
    """One chart's content."""

    name: str
    unit: str
    style: str
    points: Points
    window: tuple[float, float]
    marks: tuple[Mark, ...]
