"""What every key does: generated from the tables of actions, searched while typing; the chosen line is done."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from infertui.tui.frame.actions import GLOBAL_ACTIONS, Action, signs
from infertui.tui.frame.layouts import PaneId
from infertui.tui.frame.reach import reachable
from infertui.tui.widgets.pane import Pane
from infertui.tui.widgets.search import SearchItem, SearchScreen

if TYPE_CHECKING:
    from infertui.tui.app import InfertuiApp

Group = tuple[str, Sequence[Action]]


def items_of(groups: Sequence[Group], keymap: Mapping[str, str], *, read_only: bool) -> Iterator[SearchItem]:
    """A heading and its actions for each group."""
    for title, actions in groups:
        yield SearchItem("", title, group=title)
        for action in dict.fromkeys(actions):
            works = not (read_only and action.writes)
            text = action.help if works else f"{action.help} (read-only)"
            yield SearchItem(action.id, text, keys=" ".join(signs(action, keymap)), group=title, works=works)


class HelpScreen(SearchScreen):
    """All keys, those of the focused pane first. Enter on a line does what it says."""

    def __init__(self, groups: Sequence[Group], *, keymap: Mapping[str, str], read_only: bool) -> None:
        items = list(items_of(groups, keymap, read_only=read_only))
        super().__init__("Help: keys", items, placeholder="type to search; enter does it, esc closes")


EVERYWHERE = "Everywhere"


def open_help(app: "InfertuiApp", pane: Pane | None = None) -> None:
    """What every key does here, or in another pane."""
    if not isinstance(app.screen, HelpScreen):
        groups = _by_key(near(app), app.keymap) if pane is None else [(pane.TITLE, list(pane.ACTIONS))]
        app.push_screen(
            HelpScreen(groups, keymap=app.keymap, read_only=app.read_only), lambda chosen: _chosen(app, chosen)
        )


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
    if chosen is not None:
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
                app.main.go(cast(PaneId, pane.id))
                await app.run_action(action.call or action.name, pane)
                return
    for action in GLOBAL_ACTIONS:
        if action.id == chosen:
            await app.run_action(action.call or action.name, app)
