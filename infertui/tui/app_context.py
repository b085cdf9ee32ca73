"""What panes and dialogs may ask of the application: AppContext, implemented."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from infertui.errors import InfertuiError
from infertui.tui import notify
from infertui.tui.terminal import signals
from infertui.tui.terminal.base import ScreenApp
from infertui.tui.terminal.capabilities import glyphs

if TYPE_CHECKING:
    from infertui.chart import ResultChart
    from infertui.runner.control import RunnerApi
    from infertui.runner.scheduling.queue_store import Entry
    from infertui.tui.appearance import Appearance
    from infertui.tui.connection import RunnerConnection
    from infertui.tui.frame.context import Severity
    from infertui.tui.frame.main_screen import MainScreen
    from infertui.tui.frame.redraw import RedrawScheduler
    from infertui.tui.rewind.rewind import Rewind
    from infertui.tui.settings.preferences import Preferences
    from infertui.tui.settings.stored import Settings
    from infertui.tui.state import ClientState
    from infertui.tui.terminal.capabilities import Terminal


class ContextApp(ScreenApp):
    """Says things to the user, asks things of the runner, changes settings, opens what one pane wants of another."""

    connection: "RunnerConnection"
    """To the runner."""
    main: "MainScreen"
    preferences: "Preferences"
    appearance: "Appearance"
    scheduler: "RedrawScheduler"

    def __init__(self, *, out: Path, terminal: "Terminal", environ: Mapping[str, str]) -> None:
        self.terminal = terminal
        super().__init__()
        self._out = out
        self._environ = environ
        self._client_state: ClientState | None = None
        self._rewind: Rewind | None = None
        self._tmux_hinted = False
        self._title = ""

    @property
    def client_state(self) -> "ClientState":
        """What is known of the runner, at the moment that is shown."""
        return self._held_state or self.living_state

    @property
    def _held_state(self) -> "ClientState | None":
        return self._rewind.shown if self._rewind else None

    @property
    def rewind(self) -> "Rewind":
        """Which moment is shown."""
        if self._rewind is None:
            from infertui.tui.rewind.rewind import Rewind

            def ask(work: Coroutine[Any, Any, None]) -> None:
                self.run_worker(work, group="rewind")

            self._rewind = Rewind(lambda: self.living_state, lambda: self.control, ask=ask, draw=self.draw_all)
        return self._rewind

    def draw_all(self) -> None:
        """Draw everything now."""
        raise NotImplementedError

    @property
    def living_state(self) -> "ClientState":
        """What is known of the runner now, whatever is shown."""
        if self._client_state is None:
            from infertui.tui.state import ClientState

            self._client_state = ClientState()
        return self._client_state

    @property
    def known_state(self) -> "ClientState | None":
        """The state that is shown, if anybody asked for it: the first paint does without its import."""
        return self._held_state or self._client_state

    @property
    def settings(self) -> "Settings":
        """The user's settings, as they are now."""
        return self.preferences.settings

    @property
    def out(self) -> Path:
        """The reports folder of this screen, absolute."""
        return self._out

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment that this screen was started in."""
        return self._environ

    @property
    def control(self) -> "RunnerApi":
        """The runner."""
        return self.connection.control

    @property
    def ascii_only(self) -> bool:
        """Whether this terminal shows ASCII only."""
        return self.terminal.ascii_only

    def intend(self, work: "Callable[[RunnerApi], Awaitable[object]]", *, done: str = "") -> None:
        """Ask something of the runner without waiting."""

        async def attempt() -> None:
            try:
                await work(self.control)
            except InfertuiError as error:
                self.say(notify.of_error(error), "error")
            except (OSError, EOFError) as error:
                self.say(f"the runner did not answer: {error}", "error")
            else:
                if done:
                    self.say(done)

        self.run_worker(attempt(), group="intentions")

    def say(self, text: str, severity: "Severity" = "information") -> None:
        """A toast."""
        self.notify(notify.of_text(text), severity=severity, timeout=notify.SECONDS[severity], markup=False)

    def announce_ended(self) -> None:
        """Say what ended since the last call; what was queued together and is over also rings."""
        for text in notify.announce_ended(self, self.living_state):
            if self.settings.bell:
                self.tell_terminal(signals.BELL)
            in_tmux = self.terminal.multiplexer == "tmux"
            self.tell_terminal(signals.notification(self.settings.notification, text, tmux=in_tmux))

    def show_title(self, *, again: bool = False) -> None:
        """Tell in the terminal's title what runs, where it changed or `again`."""
        if not self.settings.terminal_title or not signals.has_title(self._environ.get("TERM", "")):
            return
        from infertui.tui.frame.header import title_text

        text = title_text(self._client_state, glyphs(cast(Any, self)))
        if again or text != self._title:
            self._title = text
            self.set_terminal_title(text)

    def confirm(self, question: str, *, yes: str, then: Callable[[], None]) -> None:
        """Ask before something is lost."""
        from infertui.tui.widgets.dialogs import YES, ConfirmScreen

        def answered(answer: str | None) -> None:
            if answer == YES:
                then()

        self.push_screen(ConfirmScreen(question, yes=yes), answered)

    def change_settings(self, settings: "Settings") -> None:
        """Replace the settings, put them in force, and save them."""
        before, self.preferences.settings = self.settings, settings
        self.appearance.change(before, settings)
        self.scheduler.configure(settings)
        if settings.slow_link != before.slow_link:
            self.main.stage.still = settings.slow_link
            self.main.lay_out()
        self.scheduler.redraw_all()
        self.run_worker(self._save_settings(), group="settings", exclusive=True)

    async def _save_settings(self) -> None:
        try:
            said = await self.preferences.save()
        except InfertuiError as error:
            self.say(notify.of_error(error), "error")
        else:
            if said:
                self.say(said, "warning")

    def choose_theme(self, name: str) -> None:
        """Show a theme, and keep it."""
        from msgspec.structs import replace

        self.change_settings(replace(self.settings, theme=name))
        self.appearance.use_theme(name)
        self.say(f"theme: {name}")

    def copy(self, text: str, what: str) -> None:
        """To the clipboard and into a file."""
        from infertui.tui import clipboard

        text = clipboard.harmless(text)
        self.copy_to_clipboard(text)
        path = clipboard.clip_path(self._environ)
        try:
            clipboard.keep(text, path)
        except InfertuiError as error:
            self.say(notify.of_error(error), "warning")
            return
        self.say(clipboard.said(what, path, environ=self._environ, hint=not self._tmux_hinted))
        self._tmux_hinted = True

    def save_chart(self, chart: "ResultChart") -> None:
        """Save it as PNG and SVG beside the reports, and say where; drawing is left to a thread."""
        from infertui.tui.pictures import saving

        title = " ".join([*(panel.name for panel in chart.panels), *(["over", chart.heading] if chart.heading else [])])
        self.run_worker(self._save_picture(title, lambda: saving.draw(chart, title)), group="pictures")

    def picture_key(self, key: str) -> None:
        """The keys of pictures work on screens of their own, too, which the application's keys do not reach."""
        keymap: Mapping[str, str] = getattr(self, "keymap", {})
        if key == keymap.get("app.picture", "I"):
            self.action_picture()
        elif key == keymap.get("app.save-screen", "f2"):
            self.action_save_screen()

    def action_picture(self) -> None:
        """The chart at hand as files; the screen where there is no chart."""
        from infertui.tui.pictures.saving import chart_at_hand

        chart = chart_at_hand(self)
        if chart is None:
            self.action_save_screen()
        else:
            self.save_chart(chart)

    def action_save_screen(self) -> None:
        """Save what the screen shows as SVG beside the reports, and say where."""
        from infertui.tui.pictures import saving

        files = saving.screen_svg(self, "infertui")
        self.run_worker(self._save_picture("screen", lambda: files), group="pictures")

    async def _save_picture(self, title: str, draw: "Callable[[], Mapping[str, bytes]]") -> None:
        from infertui.tui import clipboard
        from infertui.tui.pictures import saving

        try:
            paths = await asyncio.to_thread(lambda: saving.save(self._out, title, draw()))
        except InfertuiError as error:
            self.say(notify.of_error(error), "error")
            return
        others = "".join(f" and {path.suffix.removeprefix('.').upper()}" for path in paths[1:])
        self.say(f"Saved {clipboard.shortened(paths[0], self._environ)}{others}.")

    def open_in_config(self, toml: str, label: str) -> None:
        """Load a config into the Config pane and go there."""
        self.main.go("config")
        cast(Any, self.main.stage.pane("config")).load_toml(toml, label)

    def edit_entry(self, entry: "Entry") -> None:
        """Load a waiting entry into the Config pane."""
        self.main.go("config")
        cast(Any, self.main.stage.pane("config")).edit(entry)

    def show_details(self, run: str, *, out: str = "") -> None:
        """Open the details of a run."""
        from infertui.tui.results.details.screen import DetailsScreen

        if not isinstance(self.screen, DetailsScreen):
            self.push_screen(DetailsScreen(self, run, out=out or str(self._out)))
