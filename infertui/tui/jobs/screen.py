"""What a command says while it runs, and how it ended."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Resize

from infertui.tui.frame.actions import Action, bindings
from infertui.tui.jobs.job import INFERTUI, CommandJob, JobState
from infertui.tui.terminal.sanitize import plain, safe
from infertui.tui.themes import palette
from infertui.tui.widgets.dialogs import DIALOG_CSS, Dialog
from infertui.tui.widgets.lines import Lines

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp

_WORDS: dict[JobState, str] = {
    "waiting": "starting", "running": "at work", "done": "done", "failed": "failed", "stopped": "stopped",
}  # fmt: skip


class _Said(Lines):
    """The last lines, as many as there is room for."""

    DEFAULT_CSS = "_Said { height: 1fr; width: 1fr; }"

    def __init__(self, job: CommandJob) -> None:
        super().__init__()
        self._job = job

    def compose_lines(self) -> None:
        """Long lines go on beneath: an error that is cut is none."""
        width, height = self.size
        if not (width and height):
            return
        rows: list[Text] = []
        for said in reversed(self._job.lines):
            text = plain(said)
            text.no_wrap = False
            wrapped = text.wrap(self.app.console, width, tab_size=4) if said else [Text()]
            rows[:0] = wrapped
            if len(rows) >= height:
                break
        if not rows and not self._job.ended:
            rows = [plain("It has said nothing yet.", palette(self.app).muted)]
        self.paint_lines(rows[-height:])


class JobScreen(Dialog[None]):
    """Shows one job. Closed while it runs, the job goes on, and a toast tells its end."""

    ACTIONS: ClassVar[tuple[Action, ...]] = (
        Action("job.back", "escape,q,enter", "Back", "close; it goes on"),
        Action("job.stop", "x", "Stop", "end it"),
        Action("job.copy", "y", "Copy", "copy what it said"),
    )
    BINDINGS = bindings(ACTIONS)
    CSS_PATH = DIALOG_CSS

    def __init__(self, app: "InfertuiApp", title: str, job: CommandJob) -> None:
        super().__init__(classes="dialog")
        self._infertui = app
        self._title = title
        self._job = job
        self._said = _Said(job)
        self._keys = Lines(classes="keys")

    def compose(self) -> ComposeResult:
        """What it says, above the keys."""
        with Vertical(classes="box tall"):
            yield self._said
            yield self._keys

    def on_mount(self) -> None:
        """From now on, what it says."""
        self.follow()

    def on_resize(self, _event: Resize) -> None:
        """Other rooms, other lines."""
        self.call_after_refresh(self.follow)

    def follow(self) -> None:
        """It said something, or ended."""
        if not self.is_attached:
            return
        self._said.compose_lines()
        box = self.query_one(Vertical)
        box.border_title = safe(f"{self._title}: {_WORDS[self._job.state]}").replace("[", "\\[")
        words = "esc close   y copy" if self._job.ended else "x stop   esc close, it goes on   y copy"
        self._keys.paint_lines([plain(words, palette(self.app).muted)])

    def action_back(self) -> None:
        """Close; what runs goes on."""
        self.dismiss(None)

    def action_stop(self) -> None:
        """End it."""
        self._job.stop()

    def action_copy(self) -> None:
        """All that is kept of it."""
        self._infertui.copy("\n".join(self._job.lines), "what it said")


def start(app: "InfertuiApp", title: str, arguments: Sequence[str], *, program: Sequence[str] = INFERTUI) -> None:
    """Start a command, and show what it says."""
    job = CommandJob(arguments, environ=app.environ, program=program)
    screen = JobScreen(app, title, job)
    job.changed = screen.follow

    async def run() -> None:
        await job.run()
        if app.screen is screen or not app.is_running:
            return
        severity = "information" if job.state == "done" else "warning" if job.state == "stopped" else "error"
        app.say(f"{title}: {_WORDS[job.state]}. {job.last_line}", severity)  # type: ignore[arg-type]

    app.run_worker(run(), group="jobs", exit_on_error=True)
    app.push_screen(screen)
