"""The screen: one Textual application that draws a runner's state and sends it what the user wants."""

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.binding import BindingType
from textual.events import DescendantFocus, Key, Resize
from textual.filter import LineFilter
from textual.screen import ModalScreen, Screen

from infertui import __version__
from infertui.errors import InfertuiError
from infertui.tui import notify, themes
from infertui.tui.actions import GLOBAL_ACTIONS, Action, bindings
from infertui.tui.connection import Connection
from infertui.tui.header import Condition, header_text
from infertui.tui.layout import Stage
from infertui.tui.layouts import PANES, PaneId
from infertui.tui.main_screen import CompactView, MainScreen, TabLine
from infertui.tui.notify import announce_finished
from infertui.tui.panes import import_panes
from infertui.tui.preferences import Preferences
from infertui.tui.quit import HANGUP, Leaving
from infertui.tui.redraw import Pace, Painter, stepped
from infertui.tui.terminal.base import ScreenApp
from infertui.tui.terminal.capabilities import Terminal, glyphs
from infertui.tui.terminal.mouse import Mouse
from infertui.tui.terminal.sanitize import AsciiWall
from infertui.tui.topics import ALL_TOPICS, Topic

if TYPE_CHECKING:
    from infertui.results.result import Result
    from infertui.runner.control import Control
    from infertui.runner.queue_store import Entry
    from infertui.tui.context import Severity
    from infertui.tui.link import Connect
    from infertui.tui.results.pane import ResultsPane
    from infertui.tui.settings import Settings
    from infertui.tui.state import Mirror

_HOUSEKEEPING_S = 1.0


class InfertuiApp(ScreenApp, inherit_bindings=False):
    """Implements Cockpit. `connect` opens the connection to the runner; everything slow happens after first paint."""

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
        terminal: Terminal,
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
        self.terminal = terminal
        self.read_only = read_only
        """Whether this screen may only watch."""
        self.keymap: dict[str, str] = {}
        """Keys from the settings, by action id."""
        super().__init__()
        self._out = out
        self._preferences = Preferences(settings, settings_path, slow_link=slow_link)
        self.mouse = Mouse(mouse, over_ssh=terminal.over_ssh, report=self.report_mouse)
        """For the panes, or for the terminal."""
        self._problems: list[str] = []
        self._welcome = welcome
        self._environ = environ
        self.animation_level = "none"
        self.set_class(terminal.ascii_only, "-ascii")
        self._mirror: Mirror | None = None
        self.connection = Connection(
            connect, self, touched=self._touched, reached=self._reached, stop_other=None if read_only else stop_other
        )
        """To the runner."""
        self._painter: Painter | None = None
        self._main = MainScreen(self, composed=self._main_composed, resumed=self._main_resumed)
        self.stage = Stage(self._main, self.call_after_refresh)
        """The panes."""
        self._leaving = Leaving(self)
        self._minute = ""
        self._tmux_hinted = False
        self._key_pressed = False
        self._is_composed = False
        self._is_over = False
        self._line_filters: tuple[tuple[object, ...], tuple[LineFilter, ...]] = ((), ())
        """What they depend on, and themselves."""
        self.furnished = asyncio.Event()
        """The panes are there."""
        self.linked = asyncio.Event()
        """The first snapshot came."""
        self._themes, wrong = themes.load(environ)
        for one in self._themes.values():
            self.register_theme(one)
        self._problems += [notify.of_error(error) for error in wrong]
        self._use_theme(themes.kept(kept_theme, terminal, self._themes) if theme == "auto" else theme)

    # What panes reach: Cockpit.

    @property
    def mirror(self) -> "Mirror":
        """See `Cockpit`."""
        if self._mirror is None:
            from infertui.tui.state import Mirror

            self._mirror = Mirror()
        return self._mirror

    @property
    def settings(self) -> "Settings":
        """See `Cockpit`."""
        return self._preferences.settings

    @property
    def out(self) -> Path:
        """See `Cockpit`."""
        return self._out

    @property
    def control(self) -> "Control":
        """See `Cockpit`."""
        return self.connection.control

    @property
    def ascii_only(self) -> bool:
        """See `Cockpit`."""
        return self.terminal.ascii_only

    def intend(self, work: "Callable[[Control], Awaitable[object]]", *, done: str = "") -> None:
        """See `Cockpit`."""

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
        """See `Cockpit`."""
        self.notify(notify.of_text(text), severity=severity, timeout=notify.SECONDS[severity], markup=False)

    def confirm(self, question: str, *, yes: str, then: Callable[[], None]) -> None:
        """See `Cockpit`."""
        from infertui.tui.widgets.dialogs import YES, ConfirmScreen

        def answered(answer: str | None) -> None:
            if answer == YES:
                then()

        self.push_screen(ConfirmScreen(question, yes=yes), answered)

    def change_settings(self, settings: "Settings") -> None:
        """See `Cockpit`."""
        before, self._preferences.settings = self.settings, settings
        if settings.theme != before.theme:
            self._use_theme(settings.theme)
        if settings.keys != before.keys:
            self._use_keys()
        if settings.mouse != before.mouse:
            self.mouse.choose(settings.mouse)
        if self._painter is not None:
            self._painter.pace.configure(settings)
            self._painter.pace.all_again()
            self._painter.again()
        self.run_worker(self._save_settings(), group="settings", exclusive=True)

    async def _save_settings(self) -> None:
        try:
            said = await self._preferences.save()
        except InfertuiError as error:
            self.say(notify.of_error(error), "error")
        else:
            if said:
                self.say(said, "warning")

    def copy(self, text: str, what: str) -> None:
        """See `Cockpit`."""
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

    def open_in_config(self, toml: str, label: str) -> None:
        """See `Cockpit`."""
        self.go("config")
        cast(Any, self.stage.pane("config")).load_toml(toml, label)

    def edit_entry(self, entry: "Entry") -> None:
        """See `Cockpit`."""
        self.go("config")
        cast(Any, self.stage.pane("config")).edit(entry)

    def show_details(self, run: str, *, out: str = "") -> None:
        """See `Cockpit`."""
        from infertui.tui.results.details import DetailsScreen

        if not isinstance(self.screen, DetailsScreen):
            self.push_screen(DetailsScreen(self, run, out=out or str(self._out)))

    def announce(self, result: "Result") -> None:
        """See `Cockpit`."""
        text, severity = notify.of_result(result)
        self.say(text, severity)

    # From start to end.

    def get_default_screen(self) -> Screen[None]:
        """The main screen."""
        return self._main

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our variables, should a stock theme ever be shown."""
        return themes.variable_defaults()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Colours as the theme has them, and the last wall against control characters."""
        stock = super().get_line_filters()
        key = (self.theme, self.ascii_only, *stock)
        if key != self._line_filters[0]:  # every widget asks whenever it draws
            filters = themes.line_filters(self, stock)
            self._line_filters = key, (*filters, *([AsciiWall()] if self.ascii_only else []))
        return self._line_filters[1]

    def on_mount(self) -> None:
        """Everything that the first paint needs; the rest follows it."""
        if not self.is_headless:
            self.hear_signals()
            asyncio.get_running_loop().set_exception_handler(self._stray_error)
        self.app_resume_signal.subscribe(self, lambda _: self.action_redraw())
        self.set_interval(_HOUSEKEEPING_S, self._housekeep)

    def _main_composed(self) -> None:
        self._is_composed = True
        self._arrange()
        self._tell_header()
        self.call_after_refresh(lambda: self.run_worker(self._furnish(), exit_on_error=True))

    def _main_resumed(self) -> None:
        """What happened behind a dialog shows as soon as that is closed."""
        if self._is_composed and not (self._painter and self._painter.pace.frozen):
            if self.stage.is_compact:
                self._tell_compact()
            self.stage.draw_stale()

    def _stray_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody waits for: kept, and told in a line."""
        from infertui.tui import crash

        error = context.get("exception")
        if isinstance(error, BaseException) and self._is_composed:
            log = crash.keep(error, environ=self._environ)
            self.say(f"something went wrong ({type(error).__name__}); details: {log}", "warning")

    def stop_drawing(self) -> None:
        """Nothing is drawn from here on."""
        self._is_composed, self._is_over = False, True
        if self._painter is not None:
            self._painter.stop()
            self._painter = None

    async def _furnish(self) -> None:
        """Put the panes into their frames, connect, and say what there is to say."""
        classes = await asyncio.to_thread(import_panes)
        await asyncio.to_thread(lambda: self.settings)
        with self.batch_update():
            for pane, frame in self.stage.furnish(classes, self):
                await cast(Any, frame.parent).mount(pane, before=frame)
                await frame.remove()
        self._use_keys()
        self._start_drawing()
        self._arrange()
        self.stage.focus()
        gc.enable()
        gc.set_threshold(20_000, 20, 20)  # a drawing makes thousands of short-lived objects, and no cycles
        gc.freeze()  # what is there now stays: collections need not look at it again, and hold up no key
        self.furnished.set()
        for problem in (*self._problems, *self._preferences.problems):
            self.say(problem, "warning")
        if self._welcome and not self.read_only:
            from infertui.tui.welcome import welcome

            welcome(self, self._environ)
        self.run_worker(self.connection.run(), group="link", exit_on_error=True)

    def _start_drawing(self) -> None:
        if self._is_over:
            return
        behind = lambda: self.terminal_behind  # noqa: E731
        self._painter = Painter(Pace(self.settings), self._draw, behind=behind, post=self.call_next)
        self.stage.all_stale()
        self._painter.touched(ALL_TOPICS)

    def _housekeep(self) -> None:
        if not self._is_composed:
            return
        minute = time.strftime("%H:%M")
        if minute != self._minute:
            self._tell_header()
        if self.terminal_gone:
            self.exit(return_code=HANGUP)
        elif self.take_loss():
            self.action_redraw()

    def last_words(self, error: BaseException) -> str:
        """Where the log is that holds more; the values of variables stay out of it."""
        from infertui.tui import crash

        return crash.sentence(error, crash.keep(error, environ=self._environ))

    # What the connection brings.

    def _touched(self, topics: frozenset[Topic]) -> None:
        if self._painter is not None:
            if "queue" in topics:
                self._painter.pace.sharing = any(entry.lane == "cpu" for entry in self.mirror.running)
            self._painter.touched(topics)

    def _reached(self) -> None:
        if not self.linked.is_set():
            self.linked.set()
            self._go_where_it_happens()

    def _go_where_it_happens(self) -> None:
        """Until the first key, the pane in front is the one that has something to show."""
        if self._key_pressed or self.stage.kind == "compact":
            return
        entries, running = self.mirror.entries.values(), self.mirror.running
        if running:
            self.stage.tab = "live"
        if any(entry.state in ("queued", "running") for entry in entries):
            self.go("live" if self.stage.kind == "tabs" and running else "queue")

    # Drawing.

    def _draw(self, due: frozenset[Topic]) -> None:
        if not self._is_composed:
            return
        announce_finished(self)
        if due & {"runner", "queue", "live", "machine"}:
            self._tell_header()
        screen = self.screen
        if screen is not self._main:
            self.stage.all_stale()
            show = getattr(screen, "show", None)
            if show is not None:
                show(due)
            # Behind a dialog the picture stands still, but not at the very beginning: there is nothing on it yet.
            if "runner" not in due or not isinstance(screen, ModalScreen):
                return
        if "runner" in due:
            self._arrange()
        if self.stage.is_compact:
            self._tell_compact()
        self.stage.draw(due)

    def draw_all(self) -> None:
        """Draw everything now."""
        self._arrange()
        self.stage.all_stale()
        self._draw(ALL_TOPICS)

    def _tell_header(self) -> None:
        if not (self._is_composed and self._main.header.is_attached):  # or gone already: the program is ending
            return
        self._minute = time.strftime("%H:%M")
        pace = self._painter.pace if self._painter else None
        condition = Condition(
            version=__version__,
            clock=self._minute,
            trouble=self.connection.missing,
            read_only=self.read_only,
            frozen=pace is not None and pace.frozen,
            slow_terminal=self._preferences.slow_link or (pace is not None and pace.backoff > 1),
        )
        self._main.header.tell(
            header_text(self._mirror, condition, self.size.width, themes.palette(self), glyphs(cast(Any, self)))
        )

    def _tell_compact(self) -> None:
        from infertui.tui.compact import compact_lines

        fahrenheit = self.settings.temperature_unit == "F"
        lines = compact_lines(self.mirror, themes.palette(self), fahrenheit=fahrenheit)
        for view in self._main.query(CompactView):
            view.tell(lines)

    # Panes and layouts.

    def on_resize(self, event: Resize) -> None:
        """Another size may be another layout."""
        self._arrange(event.size.width, event.size.height)
        self.call_after_refresh(self._tell_header)

    def _arrange(self, width: int = 0, height: int = 0) -> None:
        if self._is_composed:
            self.stage.arrange(width or self.size.width, height or self.size.height)
            if self.stage.is_compact:
                self._tell_compact()

    @property
    def on_main_screen(self) -> bool:
        """Whether no dialog or other screen is in front."""
        return self.screen is self._main

    def go(self, place: PaneId) -> None:
        """Bring a pane into view, and give it the focus."""
        self.stage.choose(place)
        self._arrange()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """The pane that holds the focus is the active one."""
        self.stage.focused(event.widget)

    def on_tab_line_picked(self, event: TabLine.Picked) -> None:
        """A tab was clicked."""
        self.go(event.pane)

    def on_results_pane_looked(self, event: "ResultsPane.Looked") -> None:
        """What the Cost pane tells of follows the cursor in Results."""
        cast(Any, self.stage.pane("cost")).look_at(event.runs)

    # Themes, keys, mouse.

    def _use_theme(self, name: str) -> None:
        try:
            chosen = themes.choose(name, self._environ, self.terminal, list(self._themes))
        except InfertuiError as error:
            chosen = themes.choose("auto", self._environ, self.terminal)
            if self.is_running:
                self.say(notify.of_error(error), "warning")
            else:
                self._problems.append(notify.of_error(error))
        self.theme = chosen

    def scopes(self) -> dict[str, list[Action]]:
        """All actions, by what is in reach together: each pane's with those of what is inside it."""
        scopes: dict[str, list[Action]] = {"app": list(GLOBAL_ACTIONS)}
        for pane in self.stage.panes():
            scopes[str(pane.id)] = [one for node in (pane, *pane.query("*")) for one in getattr(node, "ACTIONS", ())]
        return scopes

    def _use_keys(self) -> None:
        from infertui.tui import keymap

        self.keymap, problems = keymap.check(self.settings.keys, self.scopes())
        self.set_keymap(self.keymap)
        for problem in problems:
            self.say(problem, "warning")

    async def run_action(self, action: Any, default_namespace: Any = None, namespaces: Any = None) -> bool:
        """Nothing that writes is done by a screen that only watches."""
        if self.read_only and isinstance(action, str):
            for candidate in getattr(default_namespace, "ACTIONS", ()):
                if candidate.writes and action in (candidate.name, candidate.call):
                    self.say(f"read-only: this screen only watches, so it cannot {candidate.help}", "warning")
                    return True
        return await super().run_action(action, default_namespace, namespaces)

    # Global keys.

    def on_key(self, event: Key) -> None:
        """From the first key on the focus goes where the user says; `?` works on every screen that has actions."""
        self._key_pressed = True
        if event.key == "question_mark" and self.screen is not self._main and hasattr(self.screen, "ACTIONS"):
            self.action_keys_help()

    def action_go(self, place: str) -> None:
        """To a pane by its number."""
        self._key_pressed = True
        if place in PANES:
            self.go(place)

    def action_next_pane(self) -> None:
        """Tab."""
        self._step(1)

    def action_previous_pane(self) -> None:
        """Shift and Tab."""
        self._step(-1)

    def _step(self, by: int) -> None:
        self._key_pressed = True
        self.go(self.stage.neighbour(by))

    def action_zoom(self) -> None:
        """The pane takes all the room, or gives it back."""
        self.stage.zoomed = not self.stage.zoomed
        self._arrange()
        self.call_after_refresh(self.stage.focus)

    async def action_back(self) -> None:
        """Esc: out of what the pane shows, then out of the zoom; never out of the program."""
        if self.on_main_screen and not self.stage.step_back() and self.stage.zoomed:
            self.action_zoom()

    def action_freeze(self) -> None:
        """Hold the picture."""
        if self._painter is not None:
            self._painter.pace.frozen = not self._painter.pace.frozen
            if not self._painter.pace.frozen:
                self._painter.pace.all_again()
            self._painter.again()
            self._tell_header()

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
        names = list(self._themes)
        at = names.index(self.theme) if self.theme in names else -1
        self.choose_theme(names[(at + 1) % len(names)])

    @property
    def theme_names(self) -> list[str]:
        """All themes there are."""
        return list(self._themes)

    def choose_theme(self, name: str) -> None:
        """Show a theme, and keep it."""
        from msgspec.structs import replace

        self.change_settings(replace(self.settings, theme=name))
        self._use_theme(name)
        self.say(f"theme: {name}")

    def action_mouse(self) -> None:
        """Mouse to the panes, or to the terminal."""
        self.say("mouse: for the panes" if self.mouse.switch() else "mouse: for the terminal's own selection")

    def action_redraw(self) -> None:
        """Everything once more, whatever may stand there."""
        self.forget_drawn()
        self.screen.refresh(layout=True)
        self.screen.refresh()

    def action_keys_help(self) -> None:
        """What every key does."""
        from infertui.tui.help import open_help

        open_help(self)

    def action_palette(self) -> None:
        """Find an action."""
        from infertui.tui.help import open_palette

        open_palette(self)

    def action_settings(self) -> None:
        """Change the settings."""
        from infertui.tui.settings_screen import SettingsScreen

        self.push_screen(SettingsScreen(self, themes=["auto", *self._themes]))

    def action_interrupt(self) -> None:
        """Ctrl+C: cancel what runs; twice, leave."""
        self._leaving.interrupt()

    async def action_quit(self) -> None:
        """Leave; asks when runs are under way."""
        self._leaving.quit()
