"""The processes that compute on a GPU, asked for again and again while someone looks. It ends none of them."""

from collections.abc import Hashable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from infertui.errors import InfertuiError
from infertui.metrics.metric import NOT_AVAILABLE
from infertui.telemetry.readings import GpuInfo, GpuProcess
from infertui.tui.frame.actions import Action, bindings
from infertui.tui.frame.context import AppContext
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.cells import RenderContext, beside, fit
from infertui.tui.widgets.dialogs import Dialog
from infertui.tui.widgets.gauges import GaugeColumn
from infertui.tui.widgets.rowlist import RowList
from infertui.units import format_bytes

_LOOK_S = 2.0
_PID_WIDTH = 9
_MEMORY_WIDTH = 12

ACTIONS = (Action("processes.close", "escape,i,enter", "Back", "back to the GPUs"),)


class ProcessesScreen(Dialog[None]):
    """A list of PID, memory and name, refreshed every two seconds while it is open."""

    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    DEFAULT_CSS = """
    ProcessesScreen { align: center middle; }
    ProcessesScreen > Vertical { width: 76; max-width: 96%; height: 16; max-height: 90%; padding: 0 1; }
    ProcessesScreen GaugeColumn { width: 1fr; height: 1; }
    """

    def __init__(self, app_context: AppContext, gpu: GpuInfo) -> None:
        super().__init__()
        self._app_context = app_context
        self._gpu = gpu
        self._processes: tuple[GpuProcess, ...] = ()
        self._note = "Asking the driver."
        self._note_shown = ""
        self._list = RowList(self)
        self._words = GaugeColumn()

    def compose(self) -> ComposeResult:
        """A frame with the list."""
        frame = Vertical(self._list, self._words, classes="pane")
        name = safe(self._gpu.name).replace("[", "\\[")
        frame.border_title = f"Processes of GPU {self._gpu.label}  {name}"
        yield frame

    def on_mount(self) -> None:
        """Ask at once, and then as long as this is open."""
        frame = self.query_one(Vertical)
        frame.styles.border = (
            "ascii" if self._app_context.ascii_only else "round",
            self.app.theme_variables["foreground"],
        )
        self._list.set_header(_line("PID", "memory", "name", self._list.row_width, self._look, head=True))
        self._list.focus()
        self._draw()
        self._ask()
        self.set_interval(_LOOK_S, self._ask)

    @property
    def _look(self) -> RenderContext:
        return RenderContext(palette(self.app), self._app_context.ascii_only, self._app_context.settings)

    def _ask(self) -> None:
        self.run_worker(self._read(), exclusive=True)

    async def _read(self) -> None:
        try:
            processes = await self._app_context.control.processes(self._gpu.uuid)
        except InfertuiError as error:
            self._processes, self._note = (), error.message
        else:
            self._processes = tuple(sorted(processes or (), key=lambda process: -(process.memory_used or 0)))
            self._note = _note(processes)
        self._draw()

    def _draw(self) -> None:
        self._list.redraw()
        if self._note != self._note_shown:
            self._note_shown = self._note
            self._words.set_cells([plain(self._note, self._look.palette.muted)])

    # Rows.

    def row_count(self) -> int:
        return len(self._processes)

    def row_key(self, index: int) -> Hashable:
        return self._processes[index].pid

    def row_text(self, index: int, width: int) -> Text:
        process = self._processes[index]
        memory = NOT_AVAILABLE if process.memory_used is None else format_bytes(process.memory_used)
        return _line(str(process.pid), memory, process.name or NOT_AVAILABLE, width, self._look)

    def action_close(self) -> None:
        """Back."""
        self.dismiss(None)

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Enter, which opened this, closes it."""
        event.stop()
        self.action_close()


def _line(pid: str, memory: str, name: str, width: int, look: RenderContext, *, head: bool = False) -> Text:
    style = look.palette.muted if head else ""
    return beside(
        fit(pid, _PID_WIDTH, look, style=style, align="right"),
        fit(memory, _MEMORY_WIDTH, look, style=style, align="right"),
        fit(f"  {name}", max(6, width - _PID_WIDTH - _MEMORY_WIDTH), look, style=style),
    )


def _note(processes: tuple[GpuProcess, ...] | None) -> str:
    if processes is None:
        return "The driver does not tell which processes use this GPU."
    if not processes:
        return "No process computes on this GPU."
    return "PIDs are the host's, also in a container. esc goes back."
