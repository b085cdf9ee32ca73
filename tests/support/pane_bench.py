"""One pane on a stage, with a app_context behind it that records what it is asked."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.fake_control import FakeControl
from support.stage import Stage, screen_of
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widget import Widget

from infertui.errors import InfertuiError
from infertui.runner.control import RunnerApi
from infertui.runner.scheduling.queue_store import Entry
from infertui.tui.frame.context import Severity
from infertui.tui.settings.stored import Settings
from infertui.tui.state import ClientState
from infertui.tui.widgets.pane import Pane

Act = Callable[["Bench", Pilot[None]], Awaitable[None]]


class Bench(Stage):
    """Implements AppContext. `asked` are questions with what a yes does, `told` all else that was said or opened."""

    CSS = ".pane { border: round $frame; width: 1fr; height: 1fr; }"

    def __init__(
        self,
        pane: type[Pane],
        client_state: ClientState,
        *,
        control: FakeControl | None = None,
        settings: Settings | None = None,
        ascii_only: bool = False,
        theme: str = "dark",
    ) -> None:
        super().__init__(theme=theme, ascii_only=ascii_only)
        self.client_state = client_state
        self.fake = control or FakeControl()
        self.settings = settings or Settings()
        self.out = Path("/reports")
        self.pane: Any = pane(self, id="pane")
        self.asked: list[tuple[str, Callable[[], None]]] = []
        self.told: list[tuple[str, object]] = []

    def compose(self) -> ComposeResult:
        with Vertical():
            yield self.pane

    def on_mount(self) -> None:
        self.pane.focus_inside()

    @property
    def control(self) -> RunnerApi:
        return self.fake

    @property
    def calls(self) -> list[tuple[str, tuple[object, ...]]]:
        return self.fake.calls

    def intend(self, work: Callable[[RunnerApi], Awaitable[object]], *, done: str = "") -> None:
        async def go() -> None:
            try:
                await work(self.fake)
            except InfertuiError as error:
                self.told.append(("error", str(error)))
                return
            if done:
                self.told.append(("done", done))

        self.run_worker(go())

    def say(self, text: str, severity: Severity = "information") -> None:
        self.told.append(("say", text))

    def confirm(self, question: str, *, yes: str, then: Callable[[], None]) -> None:
        self.asked.append((question, then))

    def change_settings(self, settings: Settings) -> None:
        self.settings = settings

    def copy(self, text: str, what: str) -> None:
        self.told.append(("copy", text))

    def open_in_config(self, toml: str, label: str) -> None:
        self.told.append(("config", label))

    def edit_entry(self, entry: Entry) -> None:
        self.told.append(("edit", entry.id))

    def show_details(self, run: str, *, out: str = "") -> None:
        self.told.append(("details", (run, out)))

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(screen_of(self))


def act(bench: Bench, play: Act, *, size: tuple[int, int] = (120, 30)) -> None:
    """Do something with a pane on a terminal of this size."""

    async def scenario() -> None:
        async with asyncio.timeout(30), bench.run_test(size=size) as pilot:
            await pilot.pause()
            await play(bench, pilot)

    asyncio.run(scenario())


def look_at(bench: Bench, *, size: tuple[int, int] = (120, 30)) -> str:
    """What stands on the screen of this size."""
    seen: list[str] = []

    async def play(bench: Bench, pilot: Pilot[None]) -> None:
        await pilot.pause()
        seen.append(bench.text)

    act(bench, play, size=size)
    return seen[0]


@contextmanager
def repaints(bench: Bench) -> Iterator[list[tuple[Widget, tuple[Region, ...]]]]:
    """Collects every request of a widget of the pane to be painted again."""
    found: list[tuple[Widget, tuple[Region, ...]]] = []
    original = Widget.refresh

    def counted(self: Widget, *regions: Region, **options: Any) -> Any:
        if bench.pane in self.ancestors_with_self:
            found.append((self, regions))
        return original(self, *regions, **options)

    Widget.refresh = counted  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Widget.refresh = original  # type: ignore[method-assign]
