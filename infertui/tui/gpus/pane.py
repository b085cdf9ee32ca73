"""The GPUs pane: a line per device with its figures and how one of them went, and what the machine around them does.

Where there is no GPU, the machine has one line.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from time import monotonic
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import DescendantBlur, DescendantFocus

from infertui.measure.clock import NS_PER_S
from infertui.telemetry.readings import GpuInfo, HostFacts, HostSample, Sample
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.context import AppContext
from infertui.tui.gpus.charts import HistoryCharts
from infertui.tui.gpus.columns import HISTORY_LINES, plan, shows_history, wanted_lines
from infertui.tui.gpus.history import Quantity, QuantityKey, gpu_tracks, host_tracks, sparks, told
from infertui.tui.gpus.host import gauge_cells, host_gauges, host_line, machine_line, no_gpu_lines
from infertui.tui.gpus.table import GaugeTable
from infertui.tui.gpus.view import Device, Steady, blank_cells, device_cells, devices_in_use, header_cells
from infertui.tui.state import ALL_TOPICS, ClientState, Topic
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext, fit
from infertui.tui.widgets.chart import sparkline
from infertui.tui.widgets.gauges import GaugeColumn
from infertui.tui.widgets.pane import Heading, Pane

_HOST_CELLS = 72
_CHART_LINES = 5
_MOST_CHART_LINES = 16
_SPARK_S = 120.0
"""What a sparkline shows, up to now."""
_STALE_PERIODS = 3
_LEAST_PERIOD_S = 1.0
_GAPS = 6
_LOOK_S = 1.0
_WHY_LINES = 2

ACTIONS = (
    Action("gpus.processes", "enter,i", "Processes", "the processes that use the selected GPU"),
    Action("gpus.series", "s", "Series", "the next quantity over time: utilization, power, VRAM, ... PCIe, NVLink"),
    Action("gpus.previous-series", "S", "Series before", "the quantity before", footer=False),
    Action("gpus.history", "h", "History", "show or hide the last minutes of the selected GPU"),
)


class GpusPane(Pane):
    """Everything about the devices at a glance."""

    TITLE = "GPUs"
    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    DEFAULT_CSS = """
    GpusPane > GaugeColumn { width: auto; height: auto; }
    """

    def __init__(self, app_context: AppContext, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(app_context, id=id)
        self.selected = ""
        """UUID of the selected device; empty: the first."""
        self.history: bool | None = None
        """Whether the last minutes are shown; None: where there is room for them."""
        self.quantity: QuantityKey = "util"
        """What is shown over time; what no device tells any more gives way to the first that some do."""
        self._heading = Heading(self)
        self._words = GaugeColumn()
        self._table = GaugeTable()
        self._host = GaugeColumn()
        self._history_box = HistoryCharts()
        self._plan = plan(80, 8, ())
        self._top = 0
        self._words_shown: tuple[Text, ...] = ()
        self._host_shown: tuple[Text, ...] = ()
        self._arrivals = SampleWatch()
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
        return 1

    def _devices(self) -> tuple[GpuInfo, ...]:
        runner = self.app_context.client_state.runner
        return runner.gpus if runner else ()

    def show(self, touched: AbstractSet[Topic]) -> None:
        """Draw what changed of the machine, and of which runs use it."""
        if not self.is_attached or not touched & {"machine", "queue", "runner"}:
            return
        width, height = self.size
        if width < 1 or height < 1:
            return
        self._arrivals.note(self.app_context.client_state.samples)
        look = RenderContext(palette(self.app), self.app_context.ascii_only, self.app_context.settings)
        devices = self._devices()
        if devices:
            self._show_devices(devices, look, width, height)
        else:
            self._show_machine(look, width, height)

    # With GPUs.

    def _show_devices(self, devices: tuple[GpuInfo, ...], look: RenderContext, width: int, height: int) -> None:
        client_state = self.app_context.client_state
        chart_lines = self._chart_lines(height, wanted_lines(width, devices), few=shows_history(width, devices))
        height -= chart_lines
        host = int(height > len(devices) + 1 or (len(devices) > height and height > -(-len(devices) // 2) + 1))
        quantity = self._quantity()
        links = any(one.key in ("pcie", "nvlink") for one in told(client_state.sample))
        self._plan = plan(width, height - host, devices, quantity.key, traffic=links)
        chosen = self._chosen_index(devices)
        per_page = self._plan.lines * self._plan.across
        line = chosen // self._plan.across
        self._top = max(0, min(self._top, line, -(-len(devices) // self._plan.across) - self._plan.lines))
        self._top = max(self._top, line - self._plan.lines + 1)
        first = self._top * self._plan.across
        shown = devices[first : first + per_page]
        self._show_words(())
        said = self._show_table(self._rows(shown, chosen - first, quantity, look), quantity, look)
        facts = client_state.runner.host if client_state.runner else None
        sample = client_state.sample.host if client_state.sample else HostSample()
        self._show_host([host_line(sample, facts, min(width, _HOST_CELLS), look)] if host else [])
        tracks = gpu_tracks(client_state.samples, devices[chosen], look, quantity.key) if chart_lines else []
        self._history_box.show_tracks(tracks, chart_lines)
        words = [] if self._plan.header else [said]
        if len(shown) < len(devices):
            words.insert(0, f"{first + 1}-{first + len(shown)} of {len(devices)}")
        self._say(*words)

    def _quantity(self) -> Quantity:
        known = told(self.app_context.client_state.sample)
        return next((one for one in known if one.key == self.quantity), known[0])

    @property
    def _spark_cells(self) -> int:
        return next((column.width - 1 for column in self._plan.columns if column.key == "spark"), 0)

    def _rows(self, infos: Sequence[GpuInfo], chosen: int, quantity: Quantity, look: RenderContext) -> list[Device]:
        """The devices in view; those that are not cost nothing."""
        client_state = self.app_context.client_state
        samples = {sample.uuid: sample for sample in client_state.sample.gpus} if client_state.sample else {}
        used = devices_in_use(_runs(client_state), infos)
        several = len(self._devices()) > 1
        cells = self._spark_cells
        lines = sparks(client_state.samples, infos, quantity, cells, _SPARK_S)
        return [
            Device(
                info,
                samples.get(info.uuid),
                used.get(info.uuid, ()),
                selected=several and index == chosen,
                stale=self._arrivals.stale,
                steady=self._steady,
                spark=sparkline(lines.values[info.uuid], *lines.ranges[info.uuid], ascii=look.ascii)
                if info.uuid in lines.values
                else "",
                nvlink=quantity.key == "nvlink",
            )
            for index, info in enumerate(infos)
        ]

    def _show_table(self, shown: Sequence[Device], quantity: Quantity, look: RenderContext) -> str:
        """Draw the rows; what their sparklines are, in words."""
        across, columns, cells = self._plan.across, self._plan.columns, self._spark_cells
        said = f"{quantity.name} {_SPARK_S / 60:g} min"
        traffic = "NVLink rx/tx" if quantity.key == "nvlink" else "PCIe rx/tx"
        head = header_cells(columns, look, spark=said, traffic=traffic) * across
        lines: list[list[Text]] = [head] if self._plan.header else []
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
        return said if cells else ""

    def _say(self, *words: str) -> None:
        self._heading.say("  ".join(filter(None, [*words, "STALE: no new readings" if self._arrivals.stale else ""])))

    # Without.

    def _show_machine(self, look: RenderContext, width: int, height: int) -> None:
        """Why there is no GPU, and the machine's own gauges; in one line where there are no more."""
        client_state = self.app_context.client_state
        runner = client_state.runner
        if runner is None:
            self._table.display = False
            self._show_words([fit("Waiting for the runner.", width, look, style=look.palette.muted)])
            self._show_host(())
            self._history_box.show_tracks([], 0)
            return
        sample = client_state.sample.host if client_state.sample else HostSample()
        self._show_host(())
        self._table.display = True
        self._say()
        if height == 1:
            self._show_words(())
            self._history_box.show_tracks([], 0)
            self._show_line(sample, runner.host, runner.gpus_unavailable, look, width)
            return
        gauges = host_gauges(sample, runner.host)
        most = max(1, min(_WHY_LINES, height - len(gauges)))
        words = no_gpu_lines(runner.gpus_unavailable, width, most, look)
        chart_lines = self._chart_lines(height, len(gauges) + len(words), few=True)
        self._show_words(words)
        columns = gauge_cells(gauges, width, look, stale=self._arrivals.stale)
        self._table.show_cells([wide for wide, _ in columns], [cells for _, cells in columns])
        tracks = host_tracks(client_state.samples, runner.host, look) if chart_lines else []
        self._history_box.show_tracks(tracks, chart_lines)

    def _show_line(
        self, sample: HostSample, facts: HostFacts, unavailable: str, look: RenderContext, width: int
    ) -> None:
        """All in one line, which has no frame: the pane's title stands in it."""
        title = Text(f" {self._heading.name} ", style=look.palette.title, no_wrap=True, end="")
        title.stylize("bold reverse" if self.has_focus_within else "bold")
        why = "no GPU: " + (unavailable.partition("\n")[0] or "the driver lists none")
        line = machine_line(
            title, "STALE: no new readings" if self._arrivals.stale else why, sample, facts, width, look
        )
        self._table.show_cells([width], [[line]])

    @on(DescendantFocus)
    @on(DescendantBlur)
    def _focus_moved(self) -> None:
        """Where there is no frame, the line itself says who has the focus."""
        if self.size.height == 1:
            self.show(ALL_TOPICS)

    # Parts.

    def _chart_lines(self, height: int, wanted: int, *, few: bool) -> int:
        """Lines for the history: what the gauges leave, or, where it is asked for, what they can spare."""
        if self.history is False or self.app_context.settings.slow_link or (self.history is None and not few):
            return 0
        gauges = wanted - HISTORY_LINES if few and self._devices() else wanted
        lines = min(_MOST_CHART_LINES, max(_CHART_LINES, height - gauges))
        least = 2 if self.history else gauges
        return lines if height - lines >= least else 0

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
        self.history = not self._history_box.rows
        if self.history and self.app_context.settings.slow_link:
            self.app_context.say("No history on a slow link: it is a setting (slow_link).")
        elif self.history and not self._chart_lines(self.size.height, self.wanted_lines(self.size.width), few=False):
            zoom = self.key("app.zoom", "z")
            self.app_context.say(f"There is no room for the history here: {zoom} gives this pane the whole screen.")
        self.show(ALL_TOPICS)

    def action_series(self) -> None:
        """The next quantity."""
        self._step_quantity(1)

    def action_previous_series(self) -> None:
        """The quantity before."""
        self._step_quantity(-1)

    def _step_quantity(self, by: int) -> None:
        known = [one.key for one in told(self.app_context.client_state.sample)]
        self.quantity = known[(known.index(self._quantity().key) + by) % len(known)]
        self.show(ALL_TOPICS)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without GPUs there are no quantities to choose from."""
        return bool(self._devices()) or action not in ("series", "previous_series")

    def action_processes(self) -> None:
        """The processes of the selected GPU."""
        devices = self._devices()
        if not devices:
            runner = self.app_context.client_state.runner
            self.app_context.say(f"There is no GPU. {runner.gpus_unavailable if runner else ''}".strip())
            return
        from infertui.tui.gpus.processes import ProcessesScreen

        self.app.push_screen(ProcessesScreen(self.app_context, devices[self._chosen_index(devices)]))

    # Readings that stay out.

    def look_for_stale(self) -> None:
        """Mark the readings when none has come for three periods; called once a second."""
        before = self._arrivals.stale
        if self._arrivals.look(self.app_context.client_state) != before:
            self.show(ALL_TOPICS)


class SampleWatch:
    """Notices when samples stay out."""

    def __init__(self) -> None:
        self.stale = False
        self._newest_ns = 0
        self._arrived = 0.0

    def note(self, samples: Sequence[Sample]) -> None:
        """Something may have come."""
        if samples and samples[-1].t_ns != self._newest_ns:
            self._newest_ns, self._arrived, self.stale = samples[-1].t_ns, monotonic(), False

    def look(self, client_state: ClientState) -> bool:
        """Whether none has come for three periods; at an earlier moment none is to come."""
        self.note(client_state.samples)
        stamps = [sample.t_ns for sample in list(client_state.samples)[-_GAPS:]]
        # The shortest of late: one long gap is what is looked for here, not how it is meant to be.
        period_ns = min((after - before for before, after in pairwise(stamps)), default=0)
        overdue = _STALE_PERIODS * max(_LEAST_PERIOD_S, period_ns / NS_PER_S)
        self.stale = bool(stamps) and client_state.moment_ns is None and monotonic() - self._arrived > overdue
        return self.stale


def _runs(client_state: ClientState) -> list[tuple[str, str, str]]:
    """Label, lane and device of the runs under way."""
    found = []
    for entry in client_state.running:
        progress = client_state.progress.get(entry.run)
        uuid = progress.loaded.device_uuid if progress and progress.loaded else ""
        found.append((f"#{entry.id} {entry.name or entry.title}", entry.lane, uuid))
    return found
