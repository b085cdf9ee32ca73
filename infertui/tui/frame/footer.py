"""The line at the bottom: the keys that work now."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.text import Text
from textual.screen import Screen
from textual.widgets import Input

from infertui.tui.frame.actions import GLOBAL_ACTIONS, HELD_HINTS, Action, signs
from infertui.tui.frame.reach import applies, reachable, reason
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.themes import Palette, palette
from infertui.tui.widgets.lines import Lines, cut


def footer_text(
    hints: Iterable[Action], keymap: Mapping[str, str], width: int, colours: Palette, ellipsis: str
) -> Text:
    """`r Run  x Cancel`, the application's last. Hints that have no room are left out whole, with a mark."""
    wanted = [(action.scope == "app", _hint(action, keymap, colours)) for action in hints]
    own, ours = ([hint for app, hint in wanted if app is last] for last in (False, True))
    # Where there is hardly any room, one key of what has the focus and one for all the others are worth most.
    while len(ours) > 1 and _width(own[:1]) + _width(ours) + 2 > width:
        ours.pop(1)
    room = width - _width(ours)
    if _width(own) > room:
        while own and _width(own) + 2 > room:
            own.pop()
        if room > 2:
            own.append(Text(ellipsis, end=""))
    line = Text(no_wrap=True, end="")
    for hint in (*own, *ours):
        line.append("  " if line else " ").append_text(hint)
    return cut(line, width, ellipsis)


def _hint(action: Action, keymap: Mapping[str, str], colours: Palette) -> Text:
    keys = signs(action, keymap)
    hint = Text(keys[0] if keys else "", style=colours.accent, end="")
    return Text(end="").append_text(hint).append(f" {action.label}")


def _width(hints: Sequence[Text]) -> int:
    """Cells that they take, with the blanks between."""
    return sum(hint.cell_len + 2 for hint in hints)


class FooterLine(Lines):
    """The widget: follows the focus and what the focused pane can do now. Behind a dialog it is empty."""

    DEFAULT_CSS = "FooterLine { height: 1; width: 1fr; }"
    covered = False
    """Whether a dialog has the keys."""

    def on_mount(self) -> None:
        """Follow the focus and the bindings."""
        super().on_mount()
        self.screen.bindings_updated_signal.subscribe(self, self._changed)
        self.watch(self.screen, "focused", lambda _focused: self.compose_lines())

    def _changed(self, _screen: Screen[object]) -> None:
        self.compose_lines()

    def compose_lines(self) -> None:
        """The keys of what has the focus."""
        if not self.is_attached or not self.size.width:
            return
        keymap = getattr(self.app, "keymap", {})
        hints = [] if self.covered else list(self._hints())
        self.paint_lines([footer_text(hints, keymap, self.size.width, palette(self.app), glyphs(self.app).ellipsis)])

    def _hints(self) -> Iterator[Action]:
        focused = self.screen.focused
        if isinstance(focused, Input):
            yield Action("input.accept", "enter", "Accept", "")
            yield Action("input.cancel", "escape", "Back", "")
            return
        read_only = getattr(self.app, "read_only", False)
        for node, actions in reachable(focused or self.screen):
            for action in actions:
                if action.footer and applies(node, action) and not reason(node, action, read_only=read_only):
                    yield action
        if getattr(self.app, "is_held", False):
            yield from HELD_HINTS
        yield from (action for action in GLOBAL_ACTIONS if action.footer)
