"""Help and palette over the tables of actions, and what is done with the line that was chosen."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from infertui.tui.actions import Action
from infertui.tui.commands import GLOBAL_ACTIONS
from infertui.tui.footer import reachable
from infertui.tui.help_part import Group, HelpScreen
from infertui.tui.layouts import PaneId
from infertui.tui.palette import THEME, PaletteScreen
from infertui.tui.widgets.pane import Pane

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp

EVERYWHERE = "Everywhere"


def open_help(app: "InfertuiApp") -> None:
    """What every key does here."""
    if not isinstance(app.screen, HelpScreen):
        app.push_screen(
            HelpScreen(_by_key(near(app), app.keymap), keymap=app.keymap, read_only=app.read_only),
            lambda chosen: _chosen(app, chosen),
        )


def open_palette(app: "InfertuiApp") -> None:
    """Every action by its name."""
    groups = near(app)
    titles = {title for title, _ in groups}
    others = [(pane.TITLE, list(pane.ACTIONS)) for pane in app.stage.panes() if pane.TITLE not in titles]
    screen = PaletteScreen(
        [*groups[:-1], *others, groups[-1]], themes=app.theme_names, keymap=app.keymap, read_only=app.read_only
    )
    app.push_screen(screen, lambda chosen: _chosen(app, chosen))


def near(app: "InfertuiApp") -> list[Group]:
    """The actions that keys reach from the focus, those of lists after those of the pane; then the application's."""
    groups: list[tuple[str, list[Action]]] = []
    loose: list[Action] = []
    for node, actions in reachable(app.screen.focused or app.screen):
        title = node.TITLE if isinstance(node, Pane) else str(getattr(node, "BINDING_GROUP_TITLE", None) or "")
        if title:
            groups.append((title, [*actions, *loose]))
            loose = []
        else:
            loose += actions
    if loose:
        groups.append(("List", loose))
    return [*groups, (EVERYWHERE, list(GLOBAL_ACTIONS))]


def _by_key(groups: Sequence[Group], keymap: Mapping[str, str]) -> list[Group]:
    """The actions that still have a key of their own: `1` may be a tab here, and does not go to a pane then."""
    taken: set[str] = set()
    kept: list[Group] = []
    for title, actions in groups:
        keys = {action: set((keymap.get(action.id) or action.keys).split(",")) for action in actions}
        own = [action for action in actions if not keys[action] <= taken]
        for action in own:
            taken |= keys[action]
        kept.append((title, own))
    return kept


def _chosen(app: "InfertuiApp", chosen: str | None) -> None:
    if chosen is None:
        return
    if chosen.startswith(THEME):
        app.choose_theme(chosen.removeprefix(THEME))
    else:
        app.run_worker(_run(app, chosen), group="chosen")


async def _run(app: "InfertuiApp", chosen: str) -> None:
    """Run the action with that id, as if its key had been pressed in its pane."""
    for node, actions in reachable(app.screen.focused or app.screen):
        for action in actions:
            if action.id == chosen:
                await app.run_action(action.call or action.name, node)
                return
    for pane in app.stage.panes():
        for action in pane.ACTIONS:
            if action.id == chosen:
                app.go(cast(PaneId, pane.id))
                await app.run_action(action.call or action.name, pane)
                return
    for action in GLOBAL_ACTIONS:
        if action.id == chosen:
            await app.run_action(action.call or action.name, app)
