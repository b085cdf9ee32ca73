"""The screen: one Textual application that draws a runner's state and sends it what the user wants."""

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.await_complete import AwaitComplete
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.events import Event, Key, Paste, Resize
from textual.filter import LineFilter
from textual.screen import ModalScreen, Screen
from textual.widget import AwaitMount
from textual.widgets import Input

from infertui import __version__
from infertui.tui import themes
from infertui.tui.appearance import Appearance
from infertui.tui.connection import RunnerConnection
from infertui.tui.frame.actions import GLOBAL_ACTIONS, Action, bindings
from infertui.tui.frame.header import Condition
from infertui.tui.frame.layouts import PANES
from infertui.tui.frame.main_screen import MainScreen
from infertui.tui.frame.panes import import_panes
from infertui.tui.frame.reach import READ_ONLY, reason
from infertui.tui.frame.redraw import RedrawScheduler, stepped
from infertui.tui.frame.topics import ALL_TOPICS, Topic
from infertui.tui.frame.typed_ahead import PATIENCE_S, Settled, TypedAhead
from infertui.tui.quit import HANGUP, Leaving
from infertui.tui.rewind.keys import TimeTravel
from infertui.tui.settings.preferences import Preferences

if TYPE_CHECKING:
    from infertui.tui.connection import Connect
    from infertui.tui.frame.layout import PaneLayout
    from infertui.tui.results.pane import ResultsPane
    from infertui.tui.settings.stored import Settings
    from infertui.tui.terminal.capabilities import Terminal

_HOUSEKEEPING_S = 1.0


class InfertuiApp(TimeTravel, inherit_bindings=False):
    """Lives from the first paint to the end, draws when something changed, and takes the keys that work everywhere.

    `connect` opens the connection to the runner; everything slow happens after the first paint.
    """

    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS: ClassVar[str | None] = ""
    CSS_PATH = "app.tcss"
    ACTIONS: ClassVar[tuple[Action, ...]] = GLOBAL_ACTIONS
    BINDINGS: ClassVar[list[BindingType]] = bindings(GLOBAL_ACTIONS)
    TITLE = "infertui"

    def __init__(
        self,
        connect: "Connect",
        *,
        out: Path,
        terminal: "Terminal",
        settings: "Settings | None" = None,
        settings_path: Path | None = None,
        theme: str = "auto",
        kept_theme: str = "auto",
        mouse: str = "auto",
        slow_link: bool = False,
        read_only: bool = False,
        welcome: bool = False,
        environ: Mapping[str, str] = os.environ,
        stop_other: "Callable[[], Awaitable[object]] | None" = None,
    ) -> None:
        self.read_only = read_only
        """Whether this screen may only watch."""
        self.keymap: dict[str, str] = {}
        """Keys from the settings, by action id."""
        super().__init__(out=out, terminal=terminal, environ=environ)
        self.animation_level = "none"
        self.set_class(terminal.ascii_only, "-ascii")
        self.preferences = Preferences(settings, settings_path, slow_link=slow_link)
        self.connection = RunnerConnection(
            connect, self, changed=self._changed, reached=self._reached, stop_other=None if read_only else stop_other
        )
        self.scheduler = RedrawScheduler(self._draw, behind=lambda: self.terminal_behind, post=self.call_next)
        """When what is drawn."""
        self.main = MainScreen(self)
        self.ahead = TypedAhead()
        """Keys that wait for their turn."""
        self._busy = False
        self.recent: tuple[str, ...] = ()
        """Ids of the commands of the palette that were chosen last, the newest first."""
        self._leaving = Leaving(self)
        self._welcome = welcome
        self.furnished = asyncio.Event()
        """The panes are there."""
        self.linked = asyncio.Event()
        """The first snapshot came."""
        self.appearance = Appearance(self, theme=theme, kept_theme=kept_theme, mouse=mouse, environ=environ)

    @property
    def stage(self) -> "PaneLayout":
        """The panes."""
        return self.main.stage

    # From start to end.

    def get_default_screen(self) -> Screen[None]:
        """The main screen."""
        return self.main

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our variables, should a stock theme ever be shown."""
        return themes.variable_defaults()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What everything that is drawn passes through."""
        return self.appearance.line_filters(super().get_line_filters())

    def on_mount(self) -> None:
        """Everything that the first paint needs; the rest follows it."""
        if not self.is_headless:
            self.hear_signals()
            asyncio.get_running_loop().set_exception_handler(self._stray_error)
        self.app_resume_signal.subscribe(self, lambda _: self.action_redraw())
        self.set_interval(_HOUSEKEEPING_S, self._housekeep)

    def on_main_screen_composed(self, _event: MainScreen.Composed) -> None:
        """The first paint is done."""
        self.run_worker(self._furnish(), exit_on_error=True)

    async def _furnish(self) -> None:
        """Put the panes into their frames, connect, and say what there is to say."""
        classes = await asyncio.to_thread(import_panes)
        await asyncio.to_thread(lambda: self.settings)
        with self.batch_update():
            for pane, frame in self.stage.furnish(classes, self):
                await cast(Any, frame.parent).mount(pane, before=frame)
                await frame.remove()
        self.appearance.use_keys(self.settings.keys)
        self.stage.still = self.settings.slow_link
        self.stage.all_stale()
        self.scheduler.start(self.settings)
        self.scheduler.redraw_all()
        self.main.lay_out()
        self.stage.focus()
        gc.enable()
        gc.set_threshold(20_000, 20, 20)  # a drawing makes thousands of short-lived objects, and no cycles
        gc.freeze()  # what is there now stays: collections need not look at it again, and hold up no key
        self.furnished.set()
        for problem in (*self.appearance.problems, *self.preferences.problems):
            self.say(problem, "warning")
        if self._welcome and not self.read_only:
            from infertui.tui.welcome import welcome

            welcome(self, self._environ)
        self.ahead.ready = True
        self.call_later(self._type)
        self.run_worker(self.connection.run(), group="link", exit_on_error=True)
        from infertui.tui.own.install import install
        from infertui.tui.palette import recent

        self.recent = await asyncio.to_thread(recent.read, recent.recent_path(self.environ))
        await install(self)

    def _housekeep(self) -> None:
        if not self.main.is_composed:
            return
        self.main.keep_time(every=self.is_held)
        if self.terminal_gone:
            self.exit(return_code=HANGUP)
        elif self.take_loss():
            self.action_redraw()

    def _stray_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody waits for: kept, and told in a line."""
        from infertui.tui import crash

        error = context.get("exception")
        if isinstance(error, BaseException) and self.main.is_composed:
            log = crash.keep(error, environ=self._environ)
            self.say(f"something went wrong ({type(error).__name__}); details: {log}", "warning")

    def last_words(self, error: BaseException) -> str:
        """Where the log is that holds more; the values of variables stay out of it."""
        from infertui.tui import crash

        return crash.sentence(error, crash.keep(error, environ=self._environ))

    def stop_drawing(self) -> None:
        """Nothing is drawn from here on."""
        self.main.is_composed = False
        self.scheduler.stop()

    # What the connection brings.

    def _changed(self, topics: frozenset[Topic]) -> None:
        if "queue" in topics:
            running = self.living_state.running
            self.scheduler.sharing = any(entry.lane == "cpu" for entry in running)
            if bool(running) != self._busy:
                self._busy = bool(running)
                typing = self.on_main_screen and isinstance(self.main.focused, Input)
                if self.stage.happens(running=self._busy, typing=typing) and self.on_main_screen:
                    self.main.lay_out()
        self.scheduler.touched(topics)
        if self.scheduler.frozen and "queue" in topics:
            self.announce_ended()  # nothing else is drawn, and whoever waits for it looks elsewhere

    def _reached(self) -> None:
        if not self.linked.is_set():
            self.linked.set()
            self._go_where_it_happens()

    def _go_where_it_happens(self) -> None:
        """Until the first key, the pane in front is the one that has something to show."""
        if self.stage.chosen or self.stage.kind == "compact":
            return
        if self.client_state.running:
            self.main.go("live")
        elif any(entry.state == "queued" for entry in self.client_state.entries.values()):
            self.main.go("queue")

    # Drawing.

    @property
    def condition(self) -> Condition:
        """What the header says besides the mirror."""
        return Condition(
            version=__version__,
            clock=time.strftime("%H:%M"),
            trouble=self.connection.missing,
            read_only=self.read_only,
            frozen=self.is_held,
            behind_s=self.rewind.behind_s if self.is_held else None,
            at=self.rewind.time_of_day if self.is_held else "",
            missing=self.rewind.missing if self.is_held else "",
            slow_terminal=self.preferences.slow_link or self.scheduler.backoff > 1,
        )

    def _draw(self, due: frozenset[Topic]) -> None:
        if not self.main.is_composed:
            return
        self.announce_ended()
        if due & {"runner", "queue", "live"}:
            self.show_title()
        if due & {"runner", "queue", "live", "machine"}:
            self.main.draw_header()
        if (screen := self.screen) is not self.main:
            self.stage.all_stale()
            if (show := getattr(screen, "show", None)) is not None:
                show(due)
            # Behind a dialog the picture stands still, but not at the very beginning: there is nothing on it yet.
            if "runner" not in due or not isinstance(screen, ModalScreen):
                return
        self.main.show(due)

    def draw_all(self) -> None:
        """Draw everything now."""
        self.main.lay_out()
        self.stage.all_stale()
        self._draw(ALL_TOPICS)

    def on_resize(self, event: Resize) -> None:
        """Another size may be another layout."""
        self.main.lay_out(event.size.width, event.size.height)
        self.call_after_refresh(self.main.draw_header)

    def push_screen(self, *arguments: Any, **named: Any) -> Any:
        """In front of the main screen comes a dialog with keys of its own."""
        if self.main.is_composed and self.on_main_screen:
            self.main.cover()
        mounted = super().push_screen(*arguments, **named)
        if isinstance(mounted, AwaitMount):
            self.ahead.opening(1)
            self.run_worker(self._opened(mounted), group="opening", exit_on_error=False)
        return mounted

    def pop_screen(self) -> AwaitComplete:
        """The key that closed it is done with that: what it was on may be gone before it can say so."""
        popped = super().pop_screen()
        self.call_later(self._typed, self.ahead.number)
        return popped

    @property
    def on_main_screen(self) -> bool:
        """Whether no dialog or other screen is in front."""
        return self.screen is self.main

    def on_results_pane_looked(self, event: "ResultsPane.Looked") -> None:
        """What the Cost pane tells of follows the cursor in Results."""
        cast(Any, self.stage.pane("cost")).look_at(event.runs)

    # Keys.

    async def run_action(self, action: Any, default_namespace: Any = None, namespaces: Any = None) -> bool:
        """What would do nothing now says why instead; nothing that writes is done by a screen that only watches."""
        if isinstance(action, str) and isinstance(default_namespace, DOMNode):
            for candidate in getattr(default_namespace, "ACTIONS", ()):
                if action in (candidate.name, candidate.call):
                    if candidate.writes and self.rewind.is_past:
                        self.say(f"{candidate.label}: what is shown is the past; esc goes back to now", "warning")
                        return True
                    if why := reason(default_namespace, candidate, read_only=self.read_only):
                        more = f", so it cannot {candidate.help}" if why == READ_ONLY else ""
                        self.say(f"{why}{more}" if more else f"{candidate.label}: {why}", "warning")
                        return True
                    break
            self.stage.chosen = True
        done = await super().run_action(action, default_namespace, namespaces)
        self.main.footer_due()
        return done

    async def on_event(self, event: Event) -> None:
        """Keys one after the other; ctrl+c is heard in any case."""
        if not isinstance(event, Key | Paste) or event.is_forwarded or getattr(event, "key", "") == "ctrl+c":
            await super().on_event(event)
            return
        self.ahead.add(event)
        await self._type()

    async def _type(self) -> None:
        """Send the key whose turn it is. One that the welcome has no use for is for the screen behind it."""
        event = self.ahead.next()
        if event is None:
            return
        gives_way = getattr(self.screen, "gives_way", None)
        if gives_way is not None and gives_way(event.key if isinstance(event, Key) else ""):
            self.screen.dismiss(False)
        number, target = self.ahead.number, self.focused or self.screen
        await super().on_event(event)
        asyncio.get_running_loop().call_later(PATIENCE_S, self.call_later, self._typed, number)
        if not target.post_message(Settled(number, target, int(isinstance(target, Input)))):
            self.call_later(self._typed, number)

    def on_settled(self, event: Settled) -> None:
        """A key was done. What it gave the focus to has it once what waits here already was done."""
        event.stop()
        again = Settled(event.number, event.target, event.rounds - 1)
        if not event.rounds or not event.target.post_message(again):
            self.call_later(self._typed, event.number)

    async def _typed(self, number: int) -> None:
        self.ahead.settled(number)
        await self._type()

    async def _opened(self, mounted: Any) -> None:
        try:
            await mounted
        finally:
            self.call_later(self._opened_whole)

    async def _opened_whole(self) -> None:
        self.ahead.opening(-1)
        await self._type()

    def on_key(self, event: Key) -> None:
        """From the first key on the focus goes where the user says; `?` works on every screen that has actions."""
        self.stage.chosen = True
        if event.key == "question_mark" and not self.on_main_screen and hasattr(self.screen, "ACTIONS"):
            self.action_keys_help()
        self.picture_key("" if self.on_main_screen else event.key)

    def action_go(self, place: str) -> None:
        """To a pane by its number."""
        self.stage.chosen = True
        if place in PANES:
            self.main.go(place)

    def action_next_pane(self) -> None:
        """Tab."""
        self.action_go(self.stage.neighbour(1))

    def action_previous_pane(self) -> None:
        """Shift and Tab."""
        self.action_go(self.stage.neighbour(-1))

    def action_zoom(self) -> None:
        """The pane takes all the room, or gives it back."""
        self.stage.zoom()
        self.main.lay_out()
        self.call_after_refresh(self.stage.focus)

    async def action_back(self) -> None:
        """Esc: back to now, out of what the pane shows, then out of the zoom; never out of the program."""
        if self.on_main_screen and self.is_held:
            self.go_on()
        elif self.on_main_screen and not self.stage.step_back() and self.stage.is_zoomed:
            self.action_zoom()

    def action_faster(self) -> None:
        """Redraw more often."""
        self._change_rate(1)

    def action_slower(self) -> None:
        """Redraw less often."""
        self._change_rate(-1)

    def _change_rate(self, by: int) -> None:
        from msgspec.structs import replace

        now = self.settings
        gauges, charts = stepped(now.gauge_hz, by), stepped(now.chart_hz, by)
        self.change_settings(replace(now, gauge_hz=gauges, chart_hz=charts))
        self.say(f"gauges {gauges:g} a second, charts {charts:g} a second")

    def action_next_theme(self) -> None:
        """The next theme of the list, at once."""
        self.choose_theme(self.appearance.next_theme)

    def action_mouse(self) -> None:
        """Mouse to the panes, or to the terminal."""
        for_panes = self.appearance.mouse.switch()
        self.say("mouse: for the panes" if for_panes else "mouse: for the terminal's own selection")

    def action_redraw(self) -> None:
        """Everything once more, whatever may stand there."""
        self.forget_drawn()
        self.screen.refresh(layout=True)
        self.screen.refresh()
        self.show_title(again=True)

    def action_keys_help(self) -> None:
        """What every key does."""
        from infertui.tui.frame.help import open_help

        open_help(self)

    def action_palette(self) -> None:
        """Find anything by a few letters."""
        from infertui.tui.palette.sources import open_palette

        open_palette(self)

    def action_settings(self, at: str = "") -> None:
        """Change the settings, beginning with one of them."""
        from infertui.tui.settings.screen import SettingsScreen

        self.push_screen(SettingsScreen(self, themes=["auto", *self.appearance.theme_names], at=at))

    def action_interrupt(self) -> None:
        """Ctrl+C: cancel what runs; twice, leave."""
        self._leaving.interrupt()

    async def action_quit(self) -> None:
        """Leave; asks when runs are under way."""
        self._leaving.quit()
