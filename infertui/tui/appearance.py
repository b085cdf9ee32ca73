"""What the user chose of how the screen looks and listens, in force: theme, keys, mouse."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from textual.filter import LineFilter

from infertui.errors import InfertuiError
from infertui.tui import notify, themes
from infertui.tui.frame.actions import GLOBAL_ACTIONS, Action
from infertui.tui.terminal.sanitize import AsciiWall

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp
    from infertui.tui.settings.stored import Settings


class Mouse:
    """`chosen` is on, off or auto: over SSH the terminal's. `report` switches the terminal's reports."""

    def __init__(self, chosen: str, *, over_ssh: bool, report: Callable[[bool], None]) -> None:
        self._chosen = chosen
        self._over_ssh = over_ssh
        self._report = report
        self._on = self.wanted

    @property
    def wanted(self) -> bool:
        """Whether it is for the panes, by choice and terminal."""
        return self._chosen == "on" or (self._chosen == "auto" and not self._over_ssh)

    def choose(self, chosen: str) -> None:
        """Another choice, from the settings."""
        self._chosen = chosen
        self._use(self.wanted)

    def switch(self) -> bool:
        """The other way round for now; whether it is for the panes."""
        self._use(not self._on)
        return self._on

    def _use(self, on: bool) -> None:
        self._on = on
        self._report(on)


class Appearance:
    """Puts choices in force on `app`, at the start by what is known before the settings are read."""

    def __init__(
        self, app: "InfertuiApp", *, theme: str, kept_theme: str, mouse: str, environ: Mapping[str, str]
    ) -> None:
        self._app = app
        self._environ = environ
        self._terminal = app.terminal
        self._line_filters: tuple[tuple[object, ...], tuple[LineFilter, ...]] = ((), ())
        """What they depend on, and themselves."""
        self.mouse = Mouse(mouse, over_ssh=app.terminal.over_ssh, report=app.report_mouse)
        """For the panes, or for the terminal."""
        self._themes, wrong = themes.load(environ)
        for one in self._themes.values():
            app.register_theme(one)
        self.problems = [notify.of_error(error) for error in wrong]
        """What is wrong with themes, to be told once there is something to tell it on."""
        self.use_theme(themes.kept(kept_theme, self._terminal, self._themes) if theme == "auto" else theme)

    def change(self, before: "Settings", now: "Settings") -> None:
        """Other settings."""
        if now.theme != before.theme:
            self.use_theme(now.theme)
        if now.keys != before.keys:
            self.use_keys(now.keys)
        if now.mouse != before.mouse:
            self.mouse.choose(now.mouse)

    # Themes.

    @property
    def theme_names(self) -> list[str]:
        """All themes there are."""
        return list(self._themes)

    @property
    def next_theme(self) -> str:
        """The one after the one that is shown."""
        names = self.theme_names
        at = names.index(self._app.theme) if self._app.theme in names else -1
        return names[(at + 1) % len(names)]

    def use_theme(self, name: str) -> None:
        """Show it; where there is none of that name say so, and show what goes with the terminal."""
        try:
            chosen = themes.choose(name, self._environ, self._terminal, list(self._themes))
        except InfertuiError as error:
            chosen = themes.choose("auto", self._environ, self._terminal)
            if self._app.is_running:
                self._app.say(notify.of_error(error), "warning")
            else:
                self.problems.append(notify.of_error(error))
        self._app.theme = chosen

    def line_filters(self, stock: Sequence[LineFilter]) -> tuple[LineFilter, ...]:
        """For `App.get_line_filters`: colours as the theme has them, and the last wall against control characters."""
        app, ascii_only = self._app, self._terminal.ascii_only
        key = (app.theme, *stock)
        if key != self._line_filters[0]:  # every widget asks whenever it draws
            self._line_filters = key, (*themes.line_filters(app, stock), *([AsciiWall()] if ascii_only else []))
        return self._line_filters[1]

    # Keys.

    def scopes(self) -> dict[str, list[Action]]:
        """All actions, by what is in reach together: each pane's with those of what is inside it."""
        scopes: dict[str, list[Action]] = {"app": list(GLOBAL_ACTIONS)}
        for pane in self._app.stage.panes():
            scopes[str(pane.id)] = [one for node in (pane, *pane.query("*")) for one in getattr(node, "ACTIONS", ())]
        return scopes

    def use_keys(self, keys: Mapping[str, str]) -> None:
        """Keys by action id, once the panes are there; says which cannot be used."""
        from infertui.tui import keymap

        self._app.keymap, problems = keymap.check(keys, self.scopes())
        self._app.set_keymap(self._app.keymap)
        for problem in problems:
            self._app.say(problem, "warning")
