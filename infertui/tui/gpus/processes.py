"""The processes that compute on a GPU, asked for again and again while someone looks. It ends none of them."""

from collections.abc import Hashable, Mapping
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
_MINE = "•"
_WIDTHS = {"pid": 9, "user": 11, "age": 9, "memory": 11, "run": 18}
_NARROW = 70
"""Below this width runs and users give way to the command."""

ACTIONS = (Action("processes.close", "escape,i,enter", "Back", "back to the GPUs"),)


class ProcessesScreen(Dialog[None]):
    """Whose they are, how old, what they hold and how they were started; refreshed every two seconds while it is open.

    Those of this runner are marked, with the run that they are for.
    """

    ACTIONS: ClassVar[tuple[Action, ...]] = ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(ACTIONS)]
    DEFAULT_CSS = """
    ProcessesScreen { align: center middle; }
    ProcessesScreen > Vertical { width: 130; max-width: 96%; height: 18; max-height: 90%; padding: 0 1; }
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

    def on_resize(self) -> None:
        """The columns are laid out for the width."""
        self._draw()

    def _draw(self) -> None:
        heads = {"pid": "PID", "user": "user", "age": "age", "memory": "GPU memory", "run": "run", "command": "command"}
        self._list.set_header(_line(heads, self._list.row_width, self._look, head=True))
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
        cells = {
            "pid": str(process.pid),
            "user": process.user or NOT_AVAILABLE,
            "age": NOT_AVAILABLE if process.age_s is None else age(process.age_s),
            "memory": NOT_AVAILABLE if process.memory_used is None else format_bytes(process.memory_used),
            "run": process.run or "-",
            "command": process.command or process.name or NOT_AVAILABLE,
        }
        return _line(cells, width, self._look, mine=bool(process.run))

    def action_close(self) -> None:
        """Back."""
        self.dismiss(None)

    def on_row_list_chosen(self, event: RowList.Chosen) -> None:
        """Enter, which opened this, closes it."""
        event.stop()
        self.action_close()


def age(seconds: float) -> str:
    """`45s`, `12m`, `3h 20m` or `5d 4h`: as exact as anybody asks of a process."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if not minutes:
        return f"{int(seconds)}s"
    if not hours:
        return f"{minutes}m"
    return f"{hours}h {minutes % 60}m" if not days else f"{days}d {hours % 24}h"


def _line(cells: Mapping[str, str], width: int, look: RenderContext, *, head: bool = False, mine: bool = False) -> Text:
    shown = [key for key in _WIDTHS if width >= _NARROW or key not in ("user", "run")]
    muted = look.palette.muted if head else ""
    parts = [plain(look.glyph(_MINE, "*") if mine else " ", look.palette.active)]
    for key in shown:
        right = key in ("pid", "age", "memory")
        style = look.palette.active if mine and key == "run" else muted
        parts.append(
            fit(cells[key], _WIDTHS[key] - 2, look, style=style, align="right" if right else "left", after="  ")
        )
    room = width - 1 - sum(_WIDTHS[key] for key in shown)
    return beside(*parts, fit(cells["command"], max(6, room), look, style=muted))


def _note(processes: tuple[GpuProcess, ...] | None) -> str:
    if processes is None:
        return "The driver does not tell which processes use this GPU."
    if not processes:
        return "No process computes on this GPU."
    if all(process.user is None for process in processes):
        return "PIDs are the host's: users and commands are not known in here. esc goes back."
    return "Marked: of this runner. esc goes back."
