"""The GPUs pane: a line of gauges per device, their history, and what the machine around them does."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from time import monotonic
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message

from infertui.measure.clock import NS_PER_S
from infertui.telemetry.readings import GpuInfo, HostSample
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.context import AppContext
from infertui.tui.gpus.history import Track, gpu_tracks, host_tracks
from infertui.tui.gpus.view import (
    Device,
    Steady,
    blank_cells,
    device_cells,
    devices_in_use,
    header_cells,
    host_gauges,
    host_line,
    no_gpu_lines,
    plan,
    wanted_lines,
)
from infertui.tui.state import ALL_TOPICS, ClientState, Topic
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext, beside, fit, past_span
from infertui.tui.widgets.chart import LineChart, Series
from infertui.tui.widgets.gauges import GaugeColumn, GaugeGrid, bar
from infertui.tui.widgets.pane import Heading, Pane

_CHARTS = 4
_HOST_CELLS = 72
_CHART_LINES = 5
_MOST_CHART_LINES = 16
_CHART_CELLS = 28
_STALE_PERIODS = 3
_LEAST_PERIOD_S = 1.0
_GAPS = 6
_LOOK_S = 1.0
_WHY_LINES = 2

TABLE_ACTIONS = (
    Action("gpus.next", "j,down", "Next", "select the next GPU", footer=False),
    Action("gpus.previous", "k,up", "Previous", "select the previous GPU", footer=False),
)
ACTIONS = (
    Action("gpus.processes", "enter,i", "Processes", "the processes that use the selected GPU"),
    Action("gpus.history", "h", "History", "show or hide the last minutes of the selected GPU"),
)


class GaugeTable(GaugeGrid, can_focus=True):
    """The devices' gauges, and the keys that choose among them."""

    ACTIONS = TABLE_ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(TABLE_ACTIONS)]
    DEFAULT_CSS = "GaugeTable { height: 1fr; }"

    class Stepped(Message):
        """The selection is to move by so many devices."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class Pointed(Message):
        """Someone clicked at a place of the table; `twice` is a double click."""

        def __init__(self, x: int, y: int, *, twice: bool) -> None:
            super().__init__()
            self.x, self.y, self.twice = x, y, twice

    def action_next(self) -> None:
        """The next device."""
        self.post_message(self.Stepped(1))

    def action_previous(self) -> None:
        """The previous device."""
        self.post_message(self.Stepped(-1))

    def on_click(self, event: Click) -> None:
        """Select what was clicked at."""
        offset = event.get_content_offset(self)
        if offset is not None:
            event.stop()
            self.post_message(self.Pointed(offset.x, offset.y, twice=event.chain == 2))

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """The wheel moves the selection."""
        event.stop()
        self.post_message(self.Stepped(1))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """The wheel moves the selection."""
        event.stop()
        self.post_message(self.Stepped(-1))


class GpusPane(Pane):
    """Everything about the devices at a glance."""

    TITLE = "GPUs"
    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    DEFAULT_CSS = """
    GpusPane > GaugeColumn { width: auto; height: auto; }
    GpusPane > #gpu-history { height: 0; }
    GpusPane > #gpu-history > LineChart { width: 1fr; height: 1fr; }
    """

    def __init__(self, app_context: AppContext, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(app_context, id=id)
        self.selected = ""
        """UUID of the selected device; empty: the first."""
        self.history = False
        self._heading = Heading(self)
        self._words = GaugeColumn()
        self._table = GaugeTable()
        self._host = GaugeColumn()
        self._charts = [LineChart() for _ in range(_CHARTS)]
        self._history_box = Horizontal(*self._charts, id="gpu-history")
        self._plan = plan(80, 8, ())
        self._top = 0
        self._words_shown: tuple[Text, ...] = ()
        self._host_shown: tuple[Text, ...] = ()
        self._newest_ns = 0
        self._arrived = 0.0
        self._stale = False
        self._steady = Steady()

    def compose(self) -> ComposeResult:
        """Words, gauges, history, the machine."""
        yield self._words
        yield self._table
        yield self._history_box
        yield self._host

    def on_mount(self) -> None:
        """Readings that stay out are noticed here: nothing else would call."""
        self.set_interval(_LOOK_S, self.look_for_stale)
        self.show(ALL_TOPICS)

    def on_resize(self) -> None:
        """Lay out anew."""
        self.show(ALL_TOPICS)

    def wanted_lines(self, width: int) -> int:
        """Lines that the content would like to have at this width, frame not counted."""
        runner = self.app_context.client_state.runner
        if runner is None or runner.gpus:
            return wanted_lines(width, self._devices())
        look = RenderContext(palette(self.app), self.app_context.ascii_only, self.app_context.settings)
        gauges = host_gauges(HostSample(), runner.host)
        return len(gauges) + len(no_gpu_lines(runner.gpus_unavailable, width, _WHY_LINES, look))

    def _devices(self) -> tuple[GpuInfo, ...]:
        runner = self.app_context.client_state.runner
        return runner.gpus if runner else ()

    @property
    def _room(self) -> tuple[int, int]:
        return self.size.width, self.size.height

    def show(self, touched: AbstractSet[Topic]) -> None:
        """Draw what changed of the machine, and of which runs use it."""
        if not self.is_attached or not touched & {"machine", "queue", "runner"}:
            return
        width, height = self._room
        if width < 1 or height < 1:
            return
        self._note_arrival()
        look = RenderContext(palette(self.app), self.app_context.ascii_only, self.app_context.settings)
        devices = self._devices()
        if devices:
            self._show_devices(devices, look, width, height)
        else:
            self._show_machine(look, width, height)

    # With GPUs.

    def _show_devices(self, devices: tuple[GpuInfo, ...], look: RenderContext, width: int, height: int) -> None:
        client_state = self.app_context.client_state
        chart_lines = self._chart_lines(height, wanted_lines(width, devices))
        height -= chart_lines
        host = int(height > len(devices) + 1 or (len(devices) > height and height > -(-len(devices) // 2) + 1))
        self._plan = plan(width, height - host, devices)
        chosen = self._chosen_index(devices)
        per_page = self._plan.lines * self._plan.across
        line = chosen // self._plan.across
        self._top = max(0, min(self._top, line, -(-len(devices) // self._plan.across) - self._plan.lines))
        self._top = max(self._top, line - self._plan.lines + 1)
        first = self._top * self._plan.across
        shown = self._shown(devices, chosen)[first : first + per_page]
        self._show_words(())
        self._show_table(shown, look)
        facts = client_state.runner.host if client_state.runner else None
        sample = client_state.sample.host if client_state.sample else HostSample()
        self._show_host([host_line(sample, facts, min(width, _HOST_CELLS), look)] if host else [])
        self._show_history(
            gpu_tracks(client_state.samples, devices[chosen], look) if chart_lines else [], chart_lines, look
        )
        self._say(devices, first, len(shown))

    def _shown(self, devices: Sequence[GpuInfo], chosen: int) -> list[Device]:
        client_state = self.app_context.client_state
        samples = {sample.uuid: sample for sample in client_state.sample.gpus} if client_state.sample else {}
        used = devices_in_use(_runs(client_state), devices)
        several = len(devices) > 1
        return [
            Device(
                info,
                samples.get(info.uuid),
                used.get(info.uuid, ()),
                selected=several and index == chosen,
                stale=self._stale,
                steady=self._steady,
            )
            for index, info in enumerate(devices)
        ]

    def _show_table(self, shown: Sequence[Device], look: RenderContext) -> None:
        across, columns = self._plan.across, self._plan.columns
        lines: list[list[Text]] = [header_cells(columns, look) * across] if self._plan.header else []
        for at in range(0, len(shown), across):
            line: list[Text] = []
            for device in shown[at : at + across]:
                line += device_cells(device, columns, look)
            if missing := across - len(shown[at : at + across]):
                line += blank_cells(columns) * missing
            lines.append(line)
        self._table.display = True
        widths = [column.width for column in columns] * across
        self._table.show_cells(widths, [list(cells) for cells in zip(*lines, strict=True)])

    def _say(self, devices: Sequence[GpuInfo], first: int, count: int) -> None:
        words = []
        if count < len(devices):
            words.append(f"{first + 1}-{first + count} of {len(devices)}")
        if self._stale:
            words.append("STALE: no new readings")
        self._heading.say("  ".join(words))

    # Without.

    def _show_machine(self, look: RenderContext, width: int, height: int) -> None:
        """Why there is no GPU, and the machine's own gauges."""
        client_state = self.app_context.client_state
        runner, muted = client_state.runner, look.palette.muted
        if runner is None:
            self._table.display = False
            self._show_words([fit("Waiting for the runner.", width, look, style=muted)])
            self._show_host(())
            self._show_history([], 0, look)
            return
        sample = client_state.sample.host if client_state.sample else HostSample()
        gauges = host_gauges(sample, runner.host)
        most = max(1, min(_WHY_LINES, height - len(gauges)))
        words = no_gpu_lines(runner.gpus_unavailable, width, most, look)
        chart_lines = self._chart_lines(height, len(gauges) + len(words))
        self._show_words(words)
        bar_width = max(4, min(40, width - 30))
        table = [
            (
                fit(gauge.name, 7, look, style=look.palette.title),
                beside(bar(gauge.share, bar_width, style=look.palette.ok, ascii=look.ascii))
                if gauge.share is not None
                else Text(" " * bar_width),
                fit(
                    f"  {gauge.figure}",
                    max(1, width - 7 - bar_width),
                    look,
                    style=look.palette.warning if gauge.marked else muted if self._stale else "",
                ),
            )
            for gauge in gauges
        ]
        self._table.display = True
        self._table.show_cells(
            [7, bar_width, max(1, width - 7 - bar_width)], [list(cells) for cells in zip(*table, strict=True)]
        )
        self._show_host(())
        self._show_history(
            host_tracks(client_state.samples, runner.host, look) if chart_lines else [], chart_lines, look
        )
        self._heading.say("STALE: no new readings" if self._stale else "")

    # Parts.

    def _chart_lines(self, height: int, wanted: int) -> int:
        """Lines for the history: what the gauges leave, or what they can spare."""
        if not self.history or self.app_context.settings.slow_link:
            return 0
        lines = min(_MOST_CHART_LINES, max(_CHART_LINES, height - wanted))
        return lines if height - lines >= 2 else 0

    def _show_words(self, words: Sequence[Text]) -> None:
        if tuple(words) != self._words_shown:
            self._words_shown = tuple(words)
            self._words.display = bool(words)
            self._words.set_cells(words)

    def _show_host(self, lines: Sequence[Text]) -> None:
        if tuple(lines) != self._host_shown:
            self._host_shown = tuple(lines)
            self._host.display = bool(lines)
            self._host.set_cells(lines)

    def _show_history(self, tracks: Sequence[Track], lines: int, look: RenderContext) -> None:
        if self._history_box.styles.height is None or self._history_box.styles.height.value != lines:
            self._history_box.styles.height = lines
        across = max(1, min(len(tracks), self.size.width // _CHART_CELLS)) if tracks else 0
        stamps = [point[0] for track in tracks for point in track.points]
        newest = max(stamps, default=0.0)
        span = past_span(newest - min(stamps, default=0.0))
        for index, chart in enumerate(self._charts):
            shown = index < across
            if chart.display != shown:
                chart.display = shown
            if shown:
                track = tracks[index]
                points = [(x - newest, y) for x, y in track.points]
                chart.set_series(
                    [Series(points, track.style)], (-span, 0.0), track.name, track.unit, y_range=track.y_range
                )

    # Selection.

    def _chosen_index(self, devices: Sequence[GpuInfo]) -> int:
        return next((index for index, info in enumerate(devices) if info.uuid == self.selected), 0)

    def on_gauge_table_stepped(self, event: GaugeTable.Stepped) -> None:
        """Move the selection."""
        event.stop()
        self._select(self._chosen_index(self._devices()) + event.by)

    def on_gauge_table_pointed(self, event: GaugeTable.Pointed) -> None:
        """Select what was clicked at; a double click shows its processes."""
        event.stop()
        width = sum(column.width for column in self._plan.columns)
        line = event.y - self._plan.header
        if self._devices() and line >= 0:
            side = min(event.x // max(1, width), self._plan.across - 1)
            self._select((self._top + line) * self._plan.across + side)
            if event.twice:
                self.action_processes()

    def _select(self, index: int) -> None:
        devices = self._devices()
        if devices:
            self.selected = devices[max(0, min(index, len(devices) - 1))].uuid
            self.show(ALL_TOPICS)

    def action_history(self) -> None:
        """Show or hide the history."""
        self.history = not self.history
        if self.history and self.app_context.settings.slow_link:
            self.app_context.say("No history on a slow link: it is a setting (slow_link).")
        elif self.history and not self._chart_lines(self.size.height, self.wanted_lines(self.size.width)):
            zoom = self.key("app.zoom", "z")
            self.app_context.say(f"There is no room for the history here: {zoom} gives this pane the whole screen.")
        self.show(ALL_TOPICS)

    def action_processes(self) -> None:
        """The processes of the selected GPU."""
        devices = self._devices()
        if not devices:
            self.app_context.say("There is no GPU whose processes could be shown.")
            return
        from infertui.tui.gpus.processes import ProcessesScreen

        self.app.push_screen(ProcessesScreen(self.app_context, devices[self._chosen_index(devices)]))

    # Readings that stay out.

    def _note_arrival(self) -> None:
        sample = self.app_context.client_state.sample
        if sample and sample.t_ns != self._newest_ns:
            self._newest_ns, self._arrived = sample.t_ns, monotonic()
            self._stale = False

    def look_for_stale(self) -> None:
        """Mark the readings when none has come for three periods; called once a second."""
        self._note_arrival()
        stamps = [sample.t_ns for sample in list(self.app_context.client_state.samples)[-_GAPS:]]
        # The shortest of late: one long gap is what is looked for here, not how it is meant to be.
        period_ns = min((after - before for before, after in pairwise(stamps)), default=0)
        overdue = _STALE_PERIODS * max(_LEAST_PERIOD_S, period_ns / NS_PER_S)
        stale = bool(stamps) and monotonic() - self._arrived > overdue
        if stale != self._stale:
            self._stale = stale
            self.show(ALL_TOPICS)


def _runs(client_state: ClientState) -> list[tuple[str, str, str]]:
    """Label, lane and device of the runs under way."""
    found = []
    for entry in client_state.running:
        progress = client_state.progress.get(entry.run)
        uuid = progress.loaded.device_uuid if progress and progress.loaded else ""
        found.append((f"#{entry.id} {entry.name or entry.title}", entry.lane, uuid))
    return found
