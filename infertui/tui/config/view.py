"""The lines of the form: which there are, in which order, under which headings."""

import textwrap
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from infertui.config.fields import field_of, nearest
from infertui.errors import ConfigError
from infertui.tui.config import engines
from infertui.tui.config.form import Form
from infertui.tui.config.groups import GROUP_OF, GROUPS, LABELS, RUNS, Group, name_of

Kind = Literal["heading", "field", "label", "new-label", "error", "run"]
Difference = Literal["off", "base", "default"]
NEW_LABEL = "labels+"
_MOST_ERROR_LINES = 4


class Row(Struct, frozen=True):
    """One line. `id` tells it from the others, `path` is the key that it shows, `text` what it says otherwise."""

    id: str
    kind: Kind
    group: str
    path: str = ""
    name: str = ""
    text: str = ""


class View:
    """How the form is looked at: what is folded, found, compared and edited."""

    def __init__(self) -> None:
        self.toggled: dict[str, bool] = {}
        """Groups that were folded (True) or unfolded by hand."""
        self.difference: Difference = "off"
        self.wanted: str | None = None
        """What is being looked for; None when nothing is."""
        self.editing = ""
        """Id of the row with the cursor of text in it."""
        self.error = ""
        """What is wrong with the text that is being edited."""

    def folded(self, group: Group) -> bool:
        """Whether only the group's heading shows."""
        return self.toggled.get(group.name, group.folded)

    def toggle(self, name: str) -> None:
        """Fold or unfold a group."""
        group = next(group for group in GROUPS if group.name == name)
        self.toggled[name] = not self.folded(group)

    def reveal(self, key: str) -> None:
        """Unfold the group that `key` stands in."""
        self.toggled[group_of(key)] = False

    def next_difference(self) -> None:
        """Everything, what differs from what was loaded, what differs from the defaults, and around."""
        order: Sequence[Difference] = ("off", "base", "default")
        self.difference = order[(order.index(self.difference) + 1) % len(order)]


def group_of(key: str) -> str:
    """The group in which the line of `key` stands."""
    return GROUP_OF.get(key, LABELS)


def build_rows(form: Form, view: View, width: int) -> list[Row]:
    """Every row that shows, `width` cells being there for messages."""
    rows: list[Row] = []
    for group in GROUPS:
        inside = _inside(form, view, group)
        if view.wanted is not None or view.difference != "off":
            if inside:
                rows += [Row(f"#{group.name}", "heading", group.name, text=group.about), *inside]
            continue
        if (group.name == RUNS and not form.axes()) or (group.engine and not inside):
            continue
        rows.append(Row(f"#{group.name}", "heading", group.name, text=group.about))
        if not view.folded(group):
            rows += inside
    return _with_error(rows, view, width)


def _inside(form: Form, view: View, group: Group) -> list[Row]:
    if group.name == RUNS:
        plain = view.wanted is None and view.difference == "off"
        variants = (form.variants() or []) if plain and not view.folded(group) else []
        return [Row(f"run:{index}", "run", RUNS, text=run.name) for index, run in enumerate(variants) if run.name]
    keys = [key for key in form.all_keys() if key.startswith("labels.")] if group.name == LABELS else list(group.keys)
    if view.wanted is not None:
        keys = [key for key in keys if key in set(found(form, view.wanted))]
    elif view.difference != "off":
        keys = [key for key in keys if form.changed(key, default=view.difference == "default")]
    elif group.name == LABELS:
        keys = [key for key in keys if form.text(key) or key in form.values]
    else:
        keys = shown_keys(form, keys)
    rows = [
        Row(key, "label" if group.name == LABELS else "field", group.name, key, name_of(key, group.name))
        for key in keys
    ]
    if group.name == LABELS and view.wanted is None and view.difference == "off":
        rows.append(Row(NEW_LABEL, "new-label", LABELS, name="new label", text="key = value"))
    return rows


def shown_keys(form: Form, keys: Sequence[str]) -> list[str]:
    """Those of `keys` that show while nothing is looked for: the engine heeds them, or an error is about them."""
    problem = form.problem
    return [key for key in keys if engines.shows(form.values, key) or concerns(problem, key)]


def concerns(problem: ConfigError | None, key: str) -> bool:
    """Whether an error is about `key`."""
    return problem is not None and (problem.path == key or problem.path.endswith(f'"{key}"'))


def found(form: Form, wanted: str) -> list[str]:
    """The keys that somebody who types `wanted` may mean: by name, else by description, else the nearest.

    What other tools call a key finds it too: `osl` is workload.output_len.
    """
    words = wanted.lower().replace("-", "_").split()
    keys = list(form.all_keys())
    if not words:
        return keys
    by_name = [key for key in keys if all(word in key.lower() for word in words)]
    if by_name:
        return by_name
    by_text = [key for key in keys if all(word.replace("_", " ") in _about(key) for word in words)]
    other = nearest("_".join(words))
    return by_text or ([other] if other in keys else [])


def _about(key: str) -> str:
    field = field_of(key)
    return f"{key.replace('_', ' ')} {field.description}".lower() if field else key


def _with_error(rows: list[Row], view: View, width: int) -> list[Row]:
    at = next((index for index, row in enumerate(rows) if row.id == view.editing), None)
    if at is None or not view.error:
        return rows
    lines = textwrap.wrap(view.error, max(20, width - 4)) or [view.error]
    errors = [Row(f"!{number}", "error", rows[at].group, text=line) for number, line in enumerate(lines)]
    return [*rows[: at + 1], *errors[:_MOST_ERROR_LINES], *rows[at + 1 :]]
