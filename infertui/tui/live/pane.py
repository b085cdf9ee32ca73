"""The Live pane: the run under way as figures and as charts on one time axis; between runs how the last one ended."""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from time import monotonic_ns
from typing import ClassVar

from msgspec import Struct
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType

from infertui.errors import InfertuiError
from infertui.measure.clock import NS_PER_S
from infertui.runner.control import RunnerApi
from infertui.runner.execution.progress import RunProgress
from infertui.runner.scheduling.queue_store import Entry
from infertui.runner.scheduling.studies import study_of
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.context import AppContext
from infertui.tui.live import acts
from infertui.tui.live.choice import RunChoice, ring
from infertui.tui.live.outcome import (
    EndedRun,
    before_line,
    course,
    head_lines,
    key_line,
    latest,
    note_texts,
    outcome_figures,
)
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
from infertui.tui.results.columns import local_time
from infertui.tui.state import ALL_TOPICS, RunOutcome, Topic
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
    Action("live.cancel", "x", "Cancel", "cancel the run that is shown (asks)", writes=True),
    Action("live.open", "enter", "Details", "everything about the run that is shown"),
    Action("live.again", "R", "Again", "queue the run that ended once more", writes=True),
    Action("live.compare", "c", "Compare", "the run that ended beside those it was queued with, or the one before"),
    Action("live.tune", "t", "Tune", "keep its config loaded, and turn its knobs", writes=True),
    Action("live.previous", "[", "Before", "the run before it: another one under way, or one that ended"),
    Action("live.next", "]", "Next", "the run after it"),
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
        self._choice = RunChoice()
        self._asked = ""
        """The run of which the result was asked for, as it ended before this screen was there."""
        self._ended: EndedRun | None = None
        """What is shown of a run that has ended."""
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
        outcomes = self.app_context.client_state.outcomes
        self._choice.follow(outcomes, [entry.run for entry in running])
        outcome = outcomes.get(self._choice.run)
        self._ended = None
        if any(entry.run == self._choice.run for entry in running):
            self._show_run(running, look, width, height)
        elif outcome is not None:
            self._ended = self._ended_run(outcome)
            self._show_ended(self._ended, look, width, height)
        else:
            self._show_idle(look, width)
            self._ask_for_last()

    # A run that has ended.

    def _ask_for_last(self) -> None:
        """Fetch the result of the run that ended last, before this screen was there."""
        client_state = self.app_context.client_state
        if not client_state.connected:
            return
        entry = latest(client_state.entries.values())
        key = entry.run if entry is not None else f"any {client_state.results_version}"
        if key == self._asked:
            return
        self._asked = key
        out = str(self.app_context.out)

        async def fetch(control: RunnerApi) -> None:
            with suppress(InfertuiError):  # its folder is gone: nothing is to be shown then
                where, run = (entry.out, entry.run) if entry is not None else (out, await acts.last_run(control, out))
                details = await control.details(where, run) if run else None
                if details is not None and details.result is not None and not client_state.outcomes:
                    client_state.keep_outcome(run, RunOutcome(details.result, batches=details.batches))
                    self.show(ALL_TOPICS)

        self.app_context.intend(fetch)

    def _ended_run(self, outcome: RunOutcome) -> EndedRun:
        entries = self.app_context.client_state.entries.values()
        entry = next((entry for entry in entries if entry.run == outcome.result.id), None)
        study = study_of(entries, entry).entries if entry is not None else ()
        return EndedRun(outcome.result, entry, outcome.progress, outcome.batches, study)

    def _show_ended(self, ended: EndedRun, look: RenderContext, width: int, height: int) -> None:
        keys = key_line(ended, width, look, read_only=bool(getattr(self.app, "read_only", False)))
        head = head_lines(ended, width, max(1, height - 1), look)
        room = height - len(head) - 1
        columns = figure_columns(outcome_figures(ended), width, look) if room > 0 else []
        columns = [column[:room] for column in columns]
        left = room - max(map(len, columns), default=0)
        notes = [fit(f"! {text}", width, look, style=look.palette.muted) for text in note_texts(ended)][: max(0, left)]
        left -= len(notes)
        plots = self._course(ended, look) if left >= _CHART_LINES - 1 and not self._slow else []
        self._show_figures(head, columns)
        self._show_charts(plots)
        self._show_notes([*notes, keys][-max(0, height - len(head)) :] if height > len(head) else [])
        moment = local_time(ended.entry.ended, 11).rpartition(" ")[2] if ended.entry is not None else ""
        behind = self._choice.behind(*self._runs)
        words = [f"ended {moment}" if moment else "the last run", f"{behind} back" if behind else ""]
        self._heading.say("  ".join(filter(None, words)))

    def _course(self, ended: EndedRun, look: RenderContext) -> list["_Plot"]:
        points = course(ended)
        if len(points) < 2:
            return []
        return [_Plot("tokens/s", "", look.palette.active, points, (min(0.0, points[0][0]), points[-1][0]), ())]

    @property
    def _slow(self) -> bool:
        return self.app_context.settings.slow_link

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
        at = next((index for index, entry in enumerate(running) if entry.run == self._choice.run), 0)
        entry = running[at]
        self._choice.run = entry.run
        progress = client_state.progress.get(entry.run) or RunProgress()
        run = live_run(entry, progress, client_state.samples, client_state.moment_ns or self._clock.at(monotonic_ns()))
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
        shown = [fit(note, width, look, style=look.palette.warning) for note in notes]
        if (before := before_line(self._last_entry, width, look)) is not None and height - lines - len(notes) > 1:
            shown.append(before)
        self._show_notes(shown)
        left = height - lines - len(shown)
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
        if self._choice.step(by, *self._runs):
            self.show(ALL_TOPICS)

    @property
    def _runs(self) -> tuple[Collection[str], list[str]]:
        """Those that ended, and those under way."""
        return self.app_context.client_state.outcomes, [entry.run for entry in self._under_way()]

    def reason(self, action: Action) -> str:
        """What there is to act on."""
        return acts.reason(action.name, self._shown_entry, self._ended, several=len(ring(*self._runs)) > 1)

    @property
    def _shown_entry(self) -> Entry | None:
        """The run under way that is shown."""
        return next((entry for entry in self._under_way() if entry.run == self._choice.run), None)

    @property
    def _last_entry(self) -> Entry | None:
        """That of the run that ended last."""
        last = next(reversed(self.app_context.client_state.outcomes), "")
        return next(
            (entry for entry in self.app_context.client_state.entries.values() if last and entry.run == last), None
        )

    @property
    def _out(self) -> str:
        entry = self._ended.entry if self._ended is not None else None
        return entry.out if entry is not None else str(self.app_context.out)

    def action_cancel(self) -> None:
        """End what is watched."""
        if (entry := self._shown_entry) is not None:
            acts.cancel(self.app_context, entry)

    def action_open(self) -> None:
        """Its details."""
        if (entry := self._shown_entry) is not None:
            self.app_context.show_details(entry.run, out=entry.out)
        elif self._ended is not None:
            self.app_context.show_details(self._ended.result.id, out=self._out)

    def action_again(self) -> None:
        """Once more."""
        if self._ended is not None:
            acts.again(self.app_context, self._ended, self._out)

    def action_compare(self) -> None:
        """Side by side with others."""
        if self._ended is not None:
            acts.compare(self.app, self.app_context, self._ended, self._out)

    def action_tune(self) -> None:
        """Turn its knobs."""
        if self._ended is not None:
            acts.tune(self.app, self.app_context, self._ended, self._out)


class _Plot(Struct, frozen=True):
    """One chart's content."""

    name: str
    unit: str
    style: str
    points: Points
    window: tuple[float, float]
    marks: tuple[Mark, ...]
