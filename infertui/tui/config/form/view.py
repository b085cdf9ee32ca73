"""The lines of the form: which there are, in which order, under which headings.

Rows of the form as text of an exact width: mark, name, value, and what is allowed or where it came from.
"""

import textwrap
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from rich.cells import cell_len
from rich.text import Text

from infertui.config.fields import Field, field_of
from infertui.errors import ConfigError
from infertui.tui.config import engines
from infertui.tui.config.form.finding import found
from infertui.tui.config.form.form import Form
from infertui.tui.config.form.groups import (
    ADVANCED,
    GROUPS,
    HEADINGS,
    LABELS,
    RUNS,
    SELDOM,
    FieldGroup,
    first_page,
    group_of,
    name_of,
    page_name,
)
from infertui.tui.config.form.options import MachineInfo
from infertui.tui.widgets.cells import RenderContext, beside, fit

Kind = Literal["heading", "field", "label", "new-label", "error", "run"]
Difference = Literal["off", "base", "default"]
NEW_LABEL = "labels+"
_MOST_ERROR_LINES = 4


class FormRow(Struct, frozen=True):
    """One line. `id` tells it from the others, `path` is the key that it shows, `text` what it says otherwise."""

    id: str
    kind: Kind
    group: str
    path: str = ""
    name: str = ""
    text: str = ""


class Typing(Struct, frozen=True):
    """A line that is being typed: in which row of the form, and what stands there."""

    row: str
    text: str
    fresh_axis: bool = False


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

    def folded(self, name: str) -> bool:
        """Whether only the heading of a group shows."""
        return self.toggled.get(name, HEADINGS[name].folded)

    def toggle(self, name: str) -> None:
        """Fold or unfold a group."""
        self.toggled[name] = not self.folded(name)

    def reveal(self, key: str, form: Form) -> None:
        """Unfold what `key` stands in."""
        if key not in first_page(form.values):
            self.toggled[ADVANCED] = self.toggled[group_of(key)] = False

    def next_difference(self) -> None:
        """Everything, what differs from what was loaded, what differs from the defaults, and around."""
        order: Sequence[Difference] = ("off", "base", "default")
        self.difference = order[(order.index(self.difference) + 1) % len(order)]


def build_rows(form: Form, view: View, width: int) -> list[FormRow]:
    """Every row that shows, `width` cells being there for messages."""
    if view.wanted is not None:
        keys = found(form, view.wanted)
        rows = [_row(key, group_of(key), name_of(key, alone=True)) for key in keys]
    elif view.difference != "off":
        rows = _differing(form, default=view.difference == "default")
    else:
        rows = _page(form, view)
    return _with_error(rows, view, width)


def _page(form: Form, view: View) -> list[FormRow]:
    """The first page, the runs of a sweep, and the rest in its groups."""
    rows = [_row(key, "", page_name(key)) for key in first_page(form.values)]
    if form.axes():
        rows.append(_heading(RUNS))
        variants = (form.variants() or []) if not view.folded(RUNS) else []
        rows += [FormRow(f"run:{index}", "run", RUNS, text=run.name) for index, run in enumerate(variants) if run.name]
    rows.append(_heading(ADVANCED))
    if view.folded(ADVANCED):
        return rows
    for group in GROUPS:
        keys = grouped_keys(form, group)
        if group.keys and not keys:
            continue
        rows.append(_heading(group.name))
        if not view.folded(group.name):
            rows += [_row(key, group.name, name_of(key, alone=group.name == SELDOM)) for key in keys]
            if group.name == LABELS:
                rows.append(FormRow(NEW_LABEL, "new-label", LABELS, name="new label", text="key = value"))
    return rows


def _differing(form: Form, *, default: bool) -> list[FormRow]:
    rows: list[FormRow] = []
    labels = tuple(key for key in form.all_keys() if key.startswith("labels."))
    for group in GROUPS:
        keys = [key for key in (group.keys or labels) if form.changed(key, default=default)]
        if keys:
            rows += [_heading(group.name), *(_row(key, group.name, name_of(key)) for key in keys)]
    return rows


def _heading(name: str) -> FormRow:
    return FormRow(f"#{name}", "heading", name, text=HEADINGS[name].about)


def _row(key: str, group: str, name: str) -> FormRow:
    return FormRow(key, "label" if key.startswith("labels.") else "field", group, key, name)


def grouped_keys(form: Form, group: FieldGroup) -> list[str]:
    """The keys of a group that show under its heading."""
    if group.name == LABELS:
        return [key for key in form.all_keys() if key.startswith("labels.") and (form.text(key) or key in form.values)]
    page = first_page(form.values)
    return shown_keys(form, [key for key in group.keys if key not in page])


def shown_keys(form: Form, keys: Sequence[str]) -> list[str]:
    """Those of `keys` that show while nothing is looked for: the engine heeds them, or an error is about them."""
    problem = form.problem
    return [key for key in keys if engines.shows(form.values, key) or concerns(problem, key)]


def concerns(problem: ConfigError | None, key: str) -> bool:
    """Whether an error is about `key`."""
    return problem is not None and (problem.path == key or problem.path.endswith(f'"{key}"'))


def _with_error(rows: list[FormRow], view: View, width: int) -> list[FormRow]:
    at = next((index for index, row in enumerate(rows) if row.id == view.editing), None)
    if at is None or not view.error:
        return rows
    lines = textwrap.wrap(view.error, max(20, width - 4)) or [view.error]
    errors = [FormRow(f"!{number}", "error", rows[at].group, text=line) for number, line in enumerate(lines)]
    return [*rows[: at + 1], *errors[:_MOST_ERROR_LINES], *rows[at + 1 :]]


_MARK = 2
_NAME = 17
_VALUE, _WIDEST_VALUE = 22, 40
HINT_FROM = 56
"""Cells from which on a line has room for a third column."""


class FormLayout:
    """Where the columns of a line stand when it is `width` cells wide."""

    def __init__(self, width: int) -> None:
        self.name = _NAME if width >= 42 else max(6, min(_NAME, (width - _MARK) * 11 // 25))
        rest = max(1, width - _MARK - self.name - 1)
        self.value = rest if width < HINT_FROM else min(_WIDEST_VALUE, max(_VALUE, rest * 2 // 5))
        self.hint = max(0, rest - self.value - 1)
        self.value_at = _MARK + self.name + 1


class Page:
    """Everything that a line of the form depends on."""

    def __init__(self, form: Form, view: View, knowledge: MachineInfo, look: RenderContext) -> None:
        self.form = form
        self.view = view
        self.knowledge = knowledge
        self.look = look

    def line(self, row: FormRow, width: int) -> Text:
        """A row in `width` cells."""
        match row.kind:
            case "heading":
                return self._heading(row, width)
            case "error":
                return beside(Text(" " * 4), fit(row.text, width - 4, self.look, style=self.look.palette.error))
            case "run":
                return beside(Text(" " * 2), fit(row.text, width - 2, self.look))
            case "new-label":
                layout = FormLayout(width)
                sign = fit(f"+ {row.name}", layout.value_at - 1, self.look, style=self.look.palette.muted)
                return beside(sign, Text(" "), fit(row.text, layout.value, self.look, style=self.look.palette.muted))
            case _:
                return self._field(row, width)

    def _heading(self, row: FormRow, width: int) -> Text:
        folded = self.view.difference == "off" and self.view.folded(row.group)
        sign = self.look.glyph("▸", "+") if folded else self.look.glyph("▾", "-")
        keys = self._keys_under(row.group)
        title = f"{sign} {row.group}"
        if folded and any(concerns(self.form.problem, key) for key in keys):
            title += " !"
        about = row.text
        if row.group == RUNS:
            about = f"{self.form.run_count():,} of the sweep" if self.form.run_count() else "the sweep cannot run"
        elif folded:
            about = self._summary(row.group, keys) or about
        palette = self.look.palette
        head = fit(title, min(width, cell_len(title)), self.look, style=palette.title)
        room = width - cell_len(title) - 2
        return beside(head, Text("  "), fit(about, room, self.look, style=palette.muted)) if room > 1 else head

    def _keys_under(self, group: str) -> list[str]:
        groups = [one for one in GROUPS if group == ADVANCED or one.name == group]
        return [key for one in groups for key in grouped_keys(self.form, one)]

    def _summary(self, group: str, keys: Sequence[str]) -> str:
        """How much is folded away, and which of it is not as it is by default: `35 fields, 2 changed: warmup=2`."""
        count = f"{len(keys)} field{'' if len(keys) == 1 else 's'}"
        changed = sum(self.form.changed(key) for key in keys)
        told = count + (f", {changed} changed" if changed else "")
        own = [f"{name_of(key)}={self.form.text(key)}" for key in keys if self.form.changed(key, default=True)]
        if group == LABELS and not keys:
            return ""
        return told + (f": {' '.join(own)}" if own else "")

    def _field(self, row: FormRow, width: int) -> Text:
        layout, palette = FormLayout(width), self.look.palette
        key = row.path
        default = self.view.difference == "default"
        changed = self.form.changed(key, default=default)
        concerned = concerns(self.form.problem, key)
        mark, style = ("!", palette.error) if concerned else ("*", palette.accent) if changed else (" ", "")
        if self.view.difference != "off":
            arrow = self.look.glyph("→", "->")
            old, new = self.form.old_text(key, default=default), self.form.text(key)
            gone = not new and key not in self.form.values
            text = f"{'(none)' if old is None else old or '(empty)'} {arrow} {'(gone)' if gone else new or '(empty)'}"
            value = fit(text, width - layout.value_at, self.look, style=palette.accent)
            return beside(Text(mark, style=style), Text(" "), fit(row.name, layout.name, self.look), Text(" "), value)
        value_style = palette.error if concerned else self._value_style(key, changed)
        hint, hint_style = self._hint(key) if layout.hint else ("", "")
        if layout.hint and self.view.wanted is not None and (table := key.rpartition(".")[0]):
            hint = f"{table}: {hint}" if hint else table
        room = layout.value if hint or not layout.hint else layout.value + 1 + layout.hint
        cells = [
            Text(mark, style=style),
            Text(" "),
            fit(self._name(row, layout), layout.name, self.look),
            Text(" "),
            self._value(key, room, value_style),
        ]
        if hint:
            cells += [Text(" "), fit(hint, layout.hint, self.look, style=hint_style)]
        return beside(*cells)

    def _name(self, row: FormRow, layout: FormLayout) -> str:
        """Of a key whose name has no room the end, which tells it from the others of its table."""
        if cell_len(row.name) <= layout.name or "." not in row.name:
            return row.name
        return self.look.glyph("…", "~") + "." + row.name.rpartition(".")[2]

    def _value_style(self, key: str, changed: bool) -> str:
        palette = self.look.palette
        remark = self.knowledge.remark(key, self.form.values)
        if remark is not None and remark.standing == "warning" and not self.form.is_swept(key):
            return palette.warning
        if key == "target.url" and engines.lacks_url(self.form.values):
            return palette.warning
        if self.form.is_swept(key):
            return palette.accent
        if not engines.heeded(self.form.values, key):
            return palette.muted
        if changed:
            return palette.accent
        return palette.muted if self.form.origin(key) == "default" else palette.figure

    def _value(self, key: str, width: int, style: str) -> Text:
        text = self.form.text(key)
        if self.form.is_swept(key):
            tail = f" {self.look.glyph('×', 'x')}{self.form.axis_length(key)}"
            room = max(1, min(cell_len(text), width - len(tail)))
            return beside(
                fit(text, room, self.look, style=style),
                fit(tail, max(0, width - room), self.look, style=self.look.palette.title),
            )
        if meant := engines.meaning(self.form.values, key):
            return fit(meant, width, self.look, style=style)
        if not text:
            return fit("(empty)" if width >= 7 else "", width, self.look, style=self.look.palette.muted)
        # The end of a path or of a model's id says more than its beginning.
        if key in ("model.id", "workload.prompts_file") and cell_len(text) > width:
            mark = self.look.glyph("…", "~")
            return fit(mark + text[-(width - 1) :], width, self.look, style=style)
        return fit(text, width, self.look, style=style)

    def _hint(self, key: str) -> tuple[str, str]:
        palette = self.look.palette
        if self.form.is_swept(key):
            return f"axis of the {'zip' if self.form.edit_path(key).startswith('sweep.zip') else 'grid'}", palette.muted
        if why := engines.unheeded_because(self.form.values, key):
            return why, palette.muted
        remark = self.knowledge.remark(key, self.form.values)
        if remark is not None and remark.text:
            return remark.text, palette.warning if remark.standing == "warning" else palette.muted
        field, origin = field_of(key), self.form.origin(key)
        if origin == "edited":
            old = self.form.old_text(key)
            origin = "new" if old is None else f"was {old or '(empty)'}"
        limits = short_limits(field, engines.limits(self.form.values, field)) if field is not None else ""
        meant = engines.comes_to(self.form.values, key, self.form.text(key))
        meant = f"comes to {meant}" if meant else ""
        said = [part for part in (origin if origin != "default" else "", meant, limits) if part]
        return "; ".join(said), palette.muted


def short_limits(field: Field, allowed: str = "") -> str:
    """What is allowed (as the field has it, or `allowed`), in as few words as possible; nothing where any text is."""
    text = "" if field.is_table or field.allowed == "text" else (allowed or field.allowed).partition(" (also ")[0]
    for start in ("an integer from ", "a number from ", "an integer ", "a number ", "one of "):
        text = text.removeprefix(start)
    return text
