"""Every action of every pane, and the themes, by name."""

from collections.abc import Mapping, Sequence

from infertui.tui.actions import signs
from infertui.tui.help_part import Group
from infertui.tui.widgets.search import Item, SearchScreen

THEME = "theme:"


class PaletteScreen(SearchScreen):
    """Returns an action's id, or `theme:` with the name of a theme."""

    def __init__(
        self, groups: Sequence[Group], *, themes: Sequence[str], keymap: Mapping[str, str], read_only: bool
    ) -> None:
        items = []
        for title, actions in groups:
            prefix = "" if title == "Everywhere" else f"{title}: "
            for action in dict.fromkeys(actions):
                works = not (read_only and action.writes)
                text = f"{prefix}{action.help}" + ("" if works else " (read-only)")
                items.append(Item(action.id, text, keys=" ".join(signs(action, keymap)[:1]), works=works))
        items += [Item(f"{THEME}{name}", f"theme: {name}") for name in themes]
        super().__init__("Palette", items, placeholder="type what to do; enter does it, esc closes")
