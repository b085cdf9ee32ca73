"""The actions of the application itself, the same on all its panes."""

from infertui.tui.actions import Action
from infertui.tui.layouts import PANES, TITLES

PANE_ACTIONS = tuple(
    Action(f"app.pane-{pane}", str(number), TITLES[pane], f"go to {TITLES[pane]}", footer=False, call=f"go('{pane}')")
    for number, pane in enumerate(PANES, 1)
)
GLOBAL_ACTIONS = (
    Action("app.help", "question_mark", "Help", "what every key does", call="keys_help"),
    Action("app.palette", "colon,ctrl+p", "Palette", "find an action by its name"),
    Action("app.zoom", "z", "Zoom", "give the pane the whole screen, and back", footer=False),
    *PANE_ACTIONS,
    Action("app.next-pane", "tab", "Next pane", "to the next pane", footer=False),
    Action("app.previous-pane", "shift+tab", "Previous pane", "to the pane before", footer=False),
    Action("app.back", "escape", "Back", "one step back: out of a filter, out of a zoomed pane", footer=False),
    Action("app.freeze", "p", "Freeze", "hold the picture still, or go on; measuring goes on", footer=False),
    Action("app.faster", "plus", "Faster", "redraw gauges and charts more often", footer=False),
    Action("app.slower", "minus", "Slower", "redraw gauges and charts less often", footer=False),
    Action("app.next-theme", "T", "Theme", "the next colour theme", footer=False),
    Action("app.mouse", "m", "Mouse", "mouse for the panes, or for the terminal's own selection", footer=False),
    Action("app.redraw", "ctrl+l", "Redraw", "draw the whole screen again", footer=False),
    Action("app.settings", "comma", "Settings", "change the settings", footer=False),
    Action(
        "app.interrupt", "ctrl+c", "Cancel run", "cancel the run under way (asks); twice: quit", footer=False,
        priority=True,
    ),
    Action("app.quit", "q", "Quit", "leave the screen; asks when runs are under way"),
)  # fmt: skip
