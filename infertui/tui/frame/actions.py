"""Actions: one table from which bindings, footer, help and palette are made.

The actions of the application itself, the same on all its panes.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct
from textual.binding import Binding, BindingType

from infertui.tui.frame.layouts import PANES, TITLES

_KEY_SIGNS = {
    "question_mark": "?", "colon": ":", "comma": ",", "plus": "+", "minus": "-", "slash": "/", "full_stop": ".",
    "escape": "esc", "pagedown": "pgdn", "pageup": "pgup", "left_square_bracket": "[", "right_square_bracket": "]",
    "semicolon": ";", "equals_sign": "=", "less_than_sign": "<", "greater_than_sign": ">", "asterisk": "*",
    "exclamation_mark": "!", "number_sign": "#", "underscore": "_", "delete": "del", "left_curly_bracket": "{",
    "right_curly_bracket": "}",
}  # fmt: skip

RESERVED = frozenset(
    {"ctrl+a", "ctrl+b", "ctrl+s", "ctrl+z", "ctrl+h", "ctrl+i", "ctrl+j", "ctrl+m", "f1", "f10", "f11", "f12", "alt+x"}
    | {f"{held}+{arrow}" for held in ("shift", "ctrl") for arrow in ("up", "down", "left", "right")}
)
"""Keys that belong to multiplexers, terminals and flow control, or that are others in disguise."""


class Action(Struct, frozen=True):
    """Something that a key does. `id` is `scope.name`; the widget that declares it has a method `action_name`.

    `label` stands in the footer (a word or two), `help` in the help and the palette (a phrase). An action with
    `footer` False is in the help and the palette only. `writes` marks what a read-only screen may not do. `priority`
    keys are taken before the focused widget sees them. `call` is run instead of `action_name`, as in `pane("gpus")`.
    """

    id: str
    keys: str
    """Keys with commas between, as Textual names them: `j,down`."""
    label: str
    help: str
    footer: bool = True
    writes: bool = False
    priority: bool = False
    call: str = ""

    @property
    def scope(self) -> str:
        """What stands before the dot."""
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        """The method's name without `action_`."""
        return self.id.partition(".")[2].replace("-", "_")

    @property
    def binding(self) -> Binding:
        """The same for Textual. Its id lets the settings give it other keys."""
        return Binding(
            self.keys, self.call or self.name, self.label, show=self.footer, id=self.id, tooltip=self.help,
            priority=self.priority,
        )  # fmt: skip


def bindings(actions: Iterable[Action]) -> list[BindingType]:
    """The BINDINGS of a widget or screen."""
    return [action.binding for action in actions]


def sign(keys: Mapping[str, str], action: str, shipped: str) -> str:
    """The first key of an action as people write it, for sentences: of the settings' `keys`, else the shipped one."""
    first = keys.get(action, "").partition(",")[0].strip() or shipped
    return _KEY_SIGNS.get(first, first)


def signs(action: Action, keymap: Mapping[str, str] | None = None) -> list[str]:
    """The action's keys as people write them: `?`, `esc`, `ctrl+p`; `keymap` may give it others by its id."""
    keys = (keymap or {}).get(action.id) or action.keys
    return [_KEY_SIGNS.get(key.strip(), key.strip()) for key in keys.split(",") if key.strip()]


PANE_ACTIONS = tuple(
    Action(f"app.pane-{pane}", str(number), TITLES[pane], f"go to {TITLES[pane]}", footer=False, call=f"go('{pane}')")
    for number, pane in enumerate(PANES, 1)
)
REWIND_ACTIONS = (
    Action("app.earlier", "less_than_sign", "Earlier", "show all panes as they were 10 s before", footer=False),
    Action("app.later", "greater_than_sign", "Later", "10 s on again, up to now", footer=False),
    Action("app.much-earlier", "left_curly_bracket", "5 min earlier", "as they were 5 minutes before", footer=False),
    Action("app.much-later", "right_curly_bracket", "5 min later", "5 minutes on again, up to now", footer=False),
)
HELD_HINTS = (*REWIND_ACTIONS[:2], Action("app.now", "escape", "Now", "back to now"))
"""In the footer while an earlier moment is shown."""
GLOBAL_ACTIONS = (
    Action("app.help", "question_mark", "Help", "what every key does", call="keys_help"),
    Action("app.palette", "colon,ctrl+p", "Palette", "find anything by a few letters: actions, runs, models, themes"),
    Action("app.zoom", "z", "Zoom", "give the pane the whole screen, and back", footer=False),
    *PANE_ACTIONS,
    Action("app.next-pane", "tab", "Next pane", "to the next pane", footer=False),
    Action("app.previous-pane", "shift+tab", "Previous pane", "to the pane before", footer=False),
    Action("app.back", "escape", "Back", "one step back: out of a filter, out of a zoomed pane", footer=False),
    Action("app.freeze", "p", "Freeze", "hold the picture still, or go on from now; measuring goes on", footer=False),
    *REWIND_ACTIONS,
    Action("app.faster", "plus", "Faster", "redraw gauges and charts more often", footer=False),
    Action("app.slower", "minus", "Slower", "redraw gauges and charts less often", footer=False),
    Action("app.next-theme", "T", "Theme", "the next colour theme", footer=False),
    Action("app.mouse", "m", "Mouse", "mouse for the panes, or for the terminal's own selection", footer=False),
    Action("app.redraw", "ctrl+l", "Redraw", "draw the whole screen again", footer=False),
    Action("app.picture", "I", "Picture", "save the chart at hand as PNG and SVG, or the screen", footer=False),
    Action("app.save-screen", "f2", "Save screen", "save the whole screen as SVG", footer=False),
    Action("app.settings", "comma", "Settings", "change the settings", footer=False),
    Action(
        "app.interrupt", "ctrl+c", "Cancel run", "cancel the run under way (asks); twice: quit", footer=False,
        priority=True,
    ),
    Action("app.quit", "q", "Quit", "leave the screen; asks when runs are under way"),
)  # fmt: skip
