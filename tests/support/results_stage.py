"""A AppContext over a real reports folder, without a runner: what panes and screens of results are tested on."""

import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from support.fake_control import FakeControl
from support.settled import settled
from textual.app import App, ComposeResult
from textual.filter import LineFilter
from textual.pilot import Pilot
from textual.widget import Widget

from infertui.analysis.bench import Bench
from infertui.analysis.decision.sweep_curve import SweepCurve
from infertui.errors import InfertuiError
from infertui.results.details import RunDetails, read_details
from infertui.results.index import ResultPage, ResultQuery
from infertui.results.runs import Store
from infertui.runner.control import Compared, RunnerApi
from infertui.runner.queries import Reports, benched, compared, curves_of_runs, open_table
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui import themes
from infertui.tui.frame.context import Severity
from infertui.tui.settings.stored import Settings
from infertui.tui.state import ClientState

SHIPPED = themes.load({"HOME": "/nonexistent"})[0]


class StoredControl(FakeControl):
    """Answers from a reports folder; `calls` records what was asked."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self.out = out
        self.index = open_table(out, cache=out / ".cache")

    async def results(self, query: ResultQuery) -> ResultPage:
        self._ask("results", query)
        return self.index.page(query)

    async def details(self, out: str, run: str) -> RunDetails:
        self._ask("details", out, run)
        return read_details(Store(Path(out)).folder_of(run))

    async def compare(self, out: str, runs: Sequence[str]) -> Compared:
        self._ask("compare", out, tuple(runs))
        return compared(Reports(), out, runs, threading.Event())

    async def curves(self, out: str, runs: Sequence[str], *, fewest: int = 3) -> tuple[SweepCurve, ...]:
        self._ask("curves", out, tuple(runs))
        return curves_of_runs(out, runs, fewest)

    async def bench(self, out: str, bench: str) -> Bench:
        self._ask("bench", out, bench)
        return benched(out, bench)

    async def delete(self, out: str, runs: Sequence[str]) -> None:
        self._ask("delete", out, tuple(runs))
        Store(Path(out)).delete(runs)


class ResultsStage(App[None]):
    """Implements AppContext around one widget; what it is asked to do is written down."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    .pane { border: round $frame; width: 1fr; height: 1fr; border-title-color: $title-colour; }
    .pane:focus-within { border: heavy $frame-focused; }
    """

    def __init__(
        self,
        out: Path,
        make: Callable[["ResultsStage"], Widget],
        *,
        settings: Settings | None = None,
        theme: str = "dark",
        ascii_only: bool = False,
        control: FakeControl | None = None,
    ) -> None:
        super().__init__()
        for one in SHIPPED.values():
            self.register_theme(one)
        self.theme = theme
        self.ascii_only = ascii_only
        self.out = out
        self.client_state = ClientState()
        self.settings = settings or Settings()
        self.fake = control or StoredControl(out)
        self.said: list[tuple[Severity, str]] = []
        self.copied: list[tuple[str, str]] = []
        self.questions: list[str] = []
        self.answer = True
        self.opened: list[tuple[str, str]] = []
        self.detailed: list[str] = []
        self._make = make

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.variable_defaults()

    def get_line_filters(self) -> Sequence[LineFilter]:
        return themes.line_filters(self, super().get_line_filters())

    def compose(self) -> ComposeResult:
        yield self._make(self)

    @property
    def control(self) -> RunnerApi:
        return self.fake

    def intend(self, work: Callable[[RunnerApi], Awaitable[object]], *, done: str = "") -> None:
        async def go() -> None:
            try:
                await work(self.control)
            except InfertuiError as error:
                self.say(str(error), "error")
            else:
                if done:
                    self.say(done)

        self.run_worker(go())

    def say(self, text: str, severity: Severity = "information") -> None:
        self.said.append((severity, text))

    def confirm(self, question: str, *, yes: str, then: Callable[[], None]) -> None:
        self.questions.append(f"{question} [{yes}]")
        if self.answer:
            then()

    def change_settings(self, settings: Settings) -> None:
        self.settings = settings

    def copy(self, text: str, what: str) -> None:
        self.copied.append((text, what))

    def open_in_config(self, toml: str, label: str) -> None:
        self.opened.append((toml, label))

    def edit_entry(self, entry: Entry) -> None:
        raise NotImplementedError

    def show_details(self, run: str, *, out: str = "") -> None:
        self.detailed.append(run)


async def settle(app: ResultsStage, pilot: Pilot[Any]) -> None:
    """Wait until what was asked for is there and drawn."""
    await settled(app)
    await pilot.pause()
    await pilot.pause()
