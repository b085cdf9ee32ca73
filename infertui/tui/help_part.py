"""What every key does: generated from the tables of actions, searched while typing."""

from collections.abc import Iterator, Mapping, Sequence

from infertui.tui.actions import Action, signs
from infertui.tui.widgets.search import Item, SearchScreen

Group = tuple[str, Sequence[Action]]


def items_of(groups: Sequence[Group], keymap: Mapping[str, str], *, read_only: bool) -> Iterator[Item]:
    """A heading and its actions for each group."""
    for title, actions in groups:
        yield Item("", title, group=title)
        for action in dict.fromkeys(actions):
            works = not (read_only and action.writes)
            text = action.help if works else f"{action.help} (read-only)"
            yield Item(action.id, text, keys=" ".join(signs(action, keymap)), group=title, works=works)


class HelpScreen(SearchScreen):
    """All keys, those of the focused pane first. Enter on a line does what it says."""

    def __init__(self, groups: Sequence[Group], *, keymap: Mapping[str, str], read_only: bool) -> None:
        items = list(items_of(groups, keymap, read_only=read_only))
        super().__init__("Help: keys", items, placeholder="type to search; enter does it, esc closes")
