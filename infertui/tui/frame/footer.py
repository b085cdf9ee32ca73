"""The line at the bottom: the keys that work now."""

from collections.abc import Iterable, Iterator, Mapping

from rich.text import Text
from textual.app import App
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Input

from infertui.tui.frame.actions import GLOBAL_ACTIONS, Action, signs
from infertui.tui.terminal.capabilities import glyphs
from infertui.tui.themes import Palette, palette
from infertui.tui.widgets.lines import Lines, cut


def reachable(start: DOMNode | None) -> Iterator[tuple[DOMNode, tuple[Action, ...]]]:
    """The tables of actions that keys reach from a widget: its own first, then those of what holds it."""
    node = start
    while node is not None and not isinstance(node, App):
        actions = getattr(node, "ACTIONS", ())
        if actions:
            yield node, actions
        node = node.parent if isinstance(node.parent, DOMNode) else None


def state(node: DOMNode, action: Action, *, read_only: bool) -> bool | None:
    """True: works now; None: shown but does not work; False: not to be shown."""
    if read_only and action.writes:
        return None
    return node.check_action(action.name, ())


def footer_text(
    hints: Iterable[tuple[Action, bool | None]], keymap: Mapping[str, str], width: int, colours: Palette, ellipsis: str
) -> Text:
    """`r Run  x Cancel`, what does not work now in grey; hints that have no room are left out whole, with a mark."""
    line = Text(no_wrap=True, end="")
    last = Text(no_wrap=True, end="")
    wanted = list(hints)
    for action, works in wanted:
        hint = Text("  " if line or last else " ", end="")
        key = signs(action, keymap)[0] if signs(action, keymap) else ""
        hint.append(key, style=colours.accent if works else colours.muted)
        hint.append(f" {action.label}", style="" if works else colours.muted)
        (last if action.scope == "app" else line).append_text(hint)
    room = width - last.cell_len
    if line.cell_len > room:
        line = _whole_hints(line, room, ellipsis)
    line.append_text(last)
    return cut(line, width, ellipsis)


def _whole_hints(line: Text, room: int, ellipsis: str) -> Text:
    at = line.plain.rfind("  ", 0, max(0, room - 2))
    shorter = line[: max(0, at)]
    shorter.append(f" {ellipsis}")
    return shorter


class FooterLine(Lines):
    """The widget: follows the focus and what the focused pane can do."""

    DEFAULT_CSS = "FooterLine { height: 1; width: 1fr; }"

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
        focused = self.screen.focused
        keymap = getattr(self.app, "keymap", {})
        if isinstance(focused, Input):
            hints: list[tuple[Action, bool | None]] = [
                (Action("input.accept", "enter", "Accept", ""), True),
                (Action("input.cancel", "escape", "Back", ""), True),
            ]
        else:
            read_only = getattr(self.app, "read_only", False)
            hints = [
                (action, works)
                for node, actions in reachable(focused or self.screen)
                for action in actions
                if action.footer and (works := state(node, action, read_only=read_only)) is not False
            ]
            hints += [(action, True) for action in GLOBAL_ACTIONS if action.footer]
        self.paint_lines([footer_text(hints, keymap, self.size.width, palette(self.app), glyphs(self.app).ellipsis)])
